package proxy

import (
	"slices"
	"strings"

	"reveille/internal/sipmsg"
)

// This file is about requests that name a telephone number or a service in place of an
// address.

// Emergency says where emergency calls go.
type Emergency struct {
	// Route is the name of the Route that takes them; empty: none does.
	Route string
	// Numbers are what users dial for them, besides urn:service:sos.
	Numbers []string
	// Anyone: whoever calls for help is put through, though nobody knows who it is.
	Anyone bool
}

// helpsAnyone reports whether m is a call for help that nobody is refused. The way is
// open for calls alone.
func (p *Proxy) helpsAnyone(m *sipmsg.Message) bool {
	return p.opts().Emergency.Anyone && m.Method() == "INVITE" && m.ToTag() == "" && p.isEmergency(m.RequestURI())
}

// toHelp sends a call for help along its route, whatever others would do with it.
func (f *fork) toHelp(a Admission) {
	e := f.p.opts().Emergency
	f.aor, _ = f.p.aorOf(f.s.Message().RequestURI())
	switch r, ok := f.p.routeNamed(e.Route); {
	case !ok:
		f.misdirected("no such route", e.Route)
	case e.Anyone:
		// RFC 3261 §22 leaves it to us whom we challenge; a phone that lost its account
		// may still have to call for help.
		f.start([]target{r.target()})
	default:
		f.along(r, a)
	}
}

// Takes reports whether a request to u is for somebody whom it can reach although it
// need not name a host: a call for help, a number in the context of a domain of ours, or
// one that a route takes.
func (p *Proxy) Takes(u sipmsg.URI) bool {
	if p.isEmergency(u) {
		return true
	}
	if _, number := numberOf(u); !number {
		return false
	}
	_, params, _ := strings.Cut(u.Opaque, ";")
	if context, ok := sipmsg.Params(";" + params).Get("phone-context"); ok && p.opts().Hosts.Serves(context) {
		return true
	}
	_, ok := p.routeFor(p.dialled(u))
	return ok
}

// readable reports whether a Request-URI of that scheme can lead anywhere (RFC 3261
// §16.3 step 2).
func (p *Proxy) readable(u sipmsg.URI) bool {
	if u.IsSIP() {
		return true
	}
	_, number := numberOf(u)
	return number || isSOS(u) && p.opts().Emergency.Route != ""
}

// numberOf returns the number in a tel URI (RFC 3966 §3). ok is false if u is none.
func numberOf(u sipmsg.URI) (number string, ok bool) {
	if !strings.EqualFold(u.Scheme, "tel") {
		return "", false
	}
	number, _, _ = strings.Cut(u.Opaque, ";")
	number = digits(number)
	rest := strings.TrimPrefix(number, "+")
	return number, rest != "" && strings.Trim(rest, "0123456789ABCDEFabcdef*#") == ""
}

// digits returns a number without what is there for the eye.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-.()", r) {
			return -1
		}
		return r
	}, s)
}

// isSOS reports whether u stands for an emergency service (RFC 5031 §4.2).
func isSOS(u sipmsg.URI) bool {
	const sos = "service:sos"
	name := strings.ToLower(u.Opaque)
	return strings.EqualFold(u.Scheme, "urn") && (name == sos || strings.HasPrefix(name, sos+"."))
}

// dialled returns the SIP URI for what a request is addressed to: a number is a user of
// our domain, or of the domain of ours that its context names (RFC 3261 §19.1.6). Other
// URIs stay as they are.
func (p *Proxy) dialled(u sipmsg.URI) sipmsg.URI {
	number, ok := numberOf(u)
	if !ok {
		return u
	}
	hosts := p.opts().Hosts
	host := hosts.Names()[0]
	_, params, _ := strings.Cut(u.Opaque, ";")
	if context, ok := sipmsg.Params(";" + params).Get("phone-context"); ok && hosts.Serves(context) {
		host = context
	}
	return sipmsg.URI{Scheme: "sip", User: strings.ReplaceAll(number, "#", "%23"), Host: host, Params: ";user=phone"}
}

// isEmergency reports whether a request calls for help: by the service's name, or by a
// number that is configured.
func (p *Proxy) isEmergency(u sipmsg.URI) bool {
	e := p.opts().Emergency
	if e.Route == "" {
		return false
	}
	if isSOS(u) {
		return true
	}
	number, ok := numberOf(u)
	if !ok && p.ours(u) {
		user, _, _ := strings.Cut(u.User, ";")
		number = digits(sipmsg.Unescape(user))
	}
	return slices.Contains(e.Numbers, number)
}

// leadsOut reports whether a Route takes what is dialled although its domain is ours:
// there is no such user here.
func (f *fork) leadsOut(u sipmsg.URI) bool {
	aor, ours := f.p.aorOf(u)
	if !ours || f.p.known(aor) {
		return false
	}
	_, ok := f.p.routeFor(u)
	return ok
}
