package timeline

import (
	"slices"
	"strconv"
	"time"
)

// A Query chooses Records. The zero value is the latest of all.
type Query struct {
	// AOR is the user who was called, CallID the Call-ID; empty: any.
	AOR, CallID string
	// Outcome is that, or a State, or the Code of a Verdict; empty: any.
	Outcome string
	// Before is the ID of a Record: those that arrived earlier are meant; empty: all.
	Before string
	// Limit is how many at most; 0 means 100.
	Limit int
}

// Bounds of Query.Limit.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// Calls returns Records, the latest first, and whether there are more.
func (t *Timeline) Calls(q Query) (list []Summary, more bool) {
	if q.Limit <= 0 {
		q.Limit = DefaultLimit
	}
	q.Limit = min(q.Limit, MaxLimit)
	before, err := strconv.ParseUint(q.Before, 36, 64)
	if err != nil {
		before = 0
	}
	list = []Summary{}
	for _, r := range t.candidates(&q) {
		if before != 0 && r.number >= before {
			continue
		}
		rec, ok := t.copied(r)
		if !ok || !q.matches(&rec) {
			continue
		}
		if len(list) == q.Limit {
			return list, true
		}
		list = append(list, rec.Summary)
	}
	return list, false
}

func (q *Query) matches(r *Record) bool {
	switch {
	case q.AOR != "" && q.AOR != r.AOR, q.CallID != "" && q.CallID != r.CallID:
		return false
	case q.Outcome == "" || q.Outcome == r.Outcome || q.Outcome == r.State:
		return true
	}
	return r.Verdict != nil && r.Verdict.Code == q.Outcome
}

// candidates are the Records that may match, the latest first.
func (t *Timeline) candidates(q *Query) (rs []*record) {
	switch {
	case q.CallID != "":
		s := t.shard(q.CallID)
		s.mu.Lock()
		for r := s.byCall[q.CallID]; r != nil; r = r.older {
			rs = append(rs, r)
		}
		s.mu.Unlock()
	case q.AOR != "":
		rs = t.users.recordsOf(q.AOR)
	default:
		for _, s := range t.shards {
			s.mu.Lock()
			for _, r := range s.byNumber {
				rs = append(rs, r)
			}
			s.mu.Unlock()
		}
	}
	// number never changes: no lock is needed.
	slices.SortFunc(rs, func(a, b *record) int {
		if a.number > b.number {
			return -1
		}
		return 1
	})
	return rs
}

// Get returns the Record with that ID, or, if there is none, the latest with that
// Call-ID.
func (t *Timeline) Get(id string) (Record, bool) {
	if n, err := strconv.ParseUint(id, 36, 64); err == nil {
		for _, s := range t.shards {
			s.mu.Lock()
			r := s.byNumber[n]
			s.mu.Unlock()
			if r != nil {
				return t.copied(r)
			}
		}
	}
	if rs := t.candidates(&Query{CallID: id}); len(rs) > 0 {
		return t.copied(rs[0])
	}
	return Record{}, false
}

// Last returns the latest Records of a user, at most n and as many that a rule refused,
// the latest first: what strangers cause hides no others.
func (t *Timeline) Last(aor string, n int) (list []Record) {
	refused, others := 0, 0
	for _, r := range t.candidates(&Query{AOR: aor}) {
		rec, ok := t.copied(r)
		if !ok {
			continue
		}
		of := &others
		if rec.Rule != "" {
			of = &refused
		}
		if *of < n {
			*of++
			list = append(list, rec)
		}
		if others == n {
			break
		}
	}
	return list
}

// copied returns a Record for others; ok is false if it was forgotten meanwhile.
func (t *Timeline) copied(r *record) (rec Record, ok bool) {
	r.shard.mu.Lock()
	defer r.shard.mu.Unlock()
	if r.shard.byNumber[r.number] != r {
		return Record{}, false
	}
	return r.show(), true
}

// show is r for others. Call with the shard's mu held.
func (r *record) show() Record {
	rec := Record{Summary: r.Summary, Dropped: r.dropped, Steps: make([]Step, 0, len(r.steps))}
	rec.Began = rec.Began.UTC()
	// An empty list, not null, for programs that read it.
	rec.Devices = append(make([]Device, 0, len(r.Devices)), r.Devices...)
	for i := range r.steps {
		rec.Steps = append(rec.Steps, r.showStep(&r.steps[i]))
	}
	// An attempt is told of when its push is settled, so it may come behind what
	// happened after it.
	slices.SortStableFunc(rec.Steps, func(a, b Step) int { return a.At.Compare(b.At) })
	if rec.State == StateEnded {
		v := Judge(&rec)
		rec.Verdict = &v
	}
	return rec
}

func (r *record) showStep(s *step) Step {
	one := Step{
		At: r.Began.Add(s.at).UTC(), OffsetMS: milliseconds(s.at), Kind: s.kind, Attempt: int(s.attempt), Status: int(s.status), Class: s.class,
		Reason: s.reason, Flow: s.flow, TookMS: milliseconds(s.took), Text: r.words(s),
	}
	if d := r.at(s.device); d != nil {
		one.Binding = d.Binding
		switch s.kind {
		case StepPush, StepAttempt, StepPushOutcome:
			one.PushID, one.Provider = d.PushID, d.Provider
		}
	}
	return one
}

// Parked returns the phones that are waited for, whoever waited longest first, at most
// limit of them, and how many there are. Those of a request whose Record had to make room
// for others are not among them.
func (t *Timeline) Parked(limit int) (list []Waiting, total int) {
	now := time.Now()
	list = []Waiting{}
	for _, s := range t.shards {
		s.mu.Lock()
		for e := s.kept[asleep].open.Front(); e != nil; e = e.Next() {
			list = e.Value.(*record).waiting(list, now)
		}
		for e := s.kept[asleep].ended.Back(); e != nil; e = e.Prev() {
			r := e.Value.(*record)
			if r.Method != "MESSAGE" {
				continue
			}
			list = r.waiting(list, now)
		}
		s.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b Waiting) int { return a.Since.Compare(b.Since) })
	return list[:min(limit, len(list)):min(limit, len(list))], len(list)
}

// waiting adds the phones for which r waits.
func (r *record) waiting(list []Waiting, now time.Time) []Waiting {
	for i := range r.Devices {
		d := &r.Devices[i]
		// What is long past its time ended unheard.
		if r.resolved[i] || !d.Woke.IsZero() || d.Deadline.Add(time.Minute).Before(now) {
			continue
		}
		list = append(list, Waiting{
			ID: r.ID, CallID: r.CallID, Method: r.Method, From: r.From, AOR: d.AOR, Binding: d.Binding, Provider: d.Provider,
			Since: d.Parked, Deadline: d.Deadline, Class: d.Class,
		})
	}
	return list
}
