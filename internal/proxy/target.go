package proxy

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A reach says how a branch gets to its device.
type reach uint8

const (
	// forward: send on the flow now.
	forward reach = iota
	// race: send on the flow now, push if nothing comes back.
	race
	// park: push and wait for the device to register.
	park
	// unreachable: the device cannot be reached; the branch fails at once.
	unreachable
)

// A target is one device or next hop of a request.
type target struct {
	reach reach
	// binding is the device's; its ID is zero for a next hop that is not
	// registered.
	binding usrloc.Binding
	// flow is where the request is sent, unless the device comes back elsewhere.
	flow flow.Flow
	// uri is the Request-URI to send; empty keeps the received one.
	uri string
}

// A view is what target selection knows of the world.
type view struct {
	now    time.Time
	method string
	alive  func(flow.Flow) bool
	open   func(flow.Flow) bool
	can    func(*usrloc.Binding) bool
	policy func(provider, userAgent string) Mode
	wakes  bool
}

// targets returns the target set of a request for rec's user: one target per
// device, the preferred first.
func targets(rec usrloc.Record, v view) []target {
	var set []target
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		if b.Expired(v.now) {
			continue
		}
		// RFC 5626 §7: never two contacts of one instance at the same time. A
		// live flow beats a dead one, then the one that registered last.
		if j := sameInstance(set, b.Instance); j >= 0 {
			if v.prefer(b, &set[j].binding) {
				set[j] = v.target(b)
			}
			continue
		}
		set = append(set, v.target(b))
	}
	// RFC 3261 §16.6: highest q first; without q counts as 1 (§20.10 leaves it
	// open; a phone that says nothing means "call me").
	slices.SortStableFunc(set, func(a, b target) int { return preference(b.binding.Q) - preference(a.binding.Q) })
	return set
}

func preference(q usrloc.Q) int {
	if q == usrloc.QUnset {
		return 1000
	}
	return int(q)
}

func sameInstance(set []target, instance string) int {
	if instance == "" {
		return -1
	}
	return slices.IndexFunc(set, func(t target) bool { return t.binding.Instance == instance })
}

func (v view) prefer(a, b *usrloc.Binding) bool {
	if x, y := v.alive(a.Flow), v.alive(b.Flow); x != y {
		return x
	}
	return a.Updated.After(b.Updated)
}

// target decides how the device behind b is reached.
func (v view) target(b *usrloc.Binding) target {
	return target{reach: v.reach(b), binding: *b, flow: contactFlow(b), uri: requestURI(b.Contact)}
}

// contactFlow returns the flow to a device that is awake: the one on which it
// registered. A phone that does not sleep, is not behind a NAT (its Contact has
// the address that we saw) and names another UDP port than it registered from
// means that port (RFC 3261 §16.6 step 7).
func contactFlow(b *usrloc.Binding) flow.Flow {
	if b.Flow.Transport != flow.UDP || b.Push.Provider != "" || b.RegID != 0 || len(b.Path) > 0 {
		return b.Flow
	}
	u, err := sipmsg.ParseURI(b.Contact)
	if err != nil {
		return b.Flow
	}
	t, named := u.Param("transport")
	addr, ok := u.HostAddr()
	if !ok || addr.Unmap() != b.Flow.Remote.Addr().Unmap() || named && !strings.EqualFold(t, "udp") || u.IsSIPS() {
		return b.Flow
	}
	port := u.PortNum()
	if port == 0 {
		port = 5060
	}
	f := b.Flow
	f.Remote = netip.AddrPortFrom(f.Remote.Addr(), port)
	return f
}

func (v view) reach(b *usrloc.Binding) reach {
	if b.Push.Provider == "" {
		// A phone that does not sleep: always tried, if there is a way to it.
		if v.open(b.Flow) {
			return forward
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
	case v.policy(b.Push.Provider, b.UserAgent) == Always:
		return park
	case !alive:
		return park
	case v.policy(b.Push.Provider, b.UserAgent) == Race:
		return race
	}
	return forward
}
