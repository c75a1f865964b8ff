package proxy

import (
	"time"

	"reveille/internal/event"
)

// A tale is what the events of a request say besides what happened. A request that
// meets no phone that has to be woken costs no more for it than the fields.
type tale struct {
	subject subject
	// number is the request's, 0 until its first event.
	number uint64
	// asleep: it has met a phone that has to be woken, or cannot be.
	asleep bool
	// lookup is what the look-up of its phones came to, phones how many there were.
	lookup finding
	phones int
}

// named: the request names one phone, by its dialog or a GRUU.
const named finding = "binding"

// firstRequest is the number of the first request of a server that was started at
// that time: greater than those of the servers before it, however fast they were.
func firstRequest(started time.Time) uint64 { return uint64(started.UnixMilli()) << 12 }

// emit is that of Proxy for the request of a fork, which has several to tell.
func (f *fork) emit(e event.Call) {
	t := &f.tale
	if t.number == 0 {
		t.subject, t.number = subjectOf(f.s.Message()), f.p.requests.Add(1)
	}
	e.Request, e.Asleep = t.number, t.asleep
	f.p.emitOf(t.subject, e)
}

// emitFound is emit for what says what was looked up, too.
func (f *fork) emitFound(e event.Call) {
	e.Lookup, e.Phones = string(f.tale.lookup), f.tale.phones
	f.emit(e)
}

// request is the number of the fork's request, for who speaks of it elsewhere. An event
// has told of it.
func (f *fork) request() uint64 { return f.tale.number }

// sleeper is the phone of b, for events.
func (b *branch) sleeper() *event.Sleeper {
	has := b.target.binding
	return &event.Sleeper{
		Instance: has.Instance, Provider: has.Push.Provider, Param: has.Push.Param, UserAgent: has.UserAgent, Deadline: b.wait.until,
	}
}

// tellEnd tells how a branch ended of a request that has met a sleeping phone: who asks
// why a phone did not ring wants to know what each of them said.
func (b *branch) tellEnd(end final) {
	f := b.fork
	if b.target.aor == "" || !f.tale.asleep && b.target.reach != unreachable {
		return
	}
	e := event.Call{
		Step: "branch_ended", AOR: string(b.user()), Binding: b.id(), PushID: b.wait.pushID, Status: end.code, Reason: end.text(),
		Phone: end.message != nil, Elapsed: time.Since(f.began),
	}
	e.Sleeper = b.sleeper()
	if b.target.reach == unreachable {
		f.tale.asleep = true
		e.Sleeper.Lacks = f.p.opts().Waker.Lacks(b.target.binding)
	}
	f.emitFound(e)
}
