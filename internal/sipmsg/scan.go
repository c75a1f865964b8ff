package sipmsg

import (
	"errors"
	"strings"
)

// Limits of one message. Lengths are in bytes.
const (
	// MaxMessage is the largest message, start line to end of body: what a UDP
	// datagram can carry, and what the 16-bit spans can address.
	MaxMessage = 65535
	// MaxHeaders is the largest number of header field lines.
	MaxHeaders = 256
)

// Errors of the scanner. All but ErrTooLong are also met inside a StatusError.
var (
	ErrTooLong        = errors.New("sipmsg: message longer than 65535 bytes")
	ErrNotSIP         = errors.New("sipmsg: first line is neither a request line nor a status line")
	ErrTooManyHeaders = errors.New("sipmsg: more than 256 header fields")
	ErrTruncated      = errors.New("sipmsg: header section does not end with an empty line")

	errStartLine     = errors.New("malformed start line")
	errVersion       = errors.New("SIP version is not 2.0")
	errHeaderLine    = errors.New("malformed header field line")
	errLineEnd       = errors.New("CR or LF alone")
	errNUL           = errors.New("NUL outside of a quoted pair")
	errContentLength = errors.New("malformed Content-Length")
	errManyLengths   = errors.New("several Content-Length header fields")
)

// A span is a part of the scanned message, by byte offsets.
type span struct{ start, end uint16 }

func (p span) of(raw string) string { return raw[p.start:p.end] }

// A headerSpan is one header field line: name, value without surrounding white
// space, and the offset behind the CRLF that ends the line.
type headerSpan struct {
	name, value span
	end         uint16
	id          HeaderID
	folded      bool
}

// A Scan holds the outline of one message: start line, header fields, body. It
// is a large value (about 3 KB) without pointers into anything but the scanned
// string, made to be kept and reused; Parse resets it. It allocates nothing. A
// Scan is not safe for concurrent use, and all strings that it returns are
// substrings of the one given to Parse: if that is a view of a read buffer, they
// live as long as the buffer's content.
type Scan struct {
	raw     string
	request bool
	method  span
	uri     span
	version span
	reason  span
	status  uint16
	body    int
	n       int
	first   [numHeaderIDs]uint16 // index of the first line with that ID, plus 1
	count   [numHeaderIDs]uint16
	headers [MaxHeaders]headerSpan
	err     error
}

// Parse scans raw, which must begin with the start line. The error is the first
// defect met. The scan goes on behind a defect as far as it can, so that a
// damaged request can still be answered: what was found before and behind it is
// available. ErrNotSIP and ErrTooLong mean that there is nothing to be had.
func (s *Scan) Parse(raw string) error {
	s.raw, s.err = raw, nil
	s.method, s.uri, s.version, s.reason = span{}, span{}, span{}, span{}
	s.request, s.status, s.n, s.body = false, 0, 0, len(raw)
	clear(s.first[:])
	clear(s.count[:])
	if len(raw) > MaxMessage {
		s.raw, s.body = "", 0
		return ErrTooLong
	}
	next := s.startLine()
	if next == 0 {
		return ErrNotSIP
	}
	s.headerLines(next)
	return s.err
}

// fail notes the first defect; one that makes lines uncopyable outranks others.
func (s *Scan) fail(err error) {
	if s.err == nil || uncopyable(err) {
		s.err = err
	}
}

// uncopyable reports whether err is one of line ends or NUL, which make it
// unsafe to copy any line of the message.
func uncopyable(err error) bool { return errors.Is(err, errLineEnd) || errors.Is(err, errNUL) }

// Uncopyable reports whether err, an error of Scan.Parse, says that the lines of the
// message cannot be told apart for certain.
func Uncopyable(err error) bool { return uncopyable(err) }

// startLine reads the first line and returns the offset behind it, or 0 if that
// line belongs to no SIP message.
func (s *Scan) startLine() int {
	eol := strings.IndexByte(s.raw, '\r')
	if eol <= 0 || eol+1 >= len(s.raw) || s.raw[eol+1] != '\n' {
		return 0
	}
	line := s.raw[:eol]
	ok := false
	if hasPrefixFold(line, "SIP/") {
		ok = s.statusLine(line)
	} else {
		ok = s.requestLine(line)
	}
	if !ok {
		return 0
	}
	return eol + 2
}

// requestLine reads "Method SP Request-URI SP SIP-Version" (RFC 3261 §7.1).
func (s *Scan) requestLine(line string) bool {
	trimmed := line
	for trimmed != "" && isBlank(trimmed[len(trimmed)-1]) {
		trimmed = trimmed[:len(trimmed)-1]
	}
	if len(trimmed) != len(line) {
		s.fail(errStartLine)
	}
	m, v := strings.IndexByte(trimmed, ' '), strings.LastIndexByte(trimmed, ' ')
	if m <= 0 || m == v || !all(trimmed[:m], classToken) || !hasPrefixFold(trimmed[v+1:], "SIP/") {
		return false
	}
	s.request = true
	s.method = span{0, uint16(m)}
	s.uri = span{uint16(m + 1), uint16(v)}
	s.version = span{uint16(v + 1), uint16(len(trimmed))}
	// RFC 3261 §7.1: one SP between the elements, none inside the URI.
	if uri := trimmed[m+1 : v]; uri == "" || strings.IndexByte(uri, ' ') >= 0 || strings.IndexByte(uri, '\t') >= 0 {
		s.fail(errStartLine)
	}
	s.checkVersion()
	return true
}

// statusLine reads "SIP-Version SP Status-Code SP Reason-Phrase" (§7.2). A
// missing space behind the code is tolerated (RFC 4475 §3.1.1.13).
func (s *Scan) statusLine(line string) bool {
	v := strings.IndexByte(line, ' ')
	if v < 0 || len(line) < v+4 || len(line) > v+4 && line[v+4] != ' ' {
		return false
	}
	code, ok := parseUint(line[v+1:v+4], 699)
	if !ok || code < 100 {
		return false
	}
	s.status = uint16(code)
	s.version = span{0, uint16(v)}
	s.reason = span{uint16(min(v+5, len(line))), uint16(len(line))}
	s.checkVersion()
	return true
}

func (s *Scan) checkVersion() {
	v := s.version.of(s.raw)
	if equalFold(v, "SIP/2.0") {
		return
	}
	major, minor, ok := strings.Cut(v[len("SIP/"):], ".")
	if _, isNum := parseUint(major, 1<<31); !ok || !isNum {
		s.fail(errStartLine)
	} else if _, isNum := parseUint(minor, 1<<31); !isNum {
		s.fail(errStartLine)
	} else {
		s.fail(errVersion)
	}
}

// headerLines reads the header field lines from offset i to the empty line
// (§7.3).
func (s *Scan) headerLines(i int) {
	raw, lines := s.raw, 1
	for {
		if i+1 < len(raw) && raw[i] == '\r' && raw[i+1] == '\n' {
			s.body = i + 2
			lines++
			break
		}
		if i >= len(raw) {
			s.fail(ErrTruncated)
			break
		}
		name := i + run(raw[i:], classToken)
		colon := name
		for colon < len(raw) && isBlank(raw[colon]) {
			colon++
		}
		ok := name > i && colon < len(raw) && raw[colon] == ':'
		end, n, folded := s.lineEnd(colon)
		lines += n
		if end < 0 {
			break
		}
		switch {
		case !ok:
			s.fail(errHeaderLine)
		case s.n == MaxHeaders:
			s.fail(ErrTooManyHeaders)
			return
		default:
			s.add(i, name, colon+1, end, folded)
		}
		i = end + 2
	}
	// Every line end is CRLF (§7): there are as many LF as lines, or one of
	// them stands alone.
	if strings.Count(raw[:s.body], "\n") != lines {
		s.fail(errLineEnd)
	}
	if strings.IndexByte(raw[:s.body], 0) >= 0 {
		s.checkNULs()
	}
}

// lineEnd returns the offset of the CRLF that ends the header field line, how
// many lines it takes, and whether it is folded. end is -1 if it does not end.
func (s *Scan) lineEnd(i int) (end, lines int, folded bool) {
	for {
		k := strings.IndexByte(s.raw[i:], '\r')
		if k < 0 || i+k+1 >= len(s.raw) {
			s.fail(ErrTruncated)
			return -1, lines, folded
		}
		i += k
		if s.raw[i+1] != '\n' {
			s.fail(errLineEnd)
			i++
			continue
		}
		lines++
		if i+2 < len(s.raw) && isBlank(s.raw[i+2]) {
			folded = true
			i += 2
			continue
		}
		return i, lines, folded
	}
}

func (s *Scan) add(start, nameEnd, value, end int, folded bool) {
	raw, lineEnd := s.raw, end+2
	for value < end && isLWS(raw[value]) {
		value++
	}
	for value < end && isLWS(raw[end-1]) {
		end--
	}
	id := HeaderIDOf(raw[start:nameEnd])
	// Field by field: a literal is built of small writes and copied by large
	// reads, for which the processor waits.
	h := &s.headers[s.n]
	h.name.start, h.name.end = uint16(start), uint16(nameEnd)
	h.value.start, h.value.end = uint16(value), uint16(end)
	h.end, h.id, h.folded = uint16(lineEnd), id, folded
	s.n++
	s.count[id]++
	if s.first[id] == 0 {
		s.first[id] = uint16(s.n)
	}
}

// checkNULs fails the scan if a NUL stands anywhere but in a quoted pair of a
// quoted-string (RFC 3261 §25.1, RFC 4475 §3.1.1.2). It is the slow path for
// messages that hold any.
func (s *Scan) checkNULs() {
	nuls := strings.Count(s.raw[:s.body], "\x00")
	for i := range s.n {
		v := s.headers[i].value.of(s.raw)
		for j := 0; j < len(v); j++ {
			if v[j] != '"' {
				continue
			}
			n := quotedEnd(v[j:])
			if n == 0 {
				break
			}
			for k := j; k < j+n-1; k++ {
				if v[k] == '\\' {
					k++
					if v[k] == 0 {
						nuls--
					}
				}
			}
			j += n - 1
		}
	}
	if nuls != 0 {
		s.fail(errNUL)
	}
}

// IsRequest reports whether the message is a request.
func (s *Scan) IsRequest() bool { return s.request }

// Method returns a request's method.
func (s *Scan) Method() string { return s.method.of(s.raw) }

// RequestURI returns a request's Request-URI as written.
func (s *Scan) RequestURI() string { return s.uri.of(s.raw) }

// Status returns a response's status code; 0 for a request.
func (s *Scan) Status() int { return int(s.status) }

// Len returns the number of header field lines.
func (s *Scan) Len() int { return s.n }

// Header returns the i-th header field line, 0 <= i < Len().
func (s *Scan) Header(i int) Header {
	h := &s.headers[i]
	return Header{ID: h.id, Name: h.name.of(s.raw), Value: h.value.of(s.raw)}
}

// Count returns how many lines carry the header field id.
func (s *Scan) Count(id HeaderID) int { return int(s.count[id]) }

// Value returns the value of the first line with id as received, without the
// white space around it.
func (s *Scan) Value(id HeaderID) (string, bool) {
	if s.first[id] == 0 {
		return "", false
	}
	return s.headers[s.first[id]-1].value.of(s.raw), true
}

// Folded reports whether any header field line is folded.
func (s *Scan) Folded() bool {
	for i := range s.n {
		if s.headers[i].folded {
			return true
		}
	}
	return false
}

// Body returns everything behind the empty line.
func (s *Scan) Body() string { return s.raw[s.body:] }

// ContentLength returns the value of the Content-Length header field. ok is
// false if there is none. A value that is not a number, or several fields, is
// an error: nobody can tell where the body ends (RFC 4475 §3.1.2.3, §3.3.9).
func (s *Scan) ContentLength() (n int, ok bool, err error) {
	if s.count[HdrContentLength] > 1 {
		return 0, false, errManyLengths
	}
	v, ok := s.Value(HdrContentLength)
	if !ok {
		return 0, false, nil
	}
	// The limit keeps the number inside an int of 32 bits; more than MaxMessage
	// can never be satisfied anyway.
	u, numeric := parseUint(v, 1<<30)
	if !numeric {
		return 0, false, errContentLength
	}
	return int(u), true, nil
}
