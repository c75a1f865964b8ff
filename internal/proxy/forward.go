package proxy

import (
	"net"
	"strconv"
	"strings"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// pushParams are the URI parameters that never leave for others (RFC 8599 §13).
// pn-purr may: it is made to be shown.
var pushParams = [...]string{"pn-provider", "pn-param", "pn-prid"}

// requestURI is the Request-URI for a registered Contact: the Contact URI
// without push data and without URI headers (RFC 3261 §16.6 step 2).
func requestURI(contact string) string {
	u, err := sipmsg.ParseURI(contact)
	if err != nil {
		return contact
	}
	s := u.WithoutParams(append(pushParams[:], "method")...)
	if u.Headers != "" {
		s, _, _ = strings.Cut(s, "?")
	}
	return s
}

// An outgoing is one message that leaves for a branch.
type outgoing struct {
	uri string // "" keeps the received Request-URI
	// popRoutes is how many Route values were ours.
	popRoutes int
	// strict: the Request-URI was ours, the last Route is the real one (RFC 3261
	// §16.4).
	strict bool
	// path becomes the Route in front of what is left (RFC 3327 §5.2).
	path []string
	// token, if not empty, is put into a Record-Route.
	token string
	// realm is the realm of credentials that were for us.
	realm string
	in    flow.Flow // where the request came from
	out   flow.Flow // where it leaves
}

// build makes the bytes that leave for a branch. Whatever is not named here
// stays as it was received (docs/architecture.md lists header and reason).
func (p *Proxy) build(m *sipmsg.Message, o outgoing, branch string) []byte {
	e := m.Edit()
	e.StampVia()
	uri := o.uri
	if o.strict {
		routes := m.Routes()
		uri = routes[len(routes)-1].URI.String()
		e.RemoveLastRoute()
	}
	if uri != "" {
		e.SetRequestURI(uri)
	}
	// RFC 3261 §16.6 step 3: one less, or our default if there was none.
	hops := p.opts().MaxForwards
	if n, ok := m.MaxForwards(); ok {
		hops = n - 1
	}
	e.SetMaxForwards(hops)
	if o.popRoutes > 0 {
		e.PopRoutes(o.popRoutes)
	}
	for i := len(o.path) - 1; i >= 0; i-- {
		e.PushRoute(o.path[i])
	}
	if o.token != "" {
		// Two Record-Routes if the sides differ, so that each peer is given an
		// address on the transport that it uses (RFC 5658 §4).
		in, out := p.recordRoute(o.token, o.in), p.recordRoute(o.token, o.out)
		e.PushRecordRoute(in)
		if in != out {
			e.PushRecordRoute(out)
		}
	}
	if o.realm != "" {
		dropCredentials(m, e, o.realm)
	}
	concealPush(m, e)
	if o.out.Stream() {
		// RFC 3261 §16.6 step 9.
		e.EnsureContentLength()
	}
	host, port := p.opts().Flows.Advertised(o.out)
	e.PushVia("SIP/2.0/" + o.out.Transport.String() + " " + hostPort(host, port) + ";branch=" + branch + ";rport")
	return e.Bytes()
}

// recordRoute is the URI under which the peer of f finds us again.
func (p *Proxy) recordRoute(token string, f flow.Flow) string {
	host, port := p.opts().Flows.Advertised(f)
	s := "<sip:" + token + "@" + hostPort(host, port)
	switch f.Transport {
	case flow.UDP:
	case flow.WSS:
		// RFC 7118 §5: ;transport=ws for both.
		s += ";transport=ws"
	default:
		s += ";transport=" + strings.ToLower(f.Transport.String())
	}
	return s + ";lr>"
}

func hostPort(host string, port uint16) string {
	if port == 0 {
		if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(int(port)))
}

// dropCredentials removes the Proxy-Authorization values of our realm and no
// others (RFC 3261 §22.3).
func dropCredentials(m *sipmsg.Message, e *sipmsg.Edit, realm string) {
	e.RemoveIf(func(h sipmsg.Header) bool {
		return h.ID == sipmsg.HdrProxyAuthorization && strings.Contains(h.Value, `realm="`+realm+`"`)
	})
}

// concealPush takes push data out of a Contact that passes through: the phone
// should not have put it there (RFC 8599 §4.1), and the other party must not see
// it.
func concealPush(m *sipmsg.Message, e *sipmsg.Edit) {
	contacts := m.Contacts()
	if len(contacts) != 1 {
		return
	}
	c := contacts[0]
	if _, ok := c.URI.Param("pn-prid"); !ok {
		if _, ok := c.URI.Param("pn-provider"); !ok {
			return
		}
	}
	value := "<" + c.URI.WithoutParams(pushParams[:]...) + ">" + string(c.Params)
	if c.Display != "" {
		value = c.Display + " " + value
	}
	// In place of the one removed.
	e.Remove(sipmsg.HdrContact)
	e.Push("Contact", value)
}
