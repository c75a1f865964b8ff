package sipmsg

import (
	"errors"
	"iter"
)

// maxParams bounds the parameters of one URI or header field value, so that
// comparing two lists stays cheap.
const maxParams = 64

var (
	errParam         = errors.New("malformed parameter")
	errTooManyParams = errors.New("more than 64 parameters")
)

// Params are the parameters of a header field value as written: empty, or
// ";a=b;c". White space around ";" and "=" is allowed and ignored.
type Params string

// Get returns the first parameter with that name (any case), quotes removed and
// quoted pairs undone. A parameter without a value yields ("", true).
func (p Params) Get(name string) (value string, ok bool) {
	v, ok := p.raw(name)
	return Unquote(v), ok
}

// Has reports whether there is a parameter with that name.
func (p Params) Has(name string) bool {
	_, ok := p.raw(name)
	return ok
}

func (p Params) raw(name string) (value string, ok bool) {
	for s := string(p); s != ""; {
		param, n := nextParam(s)
		if n == 0 {
			return "", false
		}
		if equalFold(s[param.name.start:param.name.end], name) {
			return param.valueOf(s), true
		}
		s = s[n:]
	}
	return "", false
}

// All yields names and values in order, as written: values keep their quotes. A
// parameter without a value has the value "".
func (p Params) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for s := string(p); s != ""; {
			param, n := nextParam(s)
			if n == 0 || !yield(s[param.name.start:param.name.end], param.valueOf(s)) {
				return
			}
			s = s[n:]
		}
	}
}

// Without returns the parameters less those named (any case), each of the
// others as written.
func (p Params) Without(names ...string) Params {
	var out []byte
	for s := string(p); s != ""; {
		param, n := nextParam(s)
		if n == 0 {
			break
		}
		if !contains(names, s[param.name.start:param.name.end]) {
			out = append(out, s[:n]...)
		}
		s = s[n:]
	}
	return Params(trimLeft(string(out)))
}

// EqualWithout reports whether Without(names...) is want.
func (p Params) EqualWithout(want string, names ...string) bool {
	for s := trimLeft(string(p)); s != ""; {
		param, n := nextParam(s)
		if n == 0 {
			break
		}
		if !contains(names, s[param.name.start:param.name.end]) {
			if len(want) < n || want[:n] != s[:n] {
				return false
			}
			want = want[n:]
		}
		s = s[n:]
	}
	return want == ""
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if equalFold(n, name) {
			return true
		}
	}
	return false
}

// A param is one parameter inside the string that it was found in. Offsets are
// ints, since the string need not be a message.
type param struct {
	name, value struct{ start, end int }
	hasValue    bool
}

func (p param) valueOf(s string) string { return s[p.value.start:p.value.end] }

// nextParam reads one parameter, *LWS ";" *LWS name [*LWS "=" *LWS value], from
// the start of s. n is the offset behind it and behind the white space that
// follows; 0 means that s does not start with a parameter.
func nextParam(s string) (p param, n int) {
	i := skipLWS(s, 0)
	if i == len(s) || s[i] != ';' {
		return p, 0
	}
	i = skipLWS(s, i+1)
	p.name.start = i
	i += run(s[i:], classToken)
	p.name.end = i
	if p.name.end == p.name.start {
		return p, 0
	}
	end := i
	i = skipLWS(s, i)
	p.value.start, p.value.end = end, end
	if i < len(s) && s[i] == '=' {
		p.hasValue = true
		i = skipLWS(s, i+1)
		p.value.start = i
		if i < len(s) && s[i] == '"' {
			q := quotedEnd(s[i:])
			if q == 0 {
				return p, 0
			}
			i += q
		} else {
			i += run(s[i:], classValue)
		}
		p.value.end = i
		i = skipLWS(s, i)
	}
	if i < len(s) && s[i] != ';' {
		return p, 0
	}
	return p, i
}

func skipLWS(s string, i int) int {
	for i < len(s) && isLWS(s[i]) {
		i++
	}
	return i
}

// checkParams verifies that s consists of parameters alone. Empty ones (";;")
// are an error (RFC 4475 §3.1.2.1).
func checkParams(s string) error {
	for count := 0; s != ""; count++ {
		if count == maxParams {
			return errTooManyParams
		}
		_, n := nextParam(s)
		if n == 0 {
			return errParam
		}
		s = s[n:]
	}
	return nil
}

// ParseDeltaSeconds reads a number of seconds. What is malformed or larger than
// 2^32-1 counts as 3600 (RFC 3261 §20.10, §20.19), with ok false.
func ParseDeltaSeconds(s string) (seconds uint32, ok bool) {
	n, ok := parseUint(trim(s), 1<<32-1)
	if !ok {
		return 3600, false
	}
	return uint32(n), true
}
