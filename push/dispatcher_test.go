package push

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fake is a Sender in memory: send decides, and sees the number of the attempt.
type fake struct {
	send   func(ctx context.Context, n int, r *Request) Outcome
	mu     sync.Mutex
	sent   []*Request
	at     []time.Time
	flight int
	peak   int
	closed int
}

func (f *fake) Send(ctx context.Context, r *Request) Outcome {
	f.mu.Lock()
	f.sent = append(f.sent, r)
	f.at = append(f.at, time.Now())
	n := len(f.sent)
	f.flight++
	f.peak = max(f.peak, f.flight)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.flight--
		f.mu.Unlock()
	}()
	if f.send == nil {
		return Outcome{Class: OK, Status: 200}
	}
	return f.send(ctx, n, r)
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sent)
}

// blackHole answers nothing until ctx ends.
func blackHole(ctx context.Context, _ int, _ *Request) Outcome {
	<-ctx.Done()
	return Outcome{Class: Network, Reason: "Timeout", Err: ctx.Err()}
}

func newTestDispatcher(t *testing.T, apps ...App) *Dispatcher {
	t.Helper()
	d, err := NewDispatcher(Options{Apps: apps})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func fcmRequest(token string) *Request {
	return &Request{
		AOR: "sip:alice@example.com", Params: Params{Provider: "fcm", Param: "project"},
		Tokens: []Token{{PRID: token}}, Kind: Call, CallID: "c1", Deadline: time.Now().Add(25 * time.Second),
	}
}

// result waits for the outcome of a Submit.
type result struct {
	ch     chan Outcome
	cancel func()
}

func submit(t *testing.T, d *Dispatcher, r *Request) result {
	t.Helper()
	res := result{ch: make(chan Outcome, 2)}
	cancel, err := d.Submit(r, func(o Outcome) { res.ch <- o })
	if err != nil {
		t.Fatalf("Submit = %v, want nil", err)
	}
	res.cancel = cancel
	return res
}

// once waits for the outcome and checks that there is but one.
func (r result) once(t *testing.T) Outcome {
	t.Helper()
	o := <-r.ch
	synctest.Wait()
	select {
	case again := <-r.ch:
		t.Errorf("done ran again with %+v", again)
	default:
	}
	return o
}

func closeNow(t *testing.T, d *Dispatcher) {
	t.Helper()
	if err := d.Close(t.Context()); err != nil {
		t.Errorf("Close = %v, want nil", err)
	}
}

func TestSubmit_Outcome(t *testing.T) {
	for _, c := range []struct {
		name     string
		send     func(ctx context.Context, n int, r *Request) Outcome
		request  func(r *Request)
		want     Class
		attempts int
	}{
		{name: "taken", want: OK, attempts: 1},
		{
			name: "gone is not retried", want: Gone, attempts: 1,
			send: func(context.Context, int, *Request) Outcome { return Outcome{Class: Gone} },
		},
		{
			name: "a broken connection is tried again", want: OK, attempts: 2,
			send: func(_ context.Context, n int, _ *Request) Outcome {
				return Outcome{Class: map[bool]Class{true: Network, false: OK}[n == 1]}
			},
		},
		{
			name: "a broken push service is given up", want: Unavailable, attempts: 4,
			send: func(context.Context, int, *Request) Outcome { return Outcome{Class: Unavailable} },
		},
		{
			name: "an unreachable one too", want: Network, attempts: 5,
			send: func(context.Context, int, *Request) Outcome { return Outcome{Class: Network} },
		},
		{
			name: "a black hole ends with the deadline", want: Network, attempts: 2, send: blackHole,
			request: func(r *Request) { r.Deadline = time.Now().Add(4 * time.Second) },
		},
		{
			name: "too late to send", want: Expired, attempts: 0,
			request: func(r *Request) { r.Deadline = time.Now() },
		},
		{
			name: "VoIP token, no call", want: Forbidden, attempts: 0,
			request: func(r *Request) { r.Kind, r.Tokens[0].Use = Refresh, VoIP },
		},
		{
			name: "remote token, call", want: Forbidden, attempts: 0,
			request: func(r *Request) { r.Tokens[0].Use = Remote },
		},
		{
			name: "sender panics", want: Rejected, attempts: 1,
			send: func(context.Context, int, *Request) Outcome { panic("fault") },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{send: c.send}
				d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
				r := fcmRequest("t1")
				if c.request != nil {
					c.request(r)
				}
				o := submit(t, d, r).once(t)
				if o.Class != c.want || o.Attempts != c.attempts || f.count() != c.attempts {
					t.Errorf("outcome = %v (%s) after %d attempts, %d sent; want %v after %d",
						o.Class, o.Reason, o.Attempts, f.count(), c.want, c.attempts)
				}
				if now := time.Now(); now.After(r.Deadline) {
					t.Errorf("told %v after the deadline", now.Sub(r.Deadline))
				}
				closeNow(t, d)
				if f.closed != 1 {
					t.Errorf("sender closed %d times, want 1", f.closed)
				}
			})
		})
	}
}

func TestSubmit_DoneNeverRunsInsideSubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: &fake{}})
		var mu sync.Mutex
		done := 0
		for i := range 100 {
			r := fcmRequest(strconv.Itoa(i % 7)) // some coalesce, some are recent
			if i%10 == 0 {
				r.Tokens[0].Use = Remote // forbidden
			}
			if i%10 == 1 {
				r.Deadline = time.Now() // expired
			}
			mu.Lock()
			_, err := d.Submit(r, func(Outcome) {
				mu.Lock()
				defer mu.Unlock()
				done++
			})
			if err != nil {
				t.Fatal(err)
			}
			mu.Unlock()
			synctest.Wait()
		}
		closeNow(t, d)
		if done != 100 {
			t.Errorf("%d of 100 requests got an outcome", done)
		}
	})
}

func TestSubmit_Errors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fake{send: func(context.Context, int, *Request) Outcome { <-release; return Outcome{Class: OK} }}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", ParamPattern: "project", Sender: f, QueueLen: 4, InFlight: 1})
		never := func(Outcome) { t.Error("done ran although Submit failed") }

		other := fcmRequest("t")
		other.Params.Param = "other"
		if _, err := d.Submit(other, never); !errors.Is(err, ErrNoApp) {
			t.Errorf("other app: %v, want ErrNoApp", err)
		}
		var rs []result
		for i := range 3 { // one is sent, two wait
			r := fcmRequest(strconv.Itoa(i))
			r.Kind = Refresh
			rs = append(rs, submit(t, d, r))
		}
		refresh := fcmRequest("refresh")
		refresh.Kind = Refresh
		if _, err := d.Submit(refresh, never); !errors.Is(err, ErrQueueFull) {
			t.Errorf("refresh beyond half the queue: %v, want ErrQueueFull", err)
		}
		for i := range 2 {
			rs = append(rs, submit(t, d, fcmRequest("call"+strconv.Itoa(i))))
		}
		if _, err := d.Submit(fcmRequest("x"), never); !errors.Is(err, ErrQueueFull) {
			t.Errorf("call beyond the queue: %v, want ErrQueueFull", err)
		}
		close(release)
		for _, r := range rs {
			if o := r.once(t); o.Class != OK {
				t.Errorf("outcome = %+v, want ok", o)
			}
		}
		// The calls went before the refreshes that waited longer.
		var order []Kind
		for _, r := range f.sent {
			order = append(order, r.Kind)
		}
		if d := cmp.Diff([]Kind{Refresh, Call, Call, Refresh, Refresh}, order); d != "" {
			t.Errorf("order (-want +got):\n%s", d)
		}
		closeNow(t, d)
		if _, err := d.Submit(fcmRequest("x"), never); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v, want ErrClosed", err)
		}
	})
}

func TestLane_OneAtATimeUntilTheFirstSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(_ context.Context, n int, _ *Request) Outcome {
			time.Sleep(10 * time.Millisecond)
			if n <= 3 {
				return Outcome{Class: Gone}
			}
			return Outcome{Class: OK}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f, InFlight: 5})
		for i := range 20 {
			r := fcmRequest(strconv.Itoa(i))
			if _, err := d.Submit(r, func(Outcome) {}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(35 * time.Millisecond) // three refused, the fourth under way
		synctest.Wait()
		if f.peak != 1 || f.count() != 4 {
			t.Errorf("%d sent, %d at a time; want 4, 1 at a time", f.count(), f.peak)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if f.peak != 5 || f.count() != 20 {
			t.Errorf("%d sent, %d at a time; want 20, 5 at a time", f.count(), f.peak)
		}
		closeNow(t, d)
	})
}

func TestLane_StuckLaneDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck, fine := &fake{send: blackHole}, &fake{}
		d := newTestDispatcher(t,
			App{Name: "stuck", Provider: "fcm", ParamPattern: "stuck-*", Sender: stuck},
			App{Name: "fine", Provider: "fcm", Sender: fine})
		for i := range 100 {
			r := fcmRequest(strconv.Itoa(i))
			r.Params.Param = "stuck-1"
			if _, err := d.Submit(r, func(Outcome) {}); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if o := submit(t, d, fcmRequest("t")).once(t); o.Class != OK || time.Since(began) != 0 {
			t.Errorf("outcome = %+v after %v, want ok at once", o, time.Since(began))
		}
		closeNow(t, d)
	})
}

// Whatever one push service does, all pushes of another end at once, and the
// time that passes meanwhile is none.
func TestLane_TroubleOfOneIsNoneOfAnother(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(ctx context.Context, n int, r *Request) Outcome
	}{
		{"answers nothing", blackHole},
		{"answers nothing, nor returns", nil},
		{"is not there", func(context.Context, int, *Request) Outcome { return Outcome{Class: Network} }},
		{"refuses the credential", func(context.Context, int, *Request) Outcome { return Outcome{Class: Credential} }},
		{"has enough", func(context.Context, int, *Request) Outcome {
			return Outcome{Class: Throttled, Scope: ScopeLane, RetryAfter: time.Hour}
		}},
		{"panics", func(context.Context, int, *Request) Outcome { panic("fault") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				leave := make(chan struct{})
				send := c.send
				if send == nil {
					send = func(context.Context, int, *Request) Outcome { <-leave; return Outcome{Class: OK} }
				}
				bad, good := &fake{send: send}, &fake{}
				d := newTestDispatcher(t,
					App{Name: "bad", Provider: "fcm", ParamPattern: "bad", Sender: bad, QueueLen: 500},
					App{Name: "good", Provider: "fcm", Sender: good})
				began := time.Now()
				for i := range 1000 { // more than there is room for
					r := fcmRequest(strconv.Itoa(i))
					r.Params.Param = "bad"
					if _, err := d.Submit(r, func(Outcome) {}); err != nil && !errors.Is(err, ErrQueueFull) {
						t.Fatal(err)
					}
				}
				const n = 1000
				ended := make(chan Outcome, n)
				for i := range n {
					if _, err := d.Submit(fcmRequest(strconv.Itoa(i)), func(o Outcome) { ended <- o }); err != nil {
						t.Fatal(err)
					}
				}
				for range n {
					if o := <-ended; o.Class != OK || o.Attempts != 1 {
						t.Fatalf("outcome = %+v, want ok at once", o)
					}
				}
				if took := time.Since(began); took != 0 {
					t.Errorf("took %v, want no time", took)
				}
				close(leave)
				closeNow(t, d)
			})
		})
	}
}

// parts is a Sender whose service has parts.
type parts struct{ fake }

func (p *parts) Part(r *Request) string { return r.Tokens[0].PRID[:1] }

func TestLane_PartsOfAServiceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &parts{fake{send: func(ctx context.Context, n int, r *Request) Outcome {
			if r.Tokens[0].PRID[0] == 'x' {
				return blackHole(ctx, n, r)
			}
			return Outcome{Class: OK}
		}}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: p})
		if _, err := d.Submit(fcmRequest("x1"), func(Outcome) {}); err != nil {
			t.Fatal(err)
		}
		if o := submit(t, d, fcmRequest("y1")).once(t); o.Class != OK {
			t.Errorf("outcome = %+v, want ok: x is stuck, not y", o)
		}
		for i := range 2 * maxParts {
			submit(t, d, fcmRequest(string(rune('0'+i))+"z")).once(t)
		}
		if n := len(d.Health()); n > maxParts+1 {
			t.Errorf("%d lanes, want at most %d", n, maxParts+1)
		}
		closeNow(t, d)
	})
}

// Phones choose the parts: names that lead nowhere must not take the lanes of those
// that work, nor of those that come later.
func TestLane_IdlePartsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &parts{fake{send: func(ctx context.Context, n int, r *Request) Outcome {
			if r.Tokens[0].PRID[1] == 'z' {
				return Outcome{Class: Unavailable}
			}
			return Outcome{Class: OK}
		}}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: p})
		submit(t, d, fcmRequest("ay")).once(t)
		for i := range 2 * maxParts {
			submit(t, d, fcmRequest(string(rune('0'+i%maxParts))+"z")).once(t)
		}
		submit(t, d, fcmRequest("\x7fy")).once(t)
		parts := map[string]LaneHealth{}
		for _, h := range d.Health() {
			parts[h.Part] = h
		}
		if _, shared := parts["other"]; shared || len(parts) != maxParts || parts["a"].LastOK.IsZero() || parts["\x7f"].LastOK.IsZero() {
			t.Errorf("%d lanes, shared one %t; want %d, with those that work among them: %+v", len(parts), shared, maxParts, parts)
		}
		closeNow(t, d)
	})
}

// Each push answers for those of the next two seconds, also the second one of a
// device that came back in between.
func TestSubmit_EachPushAnswersForItsOwnTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		ask := func(boundAt time.Time) {
			r := fcmRequest("t1")
			r.BoundAt = boundAt
			submit(t, d, r).once(t)
		}
		ask(time.Now().Add(-time.Hour))
		time.Sleep(1500 * time.Millisecond)
		back := time.Now().Add(-time.Second)
		ask(back)
		time.Sleep(time.Second)
		ask(back)
		if f.count() != 2 {
			t.Errorf("%d pushes, want 2: the third came a second after the second", f.count())
		}
		closeNow(t, d)
	})
}

func TestSubmit_CoalescesOneWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(context.Context, int, *Request) Outcome {
			time.Sleep(10 * time.Millisecond)
			return Outcome{Class: OK, ID: "id"}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f, InFlight: 9})
		base := fcmRequest("t1")
		vary := func(change func(*Request)) *Request {
			r := *base
			r.Tokens = []Token{base.Tokens[0]}
			change(&r)
			return &r
		}
		var same, others []result
		same = append(same,
			submit(t, d, base),
			submit(t, d, vary(func(r *Request) { r.Binding[0] = 1 })),
			submit(t, d, vary(func(r *Request) { r.CallID = "c2" })))
		for _, r := range []*Request{
			vary(func(r *Request) { r.AOR = "sip:bob@example.com" }),
			vary(func(r *Request) { r.Tokens[0].PRID = "t2" }),
			vary(func(r *Request) { r.Kind = Cancel }),
			vary(func(r *Request) { r.Kind, r.CallID = Cancel, "c2" }),
			vary(func(r *Request) { r.Kind = MidDialog }),
			vary(func(r *Request) { r.Params.Param = "other" }),
		} {
			others = append(others, submit(t, d, r))
		}
		for _, r := range append(same, others...) {
			if o := r.once(t); o.Class != OK || o.ID != "id" {
				t.Errorf("outcome = %+v, want ok with its ID", o)
			}
		}
		// A binding that is tried a moment later is the same wake.
		if o := submit(t, d, vary(func(r *Request) { r.Binding[0] = 2 })).once(t); o.Class != OK {
			t.Errorf("a moment later: %+v, want ok", o)
		}
		if want := 1 + len(others); f.count() != want {
			t.Errorf("%d pushes, want %d", f.count(), want)
		}
		// The device came back and fell asleep again: that is another wake.
		submit(t, d, vary(func(r *Request) { r.BoundAt = time.Now() })).once(t)
		if want := 2 + len(others); f.count() != want {
			t.Errorf("%d pushes after the device came back, want %d", f.count(), want)
		}
		// What was taken came to nothing: it answers for no other.
		before := f.count()
		d.Forget(vary(func(r *Request) { r.Kind, r.CallID = Message, "c3" }))
		submit(t, d, base).once(t)
		if f.count() != before {
			t.Errorf("what came of a push of another kind is taken for this one: %d pushes, want %d", f.count(), before)
		}
		time.Sleep(time.Second)
		d.Forget(vary(func(r *Request) { r.CallID = "c3" }))
		submit(t, d, base).once(t)
		if want := before + 1; f.count() != want {
			t.Errorf("%d pushes after one came to nothing, want %d", f.count(), want)
		}
		time.Sleep(coalesceFor - time.Millisecond)
		submit(t, d, base).once(t)
		if want := before + 1; f.count() != want {
			t.Errorf("%d pushes when the latest is recent, want %d", f.count(), want)
		}
		// A later request of the dialog is another.
		time.Sleep(coalesceFor)
		before = f.count()
		submit(t, d, base).once(t)
		if f.count() != before+1 {
			t.Errorf("%d pushes later, want 1", f.count()-before)
		}
		closeNow(t, d)
	})
}

// A flood of INVITEs is not a flood of pushes: the device that wakes for one call
// gets them all.
func TestSubmit_FloodForOneDeviceIsOnePush(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes time.Duration // of the push service
		class Class
		// least and most pushes
		least, most int
	}{
		{"taken at once", 0, OK, 1, 1},
		{"taken slowly", 900 * time.Millisecond, OK, 1, 1},
		// Each failure is told to all who wait for it, and the next call may ask
		// again: no faster than the push service answers.
		{"token is dead", 100 * time.Millisecond, Gone, 9, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{send: func(context.Context, int, *Request) Outcome {
					time.Sleep(c.takes)
					return Outcome{Class: c.class}
				}}
				d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
				const n = 1000
				ended := make(chan Outcome, n+1)
				for i := range n {
					r := fcmRequest("t1")
					r.CallID, r.PushID = strconv.Itoa(i), strconv.Itoa(i)
					if _, err := d.Submit(r, func(o Outcome) { ended <- o }); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Millisecond)
				}
				closeNow(t, d)
				if len(ended) != n {
					t.Errorf("done ran %d times, want %d", len(ended), n)
				}
				sent := make(map[string]bool)
				for _, r := range f.sent {
					sent[r.PushID] = true
				}
				for range len(ended) {
					if o := <-ended; o.Class != c.class || !sent[o.PushID] {
						t.Fatalf("outcome = %+v, want %v and a push that was sent", o, c.class)
					}
				}
				if len(sent) < c.least || len(sent) > c.most {
					t.Errorf("%d pushes, want %d to %d", len(sent), c.least, c.most)
				}
			})
		})
	}
}

// What waits for the push of another is bounded, too.
func TestSubmit_FloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: blackHole}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		taken := 0
		ended := make(chan Outcome, maxJoined+2)
		for range maxJoined + 10 {
			if _, err := d.Submit(fcmRequest("t1"), func(o Outcome) { ended <- o }); err == nil {
				taken++
			} else if !errors.Is(err, ErrQueueFull) {
				t.Fatal(err)
			}
		}
		if taken != maxJoined+1 {
			t.Errorf("%d taken, want %d", taken, maxJoined+1)
		}
		closeNow(t, d)
		if len(ended) != taken {
			t.Errorf("done ran %d times, want %d", len(ended), taken)
		}
		if l := d.routes[0].lanes[""]; l.joined != 0 {
			t.Errorf("%d counted as waiting after the end", l.joined)
		}
	})
}

// The push service is told at each attempt how long the push is of use.
func TestSubmit_AttemptsCarryTheDeadlineOfWhoWaitsLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var told []time.Duration
		f := &fake{send: func(_ context.Context, n int, r *Request) Outcome {
			told = append(told, TTL(r, time.Now()))
			time.Sleep(time.Second)
			return Outcome{Class: map[bool]Class{true: Unavailable, false: OK}[n == 1], RetryAfter: 3 * time.Second}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		call := func(patience time.Duration) result {
			r := fcmRequest("t1")
			r.Deadline = time.Now().Add(patience)
			return submit(t, d, r)
		}
		first := call(10 * time.Second) // sent at 0 s, refused at 1 s, sent again at 4 s
		time.Sleep(2 * time.Second)
		second := call(18 * time.Second) // joins while the first waits
		for _, r := range []result{first, second} {
			if o := r.once(t); o.Class != OK {
				t.Errorf("outcome = %+v, want ok", o)
			}
		}
		if d := cmp.Diff([]time.Duration{10 * time.Second, 16 * time.Second}, told); d != "" {
			t.Errorf("TTL at each attempt (-want +got):\n%s", d)
		}
		// The push is kept until 20 s: too short for a call that rings until 30 s.
		time.Sleep(time.Until(began.Add(5500 * time.Millisecond)))
		if o := call(16 * time.Second).once(t); o.Class != OK || f.count() != 2 {
			t.Errorf("outcome = %+v with %d pushes, want ok by the second", o, f.count())
		}
		if o := call(25 * time.Second).once(t); o.Class != OK || f.count() != 3 {
			t.Errorf("outcome = %+v with %d pushes, want ok by a third", o, f.count())
		}
		closeNow(t, d)
	})
}

func TestSubmit_SlowAnswerDoesNotSwallowTheNextWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(_ context.Context, n int, _ *Request) Outcome {
			time.Sleep(time.Second)
			return Outcome{Class: OK}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		first := submit(t, d, fcmRequest("t1"))
		time.Sleep(100 * time.Millisecond)
		// The push woke the device before its push service answered us, the device
		// registered and fell asleep again.
		again := fcmRequest("t1")
		again.BoundAt = time.Now()
		time.Sleep(100 * time.Millisecond)
		second := submit(t, d, again)
		third := submit(t, d, again)
		for _, r := range []result{first, second, third} {
			if o := r.once(t); o.Class != OK {
				t.Errorf("outcome = %+v, want ok", o)
			}
		}
		if f.count() != 2 {
			t.Errorf("%d pushes, want 2", f.count())
		}
		closeNow(t, d)
	})
}

func TestSubmit_CoalescedHasTheLaterDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(_ context.Context, n int, _ *Request) Outcome {
			if n == 1 {
				time.Sleep(2500 * time.Millisecond) // holds the cold lane
			}
			return Outcome{Class: OK}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		first := submit(t, d, fcmRequest("other"))
		short, long := fcmRequest("t"), fcmRequest("t")
		short.Deadline, long.Deadline = time.Now().Add(time.Second), time.Now().Add(10*time.Second)
		a, b := submit(t, d, short), submit(t, d, long)
		for _, r := range []result{first, a, b} {
			if o := r.once(t); o.Class != OK {
				t.Errorf("outcome = %+v, want ok", o)
			}
		}
		closeNow(t, d)
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fake{send: func(context.Context, int, *Request) Outcome {
			<-release
			return Outcome{Class: Network}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f, AttemptTimeout: time.Minute})
		sending := submit(t, d, fcmRequest("sending"))
		waiting := submit(t, d, fcmRequest("waiting"))
		shared1, shared2 := submit(t, d, fcmRequest("shared")), submit(t, d, fcmRequest("shared"))

		waiting.cancel()
		waiting.cancel()
		if o := waiting.once(t); o.Class != Shed || !errors.Is(o.Err, context.Canceled) || o.Attempts != 0 {
			t.Errorf("not sent: %+v, want shed, canceled", o)
		}
		shared1.cancel()
		synctest.Wait()
		if len(shared1.ch)+len(shared2.ch) != 0 {
			t.Error("done ran although another waits for the same push")
		}
		shared2.cancel()
		if a, b := shared1.once(t), shared2.once(t); a.Class != Shed || b.Class != Shed {
			t.Errorf("shared: %v, %v; want shed", a.Class, b.Class)
		}
		sending.cancel()
		synctest.Wait()
		if len(sending.ch) != 0 {
			t.Error("done ran before the attempt ended")
		}
		close(release)
		if o := sending.once(t); o.Class != Network || o.Attempts != 1 {
			t.Errorf("under way: %+v, want the outcome of its only attempt", o)
		}
		if f.count() != 1 {
			t.Errorf("%d sent, want 1", f.count())
		}
		closeNow(t, d)
	})
}

func TestRetry_Schedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(context.Context, int, *Request) Outcome { return Outcome{Class: Network} }}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		submit(t, d, fcmRequest("t")).once(t)
		want := []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond, 1600 * time.Millisecond}
		for i, w := range want {
			// Half to one and a half of it, for jitter.
			if got := f.at[i+1].Sub(f.at[i]); got < w/2 || got > w*3/2 {
				t.Errorf("wait before attempt %d = %v, want about %v", i+2, got, w)
			}
		}
		closeNow(t, d)
	})
}

func TestRetryDelay(t *testing.T) {
	for _, c := range []struct {
		name     string
		o        Outcome
		attempts int
		want     time.Duration
		again    bool
	}{
		{"network, first", Outcome{Class: Network}, 1, 0, true},
		{"network, second", Outcome{Class: Network}, 2, 100 * time.Millisecond, true},
		{"network, last", Outcome{Class: Network}, 5, 0, false},
		{"unavailable, first", Outcome{Class: Unavailable}, 1, 100 * time.Millisecond, true},
		{"unavailable, third", Outcome{Class: Unavailable}, 3, 1600 * time.Millisecond, true},
		{"unavailable, last", Outcome{Class: Unavailable}, 4, 0, false},
		{"unavailable, it says when", Outcome{Class: Unavailable, RetryAfter: 7 * time.Second}, 1, 7 * time.Second, true},
		{"throttled, it says when", Outcome{Class: Throttled, RetryAfter: time.Minute}, 1, time.Minute, true},
		{"throttled", Outcome{Class: Throttled}, 2, 400 * time.Millisecond, true},
		{"gone", Outcome{Class: Gone}, 1, 0, false},
		{"suspect", Outcome{Class: Suspect}, 1, 0, false},
		{"credential", Outcome{Class: Credential}, 1, 0, false},
		{"rejected", Outcome{Class: Rejected, RetryAfter: time.Second}, 1, 0, false},
		{"ok", Outcome{Class: OK}, 1, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			wait, again := retryDelay(c.o, c.attempts, 0.5)
			if wait != c.want || again != c.again {
				t.Errorf("retryDelay = %v, %t; want %v, %t", wait, again, c.want, c.again)
			}
		})
	}
}

func TestCooldown_GrowsToItsBound(t *testing.T) {
	prev := time.Duration(0)
	for n := 1; n < 100; n++ {
		d := cooldown(n, 0.5)
		if d < prev || d > maxCooldown {
			t.Fatalf("cooldown(%d) = %v after %v", n, d, prev)
		}
		prev = d
	}
	if prev != maxCooldown {
		t.Errorf("cooldown ends at %v, want %v", prev, maxCooldown)
	}
}

func TestPause_ThrottledLaneHoldsAllAndFailsWhatCannotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(_ context.Context, n int, _ *Request) Outcome {
			if n == 1 {
				return Outcome{Class: Throttled, Scope: ScopeLane, Reason: "Quota", RetryAfter: 10 * time.Second}
			}
			return Outcome{Class: OK}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		began := time.Now()
		first := submit(t, d, fcmRequest("t1"))
		synctest.Wait()
		hurry := fcmRequest("t2")
		hurry.Deadline = began.Add(5 * time.Second)
		if o := submit(t, d, hurry).once(t); o.Class != Throttled || o.Attempts != 0 || time.Since(began) != 0 {
			t.Errorf("outcome = %+v after %v, want throttled at once", o, time.Since(began))
		}
		patient := submit(t, d, fcmRequest("t3"))
		if h := d.Health()[0]; h.PausedFor != Throttled || h.Queued != 2 || h.LastReason != "Quota" {
			t.Errorf("health = %+v, want paused with 2 waiting", h)
		}
		for _, r := range []result{first, patient} {
			if o := r.once(t); o.Class != OK {
				t.Errorf("outcome = %+v, want ok", o)
			}
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("took %v, want 10 s", took)
		}
		closeNow(t, d)
	})
}

func TestPause_OneTokenThrottledHoldsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(_ context.Context, _ int, r *Request) Outcome {
			if r.Tokens[0].PRID == "busy" {
				return Outcome{Class: Throttled, Scope: ScopeToken, RetryAfter: time.Minute}
			}
			return Outcome{Class: OK}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		began := time.Now()
		if o := submit(t, d, fcmRequest("busy")).once(t); o.Class != Throttled || o.Attempts != 1 || time.Since(began) != 0 {
			t.Errorf("outcome = %+v after %v, want throttled at once: a minute is too long", o, time.Since(began))
		}
		if o := submit(t, d, fcmRequest("other")).once(t); o.Class != OK {
			t.Errorf("outcome = %+v, want ok", o)
		}
		closeNow(t, d)
	})
}

// A token that does not fit is dropped only if the credential is known to be
// good: a wrong environment makes every token look so.
func TestOutcome_ProvenIsASuccessOfTheSameCredentialWithinAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		suspect := func(_ context.Context, _ int, r *Request) Outcome {
			if r.Tokens[0].PRID == "good" {
				return Outcome{Class: OK}
			}
			return Outcome{Class: Suspect, Reason: "BadDeviceToken", Proven: true} // not for a Sender to say
		}
		d := newTestDispatcher(t,
			App{Name: "a", Provider: "fcm", ParamPattern: "project", Sender: &fake{send: suspect}},
			App{Name: "b", Provider: "fcm", Sender: &fake{send: suspect}})
		proven := func(param, prid string) bool {
			t.Helper()
			r := fcmRequest(prid)
			r.Params.Param, r.PushID = param, prid
			o := submit(t, d, r).once(t)
			if o.PushID != prid {
				t.Errorf("push ID = %q, want %q", o.PushID, prid)
			}
			return o.Proven
		}
		if proven("project", "bad") {
			t.Error("proven before the first success")
		}
		if !proven("project", "good") || !proven("project", "bad") {
			t.Error("not proven after a success")
		}
		if proven("other", "bad") {
			t.Error("proven by the success of another credential")
		}
		time.Sleep(ProvenFor - time.Millisecond)
		if !proven("project", "bad") {
			t.Error("not proven within the hour")
		}
		time.Sleep(coalesceFor)
		if proven("project", "bad") {
			t.Error("still proven after the hour")
		}
		closeNow(t, d)
	})
}

func TestBreaker_RefusedCredentialFailsAtOnceUntilTheProbeIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		healed := false
		f := &fake{}
		f.send = func(context.Context, int, *Request) Outcome {
			if healed {
				return Outcome{Class: OK}
			}
			return Outcome{Class: Credential, Reason: "InvalidProviderToken"}
		}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		for i := range 20 {
			if o := submit(t, d, fcmRequest(strconv.Itoa(i))).once(t); o.Class != Credential || o.Reason != "InvalidProviderToken" {
				t.Fatalf("outcome = %+v, want credential", o)
			}
		}
		if f.count() != breakerAfter {
			t.Errorf("%d sent, want %d: then the breaker is open", f.count(), breakerAfter)
		}
		healed = true
		time.Sleep(2 * minCooldown)
		if o := submit(t, d, fcmRequest("probe")).once(t); o.Class != OK {
			t.Errorf("outcome = %+v, want ok", o)
		}
		if h := d.Health()[0]; h.Failures != 0 || h.PausedFor != 0 || h.Limit != DefaultInFlight {
			t.Errorf("health = %+v, want a warm lane", h)
		}
		closeNow(t, d)
	})
}

// A connection that breaks takes all that is under way with it: they are retried
// at once, and the breaker stays closed.
func TestBreaker_OneBrokenConnectionIsOneFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 50
		f := &fake{send: func(_ context.Context, n int, r *Request) Outcome {
			time.Sleep(100 * time.Millisecond)
			if n > 1 && n <= 51 {
				return Outcome{Class: Network, Reason: "NoAnswer"}
			}
			return Outcome{Class: OK}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		submit(t, d, fcmRequest("warms")).once(t)
		began := time.Now()
		var rs []result
		for i := range n {
			rs = append(rs, submit(t, d, fcmRequest(strconv.Itoa(i))))
		}
		for _, r := range rs {
			if o := r.once(t); o.Class != OK || o.Attempts != 2 {
				t.Fatalf("outcome = %+v, want ok at the second attempt", o)
			}
		}
		// One attempt that breaks, one alone on the new connection, then the rest.
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Errorf("took %v, want 300 ms", took)
		}
		closeNow(t, d)
	})
}

func TestBreaker_OutageIsProbedOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := time.Now().Add(8 * time.Second)
		f := &fake{send: func(context.Context, int, *Request) Outcome {
			if time.Now().Before(up) {
				return Outcome{Class: Network, Reason: "NoAnswer"}
			}
			return Outcome{Class: OK}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f, InFlight: 50})
		var rs []result
		for i := range 200 {
			r := fcmRequest(strconv.Itoa(i))
			r.Deadline = time.Now().Add(40 * time.Second)
			rs = append(rs, submit(t, d, r))
		}
		ok := 0
		for _, r := range rs {
			if r.once(t).Class == OK {
				ok++
			}
		}
		// The few that were probes used up their attempts; the rest waited.
		if ok < 190 {
			t.Errorf("%d of 200 taken, want nearly all", ok)
		}
		before := 0
		for _, at := range f.at {
			if at.Before(up) {
				before++
			}
		}
		if before > 30 {
			t.Errorf("%d attempts during the outage, want few", before)
		}
		closeNow(t, d)
	})
}

func TestClose_ShedsWhatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		// A Sender that breaks its promise to return when ctx ends.
		f := &fake{send: func(context.Context, int, *Request) Outcome { <-stop; return Outcome{Class: OK} }}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f})
		rs := []result{submit(t, d, fcmRequest("t1")), submit(t, d, fcmRequest("t2"))}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v, want deadline exceeded", err)
		}
		for _, r := range rs {
			if o := r.once(t); o.Class != Shed || !errors.Is(o.Err, ErrClosed) {
				t.Errorf("outcome = %+v, want shed, closed", o)
			}
		}
		close(stop)
		synctest.Wait()
		for _, r := range rs {
			if len(r.ch) != 0 {
				t.Error("done ran again")
			}
		}
		closeNow(t, d) // the second time does nothing
	})
}

func TestReplace_DrainsOldLanesAndKeepsWhatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		old := &fake{send: func(context.Context, int, *Request) Outcome { <-release; return Outcome{Class: OK} }}
		kept, next := &fake{}, &fake{}
		keep := App{Name: "kept", Provider: "fcm", ParamPattern: "kept", Sender: kept}
		d := newTestDispatcher(t, keep, App{Name: "a", Provider: "fcm", Sender: old})
		warm := fcmRequest("t")
		warm.Params.Param = "kept"
		submit(t, d, warm).once(t)
		under, queued := submit(t, d, fcmRequest("t1")), submit(t, d, fcmRequest("t2"))

		if err := d.Replace([]App{{Name: "b"}}); err == nil {
			t.Error("Replace took an app without provider and sender")
		}
		if err := d.Replace([]App{keep, {Name: "b", Provider: "fcm", Sender: next}}); err != nil {
			t.Fatal(err)
		}
		if o := submit(t, d, fcmRequest("t3")).once(t); o.Class != OK || next.count() != 1 {
			t.Errorf("outcome = %+v, %d sent by the new app; want ok, 1", o, next.count())
		}
		for _, h := range d.Health() {
			if h.App == "kept" && h.Limit != DefaultInFlight {
				t.Errorf("health = %+v, want the lane still warm", h)
			}
		}
		if old.closed != 0 {
			t.Error("the old sender was closed before its requests ended")
		}
		close(release)
		for _, r := range []result{under, queued} {
			if o := r.once(t); o.Class != OK {
				t.Errorf("outcome = %+v, want ok", o)
			}
		}
		if old.closed != 1 || kept.closed != 0 {
			t.Errorf("old closed %d times, kept %d; want 1, 0", old.closed, kept.closed)
		}
		closeNow(t, d)
		if old.closed != 1 || kept.closed != 1 || next.closed != 1 {
			t.Errorf("closed %d, %d, %d times; want once each", old.closed, kept.closed, next.closed)
		}
	})
}

// Submit, cancel, Replace and Close at the same time: each done runs once.
func TestDispatcher_Race(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send := func(_ context.Context, n int, _ *Request) Outcome {
			time.Sleep(time.Duration(n%5) * time.Millisecond)
			return Outcome{Class: []Class{OK, OK, Network, Unavailable, Gone, Throttled}[n%6], RetryAfter: time.Duration(n%3) * time.Millisecond}
		}
		app := func() App {
			return App{Name: "a", Provider: "fcm", Sender: &fake{send: send}, InFlight: 8, QueueLen: 64}
		}
		d := newTestDispatcher(t, app())
		var wg sync.WaitGroup
		var mu sync.Mutex
		taken, ended := 0, make(map[int]int)
		for g := range 8 {
			wg.Go(func() {
				for i := range 200 {
					id := g*1000 + i
					r := fcmRequest(strconv.Itoa(i % 50))
					r.CallID = strconv.Itoa(i)
					r.Kind = Kind(1 + i%5)
					cancel, err := d.Submit(r, func(Outcome) {
						mu.Lock()
						defer mu.Unlock()
						ended[id]++
					})
					if err != nil {
						continue
					}
					mu.Lock()
					taken++
					mu.Unlock()
					if i%3 == 0 {
						cancel()
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		wg.Go(func() {
			for range 20 {
				time.Sleep(10 * time.Millisecond)
				if err := d.Replace([]App{app()}); err != nil {
					t.Error(err)
				}
				d.Health()
			}
		})
		wg.Wait()
		closeNow(t, d)
		if len(ended) != taken {
			t.Errorf("%d ended, %d taken", len(ended), taken)
		}
		for id, n := range ended {
			if n != 1 {
				t.Errorf("done of %d ran %d times", id, n)
			}
		}
	})
}
