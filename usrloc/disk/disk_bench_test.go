package disk

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// fillStore creates n AORs of one binding each.
func fillStore(t testing.TB, s *Store, n int) {
	t.Helper()
	now := clock()
	var wg sync.WaitGroup
	room := make(chan struct{}, 4096)
	for i := range n {
		room <- struct{}{}
		wg.Add(1)
		aor := usrloctest.AOR(i)
		s.Update(context.Background(), aor, usrloctest.Put(usrloctest.Binding(aor, 1, now)), func(_ usrloc.Record, _ []usrloc.Change, err error) {
			if err != nil {
				t.Errorf("Update: %v", err)
			}
			<-room
			wg.Done()
		})
	}
	wg.Wait()
}

// cpu is the processor time that this process has used.
func cpu(t testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// commitPopulation is how many AORs the writers below go over.
const commitPopulation = 100_000

// BenchmarkStore_Commit has writers that wait for each of their Updates: new
// devices, and plain refreshes. CPU includes the writers and Memory.
func BenchmarkStore_Commit(b *testing.B) {
	for _, mode := range []Mode{Fsync, Write} {
		for _, writers := range []int{64, 1024} {
			for _, kind := range []string{"create", "refresh"} {
				b.Run(fmt.Sprintf("mode=%s/writers=%d/%s", mode, writers, kind), func(b *testing.B) {
					s := mustOpen(b, Options{Dir: b.TempDir(), Mode: mode, OnFailure: failNow(b)})
					if kind == "refresh" {
						fillStore(b, s, commitPopulation)
					}
					runCommits(b, s, writers, kind == "refresh")
				})
			}
		}
	}
}

func runCommits(b *testing.B, s *Store, writers int, refresh bool) {
	now := clock()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	before, began := cpu(b), time.Now()
	for range writers {
		wg.Go(func() {
			ended := make(chan error, 1)
			done := func(_ usrloc.Record, _ []usrloc.Change, err error) { ended <- err }
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				aor := usrloctest.AOR(int(i))
				if refresh {
					aor = usrloctest.AOR(int(uint64(i) * 0x9e3779b97f4a7c15 % commitPopulation))
				}
				s.Update(context.Background(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
					if !refresh {
						rec.Bindings = []usrloc.Binding{usrloctest.Binding(aor, 1, now)}
						return rec, nil
					}
					bd := rec.Bindings[0]
					bd.CSeq++
					rec.Bindings = []usrloc.Binding{bd}
					return rec, nil
				}, done)
				if err := <-ended; err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "commits/s")
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOpen is a restart with a million bindings.
func BenchmarkOpen(b *testing.B) {
	const n = 1_000_000
	dir := b.TempDir()
	open := func() *Store { // one that nothing holds on to
		s, err := Open(Options{Dir: dir, OnFailure: failNow(b)})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s := open()
	fillStore(b, s, n)
	mustClose(b, s)
	s = nil
	debug.FreeOSMemory()
	var used time.Duration
	b.ResetTimer()
	for range b.N {
		before := cpu(b)
		s = open()
		used += cpu(b) - before
		b.StopTimer()
		if got := s.Stats().Bindings; got != n {
			b.Fatalf("%d bindings loaded", got)
		}
		b.ReportMetric(proportional(b), "MB-PSS")
		debug.FreeOSMemory()
		b.ReportMetric(proportional(b), "MB-PSS-idle")
		mustClose(b, s)
		s = nil
		debug.FreeOSMemory()
		b.StartTimer()
	}
	b.ReportMetric(used.Seconds()/float64(b.N), "cpu-s/op")
}

// proportional is the memory that this process takes, in megabytes.
func proportional(t testing.TB) float64 {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		var kb float64
		if n, _ := fmt.Sscanf(line, "Pss: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	t.Error("no Pss in smaps_rollup")
	return 0
}
