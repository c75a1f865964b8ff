package proxy

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// A fork is the response context of one request (RFC 3261 §16.7): its branches,
// the best answer so far, and what is watched meanwhile. It lives on one queue.
//
// A parked branch is a branch like any other: no answer goes upstream while one
// is pending, except a 2xx or, once the rest has been cancelled, a 6xx.
type fork struct {
	p       *Proxy
	s       *transaction.Server
	lane    *lane
	passage passage
	began   time.Time
	// realm is the realm of the credentials that were for us.
	realm string
	// caller is the caller's leg, for the Record-Route token.
	caller leg
	// method is that of the request.
	method string
	// toCallee is the direction of a request in a dialog.
	inDialog, toCallee bool

	aor      usrloc.AOR
	branches []*branch
	best     final
	// refusals are the 401 and 407 answers, whose challenges are aggregated.
	refusals []*sipmsg.Message
	unwatch  func()
	// closed: a final answer went upstream, no branch may ring any more.
	closed bool
	// cancelled: the caller gave up.
	cancelled bool
	// settled: a 6xx came; what is pending was cancelled and nothing is added.
	settled bool
}

func (p *Proxy) newFork(s *transaction.Server, g passage, a Admission) *fork {
	f := &fork{
		p: p, s: s, lane: p.lane(s.Queue()), passage: g, began: time.Now(), realm: a.Realm,
		method: s.Message().Method(),
	}
	f.caller = p.callerLeg(s.Message(), a.User, s.Flow())
	f.lane.forks[s] = f
	s.OnEnd(func() {
		delete(f.lane.forks, s)
		f.release()
	})
	return f
}

// callerLeg finds the caller's own binding, so that requests of the callee find
// the caller's phone even if it moves or falls asleep in the call. A sender that
// did not authenticate counts as the user in From only on the very flow on which
// that user's phone registered.
func (p *Proxy) callerLeg(m *sipmsg.Message, user usrloc.AOR, from flow.Flow) leg {
	l := leg{flow: from}
	authenticated := user != ""
	if !authenticated {
		var ok bool
		if user, ok = p.aorOf(m.From().URI, from.Transport); !ok {
			return l
		}
	}
	rec, err := p.opts().Store.Get(context.Background(), user)
	if err != nil {
		return l
	}
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		if b.Flow == from || contactFlow(b) == from {
			l.binding = b.ID
			return l
		}
		if authenticated && l.binding.IsZero() && sameContact(m, b.Contact) {
			l.binding = b.ID
		}
	}
	return l
}

// sameContact reports whether m's Contact is at the address of a registered one.
// Parameters differ in practice: phones leave their push data out of calls.
func sameContact(m *sipmsg.Message, registered string) bool {
	contacts := m.Contacts()
	if len(contacts) != 1 {
		return false
	}
	u, err := sipmsg.ParseURI(registered)
	c := contacts[0].URI
	return err == nil && u.User == c.User && strings.EqualFold(u.Host, c.Host) && u.Port == c.Port
}

func (f *fork) invite() bool { return f.method == "INVITE" }

func (f *fork) raceDelay() time.Duration {
	if f.invite() {
		return f.p.opts().RaceDelay
	}
	return f.p.opts().RaceDelayOther
}

// toUser looks the user up and starts a branch for each device.
func (f *fork) toUser(aor usrloc.AOR) {
	f.aor = aor
	now := time.Now()
	rec, ok := f.watch(aor, now.Add(f.longestWait()))
	if !ok {
		return
	}
	set := targets(rec, f.p.view(f.method, now))
	if len(set) == 0 {
		if !f.p.opts().Known(aor) {
			f.refuse(sipmsg.Reply{Code: 404})
			return
		}
		f.refuse(sipmsg.Reply{Code: 480, Reason: "Not Registered"})
		return
	}
	f.p.emit(f.s.Message(), event.Call{Step: "received", AOR: string(aor), Flow: f.s.Flow()})
	f.start(set[:min(len(set), f.p.opts().MaxForks)])
}

// start begins a branch for each target. No answer leaves before all have begun:
// a branch that fails at once must not end the request for the others.
func (f *fork) start(set []target) {
	first := len(f.branches)
	for i := range set {
		f.branches = append(f.branches, &branch{fork: f, target: set[i]})
	}
	for _, b := range f.branches[first:] {
		b.start()
	}
	f.conclude()
}

// watch reads the location service and follows it until the time until.
func (f *fork) watch(aor usrloc.AOR, until time.Time) (usrloc.Record, bool) {
	q := f.s.Queue()
	rec, cancel, err := f.p.opts().Store.Watch(context.Background(), aor, until, func(c usrloc.Change) {
		tell := func() { q.Post(func() { f.changed(c) }) }
		if c.New == nil || c.Cause != usrloc.CauseRegister {
			tell()
			return
		}
		// By way of the REGISTER's own queue, behind its 200: a phone should hear
		// that it is registered before it hears what waited for that.
		q.Other(c.New.CallID).Post(tell)
	})
	if err != nil {
		// "Cannot say" is not "not registered".
		f.p.opts().Logger.Warn("look up", "aor", string(aor), "err", err)
		f.refuse(sipmsg.Reply{Code: 503, Headers: f.p.retryAfter()})
		return usrloc.Record{}, false
	}
	f.unwatch = cancel
	return rec, true
}

// longestWait bounds how long any branch may wait.
func (f *fork) longestWait() time.Duration {
	w := f.p.opts().Waits
	if !f.invite() {
		return max(w.Message, w.InDialog)
	}
	longest := max(w.Invite, w.InDialog)
	for _, d := range w.Provider {
		longest = max(longest, d)
	}
	return longest
}

// changed takes a change of the user's bindings to the branch that waits for
// that device. Nobody else is released by it.
func (f *fork) changed(c usrloc.Change) {
	if f.cancelled || f.settled || (f.closed && f.invite()) {
		return
	}
	id := usrloc.BindingID{}
	switch {
	case c.New != nil:
		id = c.New.ID
	case c.Old != nil:
		id = c.Old.ID
	}
	for _, b := range f.branches {
		if b.target.binding.ID == id {
			b.changed(c)
			f.conclude()
			return
		}
	}
	// RFC 3261 §16.5: locations that appear meanwhile should be added. A new
	// device joins a call that is still ringing or waiting.
	if c.Kind == usrloc.Created && f.invite() && !f.inDialog && f.pending() && len(f.branches) < f.p.opts().MaxForks {
		v := f.p.view(f.method, time.Now())
		rec := usrloc.Record{AOR: c.AOR, Bindings: []usrloc.Binding{*c.New}}
		set := targets(rec, v)
		for i := range set {
			// It registered this moment: it is awake on that flow.
			set[i].reach = forward
		}
		f.start(set)
	}
}

func (f *fork) pending() bool {
	for _, b := range f.branches {
		if !b.ended() {
			return true
		}
	}
	return false
}

// finished notes the end of a branch.
func (f *fork) finished(b *branch, end final) {
	if end.better(f.best) {
		f.best = end
	}
	if end.message != nil && (end.code == 401 || end.code == 407) {
		f.refusals = append(f.refusals, end.message)
	}
	// RFC 3261 §16.7 step 5: a 6xx ends the search everywhere.
	if end.code >= 600 && !f.settled {
		f.settled = true
		f.stopOthers(b, reasonFor(end.code))
	}
}

// conclude sends the best answer upstream once no branch is pending.
func (f *fork) conclude() {
	if f.closed || f.pending() {
		return
	}
	if f.cancelled && f.best.code < 600 {
		// RFC 3261 §9.2: the caller gave up, whatever the branches made of it.
		f.refuse(sipmsg.Reply{Code: 487})
		return
	}
	f.sendFinal(f.best)
}

// stopOthers cancels every pending branch but b. reason is the value of a Reason
// header field (RFC 3326), empty for none.
func (f *fork) stopOthers(b *branch, reason string) {
	for _, other := range f.branches {
		if other != b {
			other.stop(reason)
		}
	}
}

// refuse ends the request with an answer of ours.
func (f *fork) refuse(r sipmsg.Reply) {
	if f.closed {
		return
	}
	f.closed = true
	f.release()
	f.p.refuse(f.s, r)
}

// release gives back what the fork holds outside itself.
func (f *fork) release() {
	if f.unwatch != nil {
		f.unwatch()
		f.unwatch = nil
	}
	for _, b := range f.branches {
		b.unpark("dropped")
	}
}

// Cancel implements transaction.User: the caller gave up. The CANCEL itself has
// been answered.
func (p *Proxy) Cancel(invite *transaction.Server, cancel *sipmsg.Message) {
	f := p.lane(invite.Queue()).forks[invite]
	if f == nil {
		// The Gate is still being asked; route will find the request answered.
		if !invite.Done() {
			p.refuse(invite, sipmsg.Reply{Code: 487})
		}
		return
	}
	if f.closed || f.cancelled {
		return
	}
	f.cancelled = true
	p.emit(invite.Message(), event.Call{Step: "cancelled", AOR: string(f.aor), Elapsed: time.Since(f.began)})
	// The Reason of the CANCEL tells the phones whether somebody else answered.
	reason, _ := cancel.Header(sipmsg.HdrReason)
	f.stopOthers(nil, reason)
	// Branches that were only parked are gone now, and the caller has its 487 at
	// once; the phones that were pushed wake for nothing.
	f.conclude()
}

// toRoute sends a request for a foreign domain to a configured next hop.
func (f *fork) toRoute(a Admission) {
	uri := f.s.Message().RequestURI()
	route, ok := f.p.routeFor(uri)
	switch {
	case !ok && f.p.ours(uri, f.s.Flow().Transport):
		f.refuse(sipmsg.Reply{Code: 404})
		return
	case !ok, a.User == "" && !a.Trusted:
		// No relay without right.
		f.refuse(sipmsg.Reply{Code: 403, Reason: "Relaying Not Allowed"})
		return
	}
	f.connect(route.Transport, route.NextHop)
}

// connect forwards to a fixed address, as soon as there is a flow to it.
func (f *fork) connect(t flow.Transport, hop netip.AddrPort) {
	b := &branch{fork: f}
	f.branches = append(f.branches, b)
	q := f.s.Queue()
	f.p.opts().Flows.Connect(t, hop, func(to flow.Flow, err error) {
		q.Post(func() {
			switch {
			case b.ended() || f.closed || f.cancelled:
			case err != nil:
				f.p.opts().Logger.Info("connect to next hop", "remote", hop.String(), "err", err)
				b.finish(final{code: 503, reason: "Next Hop Unreachable"})
			default:
				b.forward(to)
			}
			f.conclude()
		})
	})
}

func (p *Proxy) retryAfter() []sipmsg.HeaderField {
	return []sipmsg.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(max(1, int(p.opts().RetryAfter/time.Second)))}}
}
