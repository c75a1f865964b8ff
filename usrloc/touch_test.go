package usrloc_test

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// touch is Touch for a store whose changes are durable at once.
func touch(m *usrloc.Memory, aor usrloc.AOR, now time.Time, fn func(*usrloc.Binding) bool) bool {
	return m.Touch(aor, now, usrloctest.First(fn), nil) == usrloc.TouchDone
}

// comeBack is the refresh of a device, which moved and was restarted.
func comeBack(b *usrloc.Binding, now time.Time, n int) {
	b.CSeq++
	b.Updated, b.Expires = now, now.Add(time.Duration(1+n)*time.Hour)
	b.RetainUntil, b.RefreshAt = b.Expires, b.Expires.Add(-2*time.Minute)
	if n%2 == 1 {
		b.Flow.Remote = netip.AddrPortFrom(b.Flow.Remote.Addr(), uint16(n))
	}
	if n%3 == 1 {
		b.CallID = strings.Repeat("x", n*7)
	}
	if n%5 == 1 {
		b.UserAgent = "agent" + strings.Repeat("y", n)
	}
	if n%7 == 1 {
		b.Flow.Listener = "other"
	}
}

// TestMemory_TouchIsUpdate has two stores do the same, one by Touch.
func TestMemory_TouchIsUpdate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a, b := usrloc.NewMemory(usrloc.MemoryOptions{}), usrloc.NewMemory(usrloc.MemoryOptions{})
	now := time.Now().UTC().Truncate(time.Millisecond)
	const aors = 20
	for i := range aors {
		aor := usrloctest.AOR(i)
		bd := usrloctest.Binding(aor, 1, now)
		bd.Expires, bd.RetainUntil = now.Add(time.Hour), now.Add(time.Hour)
		bd.Path = nil
		put(t, a, aor, bd)
		put(t, b, aor, bd)
	}
	for n := range 500 {
		aor := usrloctest.AOR(r.IntN(aors))
		ok := touch(a, aor, now, func(bd *usrloc.Binding) bool { comeBack(bd, now, n); return true })
		if !ok {
			t.Fatalf("Touch %d of %s declined", n, aor)
		}
		b.Update(t.Context(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
			bd := rec.Bindings[0]
			comeBack(&bd, now, n)
			rec.Bindings = []usrloc.Binding{bd}
			return rec, nil
		}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
			if err != nil {
				t.Fatal(err)
			}
		})
		x, err1 := a.Get(t.Context(), aor)
		y, err2 := b.Get(t.Context(), aor)
		x.Version, y.Version = x.Version-y.Version, 0 // the shards count alike
		if d := usrloctest.Diff(y, x); d != "" || err1 != nil || err2 != nil {
			t.Fatalf("step %d: Touch differs from Update (-Update +Touch):\n%s%v %v", n, d, err1, err2)
		}
	}
	later := now.Add(1000 * time.Hour)
	x, err1 := a.Claim(t.Context(), later, 2*aors+1)
	y, err2 := b.Claim(t.Context(), later, 2*aors+1)
	if err1 != nil || err2 != nil || len(x) != len(y) || len(x) == 0 {
		t.Fatalf("Claim: %d and %d timers, %v %v", len(x), len(y), err1, err2)
	}
	if s, u := a.Stats(), b.Stats(); s.PushBindings != u.PushBindings || s.Bindings != aors {
		t.Errorf("Stats: %+v and %+v", s, u)
	}
}

func TestMemory_TouchKeepsWhatItMayNotChange(t *testing.T) {
	m := usrloc.NewMemory(usrloc.MemoryOptions{})
	now := time.Now().UTC().Truncate(time.Millisecond)
	aor, bd := binding(1, now)
	put(t, m, aor, bd)
	before, _ := m.Get(t.Context(), aor)
	ok := touch(m, aor, now, func(b *usrloc.Binding) bool {
		b.ID[5]++
		b.Contact, b.Params, b.Instance, b.RegID, b.Q = "sip:eve@example.com", ";x", "i", 9, 3
		b.Push, b.Created, b.Path = usrloc.Push{}, now.Add(-time.Hour), []string{"<sip:p>"}
		return true
	})
	after, _ := m.Get(t.Context(), aor)
	if d := usrloctest.Diff(before.Bindings, after.Bindings); !ok || d != "" {
		t.Errorf("Touch = %v, (-before +after):\n%s", ok, d)
	}
	if after.Version <= before.Version {
		t.Errorf("version %d after %d", after.Version, before.Version)
	}
}

func TestMemory_TouchDeclines(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	aor, bd := binding(1, now)
	path, second := bd, bd
	path.Path = []string{"<sip:edge.example.com;lr>"}
	second.ID = usrloctest.ID(aor, 2)
	lapses := second
	lapses.RetainUntil = now.Add(30 * time.Minute)
	many := make([]usrloc.Binding, 5)
	for i := range many {
		many[i] = bd
		many[i].ID = usrloctest.ID(aor, i)
	}
	for _, tt := range []struct {
		name     string
		options  usrloc.MemoryOptions
		bindings []usrloc.Binding
		prepare  func(t *testing.T, m *usrloc.Memory)
		now      time.Time
		refuse   bool
	}{
		{name: "no binding"},
		{name: "five bindings", bindings: many},
		{name: "another has lapsed", bindings: []usrloc.Binding{bd, lapses}, now: lapses.RetainUntil},
		{name: "path", bindings: []usrloc.Binding{path}},
		{name: "lapsed", bindings: []usrloc.Binding{bd}, now: bd.RetainUntil},
		{name: "refused", bindings: []usrloc.Binding{bd}, refuse: true},
		{name: "committer", options: usrloc.MemoryOptions{Committer: usrloctest.NewLateCommitter(1)}, bindings: []usrloc.Binding{bd}},
		{name: "watched", bindings: []usrloc.Binding{bd}, prepare: func(t *testing.T, m *usrloc.Memory) {
			_, cancel, err := m.Watch(t.Context(), aor, now.Add(time.Hour), func(c usrloc.Change) { t.Errorf("told of %v", c.Kind) })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cancel)
		}},
		{name: "closed", bindings: []usrloc.Binding{bd}, prepare: func(_ *testing.T, m *usrloc.Memory) { m.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := usrloc.NewMemory(tt.options)
			if len(tt.bindings) > 0 {
				done := make(chan struct{})
				m.Update(t.Context(), aor, usrloctest.Put(tt.bindings...), func(usrloc.Record, []usrloc.Change, error) { close(done) })
				<-done
			}
			before, _ := m.Get(t.Context(), aor)
			if tt.prepare != nil {
				tt.prepare(t, m)
			}
			if tt.now.IsZero() {
				tt.now = now
			}
			if touch(m, aor, tt.now, func(b *usrloc.Binding) bool { b.CSeq++; return !tt.refuse }) {
				t.Error("Touch took it")
			}
			if after, err := m.Get(context.Background(), aor); err == nil {
				if d := usrloctest.Diff(before, after); d != "" {
					t.Errorf("Touch changed the Record:\n%s", d)
				}
			}
		})
	}
}

// A Touch that fn declines, or in which it panics, leaves the shard usable.
func TestMemory_TouchPanics(t *testing.T) {
	m := usrloc.NewMemory(usrloc.MemoryOptions{Shards: 1})
	now := time.Now()
	aor, bd := binding(1, now)
	put(t, m, aor, bd)
	func() {
		defer func() { recover() }()
		touch(m, aor, now, func(*usrloc.Binding) bool { panic("defect") })
	}()
	if !touch(m, aor, now, func(b *usrloc.Binding) bool { b.CSeq++; return true }) {
		t.Error("Touch declined after a panic")
	}
}

// A timer that was claimed before a Touch is set anew by it.
func TestMemory_TouchSetsTimers(t *testing.T) {
	m := usrloc.NewMemory(usrloc.MemoryOptions{})
	now := time.Now().UTC().Truncate(time.Millisecond)
	aor, bd := binding(1, now)
	bd.Expires, bd.RetainUntil, bd.RefreshAt = now.Add(time.Hour), now.Add(time.Hour), now.Add(time.Minute)
	put(t, m, aor, bd)
	due, err := m.Claim(t.Context(), now.Add(2*time.Minute), 2)
	if err != nil || len(due) != 1 || due[0].Kind != usrloc.DueRefresh {
		t.Fatalf("Claim = %v, %v", due, err)
	}
	if !touch(m, aor, now, func(b *usrloc.Binding) bool { b.CSeq++; b.RefreshAt = now.Add(30 * time.Minute); return true }) {
		t.Fatal("Touch declined")
	}
	m.Done(due[0], now.Add(3*time.Minute)) // It comes too late.
	if due, err = m.Claim(t.Context(), now.Add(29*time.Minute), 2); err != nil || len(due) != 0 {
		t.Errorf("Claim before the new time = %v, %v", due, err)
	}
	if due, err = m.Claim(t.Context(), now.Add(30*time.Minute), 2); err != nil || len(due) != 1 || !due[0].At.Equal(now.Add(30*time.Minute)) {
		t.Errorf("Claim at the new time = %v, %v", due, err)
	}
}

func TestMemory_TouchAllocatesNothing(t *testing.T) {
	m := usrloc.NewMemory(usrloc.MemoryOptions{})
	now := time.Now()
	aor, bd := binding(1, now)
	put(t, m, aor, bd)
	ids := [2]string{bd.CallID, strings.Repeat("z", len(bd.CallID))}
	n := 0
	fn := func(b *usrloc.Binding) bool {
		n++
		b.CSeq++
		b.CallID = ids[n%2]
		return true
	}
	if got := testing.AllocsPerRun(200, func() {
		if !touch(m, aor, now, fn) {
			t.Fatal("Touch declined")
		}
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkMemory_Touch(b *testing.B) {
	benchmarkPopulations(b, func(b *testing.B, m *usrloc.Memory, n int) {
		now := time.Now()
		fn := func(bd *usrloc.Binding) bool {
			bd.CSeq++
			bd.Expires = now.Add(time.Hour)
			bd.RetainUntil = bd.Expires
			bd.RefreshAt = bd.RefreshAt.Add(50 * time.Minute)
			return true
		}
		for i := range b.N {
			if !touch(m, usrloctest.AOR(scatter(i, n)), now, fn) {
				b.Fatal("declined")
			}
		}
	})
}
