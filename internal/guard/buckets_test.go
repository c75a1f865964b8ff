package guard

import (
	"fmt"
	"testing"
	"time"
)

func TestBuckets_Pace(t *testing.T) {
	type event struct {
		at   time.Duration
		want bool
	}
	tests := []struct {
		name   string
		limit  limit
		events []event
	}{
		{"a burst, then the pace", newLimit(2, time.Second, 3), []event{
			{0, true},
			{0, true},
			{0, true},
			{0, false},
			{499 * time.Millisecond, false},
			{500 * time.Millisecond, true},
			{501 * time.Millisecond, false},
			{time.Second, true},
		}},
		{"a pause fills the bucket, and no more than that", newLimit(2, time.Second, 2), []event{
			{0, true}, {0, true}, {time.Hour, true}, {time.Hour, true}, {time.Hour, false},
		}},
		{"what was refused costs nothing", newLimit(1, time.Minute, 1), []event{
			{0, true}, {30 * time.Second, false}, {59 * time.Second, false}, {time.Minute, true},
		}},
		{"no limit", newLimit(0, time.Second, 1), []event{{0, true}, {0, true}, {0, true}}},
		{"no burst is a burst of one", newLimit(1, time.Second, 0), []event{{0, true}, {0, false}}},
		{"faster than the clock's tick", newLimit(1e9, time.Second, 1), []event{{0, true}, {0, false}, {tick, true}}},
		{"a second burst", newLimit(1, time.Second, 2).twice(), []event{{0, true}, {0, true}, {0, true}, {0, true}, {0, false}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			b := newBuckets(64, start)
			for i, e := range tt.events {
				if got := b.take(7, tt.limit, start.Add(e.at)); got != e.want {
					t.Errorf("event %d after %s = %t, want %t", i, e.at, got, e.want)
				}
			}
		})
	}
}

// TestBuckets_ChangedLimit: a reload changes the limits under the table.
func TestBuckets_ChangedLimit(t *testing.T) {
	now := time.Now()
	b := newBuckets(64, now)
	for range 100 {
		b.take(7, newLimit(1, time.Second, 100), now)
	}
	if b.take(7, newLimit(100, time.Second, 100), now) {
		t.Error("a debt of 100 s was forgotten")
	}
	if !b.take(7, newLimit(100, time.Second, 100), now.Add(100*time.Second)) {
		t.Error("a debt of 100 s was not forgotten after 100 s")
	}
}

func TestBuckets_KeysAreToldApart(t *testing.T) {
	now := time.Now()
	b := newBuckets(4096, now)
	l := newLimit(1, time.Hour, 1)
	for i := range 1000 {
		if key := fmt.Sprintf("sip:user%d@example.com", i); !b.take(b.text(key), l, now) {
			t.Fatalf("%s was taken for another", key)
		}
	}
	known := 0
	for i := range 1000 {
		if !b.take(b.text(fmt.Sprintf("sip:user%d@example.com", i)), l, now) {
			known++
		}
	}
	// 1000 keys in 512 sets of 8: hardly one is pushed out.
	if known < 990 {
		t.Errorf("%d of 1000 keys are remembered", known)
	}
}

// TestBuckets_FloodForgetsThoseNearestToBeingFull: a flood from many sources does
// not free one that has used up what it may, unless all of its set have.
func TestBuckets_FloodForgetsThoseNearestToBeingFull(t *testing.T) {
	now := time.Now()
	b := newBuckets(4096, now)
	l := newLimit(100, time.Second, 100)
	greedy := b.text("greedy")
	for b.take(greedy, l, now) {
	}
	for i := range 100_000 {
		b.take(b.text(fmt.Sprint(i)), l, now)
	}
	if b.take(greedy, l, now) {
		t.Error("a flood of others gave back what was used up")
	}
}

func TestBuckets_TakeAllocatesNothing(t *testing.T) {
	now := time.Now()
	b := newBuckets(64, now)
	l := newLimit(100, time.Second, 100)
	key := []byte("0123456789abcdef")
	if n := testing.AllocsPerRun(100, func() { b.take(b.bytes(key), l, now) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
