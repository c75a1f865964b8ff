package wake

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/event"
	"reveille/push"
	"reveille/usrloc"
)

const (
	alice  = usrloc.AOR("sip:alice@example.com")
	secret = "secret-token"
)

// A rig is a Waker on a location service in memory, with a dispatcher that does
// what the test says.
type rig struct {
	t        *testing.T
	store    *usrloc.Memory
	waker    *Waker
	log      bytes.Buffer
	events   []event.Event
	requests []*push.Request
	done     []func(push.Outcome)
	// forgotten are the pushes that answer for no other any more.
	forgotten []string
	refuse    error
	cannot    bool
	sentAs    string // the push that those to come join
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, store: usrloc.NewMemory(usrloc.MemoryOptions{})}
	r.waker = New(Options{Dispatcher: r, Store: r.store, Sink: r, Logger: slog.New(slog.NewTextHandler(&r.log, nil))})
	return r
}

func (r *rig) Supports(push.Params) bool { return !r.cannot }

func (r *rig) Submit(q *push.Request, done func(push.Outcome)) (func(), error) {
	if r.refuse != nil {
		return nil, r.refuse
	}
	q.SentAs = r.sentAs
	r.requests, r.done = append(r.requests, q), append(r.done, done)
	return func() {}, nil
}

func (r *rig) Forget(q *push.Request) { r.forgotten = append(r.forgotten, q.PushID) }

func (r *rig) Emit(e event.Event) { r.events = append(r.events, e) }

// bind registers devices with these tokens at the time at.
func (r *rig) bind(at time.Time, pushes ...usrloc.Push) []usrloc.Binding {
	r.t.Helper()
	r.store.Update(context.Background(), alice, func(rec usrloc.Record) (usrloc.Record, error) {
		for i, p := range pushes {
			id, err := usrloc.NewBindingID(alice, rand.Reader)
			if err != nil {
				return rec, err
			}
			rec.Bindings = append(slices.Clip(rec.Bindings), usrloc.Binding{
				ID: id, Contact: fmt.Sprintf("sip:alice@192.0.2.%d;pn-prid=%s", i, p.PRID), Created: at, Updated: at,
				Expires: at.Add(time.Hour), RetainUntil: at.Add(time.Hour), RefreshAt: at.Add(50 * time.Minute), Push: p,
			})
		}
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			r.t.Fatal(err)
		}
	})
	return r.bindings()
}

func (r *rig) bindings() []usrloc.Binding {
	r.t.Helper()
	rec, err := r.store.Get(context.Background(), alice)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec.Bindings
}

// wake asks for b and reports the outcome.
func (r *rig) wake(b *usrloc.Binding, o push.Outcome) {
	r.t.Helper()
	told := 0
	if _, _, err := r.waker.Wake(alice, b, Cause{Kind: push.Call, Method: "INVITE", CallID: "c1"}, func(push.Outcome) { told++ }); err != nil {
		r.t.Fatal(err)
	}
	r.done[len(r.done)-1](o)
	if told != 1 {
		r.t.Errorf("done ran %d times, want once", told)
	}
}

func fcm(prid string) usrloc.Push {
	return usrloc.Push{Provider: "fcm", Param: "project", PRID: prid}
}

var gone = push.Outcome{Class: push.Gone, Reason: "Unregistered", Status: 410}

func TestWake_RequestAndEvents(t *testing.T) {
	r := newRig(t)
	b := r.bind(time.Now(), fcm(secret))[0]
	deadline := time.Now().Add(25 * time.Second)
	var got push.Outcome
	id, cancel, err := r.waker.Wake(alice, &b, Cause{Kind: push.Call, Method: "INVITE", CallID: "c1", Deadline: deadline}, func(o push.Outcome) { got = o })
	if err != nil || id == "" || cancel == nil {
		t.Fatalf("Wake = %q, %v", id, err)
	}
	want := &push.Request{
		Binding: b.ID, AOR: string(alice), Params: push.Params{Provider: "fcm", Param: "project"}, Tokens: []push.Token{{PRID: secret}},
		Kind: push.Call, Method: "INVITE", CallID: "c1", PushID: id, Deadline: deadline, BoundAt: b.Updated,
	}
	if d := cmp.Diff(want, r.requests[0]); d != "" {
		t.Errorf("request (-want +got):\n%s", d)
	}
	r.done[0](push.Outcome{Class: push.OK, Status: 200, Attempts: 2})
	if got.Class != push.OK || got.Attempts != 2 {
		t.Errorf("outcome = %+v", got)
	}
	requested, ok := r.events[0].(event.PushRequested)
	if !ok || requested.PushID != id || requested.AOR != string(alice) || requested.Binding != b.ID.String() || requested.PushKind != "call" || requested.CallID != "c1" {
		t.Errorf("event = %+v", r.events[0])
	}
	outcome, ok := r.events[1].(event.PushOutcome)
	if !ok || outcome.PushID != id || outcome.Class != "ok" || outcome.Attempts != 2 || outcome.Status != 200 {
		t.Errorf("event = %+v", r.events[1])
	}
	if len(r.events) != 2 {
		t.Errorf("%d events, want 2", len(r.events))
	}
}

// What was one wake is one push: events tell which identifier the app has.
func TestWake_EventNamesThePushThatWasSent(t *testing.T) {
	r := newRig(t)
	b := r.bind(time.Now(), fcm(secret))[0]
	for _, other := range []bool{false, true} {
		id, _, err := r.waker.Wake(alice, &b, Cause{Kind: push.Call}, func(push.Outcome) {})
		if err != nil {
			t.Fatal(err)
		}
		sent, want := id, ""
		if other {
			sent, want = "of-another", "of-another"
		}
		r.done[len(r.done)-1](push.Outcome{Class: push.OK, PushID: sent})
		if o := r.events[len(r.events)-1].(event.PushOutcome); o.PushID != id || o.SentAs != want {
			t.Errorf("event names %q, sent as %q; want %q and %q", o.PushID, o.SentAs, id, want)
		}
	}
}

func TestCan(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		name string
		push usrloc.Push
		want bool
	}{
		{"a token", fcm(secret), true},
		{"none_RFC8599_5_5", usrloc.Push{}, false},
		{"a provider alone: its token died", usrloc.Push{Provider: "fcm", Param: "project"}, false},
		{"a malformed token", fcm("a b"), false},
		{"a parameter missing", usrloc.Push{Provider: "apns", PRID: secret}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := r.waker.Can(&usrloc.Binding{Push: tt.push}); got != tt.want {
				t.Errorf("Can = %t, want %t", got, tt.want)
			}
		})
	}
	r.cannot = true
	if r.waker.Can(&usrloc.Binding{Push: fcm(secret)}) {
		t.Error("Can = true without a credential")
	}
}

func TestWake_Errors(t *testing.T) {
	r := newRig(t)
	wake := func(p usrloc.Push) error {
		_, cancel, err := r.waker.Wake(alice, &usrloc.Binding{Push: p}, Cause{Kind: push.Call}, func(push.Outcome) { t.Error("done ran after an error") })
		if err == nil || cancel != nil {
			t.Errorf("Wake = %v, want an error and no cancel", err)
		}
		return err
	}
	if err := wake(fcm(secret + " \x00")); strings.Contains(err.Error(), secret) || len(r.events) != 0 {
		t.Errorf("error %q and %d events, want no token and none", err, len(r.events))
	}
	r.refuse = push.ErrQueueFull
	if err := wake(fcm(secret)); !errors.Is(err, push.ErrQueueFull) {
		t.Errorf("error = %v, want ErrQueueFull", err)
	}
	if o, ok := r.events[len(r.events)-1].(event.PushOutcome); !ok || o.Class != "shed" {
		t.Errorf("last event = %+v, want a push that was shed", r.events[len(r.events)-1])
	}
}

func TestWake_DeadTokenIsDroppedEverywhere_RFC8599_5_5(t *testing.T) {
	r := newRig(t)
	bs := r.bind(time.Now().Add(-time.Minute), fcm(secret), fcm("other"), fcm(secret), usrloc.Push{Provider: "webpush", PRID: "https://push.example/" + secret})
	r.wake(&bs[0], gone)
	after := r.bindings()
	var left []string
	for i := range after {
		left = append(left, after[i].Push.PRID)
		if dead := after[i].Push.PRID == ""; dead != after[i].RefreshAt.IsZero() {
			t.Errorf("binding %d: token %q, refresh at %s", i, after[i].Push.PRID, after[i].RefreshAt)
		}
		if after[i].Push.Provider == "" {
			t.Errorf("binding %d lost its provider", i)
		}
	}
	if d := cmp.Diff([]string{"", "other", "", "https://push.example/" + secret}, left); d != "" {
		t.Errorf("tokens left (-want +got):\n%s", d)
	}
	var told []string
	for _, e := range r.events {
		if reg, ok := e.(event.Registration); ok {
			told = append(told, reg.Action+" "+reg.Cause+" "+reg.Binding)
		}
	}
	want := []string{"updated dead_token " + bs[0].ID.String(), "updated dead_token " + bs[2].ID.String()}
	if d := cmp.Diff(want, told); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	// No further push, whoever still holds the old binding.
	if r.waker.Can(&bs[2]) {
		t.Error("Can = true for a dead token")
	}
	if _, _, err := r.waker.Wake(alice, &bs[2], Cause{Kind: push.Call}, func(push.Outcome) {}); !errors.Is(err, ErrDead) {
		t.Errorf("Wake = %v, want ErrDead", err)
	}
	if !r.waker.Can(&bs[1]) {
		t.Error("Can = false for another token")
	}
}

func TestWake_OnlyGoneKillsAToken(t *testing.T) {
	for c := push.OK; c <= push.Forbidden; c++ {
		r := newRig(t)
		bs := r.bind(time.Now().Add(-time.Minute), fcm(secret))
		r.wake(&bs[0], push.Outcome{Class: c})
		if dead := r.bindings()[0].Push.PRID == ""; dead != (c == push.Gone) || dead == r.waker.Can(&bs[0]) {
			t.Errorf("%s: token dropped %t", c, dead)
		}
	}
}

// A key of the other environment has this answer for every token: they are dropped
// only if the key was seen to be good.
func TestWake_SuspectTokenIsDroppedOnlyIfTheCredentialIsProven(t *testing.T) {
	for _, proven := range []bool{false, true} {
		r := newRig(t)
		bs := r.bind(time.Now().Add(-time.Minute), fcm(secret), fcm("other"))
		for i := range bs {
			r.wake(&bs[i], push.Outcome{Class: push.Suspect, Reason: "SENDER_ID_MISMATCH", Proven: proven})
		}
		if dead := r.bindings()[0].Push.PRID == ""; dead != proven || r.waker.Can(&bs[0]) == proven {
			t.Errorf("proven %t: token dropped %t", proven, dead)
		}
		if n := strings.Count(r.log.String(), "SENDER_ID_MISMATCH"); !proven && n != 1 || proven && n != 0 {
			t.Errorf("proven %t: it was logged %d times, want once for a credential that is not", proven, n)
		}
		if strings.Contains(r.log.String(), secret) {
			t.Error("the token was logged")
		}
	}
}

func TestWake_GoneSince(t *testing.T) {
	bound := time.Now().Add(-30 * time.Minute).Truncate(time.Millisecond)
	tests := []struct {
		name  string
		since time.Time
		dead  bool
	}{
		{"not said", time.Time{}, true},
		{"after the registration", bound.Add(time.Second), true},
		{"before it: registered again since", bound.Add(-time.Second), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			bs := r.bind(bound, fcm(secret))
			o := gone
			o.GoneSince = tt.since
			r.wake(&bs[0], o)
			if dead := r.bindings()[0].Push.PRID == ""; dead != tt.dead || dead == r.waker.Can(&bs[0]) {
				t.Errorf("dead = %t, want %t", dead, tt.dead)
			}
		})
	}
}

func TestWake_TokenRegisteredAgainGetsAnotherTry(t *testing.T) {
	r := newRig(t)
	bs := r.bind(time.Now().Add(-time.Minute), fcm(secret))
	r.wake(&bs[0], gone)
	again := bs[0]
	again.Updated = time.Now().Add(time.Second)
	if !r.waker.Can(&again) {
		t.Fatal("Can = false for a token that was registered after it was declared dead")
	}
	// The old word stands for whoever has not registered since.
	if r.waker.Can(&bs[0]) {
		t.Error("Can = true for the old registration")
	}
	r.wake(&again, push.Outcome{Class: push.OK})
	r.waker.dead.add(again.Push, again.Updated.Add(time.Second))
	if r.waker.Can(&again) {
		t.Error("Can = true after it was declared dead once more")
	}
}

func TestWake_TokenThatWasReplacedMeanwhileStays(t *testing.T) {
	r := newRig(t)
	old := r.bind(time.Now().Add(-time.Minute), fcm("rotated"))[0]
	old.Push = fcm(secret)
	r.wake(&old, gone)
	if got := r.bindings()[0].Push.PRID; got != "rotated" {
		t.Errorf("token = %q, want the new one untouched", got)
	}
	for _, e := range r.events {
		if _, ok := e.(event.Registration); ok {
			t.Errorf("event %+v, though nothing changed", e)
		}
	}
}

func TestWake_NoTokenInEventsAndLogs(t *testing.T) {
	r := newRig(t)
	bs := r.bind(time.Now().Add(-time.Minute), fcm(secret))
	r.wake(&bs[0], gone)
	r.waker.store = broken{r.store}
	other := r.bind(time.Now().Add(-time.Minute), fcm(secret+"2"))[1]
	r.wake(&other, gone)
	if !strings.Contains(r.log.String(), "drop dead push token") {
		t.Error("a failed update was not logged")
	}
	if strings.Contains(r.log.String(), secret) {
		t.Errorf("the log has the token: %s", &r.log)
	}
	for _, e := range r.events {
		if strings.Contains(fmt.Sprintf("%+v", e), secret) {
			t.Errorf("event has the token: %+v", e)
		}
	}
}

// broken is a store that cannot commit.
type broken struct{ usrloc.Store }

func (broken) Update(_ context.Context, _ usrloc.AOR, _ func(usrloc.Record) (usrloc.Record, error), done func(usrloc.Record, []usrloc.Change, error)) {
	done(usrloc.Record{}, nil, usrloc.ErrUnavailable)
}

func TestDeadSet_IsBoundedAndForgetsTheOldest(t *testing.T) {
	d := newDeadSet(3)
	now := time.Now()
	has := func(prid string) bool { return d.has(fcm(prid), now) }
	for _, prid := range []string{"a", "b", "a", "c"} {
		d.add(fcm(prid), now)
	}
	if !has("a") || !has("b") || !has("c") || has("d") {
		t.Fatal("the set does not hold what was added")
	}
	for i := range 10 {
		d.add(fcm(fmt.Sprint("new", i)), now)
		if len(d.in) > 3 || len(d.ring) > 3 {
			t.Fatalf("%d in the map and %d in the ring, want 3 at most", len(d.in), len(d.ring))
		}
	}
	if has("a") || !has("new7") || !has("new8") || !has("new9") {
		t.Error("not the oldest was forgotten")
	}
	if d.has(usrloc.Push{Provider: "apns", Param: "project", PRID: "new9"}, now) {
		t.Error("the token of one provider counts for another")
	}
}

// The app that was woken for another request has the identifier of that push.
func TestWake_NamesThePushThatIsJoined(t *testing.T) {
	r := newRig(t)
	b := r.bind(time.Now(), usrloc.Push{Provider: "fcm", Param: "p", PRID: "t"})[0]
	r.sentAs = "of-another"
	if id, _, err := r.waker.Wake(alice, &b, Cause{Kind: push.Call, Deadline: time.Now().Add(time.Minute)}, func(push.Outcome) {}); err != nil || id != "of-another" {
		t.Errorf("Wake = %q, %v, want of-another", id, err)
	}
}
