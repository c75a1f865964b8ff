package timeline

import (
	"maps"
	"math"
	"time"
)

// minutes is how many an Hour has, the one that goes on among them.
const minutes = 60

// The bounds of a histogram: the first bucket ends at leastMS, each further one is
// wider by growth, so that a percentile is right to within a twelfth; the last ends
// behind the longest wait that is of use.
const (
	buckets = 96
	leastMS = 20.0
	growth  = 1.1
)

// An hour counts what happened in the last minutes. The zero value is empty.
type hour struct {
	minutes [minutes]bucketed
}

// A bucketed is a Minute as it is counted.
type bucketed struct {
	minute            int64 // since 1970; 0: none
	asked, came, late int
	failed            map[string]int
	took              [buckets]uint32
	longest           time.Duration
}

// at is the minute of a time.
func (h *hour) at(now time.Time) *bucketed {
	n := now.Unix() / 60
	b := &h.minutes[n%minutes]
	if b.minute != n {
		*b = bucketed{minute: n}
	}
	return b
}

func (b *bucketed) woke(took time.Duration) {
	b.came++
	b.longest = max(b.longest, took)
	b.took[bucketOf(took)]++
}

func (b *bucketed) fail(class string) {
	if b.failed == nil {
		b.failed = make(map[string]int)
	}
	b.failed[class]++
}

func bucketOf(d time.Duration) int {
	ms := milliseconds(d)
	if ms <= leastMS {
		return 0
	}
	return min(int(math.Ceil(math.Log(ms/leastMS)/math.Log(growth))), buckets-1)
}

// sum adds another count to b.
func (b *bucketed) sum(o *bucketed) {
	b.asked += o.asked
	b.came += o.came
	b.late += o.late
	b.longest = max(b.longest, o.longest)
	for i, n := range o.took {
		b.took[i] += n
	}
	for class, n := range o.failed {
		if b.failed == nil {
			b.failed = make(map[string]int)
		}
		b.failed[class] += n
	}
}

// percentile returns the time that so many of 100 took no longer than, in milliseconds;
// 0 if there were none.
func (b *bucketed) percentile(p float64) float64 {
	rank := uint64(math.Ceil(float64(b.came) * p / 100))
	var seen uint64
	for i, n := range b.took {
		if seen += uint64(n); n > 0 && seen >= rank {
			return min(math.Round(leastMS*math.Pow(growth, float64(i))*10)/10, milliseconds(b.longest))
		}
	}
	return 0
}

// show is b for others.
func (b *bucketed) show() Minute {
	return Minute{
		At: time.Unix(b.minute*60, 0).UTC(), Asked: b.asked, Woke: b.came, Late: b.late, Failed: maps.Clone(b.failed),
		P50MS: b.percentile(50), P95MS: b.percentile(95), P99MS: b.percentile(99), MaxMS: milliseconds(b.longest),
	}
}

// Hour returns the last sixty minutes of the clock. A phone that came is of the minute
// in which it came.
func (t *Timeline) Hour() Hour {
	last := time.Now().Unix() / 60
	all := make([]bucketed, minutes)
	for i := range all {
		all[i].minute = last - minutes + 1 + int64(i)
	}
	total := bucketed{minute: all[0].minute}
	for _, s := range t.shards {
		s.mu.Lock()
		for i := range s.hour.minutes {
			b := &s.hour.minutes[i]
			if at := b.minute - all[0].minute; at >= 0 && at < minutes {
				all[at].sum(b)
			}
		}
		s.mu.Unlock()
	}
	h := Hour{Minutes: make([]Minute, 0, minutes)}
	for i := range all {
		total.sum(&all[i])
		h.Minutes = append(h.Minutes, all[i].show())
	}
	h.Total = total.show()
	return h
}
