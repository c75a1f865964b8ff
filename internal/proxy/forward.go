package proxy

import (
	"slices"
	"strconv"
	"strings"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// requestURI is the Request-URI for a registered Contact: the Contact URI
// without push data, which also has by other names, and without URI headers (RFC
// 3261 §16.6 step 2).
func requestURI(contact string, also []string) string {
	u, err := sipmsg.ParseURI(contact)
	if err != nil {
		return contact
	}
	s := u.WithoutPush(append(slices.Clip(also), "method"))
	if u.Headers != "" {
		s, _, _ = strings.Cut(s, "?")
	}
	return s
}

// An outgoing is one message that leaves for a branch.
type outgoing struct {
	uri string // "" keeps the received Request-URI
	// first: we are the first on its way; the Vias that it has are not sent.
	first bool
	// passage says which Route values were ours.
	passage passage
	// breadth is the Max-Breadth; 0 means that of the request.
	breadth int
	// path becomes the Route in front of what is left (RFC 3327 §5.2).
	path []string
	// token, if not empty, is put into a Record-Route.
	token string
	// realm is the realm of credentials that were for us.
	realm string
	// claim is what is known of the sender; trusted: the receiver may know it.
	claim   claim
	trusted bool
	// contact replaces Contact; "" keeps it.
	contact string
	// diversion says why the receiver gets a call that was for others; nil: it was not.
	diversion *diversion
	// pushID names the push that woke the receiver; "" if none did.
	pushID string
	// body replaces the body; "" keeps it.
	body string
	in   flow.Flow // where the request came from
	out  flow.Flow // where it leaves
}

// build makes the bytes that leave for a branch. Whatever is not named here
// stays as it was received (docs/architecture.md lists header and reason).
func (p *Proxy) build(m *sipmsg.Message, o outgoing, branch string) []byte {
	e := m.Edit()
	if o.first {
		e.Remove(sipmsg.HdrVia)
	} else {
		e.StampVia()
	}
	uri := m.RequestURI()
	if o.passage.strict {
		// RFC 3261 §16.4: the Request-URI was ours, the last Route is the real one.
		routes := m.Routes()
		uri = routes[len(routes)-1].URI
		e.SetRequestURI(uri.String())
		e.RemoveLastRoute()
	}
	switch {
	case o.uri != "":
		e.SetRequestURI(o.uri)
	case !uri.IsSIP():
		// RFC 3261 §19.1.6: the next hop need not know telephone numbers.
		e.SetRequestURI(p.dialled(uri).String())
	case uri.HasPush(p.opts().PushParams):
		e.SetRequestURI(uri.WithoutPush(p.opts().PushParams))
	}
	// RFC 3261 §16.6 step 3: one less, or our default if there was none.
	hops := p.opts().MaxForwards
	if n, ok := m.MaxForwards(); ok {
		hops = n - 1
	}
	e.SetMaxForwards(hops)
	if o.breadth == 0 {
		o.breadth = breadthOf(m)
	}
	setBreadth(m, e, o.breadth)
	e.PopRoutes(o.passage.own)
	if next, ok := o.passage.strictRouter(m); ok && !p.own(uri) {
		// RFC 3261 §16.6 step 6: it looks at the Request-URI alone, and puts the last
		// Route in its place.
		target := uri.WithoutPush(p.opts().PushParams)
		if o.uri != "" {
			target = o.uri
		}
		e.PopRoutes(1)
		e.SetRequestURI(requestURI(next.String(), p.opts().PushParams))
		e.AppendRoute("<" + target + ">")
	}
	for _, route := range slices.Backward(o.path) {
		e.PushRoute(route)
	}
	if o.token != "" {
		// Two Record-Routes if the sides differ, so that each peer is given an
		// address on the transport that it uses (RFC 5658 §4).
		sips := o.passage.sips(m)
		in, out := p.recordRoute(o.token, o.in, sips), p.recordRoute(o.token, o.out, sips)
		e.PushRecordRoute(in)
		if in != out {
			e.PushRecordRoute(out)
		}
	}
	if o.realm != "" {
		dropCredentials(m, e, o.realm, p.opts().Tokens)
	}
	if o.contact != "" {
		e.Remove(sipmsg.HdrContact)
		e.Push("Contact", o.contact)
	} else {
		concealContacts(m, e, p.opts().PushParams)
	}
	if !o.diversion.rewritesHistory() {
		concealHistory(m, e, p.opts().PushParams)
	}
	concealOthers(m, e, p.opts().PushParams)
	p.identify(m, e, o.claim, o.trusted)
	ours := p.ours
	if o.trusted {
		ours = nil
	}
	o.diversion.write(m, e, p.opts().PushParams, ours)
	if name := p.opts().PushIDHeader; name != "" && o.pushID != "" {
		// The app knows by it which push this is about. What others wrote there is
		// not known to it.
		e.RemoveNamed(name)
		e.Add(name, o.pushID)
	}
	if o.body != "" {
		e.SetBody(o.body)
	}
	if o.out.Stream() {
		// RFC 3261 §16.6 step 9.
		e.EnsureContentLength()
	}
	e.PushVia(p.via(o.out, branch))
	return e.Bytes()
}

// via is our Via value on a flow.
func (p *Proxy) via(out flow.Flow, branch string) string {
	host, port := p.opts().Flows.Advertised(out)
	var room [128]byte
	b := append(append(append(room[:0], "SIP/2.0/"...), out.Transport.String()...), ' ')
	b = append(append(appendHostPort(b, host, port), ";branch="...), branch...)
	return string(append(b, ";rport"...))
}

// recordRoute is the value under which the peer of f finds us again. RFC 3261 §16.6
// step 4: for a request to a sips URI it is one, too.
func (p *Proxy) recordRoute(token string, f flow.Flow, sips bool) string {
	scheme := "<sip:"
	if sips && f.Transport.Secure() {
		scheme = "<sips:"
	}
	var room [512]byte
	b := append(append(append(room[:0], scheme...), token...), '@')
	return string(append(p.appendAddress(b, f), ";lr>"...))
}

// contact is our own URI for the peer of f.
func (p *Proxy) contact(f flow.Flow) string {
	var room [128]byte
	return string(p.appendAddress(append(room[:0], "sip:"...), f))
}

// appendAddress appends where the peer of f finds us: what follows the scheme, or the
// user, in a URI.
func (p *Proxy) appendAddress(b []byte, f flow.Flow) []byte {
	host, port := p.opts().Flows.Advertised(f)
	b = appendHostPort(b, host, port)
	switch f.Transport {
	case flow.UDP:
	case flow.WSS:
		// RFC 7118 §5: ;transport=ws for both.
		b = append(b, ";transport=ws"...)
	default:
		b = append(append(b, ";transport="...), strings.ToLower(f.Transport.String())...)
	}
	return b
}

// appendHostPort appends host[:port]; port 0 is none. An IPv6 address gets brackets if
// it has none.
func appendHostPort(b []byte, host string, port uint16) []byte {
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		b = append(append(append(b, '['), host...), ']')
	} else {
		b = append(b, host...)
	}
	if port == 0 {
		return b
	}
	return strconv.AppendUint(append(b, ':'), uint64(port), 10)
}
