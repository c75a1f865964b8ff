package usrloc_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// The cost of an operation must not grow with the number of bindings: each
// benchmark runs over a small and a large store. What remains of the difference
// is the processor's caches.
var populations = [...]int{10_000, 1_000_000}

func fill(b testing.TB, n int) *usrloc.Memory {
	b.Helper()
	m := usrloc.NewMemory(usrloc.MemoryOptions{})
	now := time.Now()
	for i := range n {
		aor, bd := binding(i, now)
		put(b, m, aor, bd)
	}
	return m
}

func binding(i int, now time.Time) (usrloc.AOR, usrloc.Binding) {
	aor := usrloctest.AOR(i)
	bd := usrloctest.Binding(aor, 1, now)
	// Refreshes spread over an hour, as they do after a while.
	bd.RefreshAt = now.Add(time.Duration(i%3_600_000) * time.Millisecond)
	return aor, bd
}

func put(b testing.TB, m *usrloc.Memory, aor usrloc.AOR, bd usrloc.Binding) {
	m.Update(context.Background(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = []usrloc.Binding{bd}
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			b.Errorf("Update: %v", err)
		}
	})
}

func benchmarkPopulations(b *testing.B, run func(b *testing.B, m *usrloc.Memory, n int)) {
	for _, n := range populations {
		var m *usrloc.Memory
		b.Run(fmt.Sprintf("bindings=%d", n), func(b *testing.B) {
			if m == nil { // the function runs several times, with growing b.N
				m = fill(b, n)
			}
			b.ReportAllocs()
			b.ResetTimer()
			run(b, m, n)
		})
	}
}

// scatter visits 0 to n-1 in an order that caches do not like.
func scatter(i, n int) int { return int(uint64(i) * 0x9e3779b97f4a7c15 % uint64(n)) }

func BenchmarkMemory_Create(b *testing.B) {
	benchmarkPopulations(b, func(b *testing.B, m *usrloc.Memory, n int) {
		now := time.Now()
		for i := range b.N {
			// A new AOR comes and an old one goes, so that the number stays.
			aor, bd := binding(n+i%1000, now)
			put(b, m, aor, bd)
			if i%1000 == 999 {
				b.StopTimer()
				for j := range 1000 {
					aor := usrloctest.AOR(n + j)
					remove := usrloctest.Remove(usrloc.CauseRegister, usrloctest.ID(aor, 1))
					m.Update(context.Background(), aor, remove, func(usrloc.Record, []usrloc.Change, error) {})
				}
				b.StartTimer()
			}
		}
	})
}

func BenchmarkMemory_Refresh(b *testing.B) {
	benchmarkPopulations(b, func(b *testing.B, m *usrloc.Memory, n int) {
		now := time.Now()
		fn := func(rec usrloc.Record) (usrloc.Record, error) {
			bd := rec.Bindings[0]
			bd.CSeq++
			bd.Expires, bd.RetainUntil = now.Add(time.Hour), now.Add(time.Hour)
			bd.RefreshAt = bd.RefreshAt.Add(50 * time.Minute)
			rec.Bindings = []usrloc.Binding{bd}
			return rec, nil
		}
		done := func(usrloc.Record, []usrloc.Change, error) {}
		for i := range b.N {
			m.Update(context.Background(), usrloctest.AOR(scatter(i, n)), fn, done)
		}
	})
}

// BenchmarkMemory_RefreshWhileWatched has 10,000 watches of other AORs.
func BenchmarkMemory_RefreshWhileWatched(b *testing.B) {
	m := fill(b, 20_000)
	for i := range 10_000 {
		if _, _, err := m.Watch(context.Background(), usrloctest.AOR(i), time.Now().Add(time.Hour), func(usrloc.Change) {}); err != nil {
			b.Fatal(err)
		}
	}
	fn := func(rec usrloc.Record) (usrloc.Record, error) {
		bd := rec.Bindings[0]
		bd.CSeq++
		rec.Bindings = []usrloc.Binding{bd}
		return rec, nil
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		m.Update(context.Background(), usrloctest.AOR(10_000+scatter(i, 10_000)), fn, func(usrloc.Record, []usrloc.Change, error) {})
	}
}

func BenchmarkMemory_Get(b *testing.B) {
	benchmarkPopulations(b, func(b *testing.B, m *usrloc.Memory, n int) {
		for i := range b.N {
			if rec, err := m.Get(context.Background(), usrloctest.AOR(scatter(i, n))); err != nil || len(rec.Bindings) != 1 {
				b.Fatal(rec, err)
			}
		}
	})
}

func BenchmarkMemory_Watch(b *testing.B) {
	benchmarkPopulations(b, func(b *testing.B, m *usrloc.Memory, n int) {
		until := time.Now().Add(time.Hour)
		for i := range b.N {
			_, cancel, err := m.Watch(context.Background(), usrloctest.AOR(scatter(i, n)), until, func(usrloc.Change) {})
			if err != nil {
				b.Fatal(err)
			}
			cancel()
		}
	})
}

// BenchmarkMemory_ClaimDone claims 100 timers at a time and sets each for an
// hour later; an operation is one timer.
func BenchmarkMemory_ClaimDone(b *testing.B) {
	for _, n := range populations {
		var m *usrloc.Memory
		var now time.Time
		b.Run(fmt.Sprintf("bindings=%d", n), func(b *testing.B) {
			if m == nil {
				m = usrloc.NewMemory(usrloc.MemoryOptions{})
				now = time.Now()
				for i := range n {
					aor, bd := binding(i*(3_600_000/n), now)
					bd.RetainUntil = now.Add(1e6 * time.Hour)
					put(b, m, aor, bd)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; {
				due, err := m.Claim(context.Background(), now, 100)
				if err != nil {
					b.Fatal(err)
				}
				for _, d := range due {
					m.Done(d, d.At.Add(time.Hour))
				}
				i += len(due)
				now = now.Add(100 * time.Hour / time.Duration(n))
			}
		})
	}
}

// BenchmarkMemory_ClaimNothing is what the keeper of the timers pays for asking
// when nothing is due.
func BenchmarkMemory_ClaimNothing(b *testing.B) {
	benchmarkPopulations(b, func(b *testing.B, m *usrloc.Memory, _ int) {
		now := time.Now().Add(-time.Hour)
		for range b.N {
			if due, err := m.Claim(context.Background(), now, 100); err != nil || len(due) != 0 {
				b.Fatal(due, err)
			}
		}
	})
}

// BenchmarkMemory_Bytes reports what a push binding costs in a store of a
// million: in the Go heap after a collection, and as the PSS of the process (what
// the system counts, index, garbage and runtime included) after filling the store
// and after refreshing each binding twice. Run it alone, once:
//
//	go test -run '^$' -bench Memory_Bytes -benchtime 1x ./usrloc
//
// The slabs hold no pointers, so a low GOGC costs next to nothing.
func BenchmarkMemory_Bytes(b *testing.B) {
	const n = 1_000_000
	for _, percent := range []int{100, 25, 10} {
		b.Run(fmt.Sprintf("GOGC=%d", percent), func(b *testing.B) {
			defer debug.SetGCPercent(debug.SetGCPercent(percent))
			for range b.N {
				debug.FreeOSMemory()
				base, basePSS := heap(), pss(b)
				m := fill(b, n)
				filled := pss(b) - basePSS
				start := time.Now()
				for i := range 2 * n {
					aor, bd := binding(i%n, start)
					bd.CSeq = uint32(i)
					put(b, m, aor, bd)
				}
				refreshed := pss(b) - basePSS
				b.ReportMetric(float64(filled)/n, "PSS-filled/binding")
				b.ReportMetric(float64(refreshed)/n, "PSS-refreshed/binding")
				b.ReportMetric(float64(heap()-base)/n, "heap/binding")
				b.ReportMetric(float64(m.Stats().Bytes)/n, "slabs/binding")
				runtime.KeepAlive(m)
			}
		})
	}
}

// heap returns the live bytes of the Go heap.
func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// pss returns the proportional set size of the process in bytes, 0 where the
// system does not say.
func pss(b *testing.B) int64 {
	data, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		b.Logf("no PSS here: %v", err)
		return 0
	}
	for line := range bytes.Lines(data) {
		if f := bytes.Fields(line); len(f) == 3 && string(f[0]) == "Pss:" {
			kib, err := strconv.ParseInt(string(f[1]), 10, 64)
			if err != nil {
				b.Fatalf("read PSS: %v", err)
			}
			return kib << 10
		}
	}
	return 0
}
