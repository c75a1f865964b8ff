package proxy

import (
	"log/slog"

	"reveille/internal/sipmsg"
)

// A Direction is where the Gate sends a request outside of a dialog. The zero value
// leaves that to the Request-URI.
type Direction struct {
	// Route is the name of the Route to take; empty: none.
	Route string
	// Targets are called in place of the Request-URI: users of ours, or URIs at the
	// next hop of a Route. They mean nothing beside Route.
	Targets []sipmsg.URI
}

func (d *Direction) given() bool { return d.Route != "" || len(d.Targets) > 0 }

// direct sends a request where the Gate wants it to go. A Direction that leads
// nowhere ends it: what it would reach by the Request-URI is not what the Gate
// meant.
func (f *fork) direct(a Admission) {
	d := &a.Direction
	f.aor, _ = f.p.aorOf(f.s.Message().RequestURI())
	if d.Route != "" {
		if r, ok := f.p.routeNamed(d.Route); ok {
			f.along(r, a)
			return
		}
		f.misdirected("no such route", d.Route)
		return
	}
	var l lookup
	for _, u := range d.Targets {
		if aor, ours := f.p.aorOf(u); ours {
			if f.aor == "" {
				f.aor = aor
			}
			if err := f.gather(aor, u, &l); err != nil {
				f.noFinding(failed, f.noLookup())
				return
			}
			continue
		}
		r, to, ok := f.p.routeTo(u)
		switch {
		case !ok:
			f.misdirected("no user and at no next hop of a route", u.Host)
			return
		case !a.mayRelay():
			f.refuse(relayingRefused())
			return
		}
		t := dialTarget(to)
		t.uri, t.trusted = requestURI(u.String(), f.p.opts().PushParams), r.Trusted
		l.add([]target{t})
	}
	f.toTargets(l)
}

// misdirected refuses a request whose Direction cannot be followed.
func (f *fork) misdirected(why, what string) {
	m := f.s.Message()
	f.p.opts().Logger.Warn("a request was sent where it cannot go", slog.String("call_id", m.CallID()), slog.String("reason", why), slog.String("target", what))
	f.refuse(sipmsg.Reply{Code: 500, Reason: "No Such Target"})
}
