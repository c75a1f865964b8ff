package proxy

import (
	"context"
	"slices"
	"strings"
	"time"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A gruu is what a GRUU of ours stands for (RFC 5627): one device of one user.
// The zero gruu is one that stands for nothing, or for nothing any more.
type gruu struct {
	aor      usrloc.AOR
	instance string
	err      error // the location service cannot say
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
	// A new URI, for the text of the old one names the GRUU.
	aor, ok := p.aorOf(sipmsg.URI{Scheme: u.Scheme, User: temp.User, Host: u.Host, Port: u.Port})
	if !ok {
		return gruu{}
	}
	rec, err := p.opts().Store.Get(context.Background(), aor)
	if err != nil {
		return gruu{err: err}
	}
	now := time.Now()
	// RFC 5627 §5.1, §5.3: it ends with its set, or with the device's last binding.
	// Until then it leads where the public one does.
	for i := range rec.Bindings {
		if b := &rec.Bindings[i]; !b.Expired(now) && temp.Of(b) {
			return gruu{aor: aor, instance: b.Instance}
		}
	}
	return gruu{}
}

// device returns the bindings of the GRUU's device.
func (g *gruu) device(rec *usrloc.Record, v view) []usrloc.Binding {
	return slices.DeleteFunc(slices.Clone(rec.Bindings), func(b usrloc.Binding) bool {
		// RFC 3261 §19.1.4: parameters of a URI are compared without regard to case.
		return !v.counts(&b) || b.Instance == "" || !strings.EqualFold(b.Instance, g.instance)
	})
}

// phoneOf returns a binding of the device that a GRUU names; zero if there is
// none.
func (p *Proxy) phoneOf(u sipmsg.URI) usrloc.BindingID {
	g := p.gruuOf(u)
	if g.aor == "" {
		return usrloc.BindingID{}
	}
	rec, err := p.opts().Store.Get(context.Background(), g.aor)
	if err != nil {
		return usrloc.BindingID{}
	}
	if list := g.device(&rec, p.view("INVITE", time.Now())); len(list) > 0 {
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
		rec.Bindings = g.device(&rec, v)
		l.known = l.known || len(rec.Bindings) > 0
		if rec = f.p.opts().of(g.aor).pick(rec, v, &l); len(rec.Bindings) > 0 {
			f.device = rec.Bindings[0].ID
			t := v.device(rec.AOR, each(rec.Bindings))
			t.reach = f.inLine(&t)
			l.set = []target{t}
		}
	}
	f.toTargets(l)
}
