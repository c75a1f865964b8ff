package usrloc_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// TestMemory_TellsWhatChanged: of each AOR whose bindings are others, whichever
// way, and of no other.
func TestMemory_TellsWhatChanged(t *testing.T) {
	var told []usrloc.AOR
	m := usrloc.NewMemory(usrloc.MemoryOptions{Changed: func(aor usrloc.AOR) { told = append(told, aor) }})
	now := time.Now().UTC().Truncate(time.Millisecond)
	aor := usrloctest.AOR(1)
	expect := func(what string, want ...usrloc.AOR) {
		t.Helper()
		if d := cmp.Diff(want, told); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
		told = nil
	}
	b := usrloctest.Binding(aor, 1, now)
	b.Expires, b.RetainUntil, b.Path = now.Add(time.Hour), now.Add(time.Hour), nil
	put(t, m, aor, b)
	expect("created", aor)
	m.Update(t.Context(), aor, func(rec usrloc.Record) (usrloc.Record, error) { return rec, nil }, func(usrloc.Record, []usrloc.Change, error) {})
	expect("asked")
	m.Update(t.Context(), aor, func(rec usrloc.Record) (usrloc.Record, error) { return rec, context.Canceled }, func(usrloc.Record, []usrloc.Change, error) {})
	expect("refused")
	if touch(m, aor, now, func(*usrloc.Binding) bool { return false }) {
		t.Error("a Touch that wants nothing was done")
	}
	expect("declined")
	if !touch(m, aor, now, func(b *usrloc.Binding) bool { comeBack(b, now, 1); return true }) {
		t.Error("Touch declined")
	}
	expect("refreshed", aor)
	m.Update(t.Context(), aor, func(usrloc.Record) (usrloc.Record, error) { return usrloc.Record{}, nil }, func(usrloc.Record, []usrloc.Change, error) {})
	expect("removed", aor)
}
