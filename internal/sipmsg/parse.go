package sipmsg

import (
	"errors"
	"net/netip"
	"unsafe"
)

// maxValues bounds the values of each of the header fields that are lists of
// addresses or Vias: more hops than Max-Forwards allows cannot be.
const maxValues = 256

// Parse copies raw and reads one message: a datagram, a WebSocket message, or
// what Frame found in a stream. src is where it came from; from it the received
// and rport parameters are filled in when a response or forwarded request is
// built. raw may be reused after the call.
//
//   - err == nil: m is well formed.
//   - err != nil, m != nil: m is a damaged or illegal request, but enough of it
//     can be read to answer it. err is a *StatusError. Its typed values may be
//     missing; use m for AppendReply and for the log only.
//   - err != nil, m == nil: not to be answered: no SIP, a response, an ACK, a
//     request without a usable Via or CSeq, or one with CR, LF or NUL where none
//     may be, since its header fields could not be copied safely. Drop it.
//
// Line ends before the start line are skipped (RFC 3261 §7.5), and bytes behind
// the body that Content-Length announces are left out (§18.3).
func Parse(raw []byte, src netip.AddrPort) (m *Message, err error) {
	for len(raw) >= 2 && raw[0] == '\r' && raw[1] == '\n' {
		raw = raw[2:]
	}
	if len(raw) > MaxMessage {
		return nil, ErrTooLong
	}
	// The scan works on the caller's bytes, so that only the message proper is
	// copied. Nothing of the view outlives this call.
	var s Scan
	scanErr := s.Parse(unsafe.String(unsafe.SliceData(raw), len(raw)))
	if errors.Is(scanErr, ErrNotSIP) || uncopyable(scanErr) {
		return nil, scanErr
	}
	length, lengthErr := s.bodyLength()
	s.raw = string(raw[:s.body+length])
	m, err = build(&s, src)
	switch {
	case !m.IsRequest():
		// RFC 3261 §18.3, RFC 4475 §3.1.2.5: a damaged response is dropped.
		if err = firstError(scanErr, lengthErr, err); err != nil {
			return nil, err
		}
		return m, nil
	case errors.Is(scanErr, errVersion):
		// RFC 3261 §21.5.6; the rest need not even be SIP 2.0 syntax.
		err = &StatusError{Code: 505, Err: scanErr}
	case scanErr != nil:
		err = badRequest("Malformed Message", scanErr)
	case lengthErr != nil:
		err = badRequest("Bad Content-Length", lengthErr)
	}
	// RFC 3261 §17: an ACK is never answered.
	if err != nil && (m.method == "ACK" || len(m.vias) == 0 || !m.Has(HdrCSeq)) {
		return nil, err
	}
	return m, err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// build makes the Message from a scan of its own bytes. The error is the first
// defect; the Message is never nil, but its values may be missing then.
func build(s *Scan, src netip.AddrPort) (*Message, error) {
	m := &Message{
		raw:         s.raw,
		src:         src,
		status:      s.status,
		body:        uint16(s.body),
		maxForwards: -1,
		from:        -1,
		to:          -1,
	}
	m.headers = append(make([]headerSpan, 0, s.n), s.headers[:s.n]...)
	b := builder{m: m}
	b.vias(s)
	b.cseq(s)
	b.startLine(s)
	b.callID(s)
	b.addresses(s)
	b.maxForwards(s)
	return m, b.err
}

// A builder fills a Message and keeps the first defect that it meets. It does
// not hold the scan, which is large and stays on the stack.
type builder struct {
	m   *Message
	err error
}

func (b *builder) fail(phrase string, err error) {
	if b.err == nil {
		b.err = badRequest(phrase, err)
	}
}

// value returns the unfolded value of a header field of which there must be at
// most one. ok is false, and the defect noted, if there are several, or if there
// is none and must is set.
func (b *builder) value(s *Scan, id HeaderID, must bool) (v string, ok bool) {
	switch n := s.count[id]; {
	case n > 1:
		// RFC 4475 §3.3.8.
		b.fail("Multiple "+id.String(), errRepeated)
		return "", false
	case n == 0:
		if must {
			b.fail("Missing "+id.String(), errMissing)
		}
		return "", false
	}
	return b.unfolded(&s.headers[s.first[id]-1]), true
}

func (b *builder) unfolded(h *headerSpan) string {
	if h.folded {
		return unfold(h.value.of(b.m.raw))
	}
	return h.value.of(b.m.raw)
}

func (b *builder) vias(s *Scan) {
	m := b.m
	m.vias = make([]Via, 0, s.count[HdrVia])
	for i := range m.headers {
		if m.headers[i].id != HdrVia {
			continue
		}
		for rest, more := b.unfolded(&m.headers[i]), true; more; {
			var v string
			v, rest, more = cutValue(rest)
			if len(m.vias) == maxValues {
				b.fail("Too Many Via", errTooManyValues)
				return
			}
			m.vias = append(m.vias, Via{})
			if err := parseVia(&m.vias[len(m.vias)-1], v); err != nil {
				m.vias = m.vias[:len(m.vias)-1]
				b.fail("Bad Via", err)
				return
			}
		}
	}
	if len(m.vias) == 0 {
		b.fail("Missing Via", errMissing)
	}
}

// cutValue takes the first value off a comma-separated list.
func cutValue(s string) (v, rest string, more bool) {
	end := valueEnd(s)
	if end == len(s) {
		return trim(s), "", false
	}
	return trim(s[:end]), s[end+1:], true
}

// addresses reads From, To and the lists of addresses into one slice.
func (b *builder) addresses(s *Scan) {
	m := b.m
	n := 0
	for _, id := range [...]HeaderID{HdrFrom, HdrTo, HdrContact, HdrRoute, HdrRecordRoute, HdrPath} {
		n += int(s.count[id])
	}
	m.addrs = make([]NameAddr, 0, n)
	m.from = b.address(s, HdrFrom)
	m.to = b.address(s, HdrTo)
	m.contacts = b.list(s, HdrContact)
	m.routes = b.list(s, HdrRoute)
	m.recordRoutes = b.list(s, HdrRecordRoute)
	m.paths = b.list(s, HdrPath)
}

func (b *builder) address(s *Scan, id HeaderID) int8 {
	v, ok := b.value(s, id, true)
	if !ok {
		return -1
	}
	if err := b.add(v); err != nil {
		b.fail("Bad "+id.String(), err)
		return -1
	}
	return int8(len(b.m.addrs) - 1)
}

// add reads v, one address, to the end of the others.
func (b *builder) add(v string) error {
	m := b.m
	n := len(m.addrs)
	m.addrs = append(m.addrs, NameAddr{})
	err := parseNameAddr(&m.addrs[n], v)
	if err != nil {
		m.addrs = m.addrs[:n]
	}
	return err
}

// list reads all values of a header field that is a list of addresses. In a
// response, a value that cannot be read is left out of the list: the other side
// decides what to do with it, and its bytes are forwarded as they are (RFC 3261
// §16.3 step 1 asks for no more than what the proxy itself uses).
func (b *builder) list(s *Scan, id HeaderID) span {
	m := b.m
	start := len(m.addrs)
	if s.count[id] == 0 {
		return span{uint16(start), uint16(start)}
	}
	for i := range m.headers {
		if m.headers[i].id != id {
			continue
		}
		for rest, more := b.unfolded(&m.headers[i]), true; more; {
			var v string
			v, rest, more = cutValue(rest)
			if v == "*" && id == HdrContact {
				m.star = true
				continue
			}
			err := errTooManyValues
			if len(m.addrs)-start < maxValues {
				err = b.add(v)
			}
			if err != nil {
				if s.request {
					b.fail("Bad "+id.String(), err)
				}
				break
			}
		}
	}
	return span{uint16(start), uint16(len(m.addrs))}
}
