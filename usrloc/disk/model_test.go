package disk

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"reveille/internal/modeltest"
	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// A model is the plainest store one can think of.
type model map[usrloc.AOR]map[usrloc.BindingID]usrloc.Binding

const modelAORs = 60

// step changes one AOR at random in the store and in the model: bindings come,
// go, are refreshed and changed, some with seconds to live.
func (md model) step(t *testing.T, r *rand.Rand, s *Store, now time.Time) {
	aor := usrloctest.AOR(r.IntN(modelAORs))
	next := make(map[usrloc.BindingID]usrloc.Binding)
	maps.Copy(next, md[aor])
	if len(next) > 0 && r.IntN(3) > 0 && md.touch(t, r, s, aor, now) {
		return
	}
	for range 1 + r.IntN(3) {
		i := r.IntN(4)
		id := usrloctest.ID(aor, i)
		b, there := next[id]
		switch {
		case !there:
			// Created times tell the order in which they come back.
			b = usrloctest.Binding(aor, i, now.Add(time.Duration(i)*time.Hour))
			b.Path = slices.Repeat([]string{"<sip:edge@192.0.2.1;lr>"}, r.IntN(3))
			if r.IntN(3) == 0 {
				b.Push = usrloc.Push{}
			}
		case r.IntN(4) == 0:
			delete(next, id)
			continue
		case r.IntN(4) == 0:
			b.Contact = "sip:" + strings.Repeat("c", r.IntN(600)) + "@192.0.2.1"
			b.Push.PRID = "token"
		default:
			b = refreshed(r, b)
		}
		b.Expires, b.RefreshAt = now.Add(time.Hour), now.Add(time.Duration(r.IntN(3000))*time.Second)
		b.RetainUntil = now.Add(time.Duration(1+r.IntN(9)) * time.Hour)
		next[id] = b
	}
	mustUpdate(t, s, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = nil
		for _, b := range next {
			rec.Bindings = append(rec.Bindings, b)
		}
		return rec, nil
	})
	md[aor] = next
}

// touch refreshes one binding of an AOR by a Touch, if that is possible.
func (md model) touch(t *testing.T, r *rand.Rand, s *Store, aor usrloc.AOR, now time.Time) bool {
	wait := make(settled, 1)
	var next usrloc.Binding
	if s.Touch(aor, now, func(all []usrloc.Binding) int {
		i := r.IntN(len(all))
		b := &all[i]
		next = refreshed(r, md[aor][b.ID])
		next.Expires, next.RetainUntil = now.Add(time.Hour), now.Add(time.Duration(1+r.IntN(9))*time.Hour)
		if r.IntN(4) == 0 {
			next.UserAgent = strings.Repeat("u", r.IntN(100))
		}
		b.CallID, b.CSeq, b.Updated, b.Expires, b.RetainUntil = next.CallID, next.CSeq, next.Updated, next.Expires, next.RetainUntil
		b.RefreshAt, b.Flow, b.UserAgent, b.GRUUSet = next.RefreshAt, next.Flow, next.UserAgent, next.GRUUSet
		return i
	}, wait) != usrloc.TouchPending {
		return false
	}
	if err := <-wait; err != nil {
		t.Fatalf("Touch(%s): %v", aor, err)
	}
	md[aor][next.ID] = next
	return true
}

// check compares count and content.
func (md model) check(t *testing.T, s *Store, ordered bool) {
	t.Helper()
	total := 0
	for i := range modelAORs {
		aor := usrloctest.AOR(i)
		byCreated := func(a, b usrloc.Binding) int {
			return cmp.Or(a.Created.Compare(b.Created), slices.Compare(a.ID[:], b.ID[:]))
		}
		var want []usrloc.Binding
		for _, b := range md[aor] {
			want = append(want, b)
		}
		slices.SortFunc(want, byCreated)
		got := mustGet(t, s, aor).Bindings
		if !ordered {
			slices.SortFunc(got, byCreated)
		}
		if d := usrloctest.Diff(want, got); d != "" {
			t.Fatalf("%s (-model +store):\n%s", aor, d)
		}
		total += len(want)
	}
	if st := s.Stats(); st.Bindings != total {
		t.Fatalf("the store counts %d bindings, the model %d", st.Bindings, total)
	}
}

// TestStore_ModelThroughRestarts drives a store and a model with the same
// changes, through restarts clean and by a crash, with the database writing and
// compacting tables between them.
func TestStore_ModelThroughRestarts(t *testing.T) {
	for _, mode := range []Mode{Fsync, Write} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			for seed := range modeltest.Seeds(t, 1) {
				if playThroughRestarts(t, mode, newRand(int(seed)<<4+int(mode)+7)); t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func playThroughRestarts(t *testing.T, mode Mode, r *rand.Rand) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	md := make(model)
	now := clock()
	for range 5 {
		o := Options{Dir: "store", FS: fs, Mode: mode, OnFailure: failNow(t), pace: pace{sweepEvery: time.Millisecond, sweepStep: time.Millisecond}}
		s := mustOpen(t, o)
		md.check(t, s, true)
		for i := range 200 {
			md.step(t, r, s, now)
			if i%100 == 50 {
				if err := s.db.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		md.check(t, s, false)
		percent := 0
		if mode == Write {
			percent = 100 // the process ends, not the system
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: r})
		mustClose(t, s)
		if r.IntN(2) == 0 {
			fs = crashed
		} else if mode == Write {
			fs = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r})
		}
	}
}

// TestSweep_DeletesWhatHasExpired: expired bindings are neither loaded nor kept,
// whatever their refreshes said before, and those that live stay.
func TestSweep_DeletesWhatHasExpired(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{Dir: "store", FS: fs, OnFailure: failNow(t)}
	s := mustOpen(t, o)
	now := clock()
	const n = 200
	for i := range n {
		aor := usrloctest.AOR(i)
		b := usrloctest.Binding(aor, 1, now)
		if i%2 == 1 {
			b.RetainUntil = now.Add(300 * time.Millisecond)
		}
		mustUpdate(t, s, aor, usrloctest.Put(b))
		if b.CSeq++; i%4 == 0 { // lives longer in the refresh than in the binding
			b.RetainUntil = now.Add(2 * time.Hour)
		}
		mustUpdate(t, s, aor, usrloctest.Put(b))
	}
	mustClose(t, s)
	<-time.After(time.Until(now.Add(310 * time.Millisecond)))

	o.pace = pace{sweepStep: time.Microsecond}
	s = mustOpen(t, o)
	if got := s.Stats().Bindings; got != n/2 {
		t.Errorf("%d bindings loaded, want %d", got, n/2)
	}
	keys := func() (n int) {
		it, err := s.db.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		for ok := it.First(); ok; ok = it.Next() {
			n++
		}
		if err := it.Close(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const want = n/2*2 + 2 // with their refreshes, and the two "m" keys
	for i := 0; keys() != want; i++ {
		if i > 2000 {
			t.Fatalf("%d keys after the sweep, want %d", keys(), want)
		}
		<-time.After(5 * time.Millisecond)
	}
	mustClose(t, s)
	if got := mustOpen(t, o).Stats().Bindings; got != n/2 {
		t.Errorf("%d bindings after the sweep, want %d", got, n/2)
	}
}
