package usrloc

import (
	"context"
	"time"
)

// Watch implements Store. A runtime timer ends the watch at until; no goroutine
// waits. The Record may be one commit ahead of what is durable: what it shows is
// not reported again.
func (m *Memory) Watch(ctx context.Context, aor AOR, until time.Time, changed func(Change)) (Record, func(), error) {
	if err := m.usable(ctx); err != nil {
		return Record{AOR: aor}, nil, err
	}
	if m.watches.Add(1) > int64(m.opts.MaxWatches) {
		m.watches.Add(-1)
		m.metrics.refused("watches")
		return Record{AOR: aor}, nil, ErrFull
	}
	sh := m.shard(Partition(aor))
	now := time.Now()
	w := &watch{changed: changed, until: until}

	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec, _, err := sh.record(aor, now)
	if err != nil {
		m.watches.Add(-1)
		return rec, nil, err
	}
	sh.addWatch(aor, w)
	cancel := func() {
		if !w.ended.CompareAndSwap(false, true) {
			return
		}
		sh.mu.Lock()
		sh.removeWatch(aor, w)
		timer := w.timer
		sh.mu.Unlock()
		timer.Stop()
		m.watches.Add(-1)
	}
	w.timer = time.AfterFunc(until.Sub(now), cancel)
	return rec, cancel, nil
}
