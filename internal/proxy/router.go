package proxy

import (
	"strings"

	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// allow lists the methods that pass through; RFC 3261 §20.5.
const allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE, INFO, UPDATE, PRACK, REFER, NOTIFY, REGISTER"

// A passage is what the Route header field and the Request-URI of a request say
// once our own entries are read (RFC 3261 §16.4).
type passage struct {
	// own is how many Route values on top are ours.
	own int
	// strict: the Request-URI is an entry of ours that a strict router put there.
	strict bool
	// foreign: Route values of others follow.
	foreign bool
	// ob: an entry of ours asks for the dialog to stay on this flow (RFC 5626
	// §5.3.2).
	ob bool
	// token is the sealed token in one of our entries, nil if there is none.
	token *token
	// purr is a pn-purr found in the Request-URI or in a Route of ours.
	purr string
}

// passage reads the Route header field. A request without To tag is not inside a
// dialog (RFC 3261 §12.2), so no token makes it so.
func (p *Proxy) passage(m *sipmsg.Message) passage {
	var g passage
	read := func(u sipmsg.URI) {
		if g.token == nil && u.User != "" && m.ToTag() != "" {
			// What does not open is not ours to trust; it decides nothing.
			g.token, _ = openToken(p.opts().Keys, u.User)
		}
	}
	routes := m.Routes()
	if uri := m.RequestURI(); uri.User != "" && len(routes) > 0 && p.own(uri) {
		read(uri)
		// RFC 3261 §16.4: only what we put into a Record-Route ourselves.
		g.strict = g.token != nil
	}
	for _, r := range routes {
		if !p.ours(r.URI) {
			break
		}
		read(r.URI)
		g.ob = g.ob || hasOB(r.URI)
		g.own++
	}
	g.foreign = len(routes)-g.own > 0
	if g.strict {
		// The last value becomes the Request-URI and is no next hop.
		g.foreign = len(routes)-g.own > 1
		g.own = min(g.own, len(routes)-1)
	}
	// RFC 8599 §6.2.3: in the Request-URI or in a Route.
	g.purr, _ = m.RequestURI().Param("pn-purr")
	for _, r := range routes {
		if g.purr == "" {
			g.purr, _ = r.URI.Param("pn-purr")
		}
	}
	return g
}

// strictRouter returns the next hop if that is one of RFC 2543, to which loose routing
// means nothing: the first Route of others, without lr.
func (g *passage) strictRouter(m *sipmsg.Message) (next sipmsg.URI, ok bool) {
	if !g.foreign {
		return sipmsg.URI{}, false
	}
	next = m.Routes()[g.own].URI
	_, loose := next.Param("lr")
	return next, !loose
}

// Request implements transaction.User.
func (p *Proxy) Request(s *transaction.Server) {
	m := s.Message()
	if r, ok := p.check(m); !ok {
		p.reject(s, r)
		return
	}
	g := p.passage(m)
	if g.token != nil {
		p.inDialog(s, g)
		return
	}
	// Invariant: a To tag without a token of ours is forged or belongs to a
	// dialog that we are not part of. A foreign Route is a request to relay.
	// But a GRUU of ours finds its phone without any dialog (RFC 5627 §6.1), and
	// nothing is relayed elsewhere.
	uri := m.RequestURI()
	if m.ToTag() != "" && !g.foreign && uri.User == "" && p.ours(uri) {
		// RFC 3261 §12.2.2: the dialog is to be one with us, which lives no longer than
		// an INVITE that we hold, and in which nothing is asked (see ringback).
		p.reject(s, sipmsg.Reply{Code: 481})
		return
	}
	follows := m.ToTag() != "" && p.namesGRUU(uri)
	if m.ToTag() != "" && !follows {
		p.reject(s, sipmsg.Reply{Code: 403, Reason: "No Such Dialog Here"})
		return
	}
	if g.foreign && !follows {
		p.reject(s, sipmsg.Reply{Code: 403, Reason: "Route Not Allowed"})
		return
	}
	if p.ours(uri) && uri.User == "" {
		p.answer(s)
		return
	}
	asked := transaction.Await(s,
		func(answer func(Admission)) { p.opts().Gate.Admit(m, s.Flow(), answer) },
		func(a Admission) { p.route(s, g, a) })
	if !asked {
		s.Refuse(sipmsg.Reply{Code: 503, Headers: p.retryAfter()})
	}
}

// check is RFC 3261 §16.3, in its order. ok is false if r answers the request.
func (p *Proxy) check(m *sipmsg.Message) (r sipmsg.Reply, ok bool) {
	uri := m.RequestURI()
	if !p.readable(uri) {
		return sipmsg.Reply{Code: 416}, false
	}
	// RFC 3261 §16.4 would have us resolve maddr; it is a way to make a proxy
	// send anywhere, and no phone needs it.
	if _, has := uri.Param("maddr"); has {
		return sipmsg.Reply{Code: 403, Reason: "maddr Not Allowed"}, false
	}
	if n, has := m.MaxForwards(); has && n == 0 {
		if m.Method() == "OPTIONS" {
			return p.optionsReply(), false
		}
		return sipmsg.Reply{Code: 483}, false
	}
	if breadthOf(m) == 0 {
		// RFC 5393 §5.3.3: one copy is already too many.
		return sipmsg.Reply{Code: 440}, false
	}
	// RFC 5393 §4.2: whatever we may fork must not be looping.
	if p.looped(m, loopHash(m)) {
		return sipmsg.Reply{Code: 482}, false
	}
	var unsupported []string
	for tag := range m.Tokens(sipmsg.HdrProxyRequire) {
		unsupported = append(unsupported, tag)
	}
	if len(unsupported) > 0 {
		return sipmsg.Reply{Code: 420, Headers: []sipmsg.HeaderField{{Name: "Unsupported", Value: strings.Join(unsupported, ", ")}}}, false
	}
	return sipmsg.Reply{}, true
}

// answer handles a request to this server itself.
func (p *Proxy) answer(s *transaction.Server) {
	if s.Message().Method() == "OPTIONS" {
		p.metrics.answered("OPTIONS", 200)
		s.Refuse(p.optionsReply())
		return
	}
	p.reject(s, sipmsg.Reply{Code: 404, Reason: "No User Named"})
}

func (p *Proxy) optionsReply() sipmsg.Reply {
	return sipmsg.Reply{Code: 200, Headers: []sipmsg.HeaderField{
		{Name: "Allow", Value: allow}, {Name: "Accept", Value: "*/*"}, {Name: "Supported", Value: "path"},
	}}
}

// route sends an admitted request that is outside of any dialog on its way.
func (p *Proxy) route(s *transaction.Server, g passage, a Admission) {
	if s.Done() {
		// Cancelled while the Gate was asked.
		return
	}
	helped := p.helpsAnyone(s.Message())
	if helped && a.Unknown {
		a = Admission{}
	}
	if a.Refusal != nil {
		p.metrics.answered(s.Message().Method(), a.Refusal.Code)
		p.Refused(s.Message(), s.Flow(), a.Refusal, a.Rule, a.Why)
		s.Refuse(*a.Refusal)
		return
	}
	m := s.Message()
	realm := a.Realm
	if realm == "" {
		realm = p.opts().Realm
	}
	a.User = p.key(a.User)
	claim, refusal := p.claim(m, s.Flow(), a)
	if refusal == nil {
		refusal = p.registeredCaller(m, s.Flow(), a.User, claim.trusted)
	}
	if helped {
		refusal = nil
	}
	if refusal == nil && p.foreignGRUU(m, a) {
		refusal = &sipmsg.Reply{Code: 403, Reason: "Contact Is Not Yours"}
	}
	if refusal != nil {
		p.reject(s, *refusal)
		return
	}
	f := p.newFork(s, g, realm)
	f.claim, f.stranger, f.inDialog = claim, a.User == "" && !claim.trusted, m.ToTag() != ""
	if recordRouted(f.method) && !f.inDialog {
		f.caller = p.callerLeg(m, a.User, s.Flow()).binding
	}
	if p.isEmergency(m.RequestURI()) && !f.inDialog {
		f.toHelp(a)
		return
	}
	if a.Direction.given() && !f.inDialog {
		f.direct(a)
		return
	}
	device := p.device(g.purr)
	uri := p.dialled(m.RequestURI())
	aor, ours := p.aorOf(uri)
	if (ours || !device.IsZero()) && !f.inDialog && (f.method == "SUBSCRIBE" || f.method == "PUBLISH") {
		f.toEventServer(a)
		return
	}
	if !device.IsZero() {
		// RFC 8599 §7: a request that replaces a dialog is addressed to the PURR of
		// that dialog's Contact. The sender was admitted, and the PURR names one
		// device of ours. Of a device that is gone it says nothing.
		if found, err := f.toBinding(leg{binding: device}); err != nil {
			f.refuse(f.noLookup())
			return
		} else if found {
			return
		}
	}
	if p.namesGRUU(uri) {
		f.toGRUU(p.gruuOf(uri))
		return
	}
	if ours && !f.leadsOut(uri) {
		f.toUser(aor)
		return
	}
	f.toRoute(a)
}
