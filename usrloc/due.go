package usrloc

import (
	"context"
	"time"
)

// Claim implements Store. The oldest timers come first, to the millisecond;
// those that were overdue when they were set come after the others of their
// shard.
func (m *Memory) Claim(ctx context.Context, now time.Time, n int) ([]Due, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	// One look at each shard, then always at the one whose first timer is the
	// oldest.
	ms := now.UnixMilli()
	oldest := make([]int64, len(m.shards))
	for i, sh := range m.shards {
		sh.mu.Lock()
		sh.timers.advance(ms)
		oldest[i] = sh.oldest(ms)
		sh.mu.Unlock()
	}
	var claimed []Due
	for len(claimed) < n {
		first := 0
		for i := range oldest {
			if oldest[i] < oldest[first] {
				first = i
			}
		}
		if oldest[first] == never {
			break
		}
		sh := m.shards[first]
		sh.mu.Lock()
		if due, ok := sh.claim(ms); ok {
			claimed = append(claimed, due)
		}
		oldest[first] = sh.oldest(ms)
		sh.mu.Unlock()
	}
	return claimed, nil
}

// Done implements Store.
func (m *Memory) Done(due Due, next time.Time) {
	sh := m.shard(due.ID.Partition())
	sh.mu.Lock()
	defer sh.mu.Unlock()
	at := sh.findID(due.ID)
	if at == 0 {
		return
	}
	s := sh.bindings.at(at)
	when, mark := s.timer(due.Kind)
	if when == nil || uint64(*mark) != due.Stamp {
		return
	}
	*when = never
	if !next.IsZero() {
		*when = next.UnixMilli()
	}
	*mark = sh.nextMark()
	sh.timers.set(at)
}

// timer returns the time and the mark of one of the two timers, or nil.
func (s *bindingSlot) timer(kind DueKind) (when *int64, mark *uint32) {
	switch kind {
	case DueRefresh:
		return &s.refreshDue, &s.refreshMark
	case DueExpiry:
		return &s.expiryDue, &s.expiryMark
	}
	return nil, nil
}

// oldest returns when the shard's first timer that is due at now was due, or
// never.
func (sh *shard) oldest(now int64) int64 {
	if at := sh.timers.due(now); at != 0 {
		return sh.bindings.at(at).deadline()
	}
	return never
}

// claim takes the shard's first timer that is due at now and hides it.
func (sh *shard) claim(now int64) (Due, bool) {
	for {
		at := sh.timers.due(now)
		if at == 0 {
			return Due{}, false
		}
		s := sh.bindings.at(at)
		if s.retainUntil <= now && s.refreshDue != never {
			// The binding is gone for every reader: nobody wakes its device.
			s.refreshDue = never
			sh.timers.set(at)
			continue
		}
		kind := DueRefresh
		if s.expiryDue <= s.refreshDue {
			kind = DueExpiry
		}
		when, mark := s.timer(kind)
		due := Due{Kind: kind, ID: s.id, At: fromMilli(*when)}
		*when = now + ClaimHold.Milliseconds()
		*mark = sh.nextMark()
		due.Stamp = uint64(*mark)
		due.AOR = sh.name(sh.users.at(s.aor))
		sh.timers.set(at)
		return due, true
	}
}
