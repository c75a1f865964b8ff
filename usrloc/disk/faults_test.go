package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
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

// TestPowerLoss_SyncedOnly takes the disk away while writers are at work, and
// starts from what had been synced: everything that was acknowledged by then.
func TestPowerLoss_SyncedOnly(t *testing.T) {
	fs := vfs.NewCrashableMem()
	known := make(map[int]uint32)
	for round := range 3 {
		s := mustOpen(t, Options{Dir: "store", FS: fs, OnFailure: failNow(t)})
		var mu sync.Mutex // guards known and crashed
		var crashed *vfs.MemFS
		var acks atomic.Int32
		var wg sync.WaitGroup
		quit := make(chan struct{})
		for n := range victimAORs {
			wg.Go(func() {
				for {
					select {
					case <-quit:
						return
					default:
					}
					var k uint32
					if _, err := fmt.Sscanf(victimStep(s, n), fmt.Sprintf("%d %%d", n), &k); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if crashed == nil { // acknowledged before the lights went out
						known[n] = k
						acks.Add(1)
					}
					mu.Unlock()
				}
			})
		}
		for acks.Load() < 300 && !t.Failed() {
			<-time.After(time.Millisecond)
		}
		mu.Lock()
		crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 50}[round%3], RNG: newRand(round)})
		mu.Unlock()
		close(quit)
		wg.Wait()
		mustClose(t, s)
		fs = crashed

		s = mustOpen(t, Options{Dir: "store", FS: fs, OnFailure: failNow(t)})
		for n := range victimAORs {
			got, k := mustGet(t, s, usrloctest.AOR(n)).Bindings, uint32(0)
			if len(got) > 0 {
				k = got[0].CSeq
			}
			// The writer may have made one more that it had not noted yet.
			if k < known[n] || k > known[n]+2 {
				t.Fatalf("round %d: AOR %d is at change %d, %d was acknowledged", round, n, k, known[n])
			}
			if d := usrloctest.Diff(stateAt(n, k), got); k > 0 && d != "" {
				t.Fatalf("round %d: AOR %d after change %d (-want +got):\n%s", round, n, k, d)
			}
			known[n] = k
		}
		mustClose(t, s)
	}
}

// TestCommitFailure_OnFailureOnce: if the log cannot be written or synced,
// nothing is acknowledged any more, and the owner is told once.
func TestCommitFailure_OnFailureOnce(t *testing.T) {
	for name, kinds := range map[string][]errorfs.OpKind{
		"Write": {errorfs.OpFileWrite},
		"Sync":  {errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo},
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			mem := vfs.NewCrashableMem()
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				for _, k := range kinds {
					if op.Kind == k && broken.Load() && strings.HasSuffix(op.Path, ".log") {
						return syscall.EIO
					}
				}
				return nil
			}))
			var failures atomic.Int32
			var first atomic.Value
			s, err := Open(Options{Dir: "store", FS: fs, OnFailure: func(err error) {
				failures.Add(1)
				first.CompareAndSwap(nil, err.Error())
			}})
			if err != nil {
				t.Fatal(err)
			}
			fillStore(t, s, 50)
			touched := 0
			broken.Store(true)
			results := make(chan error, 50)
			for i := range 50 {
				aor := usrloctest.AOR(1000 + i)
				if i%2 == 0 && s.Touch(usrloctest.AOR(i), time.Now(), usrloctest.First(func(b *usrloc.Binding) bool {
					b.CSeq++
					return true
				}), settled(results)) == usrloc.TouchPending {
					touched++
					continue
				}
				s.Update(t.Context(), aor, usrloctest.Put(usrloctest.Binding(aor, 1, clock())),
					func(_ usrloc.Record, _ []usrloc.Change, err error) { results <- err })
			}
			if touched == 0 {
				t.Error("no Touch was taken")
			}
			for range 50 {
				if err := <-results; !errors.Is(err, usrloc.ErrUnavailable) {
					t.Fatalf("Update on a broken disk: %v, want ErrUnavailable", err)
				}
			}
			if _, err := s.Get(t.Context(), usrloctest.AOR(1)); !errors.Is(err, usrloc.ErrUnavailable) {
				t.Errorf("Get after a failed commit: %v, want ErrUnavailable", err)
			}
			broken.Store(false) // too late: what the log has is not known
			if err := tryUpdate(s, usrloctest.AOR(2), usrloctest.Remove(usrloc.CauseRegister)); !errors.Is(err, usrloc.ErrUnavailable) {
				t.Errorf("Update after a failed commit: %v, want ErrUnavailable", err)
			}
			if got := s.Touch(usrloctest.AOR(3), time.Now(), usrloctest.First(func(*usrloc.Binding) bool { return true }), settled(results)); got != usrloc.TouchDeclined {
				t.Errorf("Touch after a failed commit = %v", got)
			}
			if n := failures.Load(); n != 1 {
				t.Errorf("OnFailure was called %d times", n)
			}
			if text := fmt.Sprint(first.Load()); !strings.Contains(text, "store") || !strings.Contains(text, "input/output error") {
				t.Errorf("OnFailure was told %q", text)
			}
			after := mem.CrashClone(vfs.CrashCloneCfg{})
			s.Close()

			s = mustOpen(t, Options{Dir: "store", FS: after, OnFailure: failNow(t)})
			for i := range 50 {
				if rec := mustGet(t, s, usrloctest.AOR(i)); len(rec.Bindings) != 1 {
					t.Errorf("acknowledged AOR %d is lost", i)
				}
			}
		})
	}
}

// TestCommitFailure_EndsTheProcess has the disk fail when Pebble changes to a
// new log, where it panics: the process must have ended before, with a message.
func TestCommitFailure_EndsTheProcess(t *testing.T) {
	dir, known := filepath.Join(t.TempDir(), "store"), make(map[int]uint32)
	reports, stderr, code := runVictim(t, dir, brokenDisk, 1<<30, 0, known)
	if reports < 100 || code != 3 || !strings.HasPrefix(stderr, "commit to "+dir+": create ") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("the process ended with %d after %d changes and says %q", code, reports, stderr)
	}
	compareKilled(t, dir, Fsync, known)
}

// TestBitFlips_NeverLoadedSilently flips bits all over the files of a store. A
// start either finds everything as it was, or refuses and names the file.
func TestBitFlips_NeverLoadedSilently(t *testing.T) {
	const n = 150
	for _, how := range []string{"Closed", "Killed"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewCrashableMem()
			s := mustOpen(t, Options{Dir: "store", FS: mem, OnFailure: failNow(t)})
			now := clock()
			for i := range n {
				aor := usrloctest.AOR(i)
				b := usrloctest.Binding(aor, 1, now)
				mustUpdate(t, s, aor, usrloctest.Put(b))
				if b.CSeq++; i%2 == 0 {
					mustUpdate(t, s, aor, usrloctest.Put(b))
				}
			}
			image := mem.CrashClone(vfs.CrashCloneCfg{})
			mustClose(t, s)
			if how == "Closed" {
				image = mem.CrashClone(vfs.CrashCloneCfg{})
			}
			flips(t, image, n)
		})
	}
}

func flips(t *testing.T, image *vfs.MemFS, n int) {
	r := newRand(1)
	names, err := image.List("store")
	if err != nil {
		t.Fatal(err)
	}
	refused, harmless, tail := 0, 0, 0
	for _, name := range names {
		size := fileSize(t, image, "store/"+name)
		times := 4
		if strings.HasSuffix(name, ".log") || strings.HasSuffix(name, ".sst") {
			times = 15
		}
		for range min(times, size) {
			fs := image.CrashClone(vfs.CrashCloneCfg{})
			at := r.Int64N(int64(size))
			flip(t, fs, "store/"+name, at)
			s, err := Open(Options{Dir: "store", FS: fs, OnFailure: failNow(t)})
			if err != nil {
				refused++
				var d *DamageError
				if !errors.Is(err, ErrDamaged) || !errors.As(err, &d) || !strings.Contains(d.File, "store") {
					t.Errorf("bit flipped in %s at %d of %d: %v, want ErrDamaged that names it", name, at, size, err)
				}
				if strings.HasSuffix(name, ".sst") && !strings.HasSuffix(d.File, name) {
					t.Errorf("bit flipped in %s: the error names %s", name, d.File)
				}
				continue
			}
			lost := 0
			for i := range n {
				rec := mustGet(t, s, usrloctest.AOR(i))
				if len(rec.Bindings) != 1 {
					lost++
				} else if want := uint32(2 - i%2); rec.Bindings[0].CSeq != want {
					lost++
				}
			}
			mustClose(t, s)
			switch {
			case lost == 0:
				harmless++
			case lost == 1 && strings.HasSuffix(name, ".log"):
				tail++ // the very last record: it looks like one that was being written
			default:
				t.Errorf("bit flipped in %s at %d of %d: %d changes are lost without a word", name, at, size, lost)
			}
		}
	}
	if refused == 0 {
		t.Error("no flip was refused")
	}
	t.Logf("%d refused, %d harmless, %d in the last record of the log", refused, harmless, tail)
}

func newRand(seed int) *rand.Rand { return rand.New(rand.NewPCG(uint64(seed), 99)) }

func fileSize(t *testing.T, fs vfs.FS, name string) int {
	t.Helper()
	st, err := fs.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return int(st.Size())
}

// flip inverts one bit of a file.
func flip(t *testing.T, fs vfs.FS, name string, at int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << (at % 8)
	_, err = f.WriteAt(b[:], at)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestMissingFiles_Refused removes each file of a store in turn.
func TestMissingFiles_Refused(t *testing.T) {
	mem := vfs.NewCrashableMem()
	o := Options{Dir: "store", FS: mem, OnFailure: failNow(t)}
	s := mustOpen(t, o)
	fillStore(t, s, 100)
	mustClose(t, s)
	s = mustOpen(t, o)
	mustClose(t, s)
	names, err := mem.List("store")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			fs := mem.CrashClone(vfs.CrashCloneCfg{})
			if err := fs.Remove("store/" + name); err != nil {
				t.Fatal(err)
			}
			s, err := Open(Options{Dir: "store", FS: fs, OnFailure: failNow(t)})
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("Open without %s: %v, want ErrDamaged", name, err)
				}
				return
			}
			if got := s.Stats().Bindings; got != 100 {
				t.Errorf("Open without %s found %d bindings, want 100 or an error", name, got)
			}
			mustClose(t, s)
		})
	}
}

// TestNoSpace_RefusesAndRecovers runs on a small file system that fills up.
func TestNoSpace_RefusesAndRecovers(t *testing.T) {
	dir, fs, ballast := smallDisk(t)
	o := Options{Dir: filepath.Join(dir, "store"), FS: fs, MinFree: 24 << 20, OnFailure: failNow(t), pace: pace{spaceEvery: 5 * time.Millisecond}}
	s := mustOpen(t, o)
	fillStore(t, s, 1000)
	waitFor := func(low bool) {
		t.Helper()
		for i := 0; s.space.low.Load() != low; i++ {
			if i > 2000 {
				t.Fatalf("low = %v for 10 s", !low)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	ballast(true)
	waitFor(true)
	aor := usrloctest.AOR(1)
	b := mustGet(t, s, aor).Bindings[0]
	b.CSeq++
	for name, err := range map[string]error{
		"a refresh": tryUpdate(s, aor, usrloctest.Put(b)),
		"a new AOR": tryUpdate(s, usrloctest.AOR(5000), usrloctest.Put(usrloctest.Binding(usrloctest.AOR(5000), 1, clock()))),
	} {
		if !errors.Is(err, ErrNoSpace) || !errors.Is(err, usrloc.ErrUnavailable) {
			t.Errorf("%s without room: %v, want ErrNoSpace and ErrUnavailable", name, err)
		}
	}
	if got := s.Touch(aor, time.Now(), usrloctest.First(func(*usrloc.Binding) bool { t.Error("fn was called"); return true }), make(settled, 1)); got != usrloc.TouchDeclined {
		t.Errorf("Touch without room = %v, want TouchDeclined", got)
	}
	if rec := mustGet(t, s, aor); rec.Bindings[0].CSeq == b.CSeq {
		t.Error("a refused refresh was applied")
	}
	if rec := mustGet(t, s, usrloctest.AOR(5000)); len(rec.Bindings) != 0 {
		t.Error("a refused binding was applied")
	}
	mustUpdate(t, s, usrloctest.AOR(2), usrloctest.Remove(usrloc.CauseRegister, usrloctest.ID(usrloctest.AOR(2), 1)))
	mustUpdate(t, s, usrloctest.AOR(3), usrloctest.Keep)
	ballast(false)
	waitFor(false)
	mustUpdate(t, s, aor, usrloctest.Put(b))
	mustClose(t, s)
	s = mustOpen(t, o)
	if got := mustGet(t, s, aor).Bindings[0].CSeq; got != b.CSeq || s.Stats().Bindings != 999 {
		t.Errorf("after a restart: CSeq %d, %d bindings", got, s.Stats().Bindings)
	}
}

// smallDisk returns a directory on a file system of 96 MB, and a function that
// fills it up and makes room again. Where nobody may mount, it is a part of the
// real one that only says so.
func smallDisk(t *testing.T) (dir string, fs vfs.FS, ballast func(fill bool)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=96m"); err != nil {
		t.Logf("mount: %v; going on with a pretended disk", err)
		pretended := &pretendedDisk{FS: vfs.Default}
		return dir, pretended, pretended.full.Store
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	name := filepath.Join(dir, "ballast")
	return dir, vfs.Default, func(fill bool) {
		if !fill {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			return
		}
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		free := int64(st.Bavail) * st.Bsize
		if err := os.WriteFile(name, make([]byte, free-20<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A pretendedDisk has as little room as it is told to have.
type pretendedDisk struct {
	vfs.FS
	full atomic.Bool
}

func (d *pretendedDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	if d.full.Load() {
		return vfs.DiskUsage{AvailBytes: 20 << 20}, nil
	}
	return vfs.DiskUsage{AvailBytes: 90 << 20}, nil
}
