package proxy

import (
	"errors"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// This file serves those parts of the server that are an endpoint themselves, such as
// the notifier of registrations: where they reach others, and under which address.

// errNoTarget: a URI names nothing that can be connected to.
var errNoTarget = errors.New("proxy: nothing to connect to")

// Phone returns the registered phone that sent m on a flow, and its user. user is who
// sent it, empty if nobody authenticated: then the user in From counts, on the very
// flow of that user's phone. The zero BindingID: it is no such phone.
func (p *Proxy) Phone(m *sipmsg.Message, user usrloc.AOR, from flow.Flow) (usrloc.AOR, usrloc.BindingID) {
	user = p.key(user)
	l := p.callerLeg(m, user, from)
	if l.binding.IsZero() {
		return "", l.binding
	}
	if user == "" {
		user, _ = p.aorOf(m.From().URI)
	}
	return user, l.binding
}

// Connect finds or makes a flow to the address in u (RFC 3263). done runs once, on any
// goroutine.
func (p *Proxy) Connect(u sipmsg.URI, done func(flow.Flow, error)) {
	t, err := resolve.TargetOf(u)
	if err != nil || p.own(u) {
		done(flow.Flow{}, errors.Join(errNoTarget, err))
		return
	}
	if _, numeric := t.Addr(); !numeric && p.opts().Resolver == nil {
		done(flow.Flow{}, errNoTarget)
		return
	}
	p.connect(way{to: []resolve.Target{t}, targets: []resolve.Target{t}}, done)
}

// Contact is our URI for the peer of a flow.
func (p *Proxy) Contact(f flow.Flow) string { return p.contact(f) }

// Via is our Via value on a flow.
func (p *Proxy) Via(f flow.Flow, branch string) string { return p.via(f, branch) }
