package usrloc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unsafe"
)

// ErrBinary is returned by ParseBinding for bytes that AppendBinding did not write.
var ErrBinary = errors.New("usrloc: malformed binary form")

// The binary form of a Binding, version 2:
//
//	version u8 | head (see headSize) | body
//
// The body holds the strings, each as a field:
//
//	contact | params | call-id | user-agent | listener | zone | instance |
//	provider | param | prid | number of paths uvarint, each path | received, if flagReceived |
//	GRUU set uvarint, if flagGRUUSet | attributes, if flagAttributes
//
// A field is a tag, a uvarint whose two low bits say how to go on with the rest n:
//
//	0  literal: n bytes follow
//	1  word: entry n of the dictionary (in memory only, never in the form for others)
//	2  span: uvarint length follows; the field is that much of its source from n on
//	3  escaped span: the same, percent-decoded
//
// The source of instance is params, that of provider, param and prid is
// contact: their values stand there already and are not stored twice.
//
// Times are kept in milliseconds, in UTC. Version 1, which is read and no longer
// written, has a shorter head.
const (
	binaryVersion  = 2
	binaryVersion1 = 1
)

const (
	tagLiteral = iota
	tagWord
	tagSpan
	tagEscapedSpan
	tagBits = 2
)

// AppendBinding appends the binary form of b to dst.
func AppendBinding(dst []byte, b *Binding) []byte {
	h := headOf(b)
	return appendBody(h.append(append(dst, binaryVersion)), b, nil)
}

// ParseBinding reads the binary form, which must be all of data.
func ParseBinding(data []byte) (Binding, error) {
	var b Binding
	if err := ViewBinding(&b, bytes.Clone(data)); err != nil {
		return Binding{}, err
	}
	return b, nil
}

// ViewBinding sets b to what ParseBinding returns, without a copy: the strings of
// b lie in data, and change with it. After an error b is undefined.
func ViewBinding(b *Binding, data []byte) error {
	size := 1 + headSize
	if len(data) > 0 && data[0] == binaryVersion1 {
		size = 1 + headSize1
	} else if len(data) > 0 && data[0] != binaryVersion {
		return ErrBinary
	}
	if len(data) < size {
		return ErrBinary
	}
	h, err := parseHead(data[1:size])
	if err != nil {
		return err
	}
	*b = Binding{}
	return parseBody(b, &h, asString(data[size:]), nil)
}

// asString returns data as a string that changes with it.
func asString(data []byte) string { return unsafe.String(unsafe.SliceData(data), len(data)) }

// appendBody appends b's strings. Words that words knows or still takes are
// stored as their number there; words may be nil.
func appendBody(dst []byte, b *Binding, words *dictionary) []byte {
	dst = appendLiteral(dst, b.Contact)
	dst = appendLiteral(dst, b.Params)
	dst = appendLiteral(dst, b.CallID)
	dst = appendWord(dst, b.UserAgent, words)
	dst = appendWord(dst, b.Flow.Listener, words)
	dst = appendWord(dst, b.Flow.Remote.Addr().Zone(), words)
	dst = appendSpan(dst, b.Instance, b.Params, "+sip.instance")
	dst = appendSpan(dst, b.Push.Provider, b.Contact, "pn-provider")
	dst = appendSpan(dst, b.Push.Param, b.Contact, "pn-param")
	dst = appendSpan(dst, b.Push.PRID, b.Contact, "pn-prid")
	dst = binary.AppendUvarint(dst, uint64(len(b.Path)))
	for _, p := range b.Path {
		dst = appendWord(dst, p, words)
	}
	if b.Received != "" {
		dst = appendLiteral(dst, b.Received)
	}
	if b.GRUUSet != 0 {
		dst = binary.AppendUvarint(dst, b.GRUUSet)
	}
	if b.Attributes != "" {
		dst = appendLiteral(dst, b.Attributes)
	}
	return dst
}

// parseBody reads a body into b, whose strings become parts of body.
func parseBody(b *Binding, h *head, body string, words *dictionary) error {
	r := bodyReader{rest: body, words: words}
	b.Contact = r.field("")
	b.Params = r.field("")
	b.CallID = r.field("")
	b.UserAgent = r.field("")
	listener, zone := r.field(""), r.field("")
	b.Instance = r.field(b.Params)
	b.Push.Provider = r.field(b.Contact)
	b.Push.Param = r.field(b.Contact)
	b.Push.PRID = r.field(b.Contact)
	paths := r.uvarint()
	if paths > uint64(len(r.rest)) { // each takes a byte at least
		return ErrBinary
	}
	if paths > 0 {
		b.Path = make([]string, paths)
	}
	for i := range b.Path {
		b.Path[i] = r.field("")
	}
	if h.flags&flagReceived != 0 {
		b.Received = r.field("")
	}
	if h.flags&flagGRUUSet != 0 {
		b.GRUUSet = r.uvarint()
	}
	if h.flags&flagAttributes != 0 {
		b.Attributes = r.field("")
	}
	if r.bad || r.rest != "" {
		return ErrBinary
	}
	h.fill(b, listener, zone)
	return nil
}

func appendLiteral(dst []byte, s string) []byte {
	tag := uint64(tagLiteral) // Zero, and part of the form all the same.
	return append(binary.AppendUvarint(dst, uint64(len(s))<<tagBits|tag), s...)
}

func appendWord(dst []byte, s string, words *dictionary) []byte {
	if n, ok := words.number(s); ok {
		return binary.AppendUvarint(dst, uint64(n)<<tagBits|tagWord)
	}
	return appendLiteral(dst, s)
}

// appendSpan appends s, as a span if it occurs in source as it is or as the
// percent-encoded value of the URI parameter name.
func appendSpan(dst []byte, s, source, name string) []byte {
	if s == "" {
		return appendLiteral(dst, s)
	}
	if at := strings.Index(source, s); at >= 0 {
		dst = binary.AppendUvarint(dst, uint64(at)<<tagBits|tagSpan)
		return binary.AppendUvarint(dst, uint64(len(s)))
	}
	if at, end := findParam(source, name); at < end && unescape(source[at:end]) == s {
		dst = binary.AppendUvarint(dst, uint64(at)<<tagBits|tagEscapedSpan)
		return binary.AppendUvarint(dst, uint64(end-at))
	}
	return appendLiteral(dst, s)
}

// findParam returns where the value of the first ";name=" begins and ends in
// uri; at == end if there is none. It only proposes: the caller compares.
func findParam(uri, name string) (at, end int) {
	for i := 0; i < len(uri); i++ {
		if uri[i] != ';' || len(uri)-i < len(name)+2 || uri[i+1+len(name)] != '=' {
			continue
		}
		if strings.EqualFold(uri[i+1:i+1+len(name)], name) {
			at = i + len(name) + 2
			if n := strings.IndexAny(uri[at:], ";?"); n >= 0 {
				return at, at + n
			}
			return at, len(uri)
		}
	}
	return 0, 0
}

// unescape undoes percent-encoding once; what is no escape stays. It serves the
// codec alone, which accepts its result only if it equals the value to store.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// A bodyReader takes fields off the front of a body. After the first malformed
// one, bad is set and everything reads as empty.
type bodyReader struct {
	rest  string
	words *dictionary
	bad   bool
}

func (r *bodyReader) uvarint() uint64 {
	var v uint64
	for i := 0; i < len(r.rest) && i < binary.MaxVarintLen64; i++ {
		c := r.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.rest = r.rest[i+1:]
			return v
		}
	}
	return r.fail()
}

func (r *bodyReader) fail() uint64 {
	r.bad, r.rest = true, ""
	return 0
}

// field reads one field; source is what a span of it refers to.
func (r *bodyReader) field(source string) string {
	tag := r.uvarint()
	n := tag >> tagBits
	switch tag & (1<<tagBits - 1) {
	case tagLiteral:
		if n <= uint64(len(r.rest)) {
			s := r.rest[:n]
			r.rest = r.rest[n:]
			return s
		}
	case tagWord:
		if s, ok := r.words.word(n); ok {
			return s
		}
	case tagSpan, tagEscapedSpan:
		length := r.uvarint()
		if n > uint64(len(source)) || length > uint64(len(source))-n {
			break
		}
		s := source[n : n+length]
		if tag&1 != 0 {
			s = unescape(s)
		}
		return s
	}
	r.fail()
	return ""
}
