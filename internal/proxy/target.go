package proxy

import (
	"slices"
	"time"

	"reveille/flow"
	"reveille/internal/resolve"
	"reveille/usrloc"
)

// A reach says how a branch gets to its device.
type reach uint8

const (
	// forward: send on the flow now.
	forward reach = iota
	// race: send on the flow now, push if nothing comes back.
	race
	// dial: make a connection to the phone and send on it.
	dial
	// park: push and wait for the device to register.
	park
	// unreachable: the device cannot be reached; the branch fails at once.
	unreachable
)

// A target is one device or next hop of a request.
type target struct {
	reach reach
	// trusted: the next hop is told who calls, and believed.
	trusted bool
	// aor is the user that the device belongs to; empty for a next hop.
	aor usrloc.AOR
	// binding is the device's, that of a Record or a Change, which nobody writes to;
	// it is unregistered for a next hop or a configured contact.
	binding *usrloc.Binding
	// flow is where the request is sent, unless the device comes back elsewhere.
	flow flow.Flow
	// way is where connections are made to; nil unless reach is dial.
	way *way
	// uri is the Request-URI to send; empty keeps the received one.
	uri string
	// wanted is how well the device is what the caller wants, from 0 to 1 (RFC 3841
	// §7.2.4), as far as that tells devices apart.
	wanted float64
	// tried is the flow of binding when the target was made: the phone may have
	// registered on another one since. Nil stands for the zero Flow.
	tried *flow.Flow
	// spare are the device's other bindings, the preferred first. They are tried
	// one after another when the flow to the device fails (RFC 5626 §7).
	spare []*usrloc.Binding
}

// unregistered is the binding of what has none. Its ID is zero.
var unregistered = usrloc.Binding{Q: usrloc.QUnset}

// A view is what target selection knows of the world.
type view struct {
	now    time.Time
	method string
	flows  Flows
	can    func(*usrloc.Binding) bool
	policy func(provider, userAgent string) Mode
	skip   func(provider string) time.Duration
	// keeps: devices whose registration has ended are woken, too.
	keeps bool
	wakes bool
	// sips: devices that are not reached over TLS do not count.
	sips bool
	// secrets are Options.PushParams.
	secrets []string
	// first is the binding that is preferred among those of its device that are
	// equally alive; zero: none.
	first usrloc.BindingID
}

// alive reports whether the peer of f is likely to hear what is sent on it.
func (v *view) alive(f flow.Flow) bool { return v.flows.Alive(f, v.now) }

// targets returns the target set of a request for rec's user: one target per
// device, the preferred first.
func targets(rec usrloc.Record, v view) []target {
	var set []target
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		if !v.counts(b) {
			continue
		}
		// RFC 5626 §7: never two contacts of one instance at the same time.
		if j := sameInstance(set, b.Instance); j >= 0 {
			set[j].spare = append(set[j].spare, b)
			continue
		}
		set = append(set, target{aor: rec.AOR, binding: b})
	}
	for i := range set {
		if t := &set[i]; len(t.spare) == 0 {
			set[i] = v.target(rec.AOR, t.binding)
		} else {
			set[i] = v.device(rec.AOR, t.bindings())
		}
	}
	byPreference(set)
	return set
}

// follow keeps the bindings of the target's device up to date with a change to one
// of them, but for the end of the one that it goes by.
func (t *target) follow(c usrloc.Change) {
	n := c.New
	if n == nil {
		n = c.Old
	}
	if n.ID == t.binding.ID {
		if c.New != nil {
			t.binding = n
		}
		return
	}
	t.spare = slices.DeleteFunc(t.spare, func(b *usrloc.Binding) bool { return b.ID == n.ID })
	if c.New != nil {
		t.spare = append(t.spare, n)
	}
}

// bindings returns all bindings of the target's device.
func (t *target) bindings() []*usrloc.Binding {
	return append([]*usrloc.Binding{t.binding}, t.spare...)
}

// each returns pointers to the elements of list.
func each(list []usrloc.Binding) []*usrloc.Binding {
	all := make([]*usrloc.Binding, len(list))
	for i := range list {
		all[i] = &list[i]
	}
	return all
}

// byPreference sorts by RFC 3261 §16.6: highest q first.
func byPreference(set []target) {
	slices.SortStableFunc(set, func(a, b target) int { return preference(b.binding.Q) - preference(a.binding.Q) })
}

// preference is the order of a q. Without q counts as 1: §20.10 leaves it open,
// and a phone that says nothing means "call me".
func preference(q usrloc.Q) int {
	if q == usrloc.QUnset {
		return 1000
	}
	return int(q)
}

func sameInstance(set []target, instance string) int {
	return slices.IndexFunc(set, func(t target) bool { return usrloc.SameInstance(t.binding.Instance, instance) })
}

// device is the target of one device with these bindings, of which there is at
// least one; it keeps and sorts the slice. A live flow beats a dead one, then comes
// the one of a dialog, then what registered last (RFC 5627 §6.1).
func (v view) device(aor usrloc.AOR, bindings []*usrloc.Binding) target {
	slices.SortStableFunc(bindings, func(a, b *usrloc.Binding) int {
		if x, y := !a.Expired(v.now), !b.Expired(v.now); x != y {
			if x {
				return -1
			}
			return 1
		}
		if x, y := v.alive(a.Flow), v.alive(b.Flow); x != y {
			if x {
				return -1
			}
			return 1
		}
		switch v.first {
		case usrloc.BindingID{}:
		case a.ID:
			return -1
		case b.ID:
			return 1
		}
		return b.Updated.Compare(a.Updated)
	})
	// One that cannot be reached is not worth the first attempt.
	first := 0
	for i := range bindings {
		if v.reach(bindings[i]) != unreachable {
			first = i
			break
		}
	}
	t := v.target(aor, bindings[first])
	t.spare = slices.Delete(bindings, first, first+1)
	return t
}

// target decides how the device behind b is reached.
func (v view) target(aor usrloc.AOR, b *usrloc.Binding) target {
	t := target{reach: v.reach(b), aor: aor, binding: b, tried: &b.Flow, flow: contactFlow(b), uri: requestURI(b.Contact, v.secrets)}
	if t.reach == dial {
		if to, ok := staticTarget(b, v.flows); ok {
			t.way = &way{to: []resolve.Target{to}, targets: []resolve.Target{to}}
			return t
		}
		h, _ := listens(b)
		t.way = &way{hop: h}
	}
	return t
}

func (v view) reach(b *usrloc.Binding) reach {
	if b.Expired(v.now) {
		// Whoever has its flow by now need not be the device.
		if v.counts(b) {
			return park
		}
		return unreachable
	}
	if b.Push.Provider == "" {
		if b.Static() {
			if _, ok := staticTarget(b, v.flows); ok {
				return dial
			}
			return unreachable
		}
		// A phone that does not sleep: always tried, if there is a way to it.
		if v.flows.Open(b.Flow) {
			return forward
		}
		if _, ok := listens(b); ok {
			return dial
		}
		return unreachable
	}
	alive, can := v.alive(b.Flow), v.can(b)
	switch {
	case !v.wakes || !can:
		// Nothing may be sent on a flow that is not known to be the phone's
		// any more: another phone may have the mapping by now.
		if alive {
			return forward
		}
		return unreachable
	case v.fresh(b):
		return forward
	case v.policy(b.Push.Provider, b.UserAgent) == Always:
		return park
	case !alive:
		return park
	case v.policy(b.Push.Provider, b.UserAgent) == Race:
		return race
	}
	return forward
}
