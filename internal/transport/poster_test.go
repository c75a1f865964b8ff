package transport

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
)

// TestPost_Order has several goroutines post to peers of their own at once.
func TestPost_Order(t *testing.T) {
	bothWays(t, func(t *testing.T, change func(*Transport)) {
		tr, l := unstarted(t, Options{Handler: ignore{}}, change)
		tr.Start()
		const each = 5 * batchLen
		var wg sync.WaitGroup
		for range 4 {
			p := newPen(t, "127.0.0.1")
			wg.Go(func() {
				for i := range each {
					if err := tr.Post(l.flow(p.addr()), fmt.Append(nil, "post ", i)); err != nil {
						t.Error(err)
					}
				}
			})
			defer func() {
				if diff := cmp.Diff(numbered("post", each), p.read(each)); diff != "" {
					t.Error(diff)
				}
			}()
		}
		wg.Wait()
	})
}

// TestPost_StopSendsWhatWaits: what was posted before Stop leaves, as much as
// there is.
func TestPost_StopSendsWhatWaits(t *testing.T) {
	bothWays(t, func(t *testing.T, change func(*Transport)) {
		tr, l := unstarted(t, Options{Handler: ignore{}}, change)
		p := newPen(t, "127.0.0.1")
		const n = 3*batchLen + 1
		buf := make([]byte, 100)
		for _, m := range numbered("post", n) { // Before Start they wait.
			if err := tr.Post(l.flow(p.addr()), buf[:copy(buf, m)]); err != nil {
				t.Fatal(err)
			}
		}
		p.silent()
		tr.Start()
		stop(t, tr)
		if diff := cmp.Diff(numbered("post", n), p.read(n)); diff != "" {
			t.Error(diff)
		}
		if err := tr.Post(l.flow(p.addr()), []byte("late")); !errors.Is(err, ErrFlowDead) {
			t.Errorf("Post after Stop = %v", err)
		}
		if got := testutil.ToFloat64(l.metrics.sent); got != n {
			t.Errorf("%v of %d counted", got, n)
		}
	})
}

func TestPost_IsBounded(t *testing.T) {
	inBubble(t, Options{PostQueue: 1000, Listeners: []ListenerOptions{{Name: "udp", Transport: flow.UDP, Addr: ":5060", Sockets: 1}}}, func(t *testing.T, b *bench) {
		l, phone := b.listeners()[0], b.phone("192.0.2.50")
		f := l.flow(remoteOf("192.0.2.50"))
		// The poster sleeps, and is kept asleep until all is posted.
		p := l.sockets[0].poster
		synctest.Wait()
		for round := range 3 {
			p.mu.Lock()
			p.asleep = false // As if it were woken already.
			p.mu.Unlock()
			for i := range 5 {
				want := error(nil)
				if i == 4 { // 4 * (200 + 64) > 1000
					want = ErrBusy
				}
				if i == 3 {
					if err := b.Post(f, make([]byte, 145)); !errors.Is(err, ErrBusy) {
						t.Errorf("round %d: Post of one byte too many = %v", round, err)
					}
					if err := b.Post(f, make([]byte, 144)); err != nil {
						t.Errorf("round %d: Post of what fits = %v", round, err)
					}
					continue
				}
				if err := b.Post(f, make([]byte, 200)); !errors.Is(err, want) {
					t.Errorf("round %d: Post %d = %v, want %v", round, i, err, want)
				}
			}
			p.work.Signal()
			synctest.Wait()
			if got := len(allHeard(t, phone)); got != 4 {
				t.Errorf("round %d: %d sent, want 4", round, got)
			}
		}
		if got := testutil.ToFloat64(l.metrics.sendError(ErrBusy)); got != 6 {
			t.Errorf("%v of 6 counted as refused", got)
		}
	})
}

func TestPost_Errors(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		good := b.listeners()[0].flow(remoteOf("192.0.2.50"))
		for _, tc := range []struct {
			name   string
			change func(f *flow.Flow)
			size   int
			want   error
		}{
			{name: "good", size: maxDatagram},
			{name: "too long", size: maxDatagram + 1, want: ErrTooLong},
			{name: "no flow", change: func(f *flow.Flow) { *f = flow.Flow{} }, want: ErrFlowDead},
			{name: "listener is gone", change: func(f *flow.Flow) { f.Listener = "old" }, want: ErrFlowDead},
			{name: "another node", change: func(f *flow.Flow) { f.Node = 2 }, want: ErrFlowDead},
			{name: "connection is gone", change: func(f *flow.Flow) { f.Listener, f.Transport, f.Conn = "tcp", flow.TCP, 7 }, want: ErrFlowDead},
		} {
			f := good
			if tc.change != nil {
				tc.change(&f)
			}
			if err := b.Post(f, make([]byte, tc.size)); !errors.Is(err, tc.want) {
				t.Errorf("%s: Post = %v, want %v", tc.name, err, tc.want)
			}
		}
	})
}

// TestPost_BurstLeavesNoMemory: the buffers of a burst are not kept.
func TestPost_BurstLeavesNoMemory(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		l := b.listeners()[0]
		f := l.flow(remoteOf("192.0.2.50"))
		p := l.socketFor(f.Remote).poster
		for range 100 {
			if err := b.Post(f, make([]byte, 60_000)); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 { // Two buffers take turns.
			synctest.Wait()
			if err := b.Post(f, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if got := cap(p.queue.arena); got > keepPosted {
			t.Errorf("%d bytes are kept", got)
		}
	})
}
