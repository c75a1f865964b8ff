package proxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A gruu is what a GRUU of ours stands for (RFC 5627): one device of one user.
// The zero gruu is one that stands for nothing, or for nothing any more.
type gruu struct {
	aor usrloc.AOR
	// instance is the device, for a public GRUU.
	instance string
	// binding is the device's, for a temporary GRUU.
	binding usrloc.BindingID
	err     error // the location service cannot say
}

// namesGRUU reports whether u may be a GRUU of ours: it has a "gr" parameter and
// a domain of ours.
func (p *Proxy) namesGRUU(u sipmsg.URI) bool {
	_, has := u.Param("gr")
	return has && u.User != "" && p.ours(u)
}

// gruuOf reads a URI of which namesGRUU says that it may be one.
func (p *Proxy) gruuOf(u sipmsg.URI) (g gruu) {
	if value, _ := u.Param("gr"); value != "" {
		// RFC 5627 §3.1.1: the public one is the AOR and the instance. No table of
		// them is needed, so they stay valid as long as the user exists.
		g.aor, _ = p.aorOf(u)
		g.instance = sipmsg.Unescape(value)
		return g
	}
	temp, err := p.opts().Keys.OpenTempGRUU(u.User)
	if err != nil {
		return gruu{}
	}
	aor, err := p.opts().Store.Resolve(context.Background(), temp.Binding)
	if err != nil {
		if !errors.Is(err, usrloc.ErrNotFound) {
			g.err = err
		}
		return g
	}
	rec, err := p.opts().Store.Get(context.Background(), aor)
	if err != nil {
		return gruu{err: err}
	}
	// RFC 5627 §5.1, §5.3: it ends with the device's Call-ID or registration.
	if b := rec.Find(temp.Binding); b == nil || b.Expired(time.Now()) || !temp.Valid(b.CallID) {
		return gruu{}
	}
	return gruu{aor: aor, binding: temp.Binding}
}

// device returns the bindings of the GRUU's device.
func (g *gruu) device(rec *usrloc.Record, now time.Time) []usrloc.Binding {
	if !g.binding.IsZero() {
		return contactsOf(rec, g.binding, now)
	}
	return slices.DeleteFunc(slices.Clone(rec.Bindings), func(b usrloc.Binding) bool {
		// RFC 3261 §19.1.4: parameters of a URI are compared without regard to case.
		return b.Expired(now) || b.Instance == "" || !strings.EqualFold(b.Instance, g.instance)
	})
}

// phoneOf returns a binding of the device that a GRUU names; zero if there is
// none.
func (p *Proxy) phoneOf(u sipmsg.URI) usrloc.BindingID {
	g := p.gruuOf(u)
	if g.aor == "" || !g.binding.IsZero() {
		return g.binding
	}
	rec, err := p.opts().Store.Get(context.Background(), g.aor)
	if err != nil {
		return usrloc.BindingID{}
	}
	if list := g.device(&rec, time.Now()); len(list) > 0 {
		return list[0].ID
	}
	return usrloc.BindingID{}
}

// toGRUU sends the request to the one device that a GRUU names, and to no other:
// users that ring too, or contacts that are configured, are not tried (RFC 5627
// §6.1).
func (f *fork) toGRUU(g gruu) {
	f.aor, f.gruu = g.aor, true
	if g.err != nil {
		f.p.opts().Logger.Warn("look up a GRUU", "err", g.err)
		f.noFinding(failed, f.noLookup())
		return
	}
	l := lookup{known: g.aor != "" && f.p.known(g.aor)}
	if g.aor != "" {
		rec, err := f.watch(g.aor)
		if err != nil {
			f.noFinding(failed, f.noLookup())
			return
		}
		v := f.view(time.Now())
		rec.Bindings = g.device(&rec, v.now)
		l.known = l.known || len(rec.Bindings) > 0
		if rec = f.p.opts().pick(rec, f.method, &l); len(rec.Bindings) > 0 {
			f.device = rec.Bindings[0].ID
			t := v.device(rec.AOR, slices.Clone(rec.Bindings))
			t.reach = f.inLine(&t)
			l.set = []target{t}
		}
	}
	f.toTargets(l)
}
