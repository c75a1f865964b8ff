package disk

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
