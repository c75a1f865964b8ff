package proxy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/wake"
	"reveille/push"
)

// A counter is a push service that takes everything after a while.
type counter struct {
	mu   sync.Mutex
	sent []*push.Request
}

func (c *counter) Send(_ context.Context, r *push.Request) push.Outcome {
	time.Sleep(50 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, r)
	return push.Outcome{Class: push.OK, Status: 200}
}

func (*counter) Close() error { return nil }

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sent)
}

// withPushes runs fn in a world whose pushes go through a Waker and a Dispatcher to
// a push service.
func withPushes(t *testing.T, o Options, fn func(w *world, service *counter)) {
	t.Helper()
	inWorld(t, o, func(w *world) {
		service := &counter{}
		d, err := push.NewDispatcher(push.Options{Apps: []push.App{{Name: "app", Provider: "fcm", Sender: service}}})
		if err != nil {
			t.Fatal(err)
		}
		w.waker = wake.New(wake.Options{Dispatcher: d, Store: w.store})
		fn(w, service)
		if err := d.Close(w.t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Calls that arrive together are one push; all of them leave when the phone has
// registered, those of one queue in the order in which they came.
func TestFlood_ManyCallsToASleepingPhoneAreOnePush(t *testing.T) {
	const calls = 100
	withPushes(t, Options{MaxParkedPerAOR: calls}, func(w *world, service *counter) {
		p := w.sleeper("198.51.100.1:5060")
		time.Sleep(time.Minute)
		for i := range calls {
			w.post(caller, request("INVITE", "sip:alice@example.com", fmt.Sprintf("call-%03d", i)))
			synctest.Wait() // Each on a queue of its own: the next one comes later.
		}
		if n := w.proxy.Parked(); n != calls {
			t.Fatalf("%d calls wait, want %d", n, calls)
		}
		time.Sleep(3 * time.Second)
		w.expect()
		if n := service.count(); n != 1 {
			t.Errorf("%d pushes for %d calls, want 1", n, calls)
		}
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		left := map[string]int{} // Call-ID: place among what was sent
		for i, s := range w.take() {
			if s.m.Method() == "INVITE" && s.flow == p.flow {
				left[s.m.CallID()] = i
			}
		}
		if len(left) != calls {
			t.Errorf("%d calls were released, want %d", len(left), calls)
		}
		order := slices.SortedFunc(maps.Keys(left), func(a, b string) int { return left[a] - left[b] })
		if !slices.IsSorted(order) {
			t.Errorf("the calls left in another order than they came: %q", order)
		}
	})
}

// A flood of INVITEs is not a flood of pushes: what has no room is refused, and
// causes none.
func TestFlood_BeyondTheBoundsIsRefusedWithoutAPush(t *testing.T) {
	withPushes(t, Options{MaxParkedPerAOR: 5}, func(w *world, service *counter) {
		w.sleeper("198.51.100.1:5060")
		time.Sleep(time.Minute)
		for n := range 20 {
			for i := range 50 {
				w.recv(caller, request("INVITE", "sip:alice@example.com", fmt.Sprintf("c-%d-%d", n, i)))
			}
			time.Sleep(time.Second)
		}
		refused := 0
		for _, s := range w.take() {
			if s.m.Status() == 480 {
				refused++
			}
		}
		if refused < 950 {
			t.Errorf("%d of 1000 calls were refused at once", refused)
		}
		if n := service.count(); n > 1 {
			t.Errorf("%d pushes, want 1: five calls wait", n)
		}
	})
}
