package disk

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/usrloc"
)

func TestMetrics_CountAndLint(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := mustOpen(t, Options{Dir: "store", FS: vfs.NewMem(), Registerer: reg, OnFailure: failNow(t)})
	fillStore(t, s, 10)
	mustClose(t, s)
	if got := testutil.ToFloat64(s.metrics.updates); got != 10 {
		t.Errorf("reveille_disk_commits_total = %v, want 10", got)
	}
	if got := testutil.ToFloat64(s.metrics.batches); got < 1 || got > 10 {
		t.Errorf("reveille_disk_batches_total = %v, want 1 to 10", got)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

// TestOpen_AgainWithTheSameRegisterer: whatever a failed Open had registered is
// gone, early failure or late.
func TestOpen_AgainWithTheSameRegisterer(t *testing.T) {
	reg, fs := prometheus.NewPedanticRegistry(), vfs.NewMem()
	o := Options{Dir: "store", FS: fs, Registerer: reg, OnFailure: failNow(t)}
	first := mustOpen(t, Options{Dir: "store", FS: fs, OnFailure: failNow(t)})
	fillStore(t, first, 3)
	if _, err := Open(o); !errors.Is(err, ErrLocked) {
		t.Fatalf("Open of a locked store: %v", err)
	}
	mustClose(t, first)
	full := o
	full.Memory.MaxBindings = 2
	if _, err := Open(full); !errors.Is(err, usrloc.ErrFull) {
		t.Fatalf("Open of a store that is too large: %v", err)
	}
	mustOpen(t, o)
	if n, err := testutil.GatherAndCount(reg, "reveille_disk_batches_total", "reveille_usrloc_bindings"); n != 2 || err != nil {
		t.Errorf("%d of 2 metrics, %v", n, err)
	}
}
