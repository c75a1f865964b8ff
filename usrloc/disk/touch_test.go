package disk

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// A settled takes the end of one Touch after the other.
type settled chan error

func (s settled) Settled(err error) { s <- err }

// tryTouch makes a Touch and waits for it.
func tryTouch(t testing.TB, s *Store, aor usrloc.AOR, fn func(*usrloc.Binding) bool) error {
	t.Helper()
	wait := make(settled, 1)
	for range 1000 {
		if s.Touch(aor, time.Now(), usrloctest.First(fn), wait) == usrloc.TouchPending {
			return <-wait
		}
		// An Update may have been told of and not have gone yet.
		<-time.After(time.Millisecond)
	}
	t.Fatalf("Touch(%s) declined", aor)
	return nil
}

func mustTouch(t testing.TB, s *Store, aor usrloc.AOR, fn func(*usrloc.Binding) bool) {
	t.Helper()
	if err := tryTouch(t, s, aor, fn); err != nil {
		t.Fatalf("Touch(%s): %v", aor, err)
	}
}

// TestTouch_IsBackAfterARestart: whatever a Touch may change, changed again and
// again, alone and with Updates between.
func TestTouch_IsBackAfterARestart(t *testing.T) {
	for _, mode := range []Mode{Fsync, Write} {
		t.Run(mode.String(), func(t *testing.T) {
			fs, r := vfs.NewMem(), newRand(5)
			o := Options{Dir: "store", FS: fs, Mode: mode, OnFailure: failNow(t)}
			s := mustOpen(t, o)
			now := clock()
			const n = 40
			fillStore(t, s, n)
			for i := range 6 * n {
				aor := usrloctest.AOR(i % n)
				if i%7 == 3 {
					b := mustGet(t, s, aor).Bindings[0]
					b.Contact += ";x"
					mustUpdate(t, s, aor, usrloctest.Put(b))
				}
				mustTouch(t, s, aor, func(b *usrloc.Binding) bool {
					*b = refreshed(r, *b)
					b.Expires, b.RetainUntil = now.Add(time.Hour), now.Add(2*time.Hour)
					if i%5 == 2 {
						b.UserAgent = strings.Repeat("u", i)
					}
					return true
				})
			}
			var want []usrloc.Record
			for i := range n {
				want = append(want, mustGet(t, s, usrloctest.AOR(i)))
			}
			mustClose(t, s)
			s = mustOpen(t, o)
			for i := range n {
				got := mustGet(t, s, usrloctest.AOR(i))
				if d := usrloctest.Diff(want[i].Bindings, got.Bindings); d != "" {
					t.Fatalf("%s (-before +after):\n%s", got.AOR, d)
				}
				if got.Version <= want[i].Version {
					t.Errorf("Version %d after a restart, %d before", got.Version, want[i].Version)
				}
			}
		})
	}
}

// TestTouch_ManyAtOnce has Touches and Updates of few AORs on many goroutines,
// so that each batch has several of each. Per AOR they are told of in the order
// in which they were made, once each.
func TestTouch_ManyAtOnce(t *testing.T) {
	const aors, writers, each = 3, 16, 200
	fs := vfs.NewMem()
	o := Options{Dir: "store", FS: fs, OnFailure: failNow(t)}
	s := mustOpen(t, o)
	fillStore(t, s, aors)
	var told [aors]teller
	var all sync.WaitGroup
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				n := (w + i) % aors
				aor := usrloctest.AOR(n)
				mine := &turn{teller: &told[n], all: &all}
				all.Add(1)
				if i%4 != 0 && s.Touch(aor, time.Now(), usrloctest.First(func(b *usrloc.Binding) bool {
					b.CSeq++
					mine.cseq = b.CSeq
					return true
				}), mine) == usrloc.TouchPending {
					continue
				}
				s.Update(t.Context(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
					b := rec.Bindings[0]
					if i%8 != 0 {
						b.CSeq++
					}
					mine.cseq = b.CSeq
					rec.Bindings = []usrloc.Binding{b}
					return rec, nil
				}, func(_ usrloc.Record, _ []usrloc.Change, err error) { mine.Settled(err) })
			}
		})
	}
	wg.Wait()
	all.Wait()
	total := 0
	for n := range told {
		if told[n].problem != "" {
			t.Errorf("AOR %d: %s", n, told[n].problem)
		}
		total += told[n].calls
	}
	if total != writers*each {
		t.Errorf("%d ends were told of %d changes", total, writers*each)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	for n := range told {
		if got := mustGet(t, s, usrloctest.AOR(n)).Bindings[0].CSeq; got != told[n].last {
			t.Errorf("AOR %d: CSeq %d after a restart, %d was told", n, got, told[n].last)
		}
	}
}

// A teller notes what is told of one AOR.
type teller struct {
	mu      sync.Mutex // guards what follows
	last    uint32
	calls   int
	problem string
}

// A turn is one change that waits to be told of.
type turn struct {
	*teller
	all  *sync.WaitGroup
	cseq uint32
}

func (x *turn) Settled(err error) {
	defer x.all.Done()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.calls++
	// An Update that changed nothing has the CSeq of the change before.
	if err != nil || x.cseq < x.last || x.cseq > x.last+1 && x.last != 0 {
		x.problem = fmt.Sprintf("told of CSeq %d after %d, %v", x.cseq, x.last, err)
	}
	x.last = x.cseq
}

// TestTouch_AllocatesNothing: neither in Touch nor, on average, in the committer,
// in Pebble and in telling.
func TestTouch_AllocatesNothing(t *testing.T) {
	s := mustOpen(t, Options{Dir: t.TempDir(), OnFailure: failNow(t)})
	const n, rounds = 200, 100
	fillStore(t, s, n)
	var aors [n]usrloc.AOR
	for i := range aors {
		aors[i] = usrloctest.AOR(i)
	}
	wait := make(settled, n)
	next := usrloctest.First(func(b *usrloc.Binding) bool { b.CSeq++; return true })
	now := time.Now()
	round := func() {
		for _, aor := range aors {
			for s.Touch(aor, now, next, wait) != usrloc.TouchPending {
				runtime.Gosched() // the Updates that made the bindings are being told of
			}
		}
		for range aors {
			if err := <-wait; err != nil {
				t.Error(err)
			}
		}
	}
	for range 20 {
		round() // the memory that is used again has its size
	}
	if got := testing.AllocsPerRun(rounds, round); got > n/4 {
		t.Errorf("%v allocations for %d refreshes", got, n)
	} else {
		t.Logf("%v allocations for %d refreshes", got, n)
	}
}

// TestTouch_MoreThanABatch has so many Touches wait for a slow disk that they
// make several batches, some of them of the same bindings.
func TestTouch_MoreThanABatch(t *testing.T) {
	var slow atomic.Bool
	release := make(chan struct{})
	mem := vfs.NewMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if slow.Load() && strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			<-release
		}
		return nil
	}))
	s := mustOpen(t, Options{Dir: "store", FS: fs, OnFailure: failNow(t)})
	const n = batchChanges + 1000
	fillStore(t, s, n)
	mustTouch(t, s, usrloctest.AOR(n-1), func(b *usrloc.Binding) bool { b.CSeq = 9; return true })
	slow.Store(true)
	wait := make(settled, 2*n)
	touches := 0
	touch := func(n int, change func(b *usrloc.Binding)) {
		if s.Touch(usrloctest.AOR(n), time.Now(), usrloctest.First(func(b *usrloc.Binding) bool { change(b); return true }), wait) == usrloc.TouchPending {
			touches++
		}
	}
	for i := range n {
		touch(i, func(b *usrloc.Binding) { b.CSeq = 5 })
		if i%50 == 0 {
			touch(i, func(b *usrloc.Binding) { b.CSeq, b.UserAgent = 6, "other" })
			touch(i, func(b *usrloc.Binding) { b.CSeq = 7 })
		}
	}
	if touches <= n {
		t.Errorf("%d Touches were taken of %d", touches, n+2*n/50)
	}
	slow.Store(false)
	close(release)
	for range touches {
		if err := <-wait; err != nil {
			t.Fatal(err)
		}
	}
	var want []usrloc.Record
	for i := range n {
		want = append(want, mustGet(t, s, usrloctest.AOR(i)))
	}
	mustClose(t, s)
	s = mustOpen(t, Options{Dir: "store", FS: mem, OnFailure: failNow(t)})
	for i := range n {
		if d := usrloctest.Diff(want[i].Bindings, mustGet(t, s, want[i].AOR).Bindings); d != "" {
			t.Fatalf("%s (-before +after):\n%s", want[i].AOR, d)
		}
	}
}

// TestCommitFailure_OfWhatGatheredMeanwhile: changes that came while a commit
// was failing fail as well, each exactly once.
func TestCommitFailure_OfWhatGatheredMeanwhile(t *testing.T) {
	var broken atomic.Bool
	failing, release := make(chan struct{}, 100), make(chan struct{})
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			failing <- struct{}{}
			<-release
			return syscall.EIO
		}
		return nil
	}))
	s, err := Open(Options{Dir: "store", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	const n = 30
	fillStore(t, s, n)
	mustTouch(t, s, usrloctest.AOR(n-1), func(b *usrloc.Binding) bool { b.CSeq++; return true })
	broken.Store(true)
	results := make(chan error, 2*n)
	change := func(i int) {
		aor := usrloctest.AOR(i)
		if i%3 != 0 && s.Touch(aor, time.Now(), usrloctest.First(func(b *usrloc.Binding) bool { b.CSeq++; return true }), settled(results)) == usrloc.TouchPending {
			return
		}
		s.Update(t.Context(), aor, usrloctest.Put(usrloctest.Binding(aor, 2, clock())), func(_ usrloc.Record, _ []usrloc.Change, err error) { results <- err })
	}
	change(0)
	<-failing
	for i := 1; i < n; i++ {
		change(i)
	}
	close(release)
	for range n {
		if err := <-results; !errors.Is(err, usrloc.ErrUnavailable) || !errors.Is(err, syscall.EIO) && !strings.Contains(err.Error(), syscall.EIO.Error()) {
			t.Errorf("told %v, want ErrUnavailable and the cause", err)
		}
	}
	s.Close()
	if len(results) != 0 {
		t.Errorf("%d more were told", len(results))
	}
}
