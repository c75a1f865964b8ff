package registrar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/event"
	"reveille/push"
	"reveille/usrloc"
)

// A pushService takes pushes and answers them after a while.
type pushService struct {
	start   time.Time
	outcome push.Outcome
	takes   time.Duration // 0: it never answers
	refuses error         // of Submit

	mu        sync.Mutex
	at        []time.Duration // when, since start
	requests  []*push.Request
	cancelled int
}

func (s *pushService) Supports(p push.Params) bool { return p.Provider == "fcm" }

func (s *pushService) Forget(*push.Request) {}

func (s *pushService) Submit(r *push.Request, done func(push.Outcome)) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Since(s.start).Round(time.Second))
	s.requests = append(s.requests, r)
	if s.refuses != nil {
		return nil, s.refuses
	}
	var once sync.Once
	finish := func(o push.Outcome) { once.Do(func() { done(o) }) }
	if s.takes > 0 {
		time.AfterFunc(s.takes, func() { finish(s.outcome) })
	}
	return func() {
		s.mu.Lock()
		s.cancelled++
		s.mu.Unlock()
		go finish(push.Outcome{Class: push.Shed, Err: context.Canceled})
	}, nil
}

// request is the i-th that came.
func (s *pushService) request(i int) *push.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[i]
}

// told collects events from any goroutine.
type told struct {
	mu     sync.Mutex
	events []event.Event
}

func (l *told) Emit(e event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// actions lists what was told, each repetition once.
func (l *told) actions() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range l.events {
		if r, ok := e.(event.Registration); ok {
			all = append(all, r.Action+" by "+r.Cause)
		}
		if _, ok := e.(event.RefreshDue); ok {
			all = append(all, "due")
		}
	}
	return slices.Compact(all)
}

// journal is a log that may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// A house is a Store, phones in it, and a Refresher.
type house struct {
	*Refresher
	t       *testing.T
	store   *usrloc.Memory
	service *pushService
	told    *told
	log     *journal
	policy  Policy
	start   time.Time
	stop    func()
}

// keep runs test in a bubble of its own with a house and a running Refresher.
func keep(t *testing.T, o RefresherOptions, test func(h *house)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, store: usrloc.NewMemory(usrloc.MemoryOptions{}), told: &told{}, log: &journal{}, policy: pushPolicy(), start: time.Now()}
		defer h.store.Close()
		h.service = &pushService{start: h.start, outcome: push.Outcome{Class: push.OK}, takes: 100 * time.Millisecond}
		if o.Store == nil {
			o.Store = h.store
		}
		o.Push, o.Sink, o.Logger = h.service, h.told, slog.New(slog.NewTextHandler(h.log, nil))
		r, err := NewRefresher(o)
		if err != nil {
			t.Fatal(err)
		}
		h.Refresher = r
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		h.stop = func() { cancel(); <-done }
		defer h.stop()
		test(h)
	})
}

// register is the phone's REGISTER.
func (h *house) register(aor usrloc.AOR, cseq uint32, contact string) {
	h.t.Helper()
	w := &world{t: h.t, now: time.Now()}
	in := w.input("one", cseq, contact)
	in.AOR = aor
	if id := &in.Contacts[0].ID; true {
		p := usrloc.Partition(aor)
		id[0], id[1] = byte(p>>8), byte(p)
		copy(id[2:], aor[max(0, len(aor)-12):])
	}
	h.update(aor, func(rec usrloc.Record) (usrloc.Record, error) {
		next, _, err := Apply(&h.policy, rec, in)
		return next, err
	})
}

func (h *house) update(aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error)) {
	h.t.Helper()
	h.store.Update(h.t.Context(), aor, fn, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			h.t.Errorf("update %s: %v", aor, err)
		}
	})
}

func (h *house) bindings() []usrloc.Binding {
	h.t.Helper()
	rec, err := h.store.Get(h.t.Context(), alice)
	if err != nil {
		h.t.Fatal(err)
	}
	return rec.Bindings
}

// rest lets time pass until nothing happens any more.
func (h *house) rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// pushes returns when pushes were sent, in seconds since the start.
func (h *house) pushes() []float64 {
	h.service.mu.Lock()
	defer h.service.mu.Unlock()
	var at []float64
	for _, d := range h.service.at {
		at = append(at, d.Seconds())
	}
	return at
}

// near reports whether got and want are within a tenth of the pauses.
func near(got, want []float64) bool {
	return slices.EqualFunc(got, want, func(g, w float64) bool { return g >= w-1 && g <= w+16 })
}

func (h *house) result(name string) float64 {
	return testutil.ToFloat64(h.metrics.pushes.WithLabelValues(name))
}

func TestRefresher_PushesUntilThePhoneRegisters_RFC8599_5_5(t *testing.T) {
	keep(t, RefresherOptions{}, func(h *house) {
		h.register(alice, 1, fcm+";expires=600")
		h.rest(479 * time.Second)
		if got := h.pushes(); len(got) != 0 {
			t.Fatalf("pushed at %v, before 120 s before the end", got)
		}
		h.rest(26 * time.Second)
		// At 480 s, and with pauses of 5, 10, ... seconds.
		if got := h.pushes(); !near(got, []float64{480, 485, 495}) {
			t.Fatalf("pushes at %v", got)
		}
		h.register(alice, 2, fcm+";expires=600")
		h.rest(470 * time.Second)
		if got := h.pushes(); len(got) != 3 {
			t.Errorf("pushes at %v, after the phone registered", got)
		}
		h.rest(12 * time.Second) // 120 s before the new end
		if got := h.pushes(); len(got) != 4 {
			t.Errorf("pushes at %v, want one for the new registration", got)
		}
		if d := cmp.Diff([]string{"due"}, h.told.actions()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
		if got := h.result("ok"); got != 4 {
			t.Errorf("%v pushes counted as ok, want 4", got)
		}
		r := h.service.requests[0]
		if r.Kind != push.Refresh || r.Method != "" || r.Params.Provider != "fcm" || r.Tokens[0].PRID != "tok" || r.AOR != string(alice) ||
			!r.Deadline.Equal(h.start.Add(600*time.Second)) || !r.BoundAt.Equal(h.start) {
			t.Errorf("request %+v", r)
		}
	})
}

// FCM keeps a push of normal priority back while the phone dozes, and may do so for
// longer than the tries take: it keeps the last one to the end.
func TestRefresher_LastPushStaysUntilTheEnd_RFC8599_5_5(t *testing.T) {
	keep(t, RefresherOptions{Retries: 2}, func(h *house) {
		h.policy.Push.Leads = map[string]time.Duration{"fcm": time.Hour}
		h.register(alice, 1, fcm+";expires=7200")
		h.rest(2 * time.Hour)
		if got := h.pushes(); !near(got, []float64{3600, 3605, 3615}) {
			t.Fatalf("pushes at %v", got)
		}
		end := h.start.Add(2 * time.Hour)
		for i, r := range h.service.requests {
			if last := i == 2; r.Deadline.Equal(end) != last {
				t.Errorf("push %d is kept until %v before the end", i, end.Sub(r.Deadline))
			}
		}
	})
}

func TestRefresher_PushesUntilTheBindingExpires_RFC8599_5_5(t *testing.T) {
	keep(t, RefresherOptions{}, func(h *house) {
		h.register(alice, 1, fcm+";expires=600")
		h.rest(602 * time.Second)
		if got := h.pushes(); !near(got, []float64{480, 485, 495, 515, 556}) {
			t.Errorf("pushes at %v", got)
		}
		if got := h.bindings(); len(got) != 0 {
			t.Errorf("not removed: %+v", got)
		}
		if d := cmp.Diff([]string{"due", "expired by expiry"}, h.told.actions()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
		if got := testutil.ToFloat64(h.metrics.expirations); got != 1 {
			t.Errorf("%v expirations, want 1", got)
		}
		n := len(h.pushes())
		h.rest(time.Hour)
		if got := h.pushes(); len(got) != n {
			t.Errorf("pushes at %v, after the binding expired", got)
		}
	})
}

func TestRefresher_RetriesAreBounded(t *testing.T) {
	keep(t, RefresherOptions{Retries: 2}, func(h *house) {
		h.register(alice, 1, fcm+";expires=600")
		h.rest(time.Hour)
		if got := h.pushes(); !near(got, []float64{480, 485, 495}) {
			t.Errorf("pushes at %v, want two after the first", got)
		}
	})
}

func TestRefresher_SetRetriesCountsForPushesToCome(t *testing.T) {
	keep(t, RefresherOptions{Retries: -1}, func(h *house) {
		h.SetRetries(10*time.Second, 0, 1)
		h.register(alice, 1, fcm+";expires=600")
		h.rest(time.Hour)
		if got := h.pushes(); !near(got, []float64{480, 490}) {
			t.Errorf("pushes at %v, want one after the first", got)
		}
	})
}

func TestRefresher_RetriesWhateverTheServiceSays(t *testing.T) {
	for _, class := range []push.Class{push.Suspect, push.Credential, push.Rejected, push.Throttled, push.Unavailable, push.Network, push.Shed} {
		t.Run(class.String(), func(t *testing.T) {
			keep(t, RefresherOptions{}, func(h *house) {
				h.service.outcome = push.Outcome{Class: class}
				h.register(alice, 1, fcm+";expires=600")
				h.rest(500 * time.Second)
				if got := h.pushes(); !near(got, []float64{480, 485, 495}) || h.result(class.String()) != 3 {
					t.Errorf("pushes at %v, counted %v", got, h.result(class.String()))
				}
			})
		})
	}
}

func TestRefresher_NotTaken(t *testing.T) {
	keep(t, RefresherOptions{}, func(h *house) {
		h.service.refuses = push.ErrQueueFull
		h.register(alice, 1, fcm+";expires=600")
		h.rest(490 * time.Second)
		if got := h.pushes(); !near(got, []float64{480, 485}) || h.result("not_sent") != 2 || len(h.live) != 0 {
			t.Errorf("pushes at %v, counted %v, %d live", got, h.result("not_sent"), len(h.live))
		}
	})
}

func TestRefresher_Gone_RFC8599_5_5(t *testing.T) {
	keep(t, RefresherOptions{}, func(h *house) {
		h.service.outcome = push.Outcome{Class: push.Gone, GoneSince: h.start.Add(time.Minute)}
		h.register(alice, 1, fcm+";expires=600")
		h.rest(599 * time.Second)
		if got := h.pushes(); len(got) != 1 {
			t.Errorf("pushes at %v, want one to a dead token", got)
		}
		if b := h.bindings(); len(b) != 1 || !b[0].Push.IsZero() {
			t.Errorf("the token is still there: %+v", b)
		}
	})
}

func TestRefresher_GoneBeforeItWasRegistered_RFC8599_5_5(t *testing.T) {
	keep(t, RefresherOptions{}, func(h *house) {
		h.service.outcome = push.Outcome{Class: push.Gone, GoneSince: h.start.Add(-time.Minute)}
		h.register(alice, 1, fcm+";expires=600")
		h.rest(490 * time.Second)
		if b := h.bindings(); len(b) != 1 || b[0].Push.PRID != "tok" {
			t.Errorf("the token was dropped: %+v", b)
		}
		if got := h.pushes(); !near(got, []float64{480, 485}) {
			t.Errorf("pushes at %v", got)
		}
	})
}

func TestRefresher_NoPushToARemovedBinding_RFC8599_5_5(t *testing.T) {
	for name, contact := range map[string]string{
		"removed":    fcm + ";expires=0",
		"registered": fcm + ";expires=600",
		"token gone": `<sip:a@h>;expires=600`,
	} {
		t.Run(name, func(t *testing.T) {
			keep(t, RefresherOptions{}, func(h *house) {
				h.service.takes = 0 // the push waits in the dispatcher's queue
				h.register(alice, 1, fcm+";expires=600")
				h.rest(482 * time.Second)
				h.register(alice, 2, contact)
				synctest.Wait()
				if len(h.pushes()) != 1 || h.service.cancelled != 1 {
					t.Errorf("%d of %d pushes cancelled", h.service.cancelled, len(h.pushes()))
				}
				h.rest(100 * time.Second)
				if got := h.pushes(); len(got) != 1 {
					t.Errorf("pushes at %v", got)
				}
			})
		})
	}
}

func TestRefresher_OtherDevicesChangeNothing(t *testing.T) {
	keep(t, RefresherOptions{}, func(h *house) {
		h.service.takes = 0
		h.register(alice, 1, fcm+";expires=600")
		h.rest(482 * time.Second)
		h.update(alice, func(rec usrloc.Record) (usrloc.Record, error) {
			other := rec.Bindings[0]
			other.ID[15]++
			rec.Bindings = append(slices.Clone(rec.Bindings), other)
			return rec, nil
		})
		synctest.Wait()
		if h.service.cancelled != 0 {
			t.Error("the push was cancelled")
		}
	})
}

func TestRefresher_VoIPTokenIsNeverPushed(t *testing.T) {
	keep(t, RefresherOptions{}, func(h *house) {
		h.register(alice, 1, "<sip:a@h;pn-provider=apns;pn-param=T.b.app.voip;pn-prid=00aa>;expires=600")
		h.rest(700 * time.Second)
		if got := h.pushes(); len(got) != 0 {
			t.Errorf("pushes at %v", got)
		}
		if d := cmp.Diff([]string{"expired by expiry"}, h.told.actions()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
	})
}

func TestRefresher_NoCredential(t *testing.T) {
	keep(t, RefresherOptions{}, func(h *house) {
		// It was configured when the phone registered, and is no more.
		h.register(alice, 1, web+";expires=600")
		h.rest(700 * time.Second)
		if got := h.pushes(); len(got) != 0 || h.result("impossible") == 0 || len(h.bindings()) != 0 {
			t.Errorf("pushes at %v, impossible %v, left %d", got, h.result("impossible"), len(h.bindings()))
		}
	})
}

// What fell due all at once is taken at the rate, look by look, and all of it.
func TestRefresher_BacklogIsSmeared(t *testing.T) {
	for _, tt := range []struct {
		name          string
		rate, n, look int // what is taken at each look
	}{
		{"by default 500 a second", 0, 700, 125},
		{"20 a second", 20, 100, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			keep(t, RefresherOptions{Rate: tt.rate, Retries: -1}, func(h *house) {
				for i := range tt.n {
					// register makes the name of the binding from the end of it.
					h.register(usrloc.AOR(fmt.Sprintf("sip:user%03d@a.example", i)), 1, fcm+";expires=600")
				}
				h.rest(480*time.Second - lookEvery/2)
				for len(h.pushes()) == 0 {
					h.rest(lookEvery)
				}
				for taken := 0; taken < tt.n; {
					taken = min(taken+tt.look, tt.n)
					if got := len(h.pushes()); got != taken {
						h.t.Fatalf("%d pushes after a look, want %d", got, taken)
					}
					h.rest(lookEvery)
				}
				if got := len(h.pushes()); got != tt.n {
					t.Errorf("%d pushes in the end, want %d", got, tt.n)
				}
			})
		})
	}
}

func TestRefresher_PendingIsBounded(t *testing.T) {
	keep(t, RefresherOptions{Pending: 3}, func(h *house) {
		h.service.takes = 0
		for i := range 10 {
			h.register(usrloc.AOR(fmt.Sprintf("sip:user%03d@example.com", i)), 1, fcm+";expires=600")
		}
		h.rest(482 * time.Second)
		if got := h.pushes(); len(got) != 3 || h.result("deferred") != 7 {
			t.Errorf("pushes at %v, %v deferred", got, h.result("deferred"))
		}
		h.rest(200 * time.Second)
		// The pushes that hang do not keep anything from expiring.
		if got := testutil.ToFloat64(h.metrics.expirations); got != 10 {
			t.Errorf("%v expired, want 10", got)
		}
		if len(h.live) != 0 {
			t.Errorf("%d attempts left", len(h.live))
		}
	})
}

func TestRefresher_StopCancelsPushes(t *testing.T) {
	keep(t, RefresherOptions{}, func(h *house) {
		h.service.takes = 0
		h.register(alice, 1, fcm+";expires=600")
		h.rest(482 * time.Second)
		h.stop()
		synctest.Wait()
		if h.service.cancelled != 1 || len(h.live) != 0 {
			t.Errorf("%d cancelled, %d live", h.service.cancelled, len(h.live))
		}
		h.rest(time.Hour)
		if got := h.pushes(); len(got) != 1 {
			t.Errorf("pushes at %v, after the stop", got)
		}
	})
}

func TestRefresher_RestartGoesOn(t *testing.T) {
	// The bindings fell due while no Refresher ran.
	synctest.Test(t, func(t *testing.T) {
		store := usrloc.NewMemory(usrloc.MemoryOptions{})
		defer store.Close()
		h := &house{t: t, store: store, policy: pushPolicy()}
		h.register(alice, 1, fcm+";expires=600")
		time.Sleep(550 * time.Second)
		service := &pushService{start: time.Now(), outcome: push.Outcome{Class: push.OK}, takes: time.Millisecond}
		r, err := NewRefresher(RefresherOptions{Store: store, Push: service})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.Run(ctx); close(done) }()
		time.Sleep(8 * time.Second)
		cancel()
		<-done
		synctest.Wait()
		if got := service.at; len(got) != 2 || got[0] > time.Second || got[1] > 7*time.Second {
			t.Errorf("pushes %v after the start, want one at once and one 5 s later", got)
		}
	})
}

// stubborn is a Store that fails at first.
type stubborn struct {
	usrloc.Store
	mu                       sync.Mutex
	claims, watches, updates int // how many are still to fail
}

func (s *stubborn) fail(n *int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n--
	return *n >= 0
}

func (s *stubborn) Claim(ctx context.Context, now time.Time, n int) ([]usrloc.Due, error) {
	if s.fail(&s.claims) {
		return nil, usrloc.ErrUnavailable
	}
	return s.Store.Claim(ctx, now, n)
}

func (s *stubborn) Watch(ctx context.Context, aor usrloc.AOR, until time.Time, changed func(usrloc.Change)) (usrloc.Record, func(), error) {
	if s.fail(&s.watches) {
		return usrloc.Record{}, nil, usrloc.ErrFull
	}
	return s.Store.Watch(ctx, aor, until, changed)
}

func (s *stubborn) Update(ctx context.Context, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error), done func(usrloc.Record, []usrloc.Change, error)) {
	if s.fail(&s.updates) {
		done(usrloc.Record{}, nil, usrloc.ErrUnavailable)
		return
	}
	s.Store.Update(ctx, aor, fn, done)
}

func TestRefresher_StoreFails(t *testing.T) {
	s := &stubborn{claims: 4 * 490, watches: 1, updates: 1}
	keep(t, RefresherOptions{Store: s}, func(h *house) {
		s.mu.Lock()
		s.Store = h.store
		s.mu.Unlock()
		h.register(alice, 1, fcm+";expires=600")
		h.rest(489 * time.Second)
		if strings.Count(h.log.String(), "claim timers") != 1 {
			t.Errorf("an outage is told once:\n%s", h.log)
		}
		h.rest(33 * time.Second)
		// The first look fails; its claim lapses.
		if got := h.pushes(); !near(got, []float64{520}) {
			t.Errorf("pushes at %v", got)
		}
		h.rest(120 * time.Second)
		if d := cmp.Diff([]string{"due", "expired by expiry"}, h.told.actions()); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
		if got := h.log.String(); strings.Count(got, "read binding to refresh") != 1 || strings.Count(got, "expire bindings") != 1 {
			t.Errorf("log\n%s", got)
		}
	})
}

func TestRefresher_RetryAt(t *testing.T) {
	due := birthday
	b := &usrloc.Binding{RefreshAt: due, Expires: due.Add(10 * time.Minute)}
	tests := []struct {
		name    string
		since   time.Duration // since RefreshAt
		first   bool
		retries int
		want    time.Duration // pause; 0: never
	}{
		{"after the first", 0, true, 0, 5 * time.Second},
		{"after the first, which was late", 3 * time.Minute, true, 0, 5 * time.Second},
		{"second", 5 * time.Second, false, 0, 10 * time.Second},
		{"third", 15 * time.Second, false, 0, 20 * time.Second},
		{"fourth", 35 * time.Second, false, 0, 40 * time.Second},
		{"no longer than the maximum", 75 * time.Second, false, 0, time.Minute},
		{"no longer than the maximum, much later", 5 * time.Minute, false, 0, time.Minute},
		{"last retry", 15 * time.Second, false, 2, 0},
		{"last but one", 5 * time.Second, false, 2, 10 * time.Second},
		{"many retries", 5 * time.Minute, false, 1000, time.Minute},
		{"no retries", 0, true, -1, 0},
		{"no retries any more", 5 * time.Second, false, -1, 0},
		{"no time left", 9*time.Minute + 30*time.Second, false, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := NewRefresher(RefresherOptions{Store: failing{err: errors.New("not asked")}, Retries: tt.retries})
			if err != nil {
				t.Fatal(err)
			}
			now := due.Add(tt.since)
			next := r.retryAt(b, tt.first, now)
			if tt.want == 0 {
				if !next.IsZero() {
					t.Errorf("again after %v, want never", next.Sub(now))
				}
				return
			}
			if got := next.Sub(now); got < tt.want || got > tt.want*11/10+1 {
				t.Errorf("again after %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNewRefresher_WithoutStore(t *testing.T) {
	if _, err := NewRefresher(RefresherOptions{}); err == nil {
		t.Error("no error")
	}
}
