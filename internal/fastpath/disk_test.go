package fastpath

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc/disk"
)

// onDisk makes a pipeline before a durable store.
func onDisk(t testing.TB, with bool) *pipeline {
	t.Helper()
	p := newIdle(t, setup{with: with, store: late, loose: true})
	s, err := disk.Open(disk.Options{
		Dir: "store", FS: vfs.NewMem(), MinFree: -1, Registerer: p.registry,
		OnFailure: func(err error) { t.Errorf("the store failed: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	p.store = s.Memory
	p.build(s, s)
	t.Cleanup(func() {
		p.stop()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// TestPath_OnDisk sends random REGISTERs, several at a time, to two servers with
// a disk.
func TestPath_OnDisk(t *testing.T) {
	b := both{onDisk(t, true), onDisk(t, false)}
	settlePolicy()
	r := rand.New(rand.NewPCG(11, 12))
	p := phones{r: r, b: b}
	for round := range 200 {
		p.restart()
		var log []string
		var long []*sipmsg.Message
		for range 1 + r.IntN(12) {
			raw, f := p.next()
			log = append(log, raw)
			for _, one := range [...]*pipeline{b.with, b.without} {
				if m := one.receive(f, raw); m != nil {
					long = append(long, m)
				}
			}
		}
		for _, one := range [...]*pipeline{b.with, b.without} {
			for _, m := range long {
				one.awaitLong(m)
			}
			one.awaitStore()
		}
		if d := b.differ(); d != "" {
			t.Fatalf("round %d: %s\n%s", round, d, strings.Join(log, "\n"))
		}
		clear(b.with.answers)
		clear(b.without.answers)
	}
	if n := b.with.inPlace(); n < 50 || b.with.several < 20 {
		t.Errorf("%v refreshes were answered in place, %d of phones beside others", n, b.with.several)
	}
}

func TestPath_AllocatesNextToNothingOnDisk(t *testing.T) {
	p := onDisk(t, true)
	settlePolicy()
	refresh := newRefresh(t, p, 0)
	p.path.o.Post = func(flow.Flow, []byte) error { return nil }
	const rounds, each = 20, 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		for range each {
			refresh()
		}
		p.awaitStore()
	}
	runtime.ReadMemStats(&after)
	if n := float64(after.Mallocs-before.Mallocs) / (rounds * each); n > 1 && !poolsForget {
		t.Errorf("%.2f allocations for a refresh", n)
	}
}
