package sipmsg

import (
	"net/netip"
	"strings"
	"unsafe"
)

// A Plain is a request of the most common form, read where it lies: no byte of
// it is copied, nothing is allocated. It is a large value, made to be kept and
// used again. All strings that it returns are parts of the bytes given to Read
// and live as long as these do.
//
// Plain applies the rules of Parse, by the same functions, and declines whatever
// is not plain: for that, and for everything that is wrong in any way, there is
// Parse. A plain request has one value of Via, From, To, Call-ID and CSeq each,
// one Contact, no folds, no body, and no header fields but those of plainHeaders.
// Contact alone is not read, only found: see SameContact.
type Plain struct {
	scan     Scan
	via      Via
	uri      URI
	from, to NameAddr
	contact  string
	callID   string
	cseq     CSeq
}

// How often a header field may stand in a plain request.
const (
	notPlain = iota
	atMostOnce
	atWill
)

// plainHeaders holds the header fields that a plain request may have. What has
// no ID is read by nobody.
var plainHeaders = [numHeaderIDs]uint8{
	HdrVia:           atMostOnce,
	HdrFrom:          atMostOnce,
	HdrTo:            atMostOnce,
	HdrCallID:        atMostOnce,
	HdrCSeq:          atMostOnce,
	HdrContact:       atMostOnce,
	HdrMaxForwards:   atMostOnce,
	HdrExpires:       atMostOnce,
	HdrContentLength: atMostOnce,
	HdrAuthorization: atMostOnce,
	HdrUserAgent:     atMostOnce,
	HdrSupported:     atWill,
	HdrAllow:         atWill,
	HdrAllowEvents:   atWill,
	HdrAccept:        atWill,
	HdrDate:          atWill,
	HdrOther:         atWill,
}

// Read reads the request of the given method in raw. It reports false if that is
// not plain; then nothing of p may be used.
func (p *Plain) Read(raw []byte, method string) bool {
	if len(raw) <= len(method) || string(raw[:len(method)]) != method || raw[len(method)] != ' ' {
		return false
	}
	s := &p.scan
	if s.Parse(unsafe.String(unsafe.SliceData(raw), len(raw))) != nil || !s.request || s.body != len(raw) {
		return false
	}
	for i := range s.n {
		h := &s.headers[i]
		if rule := plainHeaders[h.id]; rule == notPlain || rule == atMostOnce && s.count[h.id] > 1 || h.folded {
			return false
		}
	}
	if _, err := s.bodyLength(); err != nil {
		return false
	}
	if v, ok := s.Value(HdrMaxForwards); ok {
		if _, ok := parseMaxForwards(v); !ok {
			return false
		}
	}
	v, ok := s.single(HdrVia)
	if !ok || parseVia(&p.via, v) != nil {
		return false
	}
	if v, ok = s.Value(HdrCSeq); !ok {
		return false
	}
	if p.cseq, ok = parseCSeq(v); !ok || p.cseq.Method != method {
		return false
	}
	if p.callID, ok = s.Value(HdrCallID); !ok || !isCallID(p.callID) {
		return false
	}
	if parseURI(&p.uri, s.uri.of(s.raw)) != nil || p.uri.Headers != "" {
		return false
	}
	if v, ok = s.Value(HdrTo); !ok || parseNameAddr(&p.to, v) != nil {
		return false
	}
	if v, ok = s.Value(HdrFrom); !ok || p.readFrom(v) != nil {
		return false
	}
	p.contact, ok = s.Value(HdrContact)
	return ok
}

// readFrom reads From. Who registers oneself writes the same address there as in
// To (RFC 3261 §10.2): then only the parameters are left to read.
func (p *Plain) readFrom(v string) error {
	to := p.to.raw
	if p.to.Params != "" || to[len(to)-1] != '>' || !strings.HasPrefix(v, to) {
		return parseNameAddr(&p.from, v)
	}
	params := trim(v[len(to):])
	p.from = NameAddr{Display: p.to.Display, URI: p.to.URI, Params: Params(params), raw: v}
	return checkParams(params)
}

// single returns the value of a header field if it is no list.
func (s *Scan) single(id HeaderID) (v string, ok bool) {
	v, ok = s.Value(id)
	return v, ok && valueEnd(v) == len(v)
}

// RequestURI returns the Request-URI.
func (p *Plain) RequestURI() *URI { return &p.uri }

// Via returns the value of Via.
func (p *Plain) Via() *Via { return &p.via }

// From returns the value of From.
func (p *Plain) From() *NameAddr { return &p.from }

// To returns the value of To.
func (p *Plain) To() *NameAddr { return &p.to }

// Contact returns the value of Contact as written, whatever that is.
func (p *Plain) Contact() string { return p.contact }

// CallID returns the value of Call-ID.
func (p *Plain) CallID() string { return p.callID }

// CSeq returns the value of CSeq.
func (p *Plain) CSeq() CSeq { return p.cseq }

// Header returns the value of a header field, "" and false if there is none.
func (p *Plain) Header(id HeaderID) (value string, ok bool) { return p.scan.Value(id) }

// Len returns the number of header field lines.
func (p *Plain) Len() int { return p.scan.n }

// Line returns the i-th header field line, 0 <= i < Len(). It is not folded.
func (p *Plain) Line(i int) Header { return p.scan.Header(i) }

// AOR returns what CanonicalAOR makes of To, if that is how To is written.
func (p *Plain) AOR() (aor string, ok bool) { return p.to.URI.canonical() }

// AppendReplyStart appends what AppendReply writes in front of Reply.Headers for
// a positive final answer: status line, Via stamped with src, From, To with
// toTag if it has no tag, Call-ID and CSeq.
func (p *Plain) AppendReplyStart(dst []byte, code int, toTag string, src netip.AddrPort) []byte {
	s := &p.scan
	dst = appendStatusLine(dst, code, "")
	via := s.line(HdrVia)
	dst = append(dst, s.raw[via.name.start:via.value.start]...)
	dst = p.via.appendStamped(dst, via.value.of(s.raw), src)
	dst = append(dst, s.raw[via.value.end:via.end]...)
	dst = s.appendLine(dst, HdrFrom)
	if p.to.Params.Has("tag") {
		dst = s.appendLine(dst, HdrTo)
	} else {
		dst = s.line(HdrTo).appendTagged(dst, s.raw, toTag)
	}
	dst = s.appendLine(dst, HdrCallID)
	return s.appendLine(dst, HdrCSeq)
}

// AppendReplyEnd appends what ends an answer without body.
func (p *Plain) AppendReplyEnd(dst []byte) []byte { return appendEnd(dst, 0) }

func (s *Scan) line(id HeaderID) *headerSpan { return &s.headers[s.first[id]-1] }

func (s *Scan) appendLine(dst []byte, id HeaderID) []byte {
	h := s.line(id)
	return append(dst, s.raw[h.name.start:h.end]...)
}
