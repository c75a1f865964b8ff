package qualify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// A world is a Qualifier on a real transaction layer and location service, inside
// a synctest bubble, with pretend phones that answer as answer says.
type world struct {
	t     *testing.T
	q     *Qualifier
	layer *transaction.Layer
	store *usrloc.Memory
	start time.Time

	mu sync.Mutex
	// asked are the requests in the order in which they were sent, at their times.
	asked []*sipmsg.Message
	times []time.Duration
	// answer says what a phone, named by its port, answers after which time; 0 is
	// no answer.
	answer func(port uint16) (code int, after time.Duration)
	asleep map[uint16]bool
	down   bool
}

var errDown = errors.New("network is down")

// inWorld runs fn with n phones of one user each, at the ports 1 to n.
func inWorld(t *testing.T, n int, o Options, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, store: usrloc.NewMemory(usrloc.MemoryOptions{}), start: time.Now(), asleep: map[uint16]bool{},
			answer: func(uint16) (int, time.Duration) { return 200, 10 * time.Millisecond },
		}
		w.layer = transaction.New(transaction.Options{Sender: w, User: w, Queues: 2})
		w.layer.Start()
		for i := range n {
			w.register(uint16(i+1), nil)
		}
		o.Store, o.Ways, o.Flows, o.Layer, o.Domain = w.store, w, w, w.layer, "example.com"
		if o.Rate == 0 {
			o.Rate = 1000
		}
		if o.Timeout == 0 {
			o.Timeout = 3 * time.Second
		}
		if o.MaxResults == 0 {
			o.MaxResults = 10_000
		}
		if o.Registerer == nil {
			o.Registerer = prometheus.NewRegistry()
		}
		var err error
		if w.q, err = New(o); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { w.q.Run(ctx) })
		// After a failed test, too, no goroutine may stay in the bubble.
		defer func() {
			cancel()
			running.Wait()
			w.q.Stop()
			if err := w.layer.Stop(context.Background()); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if n := w.q.pendingCount(); n != 0 {
				t.Errorf("%d OPTIONS left behind", n)
			}
		}()
		fn(w)
	})
}

func flowOf(port uint16) flow.Flow {
	return flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), port)}
}

func aorOf(port uint16) usrloc.AOR { return usrloc.AOR(fmt.Sprintf("sip:u%d@example.com", port)) }

// register registers the phone at a port as its own user.
func (w *world) register(port uint16, path []string) {
	w.t.Helper()
	now := time.Now()
	b := usrloc.Binding{
		Contact: fmt.Sprintf("sip:u%d@198.51.100.1:%d", port, port), Q: usrloc.QUnset, CallID: "c", CSeq: 1, Created: now, Updated: now,
		Expires: now.Add(24 * time.Hour), RetainUntil: now.Add(24 * time.Hour), Flow: flowOf(port), Path: path,
	}
	var err error
	if b.ID, err = usrloc.NewBindingID(aorOf(port), rand.Reader); err != nil {
		w.t.Fatal(err)
	}
	w.store.Update(w.t.Context(), aorOf(port), func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = []usrloc.Binding{b}
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			w.t.Error(err)
		}
	})
}

func (w *world) id(port uint16) usrloc.BindingID {
	w.t.Helper()
	rec, err := w.store.Get(w.t.Context(), aorOf(port))
	if err != nil || len(rec.Bindings) != 1 {
		w.t.Fatalf("Get(%s) = %v, %v", aorOf(port), rec, err)
	}
	return rec.Bindings[0].ID
}

// Way implements Ways.
func (w *world) Way(b *usrloc.Binding) (flow.Flow, string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return b.Flow, b.Contact, !w.asleep[b.Flow.Remote.Port()]
}

// Advertised implements Flows.
func (w *world) Advertised(flow.Flow) (string, uint16) { return "203.0.113.1", 5060 }

// Send implements transaction.Sender.
func (w *world) Send(f flow.Flow, b []byte) error {
	m, err := sipmsg.Parse(append([]byte(nil), b...), f.Remote)
	if err != nil {
		w.t.Errorf("sent %q: %v", b, err)
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return errDown
	}
	w.asked, w.times = append(w.asked, m), append(w.times, time.Since(w.start))
	if code, after := w.answer(f.Remote.Port()); code != 0 {
		time.AfterFunc(after, func() {
			reply, err := sipmsg.Parse(m.AppendReply(nil, sipmsg.Reply{Code: code, ToTag: "t"}), f.Remote)
			if err != nil {
				w.t.Errorf("answer: %v", err)
				return
			}
			w.layer.Receive(f, reply)
		})
	}
	return nil
}

// The other methods of a transaction.User: nothing comes in but answers.
func (w *world) Request(*transaction.Server)                        { w.t.Error("a request came in") }
func (w *world) Ack(*transaction.Queue, flow.Flow, *sipmsg.Message) { w.t.Error("an ACK came in") }
func (w *world) Cancel(*transaction.Server, *sipmsg.Message)        { w.t.Error("a CANCEL came in") }
func (w *world) Stray(flow.Flow, *sipmsg.Message)                   {}

// count returns how many OPTIONS, retransmissions apart, went to a port; 0: to all.
func (w *world) count(port uint16) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]bool{}
	for _, m := range w.asked {
		if uri := m.RequestURI(); !seen[m.CallID()] && (port == 0 || uri.PortNum() == port) {
			n++
			seen[m.CallID()] = true
		}
	}
	return n
}

func (w *world) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// latency fails the test unless what is known of a phone is this.
func (w *world) latency(port uint16, want time.Duration, known bool) {
	w.t.Helper()
	if d, ok := w.q.Latency(w.id(port)); d != want || ok != known {
		w.t.Errorf("Latency of phone %d = %v, %v, want %v, %v", port, d, ok, want, known)
	}
}

func TestQualify_OptionsAreWellFormed_RFC3261_11_1(t *testing.T) {
	inWorld(t, 0, Options{Interval: time.Minute}, func(w *world) {
		w.register(7, []string{"<sip:edge.example.com;lr>", "<sip:inner.example.com;lr>"})
		w.wait(61 * time.Second)
		if len(w.asked) == 0 {
			t.Fatal("nobody was asked")
		}
		m := w.asked[0]
		var routes []string
		for _, r := range m.Routes() {
			routes = append(routes, r.URI.String())
		}
		uri := m.RequestURI()
		got := []string{m.Method(), uri.String(), m.From().URI.String(), m.To().URI.String(), strings.Join(routes, " ")}
		want := []string{"OPTIONS", "sip:u7@198.51.100.1:7", "sip:example.com", "sip:u7@198.51.100.1:7", "sip:edge.example.com;lr sip:inner.example.com;lr"}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("OPTIONS (-want +got):\n%s", d)
		}
		accept, _ := m.HeaderNamed("Accept")
		hops, _ := m.MaxForwards()
		if accept != "application/sdp" || hops != 70 || m.ToTag() != "" || m.FromTag() == "" {
			t.Errorf("Accept %q, Max-Forwards %d, To tag %q, From tag %q", accept, hops, m.ToTag(), m.FromTag())
		}
	})
}

// Everybody is asked once in each interval, and not all at once.
func TestQualify_SpreadEvenly(t *testing.T) {
	const phones = 600
	inWorld(t, phones, Options{Interval: time.Minute}, func(w *world) {
		w.wait(3*time.Minute + time.Second)
		perSecond := map[int]int{}
		for _, at := range w.times {
			perSecond[int(at/time.Second)]++
		}
		for second, n := range perSecond {
			if n > 22 {
				t.Errorf("%d OPTIONS in second %d, want about 10", n, second)
			}
		}
		for port := range uint16(phones) {
			if n := w.count(port + 1); n < 3 || n > 4 {
				t.Fatalf("phone %d was asked %d times in three intervals", port+1, n)
			}
		}
	})
}

// A rate that is too low makes the interval longer, and nothing else.
func TestQualify_RateIsKept(t *testing.T) {
	inWorld(t, 600, Options{Interval: 10 * time.Second, Rate: 20}, func(w *world) {
		w.wait(20 * time.Second)
		if n := w.count(0); n < 390 || n > 400 {
			t.Errorf("%d OPTIONS in 20 s, want 400 at most and not much fewer", n)
		}
		w.wait(60 * time.Second)
		for port := range uint16(600) {
			if n := w.count(port + 1); n < 2 || n > 3 {
				t.Fatalf("phone %d was asked %d times in 80 s, want 2 or 3", port+1, n)
			}
		}
		if s := testutil.ToFloat64(w.q.metrics.walk); s < 29 || s > 32 {
			t.Errorf("a walk took %v s, want 30", s)
		}
	})
}

func TestQualify_WhatTheAnswerSays(t *testing.T) {
	tests := []struct {
		name    string
		code    int
		only2xx bool
		silent  bool
	}{
		{name: "ok", code: 200},
		{name: "busy", code: 486},
		{name: "no such method", code: 501},
		{name: "not ok", code: 501, only2xx: true, silent: true},
		{name: "accepted", code: 202, only2xx: true},
		{name: "the edge has no flow", code: 430, silent: true},
		{name: "the edge heard nothing", code: 408, silent: true},
		{name: "no answer", code: 0, silent: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, 0, Options{Interval: time.Minute, Only2xx: tt.only2xx}, func(w *world) {
				w.answer = func(uint16) (int, time.Duration) { return tt.code, 40 * time.Millisecond }
				w.register(1, nil)
				w.wait(65 * time.Second)
				want := 40 * time.Millisecond
				if tt.silent {
					want = Silent
				}
				w.latency(1, want, true)
				if len(mustGet(w, 1).Bindings) != 1 {
					t.Error("the binding is gone")
				}
			})
		})
	}
}

func mustGet(w *world, port uint16) usrloc.Record {
	rec, err := w.store.Get(w.t.Context(), aorOf(port))
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// The answer that comes after the time-out does not count, and the next one does.
func TestQualify_TimeoutAndBack(t *testing.T) {
	inWorld(t, 1, Options{Interval: time.Minute, Timeout: 2 * time.Second}, func(w *world) {
		w.mu.Lock()
		w.answer = func(uint16) (int, time.Duration) { return 200, 2100 * time.Millisecond }
		w.mu.Unlock()
		w.wait(10 * time.Second)
		w.latency(1, Silent, true)
		if n := testutil.ToFloat64(w.q.metrics.results.WithLabelValues("timeout")); n != 1 {
			t.Errorf("%v time-outs counted, want 1", n)
		}
		w.mu.Lock()
		w.answer = func(uint16) (int, time.Duration) { return 200, 30 * time.Millisecond }
		w.mu.Unlock()
		w.wait(time.Minute)
		w.latency(1, 30*time.Millisecond, true)
		if kept, silent := w.q.table.kept.Load(), w.q.table.silent.Load(); kept != 1 || silent != 0 {
			t.Errorf("%d results, %d of them silent, want 1 and 0", kept, silent)
		}
	})
}

// What timed out is not sent any more.
func TestQualify_TimeoutEndsTheRequest(t *testing.T) {
	inWorld(t, 1, Options{Interval: time.Minute, Timeout: 2 * time.Second}, func(w *world) {
		w.mu.Lock()
		w.answer = func(uint16) (int, time.Duration) { return 0, 0 }
		w.mu.Unlock()
		w.wait(50 * time.Second)
		// RFC 3261 §17.1.2.1: again after 0.5 s and 1.5 s.
		if n := len(w.times); n != 3 {
			t.Errorf("sent %d times, want 3", n)
		}
	})
}

// A device that is kept although its registration has ended is not asked.
func TestQualify_DormantIsLeftAlone(t *testing.T) {
	inWorld(t, 1, Options{Interval: time.Minute}, func(w *world) {
		w.wait(time.Minute)
		w.store.Update(t.Context(), aorOf(1), func(rec usrloc.Record) (usrloc.Record, error) {
			rec.Bindings = slices.Clone(rec.Bindings)
			rec.Bindings[0].Expires = time.Now()
			return rec, nil
		}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		asked := w.count(1)
		w.wait(3 * time.Minute)
		if n := w.count(1); n != asked {
			t.Errorf("asked %d times more", n-asked)
		}
	})
}

// endless is a Store of which every Record was read late: there is always more.
type endless struct {
	read int
	more usrloc.Cursor
}

func (e *endless) List(_ context.Context, _ usrloc.Cursor, n int) ([]usrloc.Record, usrloc.Cursor, error) {
	e.read += n
	return make([]usrloc.Record, n), e.more, nil
}

func (e *endless) Stats() usrloc.Stats { return usrloc.Stats{AORs: 60_000} }

// somewhere is a place in a list that is not its beginning.
func somewhere(t *testing.T) usrloc.Cursor {
	w := &world{t: t, store: usrloc.NewMemory(usrloc.MemoryOptions{})}
	w.register(1, nil)
	w.register(2, nil)
	_, next, err := w.store.List(t.Context(), usrloc.Cursor{}, 1)
	if err != nil || next.IsZero() {
		t.Fatalf("List: %v, %v", next, err)
	}
	return next
}

// Who is late does not catch up all at once: that would stop everything else.
func TestRound_LateReadsAreBounded(t *testing.T) {
	w := &world{asleep: map[uint16]bool{}}
	store := &endless{more: somewhere(t)}
	q, err := New(Options{
		Store: store, Ways: w, Flows: w, Layer: transaction.New(transaction.Options{Sender: w, User: w}), Domain: "example.com",
		Interval: time.Minute, Timeout: time.Second, Rate: 1, MaxResults: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := round{q: q, allowed: allowance{rate: 1}}
	now := time.Now()
	r.begin(now)
	r.step(t.Context(), now.Add(2*time.Minute))
	// An even share is 100 in a step.
	if store.read < 150 || store.read > 300 {
		t.Errorf("%d Records read in one step, want 200", store.read)
	}
}

// However slow the queues are, no more wait than a second beyond the time-out brings.
func TestRound_PendingAreBounded(t *testing.T) {
	inWorld(t, 0, Options{Interval: time.Minute, Rate: 5}, func(w *world) {
		r := round{q: w.q, allowed: allowance{rate: 5, have: 1000}}
		for i := range 100 {
			r.rest = append(r.rest, usrloc.Binding{Contact: "sip:x@198.51.100.1", Flow: flowOf(uint16(i + 1)), Expires: time.Now().Add(time.Hour)})
		}
		r.begin(time.Now())
		for range 100 {
			r.allowed.have = 2
			r.step(t.Context(), time.Now())
		}
		if n := w.q.pendingCount(); n != 20 {
			t.Errorf("%d are waited for, want 20", n)
		}
		w.wait(5 * time.Second)
	})
}

func TestQualify_WhatCannotBeSent(t *testing.T) {
	inWorld(t, 1, Options{Interval: time.Minute}, func(w *world) {
		w.mu.Lock()
		w.down = true
		w.mu.Unlock()
		w.wait(10 * time.Second)
		w.latency(1, Silent, true)
		if n := testutil.ToFloat64(w.q.metrics.results.WithLabelValues("failed")); n != 1 {
			t.Errorf("%v failures counted, want 1", n)
		}
	})
}

// A phone that falls asleep is not asked any more, and what was known of it is
// forgotten.
func TestQualify_SleepersAreLeftAlone(t *testing.T) {
	inWorld(t, 2, Options{Interval: time.Minute}, func(w *world) {
		w.wait(70 * time.Second)
		w.latency(1, 10*time.Millisecond, true)
		asked := w.count(1)
		w.mu.Lock()
		w.asleep[1] = true
		w.mu.Unlock()
		w.wait(4 * time.Minute)
		if n := w.count(1); n != asked {
			t.Errorf("asked %d times more while it slept", n-asked)
		}
		w.latency(1, 0, false)
		w.latency(2, 10*time.Millisecond, true)
	})
}

// Nobody waits for a phone that does not answer when the server stops: inWorld
// stops the layer without a deadline, and time in the bubble would show it.
func TestQualify_StopDoesNotWait(t *testing.T) {
	inWorld(t, 1, Options{Interval: time.Minute, Timeout: 20 * time.Second}, func(w *world) {
		w.mu.Lock()
		w.answer = func(uint16) (int, time.Duration) { return 0, 0 }
		w.mu.Unlock()
		w.wait(10 * time.Second)
		if w.q.pendingCount() != 1 {
			t.Error("nothing is waited for")
		}
		before := time.Now()
		w.q.Stop()
		if err := w.layer.Stop(context.Background()); err != nil || time.Since(before) > time.Second {
			t.Errorf("Stop took %v: %v", time.Since(before), err)
		}
	})
}

func TestQualify_OptionsAreChecked(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New took nothing")
	}
}
