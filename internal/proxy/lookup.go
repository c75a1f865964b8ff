package proxy

import (
	"slices"
	"strings"
	"time"

	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A finding is what a look-up of a user's devices came to.
type finding string

const (
	// found: at least one device can be sent to now.
	found finding = "found"
	// pushOnly: every device has to be woken first.
	pushOnly finding = "push_only"
	// none: nobody is registered.
	none finding = "none"
	// unsupported: devices are registered, but none takes the method.
	unsupported finding = "method"
	// failed: the location service cannot say.
	failed finding = "error"
)

// A lookup gathers the target set of a request.
type lookup struct {
	set []target
	// known: at least one of the users exists.
	known bool
	// methods are what the devices take that were left out for the method.
	methods usrloc.Methods
	// unwanted: there are devices, and none is as the caller wants it.
	unwanted bool
}

// toUser looks the user up and starts a branch for each device.
func (f *fork) toUser(aor usrloc.AOR) {
	f.aor = aor
	f.fallbacks = f.mayFallBack(aor)
	var l lookup
	if err := f.gather(aor, f.p.dialled(f.s.Message().RequestURI()), &l); err != nil {
		f.noFinding(failed, f.noLookup())
		return
	}
	f.keep = f.mayKeep(aor)
	f.behindOlder(&l)
	f.toTargets(l)
}

// gather adds the devices of aor, who was dialled as uri, and of whom ring with it.
func (f *fork) gather(aor usrloc.AOR, uri sipmsg.URI, l *lookup) error {
	v := f.look(f.p.view(f.method, time.Now()))
	for _, one := range f.p.opts().expand(aor) {
		rec, err := f.watch(one)
		if err != nil {
			return err
		}
		l.add(targets(f.p.opts().of(one).pick(rec, v, l), v))
		l.add(f.p.opts().fixed(one, uri))
		l.known = l.known || f.p.known(one)
	}
	f.prefer(l)
	// RFC 3261 §16.5: locations that appear meanwhile should be added.
	f.joins = f.invite() && f.choice(aor).Fork != FirstOnly
	return nil
}

// toTargets starts the branches of a look-up, or says why there are none.
func (f *fork) toTargets(l lookup) {
	switch {
	case len(l.set) > 0:
	case l.methods != 0:
		// RFC 3261 §21.4.6: the answer says what would have been taken.
		f.noFinding(unsupported, sipmsg.Reply{Code: 405, Headers: []sipmsg.HeaderField{{Name: "Allow", Value: strings.Join(l.methods.Names(), ", ")}}})
		return
	case !l.known:
		f.noFinding(none, sipmsg.Reply{Code: 404})
		return
	case f.fallbacks != nil || f.keep != nil:
		f.found(none, 0)
		f.emitFound(event.Call{Step: "received", AOR: string(f.aor), Flow: f.s.Flow()})
		f.best = f.unavailable("Not Registered")
		f.conclude()
		return
	case l.unwanted:
		f.noFinding(none, sipmsg.Reply{Code: 480, Reason: "No Device As Wanted"})
		return
	default:
		f.noFinding(none, sipmsg.Reply{Code: 480, Reason: "Not Registered"})
		return
	}
	what := found
	switch asleep := func(t target) bool { return t.reach == park }; {
	case !slices.ContainsFunc(l.set, func(t target) bool { return !asleep(t) }):
		what, f.tale.asleep = pushOnly, true
	case slices.ContainsFunc(l.set, asleep):
		f.tale.asleep = true
	}
	f.found(what, len(l.set))
	f.emitFound(event.Call{Step: "received", AOR: string(f.aor), Flow: f.s.Flow()})
	o := f.choice(f.aor)
	f.rest = o.order(o.near(l.set))
	f.rest = f.rest[:min(len(f.rest), o.MaxForks)]
	f.next()
}

func (f *fork) noFinding(what finding, r sipmsg.Reply) {
	f.found(what, 0)
	f.refuse(r)
}

// found notes what a look-up came to.
func (f *fork) found(what finding, phones int) {
	f.p.metrics.lookups.WithLabelValues(string(what)).Inc()
	f.tale.lookup, f.tale.phones = what, phones
}

// add adds the targets of one user. A device that is registered under two users
// of whom both are called is one target all the same.
func (l *lookup) add(set []target) {
	if len(l.set) == 0 && len(set) == 1 {
		l.set = set // Most have one phone.
		return
	}
	for _, t := range set {
		twice := slices.ContainsFunc(l.set, func(has target) bool {
			return sameDevice(has.binding, t.binding) || has.samePlace(&t)
		})
		if !twice {
			l.set = append(l.set, t)
		}
	}
}

// sameDevice reports whether two bindings are those of one phone. What is not
// registered is none.
func sameDevice(a, b *usrloc.Binding) bool {
	switch {
	case a.ID.IsZero() || b.ID.IsZero():
		return false
	case a.ID == b.ID, usrloc.SameInstance(a.Instance, b.Instance):
		return true
	}
	return !a.Push.IsZero() && sameToken(a.Push, b.Push)
}

// pick returns rec without the bindings that the filters leave out. What those
// take that are left out for the method is added to l.
func (o *Options) pick(rec usrloc.Record, v view, l *lookup) usrloc.Record {
	if !o.MethodFilter && o.UserAgents == nil {
		return rec
	}
	var kept []usrloc.Binding
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		switch {
		case !v.counts(b):
		case o.UserAgents != nil && !o.UserAgents.MatchString(b.UserAgent):
		case o.MethodFilter && !b.Methods.Allow(v.method):
			l.methods |= b.Methods
		default:
			kept = append(kept, *b)
		}
	}
	rec.Bindings = kept
	return rec
}

// known reports whether aor is a user, or something, of ours.
func (p *Proxy) known(aor usrloc.AOR) bool {
	_, configured := p.opts().AORs[aor]
	return configured || p.opts().Known(aor)
}
