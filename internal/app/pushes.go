package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/wake"
	"reveille/push"
	"reveille/push/explain"
	"reveille/usrloc"
)

// testWait is how long a push that an operator asks for may take.
const testWait = 20 * time.Second

// pushTools are what operators try pushes with.
func (a *App) pushTools() *admin.Pushes {
	return &admin.Pushes{Test: a.testPush, Wake: a.wakePhones, Lanes: func() []admin.Lane { return lanesOf(a.pushes.Health(), time.Now()) }}
}

// TestPush sends one push to a token with the credentials of a configuration, of
// which no server need be running.
func TestPush(ctx context.Context, cfg *configs.Config, t admin.PushTest) (r admin.PushResult, err error) {
	if err := t.Check(); err != nil {
		return r, err
	}
	s, err := newSenders(ctx, cfg.Push, nil)
	if err != nil {
		return r, err
	}
	d, err := push.NewDispatcher(push.Options{Apps: s.apps()})
	if err != nil {
		return r, errors.Join(err, s.close())
	}
	r, err = pushToToken(ctx, d, t)
	return r, errors.Join(err, d.Close(ctx))
}

// testPush implements admin.Pushes.Test.
func (a *App) testPush(ctx context.Context, t admin.PushTest) ([]admin.PushResult, error) {
	if t.AOR == "" {
		r, err := pushToToken(ctx, a.pushes, t)
		return []admin.PushResult{r}, err
	}
	aor, err := aorOf(a.gate.rules.Load().hosts, t.AOR)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.AOR, err)
	}
	rec, err := a.store.Get(ctx, aor)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", aor, err)
	}
	trials, err := a.tryAll(&rec, t.Kind, timeUntil(t.Seconds, testWait)) //nolint:contextcheck // A dead token is forgotten, whoever waits.
	if err != nil {
		return nil, err
	}
	results := make([]admin.PushResult, len(trials))
	for i, x := range trials {
		if results[i], err = x.wait(ctx); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// timeUntil is the deadline of what may take so many seconds, or usual.
func timeUntil(seconds int, usual time.Duration) time.Time {
	if seconds > 0 {
		usual = time.Duration(seconds) * time.Second
	}
	return time.Now().Add(usual)
}

// A trial is a push under way.
type trial struct {
	binding usrloc.Binding
	result  admin.PushResult
	began   time.Time
	ended   chan ending // has room for one; nil: nothing was sent
	cancel  func()
}

// An ending is how a push ended.
type ending struct {
	push.Outcome
	took time.Duration
}

// tryAll pushes to all phones of a user that have push data, also to those whose
// token is known to be dead, for which the result says so.
func (a *App) tryAll(rec *usrloc.Record, kind string, deadline time.Time) ([]*trial, error) {
	k, err := admin.ParseKind(kind)
	if err != nil {
		return nil, err
	}
	var trials []*trial
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		if b.Push.Provider == "" || b.Expired(time.Now()) {
			continue
		}
		x := newTrial(k, b.Push.Provider, b.Push.Param)
		x.binding = *b
		x.result.AOR, x.result.Binding, x.result.UserAgent = string(rec.AOR), b.ID.String(), b.UserAgent
		var id string
		id, x.cancel, err = a.waker.Wake(rec.AOR, b, wake.Cause{Kind: k, Method: methodOf(k), CallID: rand.Text() + "@test.invalid", Deadline: deadline}, x.end)
		x.submitted(id, err)
		trials = append(trials, x)
	}
	if len(trials) == 0 {
		return nil, fmt.Errorf("%s: %w", rec.AOR, admin.ErrNoPhone)
	}
	return trials, nil
}

// pushToToken sends the push of a test that names a token.
func pushToToken(ctx context.Context, d wake.Dispatcher, t admin.PushTest) (admin.PushResult, error) {
	k, err := admin.ParseKind(t.Kind)
	if err != nil {
		return admin.PushResult{}, err
	}
	params, tokens, err := push.Parse(t.Provider, t.Param, t.PRID)
	if err != nil {
		return admin.PushResult{}, err
	}
	x := newTrial(k, params.Provider, params.Param)
	r := &push.Request{
		Params: params, Tokens: tokens, Kind: k, Method: methodOf(k), CallID: rand.Text() + "@test.invalid", PushID: rand.Text(),
		Deadline: timeUntil(t.Seconds, testWait),
	}
	x.cancel, err = d.Submit(r, x.end)
	x.submitted(r.PushID, err)
	return x.wait(ctx)
}

// methodOf is the method of the request that a push of a kind would be for.
func methodOf(k push.Kind) string {
	switch k {
	case push.Call:
		return "INVITE"
	case push.Message:
		return "MESSAGE"
	case push.MidDialog, push.Refresh, push.Cancel:
	}
	return ""
}

func newTrial(k push.Kind, provider, param string) *trial {
	return &trial{
		began: time.Now(), ended: make(chan ending, 1),
		result: admin.PushResult{Provider: provider, Param: param, Kind: k.String()},
	}
}

// end is called when the push has ended, and once more if a push system reports
// about it, who is not to wait until the first is read.
func (x *trial) end(o push.Outcome) {
	select {
	case x.ended <- ending{o, time.Since(x.began)}:
	default:
	}
}

// submitted notes whether the push is under way.
func (x *trial) submitted(id string, err error) {
	if err == nil {
		x.result.PushID = id
		return
	}
	x.ended = nil
	r := &x.result
	r.Class, r.Reason, r.Cause = admin.NotSent, wake.NotSent(err), err.Error()
	words := explain.Outcome(r.Provider, push.Outcome{Class: push.Shed, Reason: r.Reason})
	r.Said, r.Do = words.Said, words.Do
}

// wait returns the result when there is one.
func (x *trial) wait(ctx context.Context) (admin.PushResult, error) {
	if x.ended == nil {
		return x.result, nil
	}
	var e ending
	select {
	case e = <-x.ended:
	case <-ctx.Done():
		x.cancel()
		return admin.PushResult{}, ctx.Err()
	}
	r := &x.result
	r.Class, r.Reason, r.Status, r.Attempts = e.Class.String(), e.Reason, e.Status, e.Attempts
	r.ElapsedMS, r.RetryAfterMS, r.ID = e.took.Milliseconds(), e.RetryAfter.Milliseconds(), e.ID
	if e.Outcome.PushID != "" {
		// Another push of the same wake was under way.
		r.PushID = e.Outcome.PushID
	}
	if e.Err != nil && e.Status == 0 {
		r.Cause = e.Err.Error()
	}
	words := explain.Outcome(r.Provider, e.Outcome)
	r.Said, r.Do = words.Said, words.Do
	return *r, nil
}

// lanesOf are the queues to the push services as operators see them.
func lanesOf(hs []push.LaneHealth, now time.Time) []admin.Lane {
	lanes := make([]admin.Lane, 0, len(hs))
	for _, h := range hs {
		l := admin.Lane{
			App: h.App, Provider: h.Provider, Part: h.Part, Queued: h.Queued, InFlight: h.InFlight, Limit: h.Limit,
			LastOK: h.LastOK, LastFailure: h.LastFailure, LastReason: h.LastReason, Failures: h.Failures,
		}
		if h.PausedUntil.After(now) {
			l.PausedUntil, l.PausedFor = h.PausedUntil, h.PausedFor.String()
		}
		if h.LastFailure.After(h.LastOK) && (l.PausedFor != "" || explain.Known(h.Provider, h.LastReason)) {
			words := explain.Outcome(h.Provider, push.Outcome{Class: h.PausedFor, Reason: h.LastReason, Attempts: 1})
			l.Said, l.Do = words.Said, words.Do
		}
		lanes = append(lanes, l)
	}
	return lanes
}
