package disk

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// BenchmarkStore_Refresh has devices refresh in turn, 128 at a time, each of
// them by a Touch or, to compare, by an Update. An operation must not cost more
// when there are more bindings, also while the database compacts: so it takes
// long enough to see compactions only with
//
//	go test -run '^$' -bench 'Store_Refresh/fsync' -benchtime 2000000x ./usrloc/disk
//
// CPU is that of the whole process, Memory and compactions included; written is
// what each operation made Pebble write, log and all.
func BenchmarkStore_Refresh(b *testing.B) {
	for _, mode := range []Mode{Fsync, Write} {
		for _, n := range []int{10_000, 200_000, 1_000_000} {
			var s *Store
			for _, kind := range []string{"touch", "update"} {
				top := b
				b.Run(fmt.Sprintf("%s/bindings=%d/%s", mode, n, kind), func(b *testing.B) {
					if s == nil { // the function runs several times
						s = mustOpen(top, Options{Dir: top.TempDir(), Mode: mode, OnFailure: failNow(top)})
						fillStore(b, s, n)
					}
					runRefreshes(b, s, n, kind == "touch")
				})
			}
			if s != nil {
				mustClose(b, s)
			}
		}
	}
}

// inFlight is how many devices wait for an answer at a time.
const inFlight = 128

// A room is the Waiter of all of them.
type room struct {
	b      *testing.B
	places chan struct{}
}

func (r *room) Settled(err error) {
	if err != nil {
		r.b.Error(err)
	}
	<-r.places
}

func runRefreshes(b *testing.B, s *Store, n int, touch bool) {
	aors := make([]usrloc.AOR, n)
	for i := range aors {
		aors[i] = usrloctest.AOR(int(uint64(i) * 0x9e3779b97f4a7c15 % uint64(n)))
	}
	r := &room{b, make(chan struct{}, inFlight)}
	now := clock()
	renew := func(bd *usrloc.Binding) bool {
		bd.CSeq++
		bd.Updated, bd.Expires = now, now.Add(time.Hour)
		bd.RetainUntil, bd.RefreshAt = bd.Expires, now.Add(50*time.Minute)
		return true
	}
	first := usrloctest.First(renew)
	update := func(rec usrloc.Record) (usrloc.Record, error) {
		bd := rec.Bindings[0]
		renew(&bd)
		rec.Bindings = []usrloc.Binding{bd}
		return rec, nil
	}
	done := func(_ usrloc.Record, _ []usrloc.Change, err error) { r.Settled(err) }
	written, batches := s.written(), testutil.ToFloat64(s.metrics.batches)
	b.ReportAllocs()
	b.ResetTimer()
	before, began := cpu(b), time.Now()
	for i := range b.N {
		r.places <- struct{}{}
		now = now.Add(time.Millisecond)
		if !touch {
			s.Update(context.Background(), aors[i%n], update, done)
		} else if s.Touch(aors[i%n], now, first, r) != usrloc.TouchPending {
			b.Fatal("declined")
		}
	}
	for range inFlight {
		r.places <- struct{}{}
	}
	ops := float64(b.N)
	b.ReportMetric(ops/time.Since(began).Seconds(), "op/s")
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1000/ops, "cpu-µs/op")
	b.ReportMetric(float64(s.written()-written)/ops, "written-B/op")
	b.ReportMetric(ops/(testutil.ToFloat64(s.metrics.batches)-batches), "op/batch")
	b.ReportMetric(0, "ns/op")
}

// written is how many bytes the database has written, its log included.
func (s *Store) written() uint64 {
	m := s.db.Metrics()
	total := m.Total()
	return m.WAL.BytesWritten + total.TableBytesFlushed + total.TableBytesCompacted
}
