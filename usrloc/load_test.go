package usrloc_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// TestMemory_Load: whatever the order in which bindings are loaded, they stand
// as they did, at a Version above, with their timers.
func TestMemory_Load(t *testing.T) {
	aor, now := usrloctest.AOR(1), time.Now().UTC().Truncate(time.Millisecond)
	var want []usrloc.Binding
	for i := range 4 {
		b := usrloctest.Binding(aor, i, now)
		b.Created = now.Add(time.Duration(min(i, 2)) * time.Second) // the last two came together
		want = append(want, b)
	}
	if slices.Compare(want[2].ID[:], want[3].ID[:]) > 0 {
		want[2], want[3] = want[3], want[2]
	}
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
		m := usrloc.NewMemory(usrloc.MemoryOptions{})
		for _, i := range order {
			if err := m.Load(aor, &want[i], 17); err != nil {
				t.Fatalf("Load: %v", err)
			}
		}
		got, err := m.Get(t.Context(), aor)
		if err != nil || got.Version <= 17 {
			t.Errorf("Get = version %d, %v, want one above 17", got.Version, err)
		}
		if d := cmp.Diff(want, got.Bindings, cmp.Comparer(func(a, b usrloc.Binding) bool {
			return string(usrloc.AppendBinding(nil, &a)) == string(usrloc.AppendBinding(nil, &b))
		})); d != "" {
			t.Errorf("loaded as %v (-want +got):\n%s", order, d)
		}
		due, err := m.Claim(t.Context(), want[0].RefreshAt, 10)
		if err != nil || len(due) != 4 {
			t.Errorf("Claim = %+v, %v, want the refreshes of what was loaded", due, err)
		}
		if s := m.Stats(); s.AORs != 1 || s.Bindings != 4 || s.PushBindings != 4 {
			t.Errorf("Stats = %+v, want four bindings of one AOR", s)
		}
	}
}

func TestMemory_LoadRefused(t *testing.T) {
	m := usrloc.NewMemory(usrloc.MemoryOptions{MaxBindings: 1})
	aor, other := usrloctest.AOR(1), usrloctest.AOR(2)
	b := usrloctest.Binding(aor, 1, time.Now())
	if err := m.Load(other, &b, 0); !errors.Is(err, usrloc.ErrForeignID) {
		t.Errorf("Load under another AOR: %v, want ErrForeignID", err)
	}
	if err := m.Load(aor, &b, 0); err != nil {
		t.Fatalf("Load: %v", err)
	}
	second := usrloctest.Binding(other, 1, time.Now())
	if err := m.Load(other, &second, 0); !errors.Is(err, usrloc.ErrFull) {
		t.Errorf("Load beyond MaxBindings: %v, want ErrFull", err)
	}
	m = usrloc.NewMemory(usrloc.MemoryOptions{})
	for _, want := range []error{nil, usrloc.ErrForeignID} {
		if err := m.Load(aor, &b, 0); !errors.Is(err, want) {
			t.Errorf("Load = %v, want %v", err, want)
		}
	}
	if got := m.Stats().Bindings; got != 1 {
		t.Errorf("%d bindings after one was loaded twice", got)
	}
}

// TestMemory_LoadCopies: the caller's buffers change afterwards.
func TestMemory_LoadCopies(t *testing.T) {
	aor := usrloctest.AOR(1)
	want := usrloctest.Binding(aor, 1, time.Now().Truncate(time.Millisecond))
	form := usrloc.AppendBinding(nil, &want)
	var b usrloc.Binding
	if err := usrloc.ViewBinding(&b, form); err != nil {
		t.Fatal(err)
	}
	m := usrloc.NewMemory(usrloc.MemoryOptions{})
	if err := m.Load(aor, &b, 0); err != nil {
		t.Fatal(err)
	}
	want.Contact = string([]byte(want.Contact))
	clear(form)
	rec, err := m.Get(t.Context(), aor)
	if err != nil || len(rec.Bindings) != 1 {
		t.Fatalf("Get = %+v, %v", rec, err)
	}
	if d := cmp.Diff(want.Contact+want.CallID+want.UserAgent+want.Flow.Listener+want.Push.PRID,
		rec.Bindings[0].Contact+rec.Bindings[0].CallID+rec.Bindings[0].UserAgent+rec.Bindings[0].Flow.Listener+rec.Bindings[0].Push.PRID); d != "" {
		t.Errorf("strings (-want +got):\n%s", d)
	}
}
