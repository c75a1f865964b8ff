package sipmsg

import (
	"iter"
	"net/netip"
	"strings"
)

// A CSeq is the value of the CSeq header field (RFC 3261 §20.16).
type CSeq struct {
	Seq    uint32
	Method string
}

// A Message is one received (or finished) message: its bytes and the typed
// values in them. It is immutable; every method may be called from any
// goroutine. Typed values are substrings of Raw with folds replaced by a space,
// so they hold neither CR nor LF and cost no memory of their own. Slices that it
// returns are shared: do not change them. A string kept longer than the Message
// keeps all of its bytes alive: strings.Clone it.
type Message struct {
	raw     string
	src     netip.AddrPort
	headers []headerSpan
	// addrs holds all addresses: From, To (if present), then the lists.
	addrs []NameAddr
	vias  []Via
	// Each list is a range of addrs.
	contacts, routes, recordRoutes, paths span

	uri         URI
	method      string
	reason      string
	callID      string
	cseq        CSeq
	status      uint16
	body        uint16
	maxForwards int16 // -1: none
	from, to    int8  // index in addrs; -1: none
	star        bool
}

// Raw returns the message as received, from the start line to the last byte of
// the body. Line ends in front of it and bytes behind it are not included.
func (m *Message) Raw() string { return m.raw }

// Source returns the address that the message came from; the zero AddrPort if it
// was built here.
func (m *Message) Source() netip.AddrPort { return m.src }

// IsRequest reports whether m is a request.
func (m *Message) IsRequest() bool { return m.status == 0 }

// Method returns the method, with its case; for a response that of CSeq.
func (m *Message) Method() string { return m.method }

// RequestURI returns a request's Request-URI; the zero URI for a response.
func (m *Message) RequestURI() URI { return m.uri }

// Status returns a response's status code, 100 to 699; 0 for a request.
func (m *Message) Status() int { return int(m.status) }

// Reason returns a response's reason phrase, which may be empty.
func (m *Message) Reason() string { return m.reason }

// CallID returns the value of Call-ID.
func (m *Message) CallID() string { return m.callID }

// CSeq returns the value of CSeq.
func (m *Message) CSeq() CSeq { return m.cseq }

// From returns the value of From; the zero NameAddr if a damaged request has
// none that can be read.
func (m *Message) From() NameAddr { return m.addr(m.from) }

// To returns the value of To, like From.
func (m *Message) To() NameAddr { return m.addr(m.to) }

func (m *Message) addr(i int8) NameAddr {
	if i < 0 {
		return NameAddr{}
	}
	return m.addrs[i]
}

// FromTag returns the tag of From; "" if there is none (RFC 2543).
func (m *Message) FromTag() string { return m.tag(m.from) }

// ToTag returns the tag of To; "" if there is none.
func (m *Message) ToTag() string { return m.tag(m.to) }

func (m *Message) tag(i int8) string {
	if i < 0 {
		return ""
	}
	return m.addrs[i].Tag()
}

// Vias returns all Via values, topmost first, whether they stood on lines of
// their own or in a list. There is at least one.
func (m *Message) Vias() []Via { return m.vias }

// TopVia returns the topmost Via value.
func (m *Message) TopVia() Via { return m.vias[0] }

// MaxForwards returns the value of Max-Forwards, 0 to 255; ok is false if there
// is none.
func (m *Message) MaxForwards() (n int, ok bool) {
	if m.maxForwards < 0 {
		return 0, false
	}
	return int(m.maxForwards), true
}

// Routes returns all Route values in order.
func (m *Message) Routes() []NameAddr { return m.list(m.routes) }

// RecordRoutes returns all Record-Route values in order.
func (m *Message) RecordRoutes() []NameAddr { return m.list(m.recordRoutes) }

// Contacts returns all Contact values in order but for "*".
func (m *Message) Contacts() []NameAddr { return m.list(m.contacts) }

// Paths returns all Path values in order (RFC 3327).
func (m *Message) Paths() []NameAddr { return m.list(m.paths) }

func (m *Message) list(p span) []NameAddr {
	return m.addrs[p.start:p.end:p.end]
}

// ContactStar reports whether a Contact value is "*". Whether there may be
// others beside it is the registrar's question.
func (m *Message) ContactStar() bool { return m.star }

// Expires returns the value of the Expires header field as written; see
// ParseDeltaSeconds.
func (m *Message) Expires() (value string, ok bool) { return m.Header(HdrExpires) }

// Header returns the value of the first header field with that ID, unfolded.
func (m *Message) Header(id HeaderID) (value string, ok bool) {
	for i := range m.headers {
		if h := &m.headers[i]; h.id == id {
			return unfold(h.value.of(m.raw)), true
		}
	}
	return "", false
}

// HeaderNamed returns the value of the first header field with that name,
// unfolded. Case does not matter; compact and long form are one.
func (m *Message) HeaderNamed(name string) (value string, ok bool) {
	if id := HeaderIDOf(name); id != HdrOther {
		return m.Header(id)
	}
	for i := range m.headers {
		if h := &m.headers[i]; h.id == HdrOther && equalFold(h.name.of(m.raw), name) {
			return unfold(h.value.of(m.raw)), true
		}
	}
	return "", false
}

// Headers yields all header field lines in the order received.
func (m *Message) Headers() iter.Seq[Header] {
	return func(yield func(Header) bool) {
		for i := range m.headers {
			if !yield(m.header(i)) {
				return
			}
		}
	}
}

func (m *Message) header(i int) Header {
	h := &m.headers[i]
	return Header{ID: h.id, Name: h.name.of(m.raw), Value: h.value.of(m.raw)}
}

// Values yields the comma-separated values of all lines of a header field in
// order, unfolded. Commas in quotes and between angle brackets do not separate.
// Empty values are left out.
func (m *Message) Values(id HeaderID) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range m.headers {
			if m.headers[i].id != id {
				continue
			}
			if !yieldValues(unfold(m.headers[i].value.of(m.raw)), yield) {
				return
			}
		}
	}
}

// Tokens yields the tokens of all lines of a header field such as Supported,
// Require or Allow.
func (m *Message) Tokens(id HeaderID) iter.Seq[string] { return m.Values(id) }

// HasToken reports whether token, in any case, is among Tokens(id).
func (m *Message) HasToken(id HeaderID, token string) bool {
	for t := range m.Tokens(id) {
		if equalFold(t, token) {
			return true
		}
	}
	return false
}

// Has reports whether there is a header field with that ID.
func (m *Message) Has(id HeaderID) bool {
	for i := range m.headers {
		if m.headers[i].id == id {
			return true
		}
	}
	return false
}

// Body returns the body.
func (m *Message) Body() string { return m.raw[m.body:] }

// startLine returns the first line without its CRLF.
func (m *Message) startLine() string {
	return m.raw[:strings.IndexByte(m.raw, '\r')]
}
