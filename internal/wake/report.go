package wake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"reveille/internal/event"
	"reveille/push"
	"reveille/usrloc"
)

// A Report is what a push system of the operator's own says of a push after it took
// it. PushID names the push, or AOR the user, all of whose phones are meant unless
// Binding names one.
type Report struct {
	PushID  string
	AOR     usrloc.AOR
	Binding usrloc.BindingID
	Result  Result
	// Reason is the reporter's word, for events.
	Reason string
}

// Result is what became of a push.
type Result uint8

// The results.
const (
	// Delivered changes nothing: whether the phone wakes is another matter.
	Delivered Result = iota + 1
	// Gone: the token is dead.
	Gone
	// Failed: this push came to nothing.
	Failed
)

func (r Result) String() string {
	switch r {
	case Delivered:
		return "delivered"
	case Gone:
		return "gone"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// ErrUnknown says that no push under way and no phone is what a Report names.
var ErrUnknown = errors.New("wake: report about nothing that is known")

// Report takes the word of a push system, also of a push that it has not answered yet. A dead token is forgotten as if a push
// service had said so, unless the phone registered it again after the push. Requests
// that wait for a push that failed are told at once.
func (w *Waker) Report(ctx context.Context, r Report) error {
	now := time.Now()
	var about []*takenPush
	if r.PushID != "" {
		p := w.taken.find(r.PushID, now)
		if p == nil {
			return ErrUnknown
		}
		about = []*takenPush{p}
	} else {
		var err error
		if about, err = w.registered(ctx, r, now); err != nil {
			return err
		}
	}
	for _, p := range about {
		w.sink.Emit(event.PushReported{
			PushID: r.PushID, AOR: string(p.aor), Binding: usrloc.BindingID(p.request.Binding).String(), Result: r.Result.String(), Reason: r.Reason,
		})
		if w.taken.early(p, r) {
			continue // It counts when the push has been taken.
		}
		w.report(p, r, now) //nolint:contextcheck // A token that is dead is forgotten, whoever waits for that.
	}
	return nil
}

// registered returns the phones of a user as if each had just been pushed to.
func (w *Waker) registered(ctx context.Context, r Report, now time.Time) ([]*takenPush, error) {
	rec, err := w.store.Get(ctx, r.AOR)
	if err != nil {
		return nil, fmt.Errorf("report about %s: %w", r.AOR, err)
	}
	var about []*takenPush
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		if !r.Binding.IsZero() && b.ID != r.Binding {
			continue
		}
		params, tokens, err := push.Parse(b.Push.Provider, b.Push.Param, b.Push.PRID)
		if err != nil {
			continue // Nothing wakes it.
		}
		about = append(about, &takenPush{aor: r.AOR, at: now, request: &push.Request{Binding: b.ID, AOR: string(r.AOR), Params: params, Tokens: tokens}})
	}
	if len(about) == 0 {
		return nil, ErrUnknown
	}
	return about, nil
}

func (w *Waker) report(p *takenPush, r Report, now time.Time) {
	o := push.Outcome{Class: push.Rejected, Reason: "Reported", Err: fmt.Errorf("the push system reports: %s", r.Result)}
	switch r.Result {
	case Delivered:
		return
	case Gone:
		o.Class, o.GoneSince = push.Gone, p.at
		for _, t := range p.tokens() {
			token := tokenOf(p.request.Params, t.PRID)
			// From when on, not since now: the phone may have registered it again.
			w.dead.add(token, p.at)
			w.metrics.dropped.WithLabelValues(o.Class.String()).Inc()
			w.forget(p.aor, token, o)
		}
	case Failed:
	}
	// Requests that came together are one push: all that wait for it are told.
	for _, x := range w.taken.alike(p, now) {
		// Nor is it that of requests to come.
		w.dispatcher.Forget(x.request)
		if x.done != nil {
			x.done(o)
		}
	}
}

// maxTaken bounds the pushes of which a report is awaited, refreshes apart: some
// kilobytes each with what waits. Past it the oldest is forgotten, and a report about
// it is about nothing known.
const maxTaken = 1 << 14

// A takenPush is one that was taken, until its deadline.
type takenPush struct {
	aor     usrloc.AOR
	request *push.Request
	at      time.Time // when it was asked for
	// done tells what waits; nil: nothing does, as for a refresh.
	done func(push.Outcome)
	// early is what was reported before the push was known to be taken; nil: nothing.
	early *Report
}

// tokens are those that the push was for: of a device with two, the one that its
// kind uses. Without a kind it is about all.
func (p *takenPush) tokens() []push.Token {
	if p.request.Kind == 0 {
		return p.request.Tokens
	}
	if t, ok := p.request.Token(); ok {
		return []push.Token{t}
	}
	return nil
}

// alike reports whether p and x woke the same device.
func (p *takenPush) alike(x *takenPush) bool {
	if p.aor != x.aor || p.request.Params != x.request.Params {
		return false
	}
	for _, a := range p.tokens() {
		for _, b := range x.tokens() {
			if a.PRID == b.PRID {
				return true
			}
		}
	}
	return false
}

func (p *takenPush) over(now time.Time) bool { return p.request.Deadline.Before(now) }

// takenPushes are the latest pushes that were taken. The zero value is empty.
type takenPushes struct {
	mu sync.Mutex // guards the fields below, and early of those asked
	// asked are those of which it is not known yet whether they are taken, by their
	// identifiers. The dispatcher bounds them.
	asked map[string]*takenPush
	byID  map[string]*takenPush
	byAOR map[usrloc.AOR][]*takenPush
	// requests and refreshes are those of each kind, the oldest first. A refresh may be
	// awaited for hours, a request for seconds; and a request holds all that it waits
	// with, so that it must not stay behind a refresh.
	requests, refreshes []*takenPush
}

// ask adds a push that is about to be sent.
func (t *takenPushes) ask(p *takenPush) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked == nil {
		t.asked = make(map[string]*takenPush)
	}
	t.asked[p.request.PushID] = p
}

// early keeps a report until what was asked is answered; the last one counts. It
// returns false if that is so already.
func (t *takenPushes) early(p *takenPush, r Report) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked[p.request.PushID] != p {
		return false
	}
	p.early = &r
	return true
}

// answered is called when it is known whether p was taken. It returns what was
// reported before; nil: nothing that counts.
func (t *takenPushes) answered(p *takenPush, taken bool, now time.Time) *Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.asked, p.request.PushID)
	if !taken || p.over(now) {
		return nil
	}
	t.add(p, now)
	return p.early
}

// add adds p, and forgets what is over or too much. Call with mu held.
func (t *takenPushes) add(p *takenPush, now time.Time) {
	if t.byID == nil {
		t.byID, t.byAOR = make(map[string]*takenPush), make(map[usrloc.AOR][]*takenPush)
	}
	t.requests, t.refreshes = t.pruned(t.requests, now), t.pruned(t.refreshes, now)
	if p.request.Kind == push.Refresh {
		p.done = nil
		t.refreshes = append(t.refreshes, p)
	} else {
		t.requests = append(t.requests, p)
	}
	t.byID[p.request.PushID] = p
	t.byAOR[p.aor] = append(t.byAOR[p.aor], p)
}

// pruned is a queue without what is over, and with room for one more. Call with mu
// held.
func (t *takenPushes) pruned(queue []*takenPush, now time.Time) []*takenPush {
	n := 0
	for ; n < len(queue) && (queue[n].over(now) || len(queue)-n >= maxTaken); n++ {
		t.forget(queue[n])
		queue[n] = nil
	}
	return queue[n:]
}

// forget takes p out of the maps. Call with mu held.
func (t *takenPushes) forget(p *takenPush) {
	delete(t.byID, p.request.PushID)
	// Of one user there are few.
	left := slices.DeleteFunc(t.byAOR[p.aor], func(x *takenPush) bool { return x == p })
	if len(left) > 0 {
		t.byAOR[p.aor] = left
	} else {
		delete(t.byAOR, p.aor)
	}
}

// find returns the push with that identifier, nil if it is over or unknown.
func (t *takenPushes) find(id string, now time.Time) *takenPush {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byID[id]
	if p == nil {
		p = t.asked[id]
	}
	if p == nil || p.over(now) {
		return nil
	}
	return p
}

// alike returns the pushes that woke the same device as p, p too if it is one.
func (t *takenPushes) alike(p *takenPush, now time.Time) (list []*takenPush) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.byAOR[p.aor] {
		if !x.over(now) && p.alike(x) {
			list = append(list, x)
		}
	}
	return list
}

func (t *takenPushes) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.requests) + len(t.refreshes)
}
