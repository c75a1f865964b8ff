package timeline

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"reveille/internal/event"
)

// lateFor is for how long after its time a phone is still told of when it comes: who
// asks why it did not ring wants to hear that it took nine seconds in place of six. What
// comes after minutes came for another reason.
const lateFor = 2 * time.Minute

// registration takes what happened to a binding.
func (t *Timeline) registration(e *event.Registration) {
	now := time.Now()
	t.users.registration(e, now)
	switch e.Action {
	case "created", "updated", "refreshed":
		if e.Cause == causeRegister && t.awaited.count.Load() > 0 {
			t.registered(e.AOR, Arrival{Binding: e.Binding, Instance: e.Instance, Flow: e.Flow.String()}, now)
		}
	case "refused":
		t.refused(e.AOR, e.Instance, e.Status, e.Reason, e.Flow.String(), now)
	case "removed", "expired", "dormant":
		t.each(e.AOR, now, func(r *record) {
			if i := r.device(e.Binding); i >= 0 && r.Devices[i].Woke.IsZero() {
				r.add(now, step{kind: StepUnregister, device: int8(i), class: e.Action, reason: e.Cause, flow: event.Text(e.MovedTo)})
				if e.MovedTo != "" {
					r.Devices[i].Elsewhere = event.Text(e.MovedTo)
				}
			}
		})
	}
}

const causeRegister = "register"

// registered notes that a phone registered for which somebody waits, or did.
func (t *Timeline) registered(aor string, a Arrival, now time.Time) {
	t.each(aor, now, func(r *record) {
		for i := range r.Devices {
			d := &r.Devices[i]
			if d.AOR == aor && (d.Binding == a.Binding || sameInstance(d.Instance, a.Instance)) {
				r.registered(i, a, now)
			}
		}
	})
	if a.Instance == "" {
		return
	}
	// The same phone, for another user.
	t.each(instanceKey(a.Instance), now, func(r *record) {
		for i := range r.Devices {
			if d := &r.Devices[i]; d.AOR != aor && d.Elsewhere == "" && d.Woke.IsZero() && sameInstance(d.Instance, a.Instance) {
				d.Elsewhere = event.Text(aor)
				r.add(now, step{kind: StepElsewhere, device: int8(i), reason: d.Elsewhere, flow: a.Flow})
			}
		}
	})
}

// registered notes that a phone registered.
func (r *record) registered(i int, a Arrival, now time.Time) {
	d := &r.Devices[i]
	if !d.Woke.IsZero() || d.Class == NotSent {
		return
	}
	var took time.Duration
	if !d.Asked.IsZero() {
		took = now.Sub(d.Asked)
	}
	if r.State != StateEnded && !d.TimedOut {
		// Who watches for the phone of an earlier call tells it once more.
		told := func(s step) bool {
			return s.kind == StepRegister && s.device == int8(i) && s.status == 0 && s.flow == a.Flow
		}
		if slices.ContainsFunc(r.steps, told) {
			return
		}
		r.add(now, step{kind: StepRegister, device: int8(i), flow: a.Flow, took: took})
		return
	}
	d.Woke, d.WokeMS, d.Flow, d.Late = now.UTC(), milliseconds(took), a.Flow, true
	r.add(now, step{kind: StepLate, device: int8(i), flow: a.Flow, took: took})
	if !d.Asked.IsZero() {
		r.shard.hour.at(now).late++
		r.shard.t.metrics.late.Inc()
	}
}

// refused notes that a phone, or somebody with the name of its user, was not let
// register.
func (t *Timeline) refused(aor, instance string, status int, reason, from string, now time.Time) {
	t.each(aor, now, func(r *record) {
		if r.refusals >= maxRefused {
			return
		}
		for i := range r.Devices {
			d := &r.Devices[i]
			if d.AOR != aor || !d.Woke.IsZero() || instance != "" && d.Instance != "" && !sameInstance(d.Instance, instance) {
				continue
			}
			r.refusals++
			r.add(now, step{kind: StepRegister, device: int8(i), status: int16(status), reason: event.Text(reason), flow: from})
			return
		}
	})
}

// each changes the Records that wait for something of a key, or did lately.
func (t *Timeline) each(key string, now time.Time, change func(*record)) {
	for _, r := range t.awaited.of(key, now) {
		s := r.shard
		s.mu.Lock()
		if s.byNumber[r.number] == r {
			change(r)
			s.settle(r)
		}
		s.mu.Unlock()
	}
}

// sameInstance compares by RFC 5626 §4.1: URNs of UUIDs, whose case does not count.
func sameInstance(a, b string) bool { return a != "" && strings.EqualFold(a, b) }

// instanceKey is an instance as a key of awaited; no user has that name.
func instanceKey(instance string) string {
	if instance == "" {
		return ""
	}
	return "instance " + strings.ToLower(instance)
}

// awaited finds Records by whose phones they wait for, or did lately. A key is a user
// or an instance.
type awaited struct {
	count  atomic.Int64 // of all entries: mostly there are none
	shards [manyShards]struct {
		mu sync.Mutex // guards by
		by map[string][]awaiting
	}
}

// maxAwaiting bounds the Records of a key; the oldest is forgotten.
const maxAwaiting = 32

type awaiting struct {
	r     *record
	until time.Time
}

func newAwaited() *awaited {
	a := &awaited{}
	for i := range a.shards {
		a.shards[i].by = make(map[string][]awaiting)
	}
	return a
}

func (a *awaited) add(key string, r *record, until, now time.Time) {
	if key == "" {
		return
	}
	s := &a.shards[hashOf(key)%manyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	list, before := s.by[key], len(s.by[key])
	kept := list[:0]
	for _, w := range list {
		if w.r != r && w.until.After(now) {
			kept = append(kept, w)
		}
	}
	if len(kept) >= maxAwaiting {
		kept = append(kept[:0], kept[1:]...)
	}
	kept = append(kept, awaiting{r, until})
	clear(list[min(len(kept), len(list)):])
	s.by[key] = kept
	a.count.Add(int64(len(kept) - before))
}

func (a *awaited) remove(key string, r *record) {
	if key == "" {
		return
	}
	s := &a.shards[hashOf(key)%manyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.by[key]
	for i := range list {
		if list[i].r != r {
			continue
		}
		copy(list[i:], list[i+1:])
		list[len(list)-1] = awaiting{}
		list = list[:len(list)-1]
		a.count.Add(-1)
		break
	}
	if len(list) == 0 {
		delete(s.by, key)
	} else {
		s.by[key] = list
	}
}

// of returns the Records of a key.
func (a *awaited) of(key string, now time.Time) (rs []*record) {
	if key == "" || a.count.Load() == 0 {
		return nil
	}
	s := &a.shards[hashOf(key)%manyShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.by[key] {
		if w.until.After(now) {
			rs = append(rs, w.r)
		}
	}
	return rs
}

// maxWatches bounds the users who are looked after at once.
const maxWatches = 1024

// watches are those whose phones may come late.
type watches struct {
	watch func(aor string, until time.Time, registered func(Arrival)) (cancel func(), err error)

	mu     sync.Mutex // guards by; taken for requests that ended in vain alone
	by     map[string]time.Time
	pruned time.Time
}

// add looks whether the phones of a user come late. Without any lock held.
func (w *watches) add(t *Timeline, aor string, now time.Time) {
	if w.watch == nil || aor == "" || !w.enter(aor, now) {
		return
	}
	until := now.Add(lateFor)
	// Until then there is nothing to give back, and more calls may end in vain.
	if _, err := w.watch(aor, until, func(a Arrival) { t.registered(aor, a, time.Now()) }); err != nil {
		w.mu.Lock()
		delete(w.by, aor)
		w.mu.Unlock()
	}
}

// enter reports whether a user is to be watched, who is not yet.
func (w *watches) enter(aor string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = make(map[string]time.Time)
	}
	if w.by[aor].After(now.Add(lateFor / 2)) {
		return false
	}
	if len(w.by) >= maxWatches/2 && now.Sub(w.pruned) > time.Second {
		w.pruned = now
		for other, until := range w.by {
			if !until.After(now) {
				delete(w.by, other)
			}
		}
	}
	if len(w.by) >= maxWatches {
		return false
	}
	w.by[aor] = now.Add(lateFor)
	return true
}
