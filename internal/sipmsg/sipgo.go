package sipmsg

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Errors of the conversion to sipgo's types.
var (
	ErrNotRequest  = errors.New("sipmsg: not a request")
	ErrNotResponse = errors.New("sipmsg: not a response")
)

// Request returns m as sipgo's type, for callers at an exported boundary. Header
// fields keep their order; lists become one header each, compact names long ones
// and folds spaces. sipgo's Route types have no room for display name and header
// parameters of Route and Record-Route, so these header fields stay text.
func (m *Message) Request() (*sip.Request, error) {
	if !m.IsRequest() {
		return nil, ErrNotRequest
	}
	req := sip.NewRequest(sip.RequestMethod(m.method), sipURI(m.uri))
	m.appendSipgo(req.AppendHeader)
	req.SetBody(sipgoBody(m))
	if m.src.IsValid() {
		req.SetSource(m.src.String())
	}
	if len(m.vias) > 0 {
		req.SetTransport(m.vias[0].Transport)
	}
	return req, nil
}

// Response returns m as sipgo's type, like Request.
func (m *Message) Response() (*sip.Response, error) {
	if m.IsRequest() {
		return nil, ErrNotResponse
	}
	res := sip.NewResponse(m.Status(), m.reason)
	m.appendSipgo(res.AppendHeader)
	res.SetBody(sipgoBody(m))
	if m.src.IsValid() {
		res.SetSource(m.src.String())
	}
	return res, nil
}

// FromRequest returns r as a Message, by writing it out and reading it again.
// Like Parse it may return a Message together with a *StatusError.
func FromRequest(r *sip.Request) (*Message, error) {
	return Parse([]byte(r.String()), sipgoSource(r.MessageData.Source()))
}

// FromResponse returns r as a Message.
func FromResponse(r *sip.Response) (*Message, error) {
	return Parse([]byte(r.String()), sipgoSource(r.MessageData.Source()))
}

func sipgoSource(s string) netip.AddrPort {
	src, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return src
}

// sipgoBody is nil for an empty body, since sipgo tells the two apart.
func sipgoBody(m *Message) []byte {
	if m.Body() == "" {
		return nil
	}
	return []byte(m.Body())
}

// appendSipgo adds all header fields of m but Content-Length, which sipgo writes
// when the body is set. Each list is added where its first line stood.
func (m *Message) appendSipgo(add func(sip.Header)) {
	var seen [numHeaderIDs]bool
	for i := range m.headers {
		h := &m.headers[i]
		value := unfold(h.value.of(m.raw))
		first := !seen[h.id]
		seen[h.id] = true
		switch h.id {
		case HdrContentLength:
		case HdrVia:
			if first {
				for j := range m.vias {
					add(sipgoVia(&m.vias[j]))
				}
			}
		case HdrContact:
			if first {
				m.appendContacts(add)
			}
		case HdrFrom:
			if a := m.From(); m.from >= 0 {
				add(&sip.FromHeader{DisplayName: escapeQuoted(a.Display), Address: sipURI(a.URI), Params: sipgoParams(a.Params)})
			}
		case HdrTo:
			if a := m.To(); m.to >= 0 {
				add(&sip.ToHeader{DisplayName: escapeQuoted(a.Display), Address: sipURI(a.URI), Params: sipgoParams(a.Params)})
			}
		case HdrCallID:
			id := sip.CallIDHeader(value)
			add(&id)
		case HdrCSeq:
			add(&sip.CSeqHeader{SeqNo: m.cseq.Seq, MethodName: sip.RequestMethod(m.cseq.Method)})
		case HdrMaxForwards:
			if n, ok := m.MaxForwards(); ok {
				mf := sip.MaxForwardsHeader(n)
				add(&mf)
			}
		case HdrContentType:
			ct := sip.ContentTypeHeader(value)
			add(&ct)
		case HdrOther:
			add(sip.NewHeader(h.name.of(m.raw), value))
		default:
			add(sip.NewHeader(headerNames[h.id], value))
		}
	}
}

func (m *Message) appendContacts(add func(sip.Header)) {
	if m.star {
		add(&sip.ContactHeader{Address: sip.Uri{Wildcard: true, Host: "*"}})
	}
	for _, c := range m.Contacts() {
		add(&sip.ContactHeader{DisplayName: escapeQuoted(c.Display), Address: sipURI(c.URI), Params: sipgoParams(c.Params)})
	}
}

// escapeQuoted writes a display name as sipgo keeps it: the inside of a quoted
// string.
func escapeQuoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}

func sipgoVia(v *Via) *sip.ViaHeader {
	port, _ := parseUint(v.Port, 65535)
	return &sip.ViaHeader{
		ProtocolName:    "SIP",
		ProtocolVersion: "2.0",
		Transport:       v.Transport,
		Host:            strings.Trim(v.Host, "[]"),
		Port:            int(port),
		Params:          sipgoParams(v.Params),
	}
}

func sipgoParams(p Params) sip.HeaderParams {
	params := sip.NewParams()
	for name, value := range p.All() {
		params.Add(name, value)
	}
	return params
}

// sipURI returns u as sipgo's type. sipgo keeps the scheme in lower case and,
// for schemes other than sip and sips, the rest as it is.
func sipURI(u URI) sip.Uri {
	if !u.IsSIP() {
		var uri sip.Uri
		// The only error is a URI without scheme, which ours are not.
		_ = sip.ParseUri(u.String(), &uri)
		return uri
	}
	uri := sip.Uri{
		Scheme:   lowerString(u.Scheme),
		User:     u.User,
		Password: u.Password,
		Host:     u.Host,
		Port:     int(u.PortNum()),
	}
	for p := u.Params; p != ""; {
		var name, value string
		if name, value, _, p = cutURIParam(p); name != "" {
			uri.UriParams.Add(name, value)
		}
	}
	for h := u.Headers; h != ""; {
		var name, value string
		if name, value, h = cutURIHeader(h); name != "" {
			uri.Headers.Add(name, value)
		}
	}
	return uri
}
