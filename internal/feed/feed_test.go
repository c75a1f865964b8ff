package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/event"
)

func due(n int) event.Event { return event.RefreshDue{AOR: fmt.Sprintf("sip:%d@example.com", n)} }

func refreshed() event.Event { return event.Registration{Action: "refreshed"} }

// taken are the AORs of what a Taker got.
type taken struct {
	aors      []string
	refreshes bool
	block     chan struct{}
}

func (*taken) Name() string { return "taken" }

func (t *taken) Refreshes() bool { return t.refreshes }

func (t *taken) Take(rs []*Record) {
	if t.block != nil {
		<-t.block
	}
	for _, r := range rs {
		t.aors = append(t.aors, r.AOR)
	}
}

func all(t *testing.T, patterns ...string) event.Filter {
	t.Helper()
	f, err := event.NewFilter(patterns, "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func read(t *testing.T, s *Subscription) (aors []string) {
	t.Helper()
	rs, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		aors = append(aors, strings.TrimSuffix(strings.TrimPrefix(r.AOR, "sip:"), "@example.com"))
	}
	return aors
}

func TestFeed_OrderAndIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := &taken{}
		f := New(Options{Node: 7, Takers: []Taker{got}})
		s, err := f.Subscribe(all(t), "")
		if err != nil {
			t.Fatal(err)
		}
		for n := range 100 {
			f.Emit(due(n))
		}
		synctest.Wait()
		rs, err := s.Next(t.Context())
		if err != nil || len(rs) != 100 || len(got.aors) != 100 {
			t.Fatalf("%d read, %d taken, %v", len(rs), len(got.aors), err)
		}
		last := ""
		for n, r := range rs {
			if want := fmt.Sprintf("sip:%d@example.com", n); r.AOR != want || got.aors[n] != want || r.ID() <= last {
				t.Fatalf("event %d is %s after %s about %s", n, r.ID(), last, r.AOR)
			}
			last = r.ID()
		}
		b, err := rs[0].JSON(event.Tokens)
		if err != nil {
			t.Fatal(err)
		}
		var e event.Envelope
		if err := json.Unmarshal(b, &e); err != nil || e.ID != rs[0].ID() || e.Node != 7 || e.Type != "binding.refresh_due" {
			t.Errorf("%s, %v", b, err)
		}
		if err := f.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

type named struct {
	*taken
	name string
}

func (n named) Name() string { return n.name }

// TestFeed_TakerThatHangs: it loses events, nobody else does, and nobody waits.
func TestFeed_TakerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		stuck, other := &taken{block: make(chan struct{})}, &taken{}
		f := New(Options{Queue: 10, Takers: []Taker{stuck, named{other, "other"}}, Registerer: reg})
		s, err := f.Subscribe(all(t), "")
		if err != nil {
			t.Fatal(err)
		}
		for n := range 16 {
			f.Emit(due(n))
			synctest.Wait()
		}
		if got := read(t, s); len(got) != 16 || len(other.aors) != 16 {
			t.Errorf("%d events are read and %d taken elsewhere, want 16", len(got), len(other.aors))
		}
		if got := testutil.ToFloat64(f.metrics.lost("taken")); got != 5 {
			t.Errorf("%v events were lost, want 5", got)
		}
		if got := testutil.ToFloat64(f.metrics.lost("other")) + testutil.ToFloat64(f.metrics.lost(toAll)); got != 0 {
			t.Errorf("%v events were lost to others", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop() = %v", err)
		}
		close(stuck.block)
		// What was queued is handed on all the same.
		if err := f.Stop(t.Context()); err != nil || len(stuck.aors) != 11 {
			t.Errorf("%d taken, %v", len(stuck.aors), err)
		}
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
	})
}

// TestFeed_StopHandsOnTheLast: subscribers read what was emitted before Stop.
func TestFeed_StopHandsOnTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := &taken{}
		f := New(Options{Takers: []Taker{got}})
		s, err := f.Subscribe(all(t), "")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for n := range 1000 {
			f.Emit(due(n))
		}
		if err := f.Stop(t.Context()); err != nil || len(got.aors) != 1000 {
			t.Errorf("%d taken, %v", len(got.aors), err)
		}
		n := 0
		for {
			rs, err := s.Next(t.Context())
			if n += len(rs); errors.Is(err, ErrStopped) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if n != 1000 {
			t.Errorf("a subscriber read %d of 1000", n)
		}
	})
}

func TestSubscription_Resume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{Keep: 10})
		defer f.Stop(t.Context())
		first, err := f.Subscribe(all(t), "0")
		if err != nil || !first.Missing() {
			t.Fatalf("before any event, after one of another server: %v, missing %v", err, first.Missing())
		}
		for n := range 4 {
			f.Emit(due(n))
		}
		synctest.Wait()
		rs, err := first.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		first.Close()
		first.Close()
		for n := 4; n < 12; n++ {
			f.Emit(due(n))
		}
		synctest.Wait()
		for _, tt := range []struct {
			name, after, want string
			missing           bool
		}{
			{"the last seen is kept", rs[3].ID(), "[4 5 6 7 8 9 10 11]", false},
			{"the oldest kept", rs[2].ID(), "[3 4 5 6 7 8 9 10 11]", false},
			{"the last seen is forgotten", rs[1].ID(), "[2 3 4 5 6 7 8 9 10 11]", true},
			{"one of another server", "0", "[2 3 4 5 6 7 8 9 10 11]", true},
		} {
			s, err := f.Subscribe(all(t), tt.after)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(read(t, s)); got != tt.want || s.Missing() != tt.missing {
				t.Errorf("%s: %s, missing %v; want %s, %v", tt.name, got, s.Missing(), tt.want, tt.missing)
			}
			s.Close()
		}
		fresh, err := f.Subscribe(all(t), "")
		if err != nil {
			t.Fatal(err)
		}
		defer fresh.Close()
		f.Emit(due(99))
		if got := fmt.Sprint(read(t, fresh)); got != "[99]" || fresh.Missing() {
			t.Errorf("a new one reads %s", got)
		}
	})
}

func TestSubscription_SlowOnesAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{Keep: 10, Subscribers: 2})
		slow, err := f.Subscribe(all(t), "")
		if err != nil {
			t.Fatal(err)
		}
		quick, err := f.Subscribe(all(t), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Subscribe(all(t), ""); !errors.Is(err, ErrFull) {
			t.Errorf("a third subscriber: %v", err)
		}
		for n := range 3 {
			for range 5 {
				f.Emit(due(n))
			}
			synctest.Wait()
			if got := read(t, quick); len(got) != 5 {
				t.Errorf("%d events", len(got))
			}
		}
		if _, err := slow.Next(t.Context()); !errors.Is(err, ErrSlow) {
			t.Errorf("the slow one reads on: %v", err)
		}
		slow.Close()
		if n, dropped := f.kept.count(); n != 1 || dropped != 1 {
			t.Errorf("%d subscribers, %d dropped", n, dropped)
		}
		if err := f.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := quick.Next(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("after Stop: %v", err)
		}
		if _, err := f.Subscribe(all(t), ""); !errors.Is(err, ErrStopped) {
			t.Errorf("Subscribe after Stop: %v", err)
		}
	})
}

func TestSubscription_Filter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{})
		defer f.Stop(t.Context())
		filter, err := event.NewFilter([]string{"binding.*"}, "sip:2@example.com")
		if err != nil {
			t.Fatal(err)
		}
		s, err := f.Subscribe(filter, "")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for n := range 4 {
			f.Emit(event.PushSend{AOR: "sip:2@example.com"})
			f.Emit(due(n))
		}
		synctest.Wait()
		if got := fmt.Sprint(read(t, s)); got != "[2]" {
			t.Errorf("read %s", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// TestFeed_RefreshesAreMadeForThoseWhoWantThem: who does not ask for them must not
// have the server make them, nor have other events driven out by them.
func TestFeed_RefreshesAreMadeForThoseWhoWantThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		webhook := &taken{}
		f := New(Options{Takers: []Taker{webhook}})
		defer f.Stop(t.Context())
		heard := func(want bool, when string) {
			t.Helper()
			if got := event.Heard(event.Fan{f}, refreshed()); got != want {
				t.Errorf("%s: a refresh is heard: %v", when, got)
			}
			if !f.Hears(due(0)) {
				t.Errorf("%s: others are not heard", when)
			}
		}
		heard(false, "nobody is there")
		others, err := f.Subscribe(all(t, "*", "!binding.refreshed"), "")
		if err != nil {
			t.Fatal(err)
		}
		heard(false, "a subscriber to others")
		f.Emit(refreshed())
		f.Emit(due(1))
		synctest.Wait()
		if f.kept.next != 1 {
			t.Errorf("%d events are kept, want that which is no refresh", f.kept.next)
		}
		others.Close()
		s, err := f.Subscribe(all(t), "")
		if err != nil {
			t.Fatal(err)
		}
		heard(true, "a subscriber to all")
		s.Close()
		heard(true, "it may come back")
		time.Sleep(linger + time.Second)
		heard(false, "it did not come back")
		late, err := f.Subscribe(all(t), f.kept.ring[0].ID())
		if err != nil || !late.Missing() {
			t.Errorf("it came back late, and refreshes were not kept: missing %v, %v", late.Missing(), err)
		}
		late.Close()
		time.Sleep(linger + time.Second)
		webhook.refreshes = true
		heard(true, "a webhook")
		f.Emit(refreshed())
		synctest.Wait()
		if len(webhook.aors) != 2 || f.kept.next != 1 {
			t.Errorf("%d taken, %d kept", len(webhook.aors), f.kept.next)
		}
	})
}

func TestFeed_HearsAllocatesNothing(t *testing.T) {
	f := New(Options{Takers: []Taker{&taken{}}})
	defer f.Stop(t.Context())
	var sink event.Sink = event.Fan{event.NewLog(slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))), f}
	sample := refreshed()
	if n := testing.AllocsPerRun(100, func() {
		if event.Heard(sink, sample) {
			t.Fatal("heard")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type broken struct {
	failing bool
	torn    int // bytes that are written all the same
	bytes.Buffer
}

func (b *broken) Write(p []byte) (int, error) {
	if b.failing {
		n, _ := b.Buffer.Write(p[:b.torn])
		return n, errors.New("no space")
	}
	return b.Buffer.Write(p)
}

func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		out := &broken{}
		lines := NewLines("lines", out, all(t, "push.*"), slog.New(slog.NewTextHandler(&logged, nil)))
		f := New(Options{Takers: []Taker{lines}})
		f.Emit(event.PushSend{AOR: "sip:a@example.com", Token: "planted"})
		f.Emit(due(1))
		f.Emit(event.PushReported{Result: "gone"})
		synctest.Wait()
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(got) != 2 || !strings.Contains(got[0], `"type":"push.send"`) || !strings.Contains(got[1], `"type":"push.reported"`) || strings.Contains(got[0], "planted") {
			t.Errorf("the lines are %q", got)
		}
		out.failing = true
		for range 3 {
			f.Emit(event.PushReported{})
			synctest.Wait()
		}
		if n := strings.Count(logged.String(), "no space"); n != 1 {
			t.Errorf("the log says it %d times", n)
		}
		out.torn = 7
		f.Emit(event.PushReported{})
		synctest.Wait()
		out.failing = false
		f.Emit(event.PushReported{Result: "failed"})
		f.Emit(event.PushReported{Result: "delivered"})
		synctest.Wait()
		got = strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(got) != 5 || got[2] != `{"v":1,` || !json.Valid([]byte(got[3])) || !json.Valid([]byte(got[4])) {
			t.Errorf("behind half a line: %q", got)
		}
		if err := f.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkEmit(b *testing.B) {
	f := New(Options{})
	defer f.Stop(b.Context())
	b.ReportAllocs()
	e := event.Event(event.Registration{Action: "created", AOR: "sip:a@example.com"})
	for b.Loop() {
		f.Emit(e)
	}
}
