package qualify

import (
	"crypto/rand"
	"testing"
	"time"

	"reveille/usrloc"
)

func newID(t testing.TB) usrloc.BindingID {
	id, err := usrloc.NewBindingID("sip:alice@example.com", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestTable_IsBounded(t *testing.T) {
	q := table{limit: 2}
	a, b, c := newID(t), newID(t), newID(t)
	for _, tt := range []struct {
		id   usrloc.BindingID
		want bool
	}{{a, true}, {b, true}, {c, false}, {a, true}} {
		if got := q.put(tt.id, result{silent: true}); got != tt.want {
			t.Errorf("put = %v, want %v", got, tt.want)
		}
	}
	if q.kept.Load() != 2 || q.silent.Load() != 2 {
		t.Errorf("kept %d, silent %d, want 2 and 2", q.kept.Load(), q.silent.Load())
	}
}

// Results live for two walks, also where their numbers wrap around.
func TestTable_Sweep(t *testing.T) {
	var q table
	q.limit = 10
	old, last, now := newID(t), newID(t), newID(t)
	q.put(old, result{walk: 65534, silent: true})
	q.put(last, result{walk: 65535})
	q.put(now, result{walk: 0})
	q.sweep(0, tableShards, 0)
	for _, tt := range []struct {
		name string
		id   usrloc.BindingID
		want bool
	}{{"old", old, false}, {"last", last, true}, {"now", now, true}} {
		if _, got := q.get(tt.id); got != tt.want {
			t.Errorf("%s kept: %v, want %v", tt.name, got, tt.want)
		}
	}
	if q.kept.Load() != 2 || q.silent.Load() != 0 {
		t.Errorf("kept %d, silent %d, want 2 and 0", q.kept.Load(), q.silent.Load())
	}
}

func TestMicros_Fits(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		-time.Second: 0, 1500 * time.Nanosecond: 1, time.Second: 1_000_000, 100 * time.Hour: 1<<32 - 1,
	} {
		if got := micros(d); got != want {
			t.Errorf("micros(%v) = %d, want %d", d, got, want)
		}
	}
}

func BenchmarkTable_Put(b *testing.B) {
	var q table
	q.limit = 1 << 30
	ids := make([]usrloc.BindingID, 100_000)
	for i := range ids {
		ids[i] = newID(b)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q.put(ids[i%len(ids)], result{micros: 1})
	}
}
