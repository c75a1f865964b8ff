package disk

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// TestMakeDirectory_SurvivesAPowerLoss: a store in folders that did not exist
// is there with them.
func TestMakeDirectory_SurvivesAPowerLoss(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, Options{Dir: "/var/reveille/store", FS: fs, OnFailure: failNow(t)})
	fillStore(t, s, 10)
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, s)
	s = mustOpen(t, Options{Dir: "/var/reveille/store", FS: crashed, OnFailure: failNow(t)})
	if got := s.Stats().Bindings; got != 10 {
		t.Errorf("%d bindings after a power loss, want 10", got)
	}
}

// damagedStore returns a file system with a store of n bindings that has one bit
// flipped in a table.
func damagedStore(t *testing.T, n int) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	// Behind damage a repair feels its way from partition to partition, many of
	// which share a block if there are few bindings, and Pebble looks for the bit
	// that makes each damaged block whole.
	s := mustOpen(t, Options{Dir: "/store", FS: fs, OnFailure: failNow(t), blockSize: 1 << 8})
	fillStore(t, s, n)
	mustClose(t, s)
	name := largest(t, fs, ".sst")
	flip(t, fs, name, int64(fileSize(t, fs, name)/2))
	return fs
}

// TestRepair_SurvivesAPowerLoss: when Repair has returned, the repaired store is
// in its place whatever happens to the machine.
func TestRepair_SurvivesAPowerLoss(t *testing.T) {
	fs := damagedStore(t, 2000)
	rep, err := repair("/store", fs)
	if err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	s := mustOpen(t, Options{Dir: "/store", FS: crashed, OnFailure: failNow(t)})
	if got := s.Stats().Bindings; got != rep.Bindings || got == 0 {
		t.Errorf("%d bindings after a power loss, %d were saved", got, rep.Bindings)
	}
	if _, err := Open(Options{Dir: rep.Aside, FS: crashed}); !errors.Is(err, ErrDamaged) {
		t.Errorf("the damaged store is not kept: %v", err)
	}
}

// TestRepair_PowerLossAtEachStep has the lights go out before each of the
// renames, and before each sync of a directory behind one. What is found then is
// the damaged store, or a repaired one that is whole; never an empty one.
func TestRepair_PowerLossAtEachStep(t *testing.T) {
	damaged := damagedStore(t, 1000)
	again := func() *vfs.MemFS { // All of it, synced or not.
		return damaged.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: newRand(0)})
	}
	want, err := repair("/store", again())
	if err != nil {
		t.Fatal(err)
	}
	for step := 1; ; step++ {
		fs := again()
		left := step
		var crashed *vfs.MemFS
		watched := errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			inPlace := op.Kind == errorfs.OpRename && !strings.HasPrefix(op.Path, "/store/") && strings.Count(op.Path, "/") == 1
			if crashed != nil || inPlace || op.Kind == errorfs.OpFileSync && op.Path == "/" {
				if left--; left <= 0 && crashed == nil {
					crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: newRand(step)})
				}
			}
			if crashed != nil {
				return syscall.EIO
			}
			return nil
		}))
		_, err := repair("/store", watched)
		if crashed == nil {
			if err != nil || step < 5 {
				t.Fatalf("repair after %d steps: %v", step, err)
			}
			return
		}
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			s, err := Open(Options{Dir: "/store", FS: crashed, OnFailure: failNow(t)})
			if errors.Is(err, ErrDamaged) {
				if _, err := repair("/store", crashed); err != nil {
					t.Fatalf("repair again: %v", err)
				}
				s, err = Open(Options{Dir: "/store", FS: crashed, OnFailure: failNow(t)})
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Stats().Bindings; got != want.Bindings || got < 900 {
				t.Errorf("%d bindings, want the %d that can be saved", got, want.Bindings)
			}
			mustClose(t, s)
		})
	}
}
