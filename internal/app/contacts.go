package app

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"reveille/flow"
	"reveille/internal/contacts"
	"reveille/internal/resolve"
	"reveille/usrloc"
)

// contactBook makes what operators ask of the location service, nil if that cannot be
// gone through.
func (a *App) contactBook() (*contacts.Book, error) {
	store, ok := a.store.(contacts.Store)
	if !ok {
		return nil, nil //nolint:nilnil // Another kind of store: that is no error.
	}
	return contacts.New(contacts.Options{
		Store: store, Registrar: a.registrar, AOR: a.namedAOR, Lookup: a.lookupHost, State: a.stateOf, Wake: a.wakeHabit,
		Socket: sockets(a.config.Listen), Memory: !a.config.Store.OnDisk(),
	})
}

// namedAOR is the AOR of a user of ours whom an operator names: as aorOf reads it, and by
// every name of the domain. The error is contacts.ErrNoUser.
func (a *App) namedAOR(user string) (usrloc.AOR, error) {
	aor, err := aorOf(a.gate.rules.Load().hosts, user)
	if err != nil || userOf(aor) == "" || !a.gate.served(domainOf(aor)) {
		return "", contacts.ErrNoUser
	}
	return aor, nil
}

// stateOf says how the phone of a binding gets a request now.
func (a *App) stateOf(b *usrloc.Binding, now time.Time) string {
	_, _, awake := a.proxy.Way(b)
	switch {
	case b.Expired(now):
		return contacts.Dormant
	case awake, b.Push.Provider == "" && a.proxy.Dials(b):
		return contacts.Awake
	case !b.Push.IsZero():
		return contacts.Asleep
	}
	return contacts.Unreachable
}

func (a *App) wakeHabit(id usrloc.BindingID) *contacts.WakeHabit {
	h, known := a.waker.Habit(id)
	if !known {
		return nil
	}
	return &contacts.WakeHabit{
		Last: h.LastWake, Average: h.Average.Seconds(), Successes: h.Wakes, Failures: h.Failures, FailingSince: h.FailingSince,
	}
}

// lookupHost returns the addresses of a name. RFC 3263 §4.2: with a port nothing else
// is looked up.
func (a *App) lookupHost(ctx context.Context, host string) ([]netip.Addr, error) {
	type answer struct {
		hops []resolve.Hop
		err  error
	}
	found := make(chan answer, 1)
	a.resolver.Resolve(ctx, resolve.Target{Host: host, Port: 5060, Transport: flow.UDP}, func(hops []resolve.Hop, err error) {
		found <- answer{hops, err}
	})
	select {
	case x := <-found:
		var list []netip.Addr
		for _, h := range x.hops {
			if !slices.Contains(list, h.Addr.Addr()) {
				list = append(list, h.Addr.Addr())
			}
		}
		return list, x.err
	case <-ctx.Done():
		return nil, errors.Join(errNoAnswer, ctx.Err())
	}
}

var errNoAnswer = errors.New("the DNS does not answer")
