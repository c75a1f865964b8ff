package usrloc_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/modeltest"
	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// A model is the plainest Store one can think of.
type model map[usrloc.AOR][]usrloc.Binding

// living drops what has lapsed at now.
func (md model) living(aor usrloc.AOR, now time.Time) []usrloc.Binding {
	return slices.DeleteFunc(slices.Clone(md[aor]), func(b usrloc.Binding) bool { return !now.Before(b.RetainUntil) })
}

// randomBinding is the n-th of aor with fields of random length.
func randomBinding(r *rand.Rand, aor usrloc.AOR, n int, now time.Time) usrloc.Binding {
	b := usrloctest.Binding(aor, n, now)
	b.CSeq = r.Uint32()
	b.CallID = strings.Repeat("c", r.IntN(200))
	b.UserAgent = strings.Repeat("u", r.IntN(60))
	b.RetainUntil = now.Add(time.Duration(1+r.IntN(1<<r.IntN(24))) * time.Millisecond)
	b.Expires = b.RetainUntil
	b.RefreshAt = time.Time{}
	if r.IntN(2) == 0 {
		b.RefreshAt = now.Add(time.Duration(r.IntN(1<<r.IntN(24))) * time.Millisecond)
	}
	if r.IntN(3) == 0 {
		b.Push = usrloc.Push{}
	}
	for range r.IntN(3) {
		b.Path = append(b.Path, strings.Repeat("p", r.IntN(300)))
	}
	return b
}

// step changes one AOR at random in the store and in the model.
func (md model) step(t *testing.T, r *rand.Rand, m *usrloc.Memory, aors int) {
	aor, now := usrloctest.AOR(r.IntN(aors)), time.Now()
	next := md.living(aor, now)
	for range 1 + r.IntN(3) {
		n := r.IntN(4)
		id := usrloctest.ID(aor, n)
		at := slices.IndexFunc(next, func(b usrloc.Binding) bool { return b.ID == id })
		switch {
		case at < 0:
			next = append(next, randomBinding(r, aor, n, now))
		case r.IntN(3) == 0:
			next = slices.Delete(next, at, at+1)
		default:
			next[at] = randomBinding(r, aor, n, now)
		}
	}
	// A binding that leaves and comes back within a step stands at the end of
	// the model, in its old place in the store; sort them as the store does.
	before := md.living(aor, now)
	slices.SortStableFunc(next, func(a, b usrloc.Binding) int {
		place := func(x usrloc.Binding) int {
			if i := slices.IndexFunc(before, func(y usrloc.Binding) bool { return y.ID == x.ID }); i >= 0 {
				return i
			}
			return len(before)
		}
		return place(a) - place(b)
	})
	fail := r.IntN(10) == 0
	m.Update(context.Background(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
		if fail {
			return rec, errors.New("refused")
		}
		rec.Bindings = next
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if (err != nil) != fail {
			t.Errorf("Update: %v", err)
		}
	})
	if !fail {
		md[aor] = next
	}
}

// check compares all of the store with the model: by AOR, by identity and by
// listing, content and count.
func (md model) check(t *testing.T, m *usrloc.Memory, aors int) {
	t.Helper()
	now := time.Now()
	listed := make(map[usrloc.AOR][]usrloc.Binding)
	for c := (usrloc.Cursor{}); ; {
		recs, next, err := m.List(t.Context(), c, 7)
		if err != nil || len(recs) > 7 {
			t.Fatalf("List: %d Records, %v", len(recs), err)
		}
		for _, rec := range recs {
			if listed[rec.AOR] != nil {
				t.Errorf("%s is listed twice", rec.AOR)
			}
			listed[rec.AOR] = rec.Bindings
		}
		if c = next; c.IsZero() {
			break
		}
	}
	for i := range aors {
		aor := usrloctest.AOR(i)
		want := md.living(aor, now)
		got, err := m.Get(t.Context(), aor)
		if d := usrloctest.Diff(want, got.Bindings); d != "" || err != nil {
			t.Fatalf("Get(%s) (-model +store): %v\n%s", aor, err, d)
		}
		if d := usrloctest.Diff(want, listed[aor]); d != "" {
			t.Fatalf("List: %s (-model +store):\n%s", aor, d)
		}
		for n := range 4 {
			id := usrloctest.ID(aor, n)
			there := slices.ContainsFunc(want, func(b usrloc.Binding) bool { return b.ID == id })
			if got, err := m.Resolve(t.Context(), id); there != (err == nil) || there && got != aor {
				t.Fatalf("Resolve(%s) = %q, %v, in the model: %v", id, got, err, there)
			}
		}
	}
	stored, push, users := 0, 0, 0
	for _, bindings := range md {
		stored += len(bindings)
		users += min(1, len(bindings))
		for _, b := range bindings {
			if !b.Push.IsZero() {
				push++
			}
		}
	}
	if s := m.Stats(); s.Bindings != stored || s.PushBindings != push || s.AORs != users || s.Pending != 0 {
		t.Fatalf("Stats = %+v, want %d bindings, %d with push, of %d AORs", s, stored, push, users)
	}
}

// expire does what the keeper of the timers does, and checks that exactly the
// timers of the model are due.
func (md model) expire(t *testing.T, m *usrloc.Memory) {
	t.Helper()
	now := time.Now()
	want := make(map[usrloc.BindingID]usrloc.DueKind)
	for aor, bindings := range md {
		for _, b := range bindings {
			if !now.Before(b.RetainUntil) {
				want[b.ID] = usrloc.DueExpiry
			} else if !b.RefreshAt.IsZero() && !now.Before(b.RefreshAt) {
				want[b.ID] = usrloc.DueRefresh
			}
		}
		md[aor] = md.living(aor, now)
	}
	due, err := m.Claim(t.Context(), now, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[usrloc.BindingID]usrloc.DueKind)
	for _, d := range due {
		got[d.ID] = d.Kind
		if d.Kind == usrloc.DueExpiry {
			m.Update(t.Context(), d.AOR, usrloctest.Keep, func(usrloc.Record, []usrloc.Change, error) {})
		} else {
			m.Done(d, now) // due again at once
		}
	}
	if d := cmp.Diff(want, got); d != "" || len(due) != len(got) {
		t.Fatalf("due timers (-model +store):\n%s", d)
	}
}

func TestMemory_AgainstModel(t *testing.T) {
	for seed := range modeltest.Seeds(t, 30) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			aors := 1 + r.IntN(16)
			m := usrloc.NewMemory(usrloc.MemoryOptions{Shards: 1 << r.IntN(7)})
			md := make(model)
			for range 300 {
				md.step(t, r, m, aors)
				if r.IntN(20) == 0 {
					<-time.After(time.Duration(r.IntN(1<<r.IntN(24))) * time.Millisecond)
				}
				if r.IntN(30) == 0 {
					md.expire(t, m)
				}
			}
			md.expire(t, m)
			md.check(t, m, aors)
			for aor := range md {
				m.Update(t.Context(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
					rec.Bindings = nil
					return rec, nil
				}, func(usrloc.Record, []usrloc.Change, error) {})
			}
			clear(md)
			md.check(t, m, aors)
		})
	}
}

func TestMemory_Metrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := usrloc.NewMemory(usrloc.MemoryOptions{MaxBindings: 1, Registerer: reg})
	var log []string
	for i := range 2 {
		aor := usrloctest.AOR(i)
		update(m, aor, usrloctest.Put(usrloctest.Binding(aor, 1, time.Now())), &log, "done")
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP reveille_usrloc_push_bindings Bindings stored that can be woken.
# TYPE reveille_usrloc_push_bindings gauge
reveille_usrloc_push_bindings 1
# HELP reveille_usrloc_refused_total Updates and watches refused because a limit was reached, by limit.
# TYPE reveille_usrloc_refused_total counter
reveille_usrloc_refused_total{limit="bindings"} 1
reveille_usrloc_refused_total{limit="pending"} 0
reveille_usrloc_refused_total{limit="watches"} 0
# HELP reveille_usrloc_changes_total Changes of bindings, by kind.
# TYPE reveille_usrloc_changes_total counter
reveille_usrloc_changes_total{kind="created"} 1
reveille_usrloc_changes_total{kind="expired"} 0
reveille_usrloc_changes_total{kind="removed"} 0
reveille_usrloc_changes_total{kind="updated"} 0
`), "reveille_usrloc_push_bindings", "reveille_usrloc_refused_total", "reveille_usrloc_changes_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
