package usrloc

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"
)

// A lane hands out what the commits of one AOR have to tell, in the order in
// which they were applied: first to the done function of the Update, then to
// the watches. It exists while the AOR has commits to tell of or watches. The
// shard's mutex guards it.
type lane struct {
	queue []*delivery
	// draining: a goroutine is handing out; nobody else does so meanwhile.
	draining bool
	watches  []*watch
	began    uint64 // watches so far
}

// A delivery is the end of one Update.
type delivery struct {
	done    func(Record, []Change, error)
	rec     Record
	changes []Change
	err     error
	watches []*watch // those that existed when the change was applied
	ready   bool     // durable, or failed
}

func (d *delivery) run() {
	d.done(d.rec, d.changes, d.err)
	if d.err != nil {
		return
	}
	for _, w := range d.watches {
		for _, c := range d.changes {
			w.tell(c)
		}
	}
}

// A watch reports the changes of one AOR to somebody who waits.
type watch struct {
	changed func(Change)
	until   time.Time
	ended   atomic.Bool
	// The shard's mutex guards the rest.
	at    int    // its place in lane.watches
	seq   uint64 // of an AOR's watches, those that began later have a higher one
	timer *time.Timer
}

func (w *watch) tell(c Change) {
	if !w.ended.Load() && time.Now().Before(w.until) {
		w.changed(c)
	}
}

// lane returns aor's lane, a new one if need be.
func (sh *shard) lane(aor AOR) *lane {
	l := sh.lanes[aor]
	if l == nil {
		l = &lane{}
		sh.lanes[aor] = l
	}
	return l
}

// dropLane forgets aor's lane if nothing needs it.
func (sh *shard) dropLane(aor AOR, l *lane) {
	if len(l.queue) == 0 && len(l.watches) == 0 && !l.draining {
		delete(sh.lanes, aor)
	}
}

// enqueue appends d to aor's lane. The caller holds the lock.
func (sh *shard) enqueue(aor AOR, d *delivery) {
	l := sh.lane(aor)
	if len(d.changes) > 0 {
		d.watches = slices.Clone(l.watches)
		// Those that ended have left gaps, which the last ones filled.
		slices.SortFunc(d.watches, func(a, b *watch) int { return cmp.Compare(a.seq, b.seq) })
	}
	l.queue = append(l.queue, d)
}

// drain runs the deliveries at the front of aor's lane that are ready, outside
// the lock. If another goroutine, or a caller of this one, is at it, that one
// goes on with what has become ready.
func (m *Memory) drain(sh *shard, aor AOR) {
	sh.mu.Lock()
	l := sh.lanes[aor]
	if l == nil || l.draining {
		sh.mu.Unlock()
		return
	}
	l.draining = true
	// Runs with the lock held at the end, without it if a done function panics:
	// the next drain must be able to go on.
	unlocked := false
	defer func() {
		if unlocked {
			sh.mu.Lock()
		}
		l.draining = false
		sh.dropLane(aor, l)
		sh.mu.Unlock()
	}()
	for len(l.queue) > 0 && l.queue[0].ready {
		d := l.queue[0]
		l.queue[0] = nil
		l.queue = l.queue[1:]
		sh.mu.Unlock()
		unlocked = true
		m.pending.Add(-1)
		d.run()
		sh.mu.Lock()
		unlocked = false
	}
}

// addWatch puts w into aor's lane. The caller holds the lock.
func (sh *shard) addWatch(aor AOR, w *watch) {
	l := sh.lane(aor)
	l.began++
	w.at, w.seq = len(l.watches), l.began
	l.watches = append(l.watches, w)
}

// removeWatch takes w out of aor's lane. The caller holds the lock and makes
// sure that w is there.
func (sh *shard) removeWatch(aor AOR, w *watch) {
	l := sh.lanes[aor]
	last := len(l.watches) - 1
	l.watches[w.at] = l.watches[last]
	l.watches[w.at].at = w.at
	l.watches[last] = nil
	l.watches = l.watches[:last]
	sh.dropLane(aor, l)
}
