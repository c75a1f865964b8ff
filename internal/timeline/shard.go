package timeline

import (
	"container/list"
	"sync"
	"time"

	"reveille/internal/event"
)

// A quota says with which others a Record competes for room.
type quota uint8

const (
	asleep    quota = iota // met a phone that had to be woken, or could not be
	failing                // failed, at a user of ours
	strangers              // failed, for nobody here, or before anybody looked for a phone
	quotas
)

// part is which part of Options.Keep each quota may have.
func (q quota) part() int { return [quotas]int{asleep: 1, failing: 4, strangers: 16}[q] }

// leastKept is how many each quota of a shard has at least.
const leastKept = 16

// A shard holds the Records of some Call-IDs.
type shard struct {
	t        *Timeline
	maxBytes int64

	mu       sync.Mutex // guards the fields below, and the records
	byNumber map[uint64]*record
	byCall   map[string]*record // the latest; the others hang on it
	bytes    int64
	kept     [quotas]room
	hour     hour
}

// A room is what one quota has. The oldest comes first.
type room struct {
	max         int
	open, ended list.List
}

func (m *room) len() int { return m.open.Len() + m.ended.Len() }

func newShard(t *Timeline, keep int, maxBytes int64) *shard {
	s := &shard{t: t, maxBytes: maxBytes, byNumber: make(map[uint64]*record), byCall: make(map[string]*record)}
	for q := range s.kept {
		s.kept[q].max = keep / quota(q).part()
		if quota(q) != asleep {
			s.kept[q].max = max(s.kept[q].max, leastKept)
		}
	}
	return s
}

// begin makes the Record of a request. crowded is one of the same user that has to be
// forgotten for it, or nil. Call with mu held.
func (s *shard) begin(e *event.Call, now time.Time) (r, crowded *record) {
	r = &record{shard: s, number: e.Request, quota: strangers}
	switch {
	case e.Asleep:
		r.quota = asleep
	case e.AOR != "" && e.Status != 404 && e.Lookup != "":
		r.quota = failing
	}
	r.Summary = Summary{
		ID: formatID(e.Request), CallID: e.CallID, Method: e.Method, From: e.From, To: e.To, AOR: e.AOR, Began: now.Add(-e.Elapsed), State: StateDelivered,
	}
	s.byNumber[e.Request] = r
	if other := s.byCall[e.CallID]; other != nil {
		r.older, other.newer = other, r
	}
	s.byCall[e.CallID] = r
	m := &s.kept[r.quota]
	r.in = &m.open
	r.place = r.in.PushBack(r)
	s.t.metrics.records[r.quota].Inc()
	return r, s.t.users.add(e.AOR, r)
}

// remove forgets a Record. Call with mu held.
func (s *shard) remove(r *record) {
	delete(s.byNumber, r.number)
	switch {
	case r.newer != nil:
		r.newer.older = r.older
	case r.older != nil:
		s.byCall[r.CallID] = r.older
	default:
		delete(s.byCall, r.CallID)
	}
	if r.older != nil {
		r.older.newer = r.newer
	}
	r.older, r.newer = nil, nil
	r.in.Remove(r.place)
	s.bytes -= int64(r.bytes)
	s.t.users.remove(r)
	for i := range r.Devices {
		s.t.awaited.remove(r.Devices[i].AOR, r)
		s.t.awaited.remove(instanceKey(r.Devices[i].Instance), r)
	}
}

// settle puts a Record that was changed where it belongs, and makes room. Call with mu
// held.
func (s *shard) settle(r *record) {
	size := r.size()
	s.bytes += int64(size - r.bytes)
	r.bytes = size
	m := &s.kept[r.quota]
	if r.State == StateEnded && r.in == &m.open {
		r.in.Remove(r.place)
		r.in = &m.ended
		r.place = r.in.PushBack(r)
	}
	for m.len() > m.max && s.evict(m, r) {
	}
	// Strangers' first.
	for q := quotas; q > 0 && s.bytes > s.maxBytes; q-- {
		for s.bytes > s.maxBytes && s.evict(&s.kept[q-1], r) {
		}
	}
}

// evict forgets the oldest Record, one that has ended if there is any, but not that of
// which an event is being told. Call with mu held.
func (s *shard) evict(m *room, but *record) bool {
	for _, l := range [...]*list.List{&m.ended, &m.open} {
		e := l.Front()
		if e != nil && e.Value.(*record) == but {
			e = e.Next()
		}
		if e != nil {
			s.remove(e.Value.(*record))
			s.t.metrics.evicted.Inc()
			return true
		}
	}
	return false
}
