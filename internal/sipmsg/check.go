package sipmsg

import "errors"

// What Parse demands of a message, for every sender alike. A request that fails
// is answered with 400 unless said otherwise, a response is dropped.
//
//   - Lines end with CRLF; CR, LF and NUL stand nowhere else but, for NUL, in a
//     quoted pair. Otherwise the message is dropped.
//   - The start line has its three parts with one space between them, and the
//     version is 2.0 (else 505).
//   - The Request-URI is a URI of any scheme, without brackets and URI headers.
//   - Via, From, To, Call-ID and CSeq are there and can be read; there is one
//     each of them but of Via. A branch and tags may be missing (RFC 2543).
//   - CSeq has the request's method and a number of 32 bits.
//   - There is at most one Max-Forwards, 0 to 255, and one Content-Length, a
//     number not larger than the body.
//   - Contact, Route, Record-Route and Path can be read, in requests.
//
// Everything else is taken as it comes: unknown methods, schemes, transports,
// header fields and parameters, and the values of header fields that only an
// endpoint uses, such as Date or Accept.

// Defects that Parse reports inside a StatusError. The wire sees its phrase, the
// log these.
var (
	errMissing       = errors.New("mandatory header field is missing")
	errRepeated      = errors.New("header field may occur only once")
	errTooManyValues = errors.New("more than 256 values")
	errCSeq          = errors.New("malformed CSeq, or another method than the request")
	errCallID        = errors.New("malformed Call-ID")
	errMaxForwards   = errors.New("value of Max-Forwards is not 0 to 255")
	errShortBody     = errors.New("body shorter than Content-Length")
)

// startLine takes the first line's parts, of a request with its Request-URI.
func (b *builder) startLine(s *Scan) {
	m := b.m
	if !s.request {
		m.reason = s.reason.of(m.raw)
		m.method = m.cseq.Method
		return
	}
	m.method = s.method.of(m.raw)
	// RFC 4475 §3.1.2.17: methods are compared with case.
	if m.cseq.Method != "" && m.cseq.Method != m.method {
		b.fail("CSeq Method Mismatch", errCSeq)
	}
	uri, err := ParseURI(s.uri.of(m.raw))
	if err != nil {
		b.fail("Bad Request-URI", err)
		return
	}
	// RFC 3261 §19.1.1 table 1: no URI headers in a Request-URI (RFC 4475
	// §3.1.2.11); they could turn into header fields further on.
	if uri.Headers != "" {
		b.fail("Headers in Request-URI", errURI)
		return
	}
	m.uri = uri
}

// cseq reads "1*DIGIT LWS Method" (RFC 3261 §20.16).
func (b *builder) cseq(s *Scan) {
	v, ok := b.value(s, HdrCSeq, true)
	if !ok {
		return
	}
	if b.m.cseq, ok = parseCSeq(v); !ok {
		b.fail("Bad CSeq", errCSeq)
	}
}

func parseCSeq(v string) (CSeq, bool) {
	end := 0
	for end < len(v) && !isBlank(v[end]) {
		end++
	}
	// RFC 4475 §3.1.2.4: a number beyond 32 bits is an error. RFC 3261 §8.1.1.5
	// forbids the upper half of the range, but nothing is gained by refusing it.
	seq, ok := parseUint(v[:end], 1<<32-1)
	method := trim(v[end:])
	if !ok || !all(method, classToken) {
		return CSeq{}, false
	}
	return CSeq{Seq: uint32(seq), Method: method}, true
}

// callID takes Call-ID, a single word without white space (RFC 3261 §20.8).
func (b *builder) callID(s *Scan) {
	v, ok := b.value(s, HdrCallID, true)
	if !ok {
		return
	}
	if !isCallID(v) {
		b.fail("Bad Call-ID", errCallID)
		return
	}
	b.m.callID = v
}

// isCallID accepts any visible characters: the grammar's word (RFC 3261 §25.1)
// leaves out very few, and phones use those too.
func isCallID(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// maxForwards reads "1*DIGIT" up to 255 (RFC 3261 §20.22). RFC 4475 §3.1.2.4
// would let us ignore a larger value; a sender that is this wrong about the hop
// limit may as well be told.
func (b *builder) maxForwards(s *Scan) {
	v, ok := b.value(s, HdrMaxForwards, false)
	if !ok {
		return
	}
	n, ok := parseMaxForwards(v)
	if !ok {
		b.fail("Bad Max-Forwards", errMaxForwards)
		return
	}
	b.m.maxForwards = int16(n)
}

func parseMaxForwards(v string) (uint64, bool) { return parseUint(v, 255) }

// bodyLength returns how many of the bytes behind the empty line belong to the
// message. Without Content-Length it is all of them (RFC 3261 §18.3).
func (s *Scan) bodyLength() (int, error) {
	have := len(s.raw) - s.body
	n, ok, err := s.ContentLength()
	switch {
	case err != nil:
		return 0, err
	case !ok:
		return have, nil
	case n > have:
		// RFC 3261 §18.3: a datagram shorter than it says is an error.
		return have, errShortBody
	}
	return n, nil
}
