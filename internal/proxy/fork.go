package proxy

import (
	"context"
	"slices"
	"strconv"
	"time"

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
	// claim is what is known of the sender; stranger: nobody vouches for it.
	claim claim
	// method is that of the request.
	method   string
	stranger bool
	inDialog bool
	// sips: it leaves on secure flows alone.
	sips bool
	// gruu: the Request-URI is a GRUU of ours.
	gruu bool
	// one: the request is for one phone that a dialog knows, and device names it.
	one bool
	// joins: devices of the user that register meanwhile are tried too.
	joins bool
	// closed: a final answer went upstream.
	closed bool
	// over: the request has been answered, declined or cancelled; no branch is
	// added, woken or sent anew.
	over bool
	// cancelled: the caller gave up.
	cancelled bool
	// anew: it went to the peer of a dialog by a new connection, see lane.reached.
	anew     bool
	ringback ringback
	device   usrloc.BindingID
	// caller is the binding of the caller's phone, for the Record-Route token; zero:
	// the flow on which the request came is all that is known of it.
	caller usrloc.BindingID

	// aor is the user who is called; empty for a next hop. It may be other users
	// whose devices are tried.
	aor      usrloc.AOR
	branches []*branch
	// breadth is what is left of the request's Max-Breadth; the branches that have not
	// ended have the rest (RFC 5393 §5.3.3).
	breadth int
	// rest are the targets that are tried when all branches have failed.
	rest []target
	// fallbacks are where the call goes when nobody of the user takes it; nil: nowhere,
	// or it has gone there, of which diversion tells. total runs while phones ring.
	fallbacks []Fallback
	diversion *diversion
	total     *transaction.Timer
	best      final
	// refusals are the 401 and 407 answers, whose challenges are aggregated.
	refusals []*sipmsg.Message
	unwatch  []func()
	// keep is what a MESSAGE has that may be kept; nil: it may not.
	keep *keep
	// life runs until the caller has no use for an answer any more; nil: it did not say.
	life *transaction.Timer
	tale tale
	// why is the Reason of the CANCELs, if they have one.
	why []sipmsg.HeaderField
}

func (p *Proxy) newFork(s *transaction.Server, g passage, realm string) *fork {
	f := &fork{
		p: p, s: s, lane: p.lane(s.Queue()), passage: g, began: time.Now(), realm: realm,
		method: s.Message().Method(), claim: claim{trusted: p.trusts(s.Flow())},
		breadth: breadthOf(s.Message()), sips: g.sips(s.Message()),
	}
	f.lane.forks[s] = f
	f.limitLife()
	s.OnEnd(func() {
		delete(f.lane.forks, s)
		if f.anew {
			delete(f.lane.reached, exchangeOf(s.Message()))
		}
		defer f.endMedia()
		switch {
		case f.closed && f.pending() && f.leaveRinging():
			// Whoever answers now is not heard any more (RFC 6026 §7.1).
			f.stopOthers(nil, reasonFor(200))
		case !f.closed:
			// The sender of a request that is no INVITE has stopped waiting, or a
			// handler broke down.
			f.closed, f.over = true, true
			f.emitFound(event.Call{Step: "failed", AOR: string(f.aor), Flow: f.s.Flow(), Reason: "Nobody Waits For An Answer", Elapsed: time.Since(f.began)})
			f.stopOthers(nil)
			f.release()
		}
	})
	return f
}

func (f *fork) invite() bool { return f.method == "INVITE" }

func (f *fork) raceDelay() time.Duration {
	if f.invite() {
		return f.p.opts().RaceDelay
	}
	return f.p.opts().RaceDelayOther
}

// start begins a branch for each target. No answer leaves before all have begun:
// a branch that fails at once must not end the request for the others.
func (f *fork) start(set []target) {
	first := len(f.branches)
	for _, t := range f.fit(set) {
		f.branches = append(f.branches, &branch{fork: f, target: t, diversion: f.diversion})
	}
	f.allot(f.branches[first:])
	for _, b := range f.branches[first:] {
		b.start()
	}
	f.conclude()
}

// watchLimit ends a watch that was left behind; a fork ends its own.
const watchLimit = time.Hour

// watch reads the location service and follows it until release. "Cannot say" is
// an error, not "not registered".
func (f *fork) watch(aor usrloc.AOR) (usrloc.Record, error) {
	q := f.s.Queue()
	until := time.Now().Add(watchLimit)
	rec, cancel, err := f.p.opts().Store.Watch(context.Background(), aor, until, func(c usrloc.Change) {
		tell := func() { f.changed(c) }
		if c.New == nil || c.Cause != usrloc.CauseRegister {
			q.Post(tell)
			return
		}
		// By way of the REGISTER's own queue, behind its 200: a phone should hear
		// that it is registered before it hears what waited for that.
		register := q.Other(c.New.CallID)
		register.Post(func() { f.p.lane(register).inTurn(register, aor, turn{q, tell}) })
	})
	if err != nil {
		f.p.opts().Logger.Warn("look up", "aor", string(aor), "err", err)
		return usrloc.Record{}, err
	}
	f.unwatch = append(f.unwatch, cancel)
	return rec, nil
}

// noLookup is the answer while the location service cannot say. Inside a dialog
// it is a 500, for a 503 would take the whole server out of use.
func (f *fork) noLookup() sipmsg.Reply {
	code := 503
	if f.inDialog {
		code = 500
	}
	return sipmsg.Reply{Code: code, Headers: f.p.retryAfter()}
}

// changed takes a change of the user's bindings to the branch of that device.
// Nobody else is released by it.
func (f *fork) changed(c usrloc.Change) {
	if f.over {
		return
	}
	for _, b := range f.branches {
		switch {
		case b.target.aor != c.AOR:
			// Another user's registration releases nothing, though the phone be one.
			continue
		case c.New == nil && b.target.binding.ID == c.Old.ID:
			b.gone()
		case c.New == nil:
			b.target.follow(c)
			continue
		case !b.is(c.New) || b.ended() && b.client == nil:
			continue
		case c.Cause == usrloc.CauseRegister || c.Cause == usrloc.CauseOtherNode:
			b.registered(c.New)
			b.target.follow(c)
		default:
			// The record changed, but the phone did not speak.
			b.target.follow(c)
			if b.target.binding.Push.IsZero() {
				b.tokenLost()
			}
		}
		f.conclude()
		return
	}
	if f.changedLater(c) || c.Kind != usrloc.Created || !f.joins || !f.pending() || f.calls(c.New) {
		return
	}
	if len(f.branches)+len(f.rest) < f.p.opts().MaxForks {
		f.join(c.AOR, c.New)
	}
}

// calls reports whether the device of n was called already, or will be in its
// turn, maybe as another user's.
func (f *fork) calls(n *usrloc.Binding) bool {
	called := func(b *branch) bool { return b.is(n) && (!b.ended() || b.client != nil) }
	return slices.ContainsFunc(f.branches, called) ||
		slices.ContainsFunc(f.rest, func(t target) bool { return sameDevice(t.binding, n) })
}

// changedLater takes a change to a device whose turn has not come, if it is one.
func (f *fork) changedLater(c usrloc.Change) bool {
	for i := range f.rest {
		t := &f.rest[i]
		switch {
		case t.aor != c.AOR || c.New != nil && !sameDevice(t.binding, c.New):
		case c.New != nil || t.binding.ID != c.Old.ID:
			t.follow(c)
			if c.New != nil {
				return true
			}
		case len(t.spare) > 0:
			// The phone has another flow.
			t.binding, t.spare = t.spare[0], t.spare[1:]
			return true
		default:
			f.rest = slices.Delete(f.rest, i, i+1)
			return true
		}
	}
	return false
}

// join adds a device that has just registered, at once or in its turn.
func (f *fork) join(aor usrloc.AOR, n *usrloc.Binding) {
	wishes := preferencesOf(f.s.Message())
	qa, wanted := wishes.judge(sipmsg.Params(n.Params))
	if !wanted {
		return
	}
	o := f.choice(f.aor)
	v := f.look(f.p.view(f.method, time.Now()))
	rec := f.p.opts().of(aor).pick(usrloc.Record{AOR: aor, Bindings: []usrloc.Binding{*n}}, v, &lookup{})
	set := targets(rec, v)
	for i := range set {
		// It registered this moment: it is awake on that flow.
		set[i].reach, set[i].wanted = forward, qa
	}
	if o.Fork == Parallel {
		f.start(set)
		return
	}
	f.rest = o.order(append(f.rest, set...))
	for _, b := range f.branches {
		b.limitRing()
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
	if b != nil && b.diversion != nil && end.code >= 400 && end.code < 600 {
		// RFC 3261 §16.7 step 6 lets us choose. That the fallback has failed, or wants to
		// be convinced, says nothing of the user whom the caller called.
		return
	}
	if end.better(f.best) {
		f.best = end
	}
	if end.message != nil && (end.code == 401 || end.code == 407) {
		f.refusals = append(f.refusals, end.message)
	}
	// RFC 3261 §16.7 step 5: a 6xx ends the search everywhere.
	if end.code >= 600 && !f.over {
		f.over = true
		f.stopOthers(b, reasonFor(end.code))
	}
}

// conclude sends the best answer upstream once no branch is pending.
func (f *fork) conclude() {
	switch {
	case f.pending():
		f.keepIfAllSleep()
		f.endRinging()
	case f.closed:
		f.release()
	case len(f.rest) > 0 && !f.over:
		f.next()
	case f.cancelled && f.best.code < 600:
		// RFC 3261 §9.2: the caller gave up, whatever the branches made of it.
		f.refuse(sipmsg.Reply{Code: 487})
	case f.fallBack():
		// Somebody else is asked.
	case f.keepIt():
		// The answer comes when it is safe.
	default:
		f.sendFinal(f.best)
	}
}

// stopOthers gives up every pending branch but b. headers, such as Reason (RFC
// 3326), go into the CANCELs.
func (f *fork) stopOthers(b *branch, headers ...sipmsg.HeaderField) {
	f.why = headers
	for _, other := range f.branches {
		if other != b {
			other.stop(headers...)
		}
	}
}

// refuse ends the request with an answer of ours. No branch is pending.
func (f *fork) refuse(r sipmsg.Reply) {
	if f.closed {
		return
	}
	f.closed, f.over = true, true
	f.release()
	f.p.metrics.answered(f.method, r.Code)
	f.emitFound(event.Call{Step: "failed", AOR: string(f.aor), Flow: f.s.Flow(), Status: r.Code, Reason: r.Reason, Elapsed: time.Since(f.began)})
	f.reply(r)
}

// reply sends a final answer of ours. To a stranger for whom nothing was begun it
// is that of Proxy.reject: an answer that comes again and again (RFC 3261 §17.2.1,
// Timer G) would be worth while to somebody who sends INVITEs in the name of
// others.
func (f *fork) reply(r sipmsg.Reply) {
	begun := func(b *branch) bool { return b.target.reach != unreachable }
	if f.stranger && !slices.ContainsFunc(f.branches, begun) {
		f.s.Refuse(r)
		return
	}
	f.s.Reply(r)
}

// release gives back what the fork holds outside itself. The request has been
// answered.
func (f *fork) release() {
	for _, cancel := range f.unwatch {
		cancel()
	}
	f.unwatch = nil
	f.life.Stop()
	f.total.Stop()
	if f.keep != nil {
		f.keep.timer.Stop()
	}
	for _, b := range f.branches {
		f.part(b)
	}
}

// Cancel implements transaction.User: the caller gave up. The CANCEL itself has
// been answered.
func (p *Proxy) Cancel(invite *transaction.Server, cancel *sipmsg.Message) {
	f := p.lane(invite.Queue()).forks[invite]
	if f == nil {
		// The Gate is still being asked; route will find the request answered.
		if !invite.Done() {
			r := sipmsg.Reply{Code: 487}
			p.refused(invite, r)
			invite.Reply(r)
		}
		return
	}
	if f.closed || f.cancelled {
		return
	}
	f.cancelled, f.over = true, true
	f.emit(event.Call{Step: "cancelled", AOR: string(f.aor), Elapsed: time.Since(f.began)})
	// The Reason of the CANCEL tells the phones whether somebody else answered.
	var reasons []sipmsg.HeaderField
	for h := range cancel.Headers() {
		if h.ID == sipmsg.HdrReason {
			reasons = append(reasons, sipmsg.HeaderField{Name: "Reason", Value: h.Value})
		}
	}
	f.stopOthers(nil, reasons...)
	// Branches that were only parked are gone now, and the caller has its 487 at
	// once; the phones that were pushed wake for nothing.
	f.conclude()
}

func (p *Proxy) retryAfter() []sipmsg.HeaderField {
	return []sipmsg.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(max(1, int(p.opts().RetryAfter/time.Second)))}}
}
