package timeline

import (
	"hash/maphash"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/event"
)

// Defaults of Options.
const (
	DefaultKeep     = 10000
	DefaultMaxBytes = 32 << 20
)

// Options of a Timeline. All may be left out.
type Options struct {
	// Keep bounds the Records of requests that met a sleeping phone. Of others that
	// failed a quarter as many are kept, and a sixteenth of those for nobody here, or
	// refused before anybody looked for a phone, so that scanners push out nothing but
	// what they wrote themselves.
	Keep int
	// MaxBytes bounds the memory of all of them together, about.
	MaxBytes int64
	// Watch has registered called for each REGISTER of a user until then. The Timeline
	// asks for it when a phone was waited for in vain: that a phone did nothing but
	// refresh its registration is in no event. cancel may be called more than once.
	// Nil: such phones are not known to have come.
	Watch func(aor string, until time.Time, registered func(Arrival)) (cancel func(), err error)
	// Registerer of the metrics, or nil for none.
	Registerer prometheus.Registerer
}

// An Arrival is a REGISTER that Options.Watch tells of.
type Arrival struct {
	Binding, Instance, Flow string
}

// A Timeline is an event.Sink. It is safe for concurrent use.
//
// What it keeps is divided by Call-ID, so that calls do not wait for each other; and by
// user, for questions about one. A user's part is locked after a call's, never before.
type Timeline struct {
	seed    maphash.Seed
	shards  []*shard
	users   *users
	awaited *awaited
	watches watches
	metrics *metrics
	// ended are requests for Explain.
	ended chan justEnded
}

var _ event.Hearer = (*Timeline)(nil)

// manyShards is for a Timeline of some size; of a small one the bounds should be exact.
const (
	manyShards = 16
	smallKeep  = 1024
)

// New returns a Timeline.
func New(o Options) *Timeline {
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	n := manyShards
	if o.Keep < smallKeep {
		n = 1
	}
	t := &Timeline{seed: maphash.MakeSeed(), users: newUsers(), awaited: newAwaited(), watches: watches{watch: o.Watch}, ended: make(chan justEnded, maxUnexplained)}
	t.metrics = newMetrics(o.Registerer, t)
	for range n {
		t.shards = append(t.shards, newShard(t, o.Keep/n, o.MaxBytes/int64(n)))
	}
	return t
}

func (t *Timeline) shard(callID string) *shard {
	return t.shards[maphash.String(t.seed, callID)%uint64(len(t.shards))]
}

// Emit implements event.Sink. Of a request that met no sleeping phone it costs a look at
// a flag, unless it failed.
func (t *Timeline) Emit(e event.Event) {
	switch e := e.(type) {
	case event.Call:
		if e.Asleep || e.Step == "failed" || e.Step == "refused" {
			t.call(&e)
		}
	case event.PushRequested:
		if e.Request != 0 {
			t.about(e.CallID, e.Request, func(r *record, now time.Time) { r.requested(&e, now) })
		}
	case event.PushOutcome:
		if e.Request != 0 {
			t.about(e.CallID, e.Request, func(r *record, now time.Time) { r.outcome(&e, now) })
		}
	case event.PushReported:
		t.reported(&e)
	case event.Registration:
		t.registration(&e)
	case event.AuthFailed:
		if e.Method == "REGISTER" && e.User != "" {
			t.refused("sip:"+e.User+"@"+e.Realm, "", 401, e.Reason, e.Flow.String(), time.Now())
		}
	}
}

// Hears implements event.Hearer: that a phone did nothing but refresh its registration is
// of interest for a while after it was waited for in vain, for which there is
// Options.Watch.
func (t *Timeline) Hears(e event.Event) bool {
	r, ok := e.(event.Registration)
	return !ok || r.Action != "refreshed"
}

// call takes a step of a request.
func (t *Timeline) call(e *event.Call) {
	now := time.Now()
	s := t.shard(e.CallID)
	s.mu.Lock()
	r := s.byNumber[e.Request]
	var crowded *record
	if r == nil {
		if !begins(e) {
			s.mu.Unlock()
			return // Its Record had to make room.
		}
		r, crowded = s.begin(e, now)
	}
	r.take(e, now)
	s.settle(r)
	vain, over := r.inVain(), r.over()
	s.mu.Unlock()
	if over {
		t.explainLater(e, now)
	}
	if crowded != nil {
		// Another shard's, maybe: nobody gets two of them at once.
		t.forget(crowded)
	}
	for _, aor := range vain {
		t.watches.add(t, aor, now)
	}
}

// begins reports whether a Record begins with e, if there is none.
func begins(e *event.Call) bool {
	switch e.Step {
	case "received", "parked", "silent", "failed", "refused":
		return true
	case "branch_ended":
		return e.Sleeper != nil && e.Sleeper.Lacks != ""
	}
	return false
}

// about changes the Record of a request, if there is one.
func (t *Timeline) about(callID string, number uint64, change func(*record, time.Time)) {
	now := time.Now()
	s := t.shard(callID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.byNumber[number]; r != nil {
		change(r, now)
		s.settle(r)
	}
}

// forget takes a Record out that is too many of its user.
func (t *Timeline) forget(r *record) {
	s := t.shard(r.CallID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byNumber[r.number] == r {
		s.remove(r)
	}
}
