package usrloc

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Memory is the Store of a single node. Records live in memory; a Committer
// makes them durable.
//
// A change is applied, and visible to Get, Watch and later Updates, before it
// is durable; done and the watches are told when it is. So readers may see a
// binding at most one commit before its 200. If a commit fails, Memory holds
// what was never acknowledged: from then on all methods return ErrUnavailable,
// and the process should end.
//
// Times are kept in milliseconds, in UTC; what an Update returns is cut. The
// bindings lie packed in slabs without pointers that grow and never shrink. An
// AOR's partition selects one of many shards, each with a lock of its own under
// which Update's function runs.
type Memory struct {
	opts    MemoryOptions
	touches RefreshCommitter // the Committer, if it is one
	shards  []*shard
	metrics *metrics
	id      uint32 // 31 bits by chance, for Cursors; never 0

	bindings atomic.Int64 // in all shards; bounded by MaxBindings
	watches  atomic.Int64 // bounded by MaxWatches
	pending  atomic.Int64 // Updates and Touches that are not done; bounded by MaxPending
	closed   atomic.Bool
	failure  atomic.Pointer[error] // of the Committer
}

var _ Store = (*Memory)(nil)

// MemoryOptions are the limits and dependencies of a Memory. Zero values stand
// for the defaults.
type MemoryOptions struct {
	// MaxBindings is how many bindings the store takes; default 4,000,000.
	MaxBindings int
	// MaxWatches is how many watches there may be at a time; default 200,000.
	MaxWatches int
	// MaxPending is how many Updates and Touches may wait for their commit;
	// default 65,536.
	MaxPending int
	// Shards is how many independently locked parts there are, rounded up to a
	// power of two; default 64, at most 65,536.
	Shards int
	// Tokens keeps an index for TokenHolders: some ten bytes more for each binding
	// that can be woken.
	Tokens bool
	// Committer makes changes durable; nil if memory is enough.
	Committer Committer
	// Changed is told of every AOR whose bindings are others now, when others can
	// read them and before they are durable; nil: nobody is. It is called under a
	// lock of the store: it must be quick and not call the store. The AOR may lie
	// in a buffer that changes after the call.
	Changed func(AOR)
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
}

// A Committer makes durable what a Memory has applied.
type Committer interface {
	// Commit takes over the changes that one Update of aor made. All Changes
	// have the same Version; those of kind Expired need not be written, for
	// RetainUntil says the same, and an Update that makes no others is not
	// handed over at all. Whether a plain refresh suffices, Old and New tell.
	//
	// Commit is called in the order in which changes of aor are applied, under
	// a lock of the store: it must not block and not call the store. It calls
	// done exactly once, from any goroutine, after it has returned, when the
	// changes are durable or have failed. Commits may end in any order; the
	// store restores that of the AOR.
	Commit(aor AOR, changes []Change, done func(error))
}

// An Admitter is a Committer that may refuse changes before they are applied.
type Admitter interface {
	Committer
	// Admit is asked before changes of aor that need a commit are applied. An
	// error refuses all of them and ends the Update. It is called as Commit is.
	Admit(aor AOR, changes []Change) error
}

func (o *MemoryOptions) setDefaults() {
	for _, d := range [...]struct {
		value    *int
		fallback int
	}{{&o.MaxBindings, 4_000_000}, {&o.MaxWatches, 200_000}, {&o.MaxPending, 65_536}, {&o.Shards, 64}} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	shards := 1
	for shards < min(o.Shards, 1<<16) {
		shards *= 2
	}
	o.Shards = shards
}

// NewMemory returns an empty Memory. It starts no goroutine.
func NewMemory(opts MemoryOptions) *Memory {
	opts.setDefaults()
	m := &Memory{opts: opts, shards: make([]*shard, opts.Shards), id: rand.Uint32()>>1 | 1}
	seed, now := maphash.MakeSeed(), time.Now()
	for i := range m.shards {
		m.shards[i] = newShard(seed, opts.Tokens, now)
	}
	m.touches, _ = opts.Committer.(RefreshCommitter)
	m.metrics = newMetrics(opts.Registerer, m)
	return m
}

// Close makes all methods return ErrClosed. Commits that have begun are still
// told of; when it returns, no others will be handed to the Committer.
func (m *Memory) Close() error {
	m.closed.Store(true)
	for _, sh := range m.shards {
		// Who holds the lock may still commit; who gets it sees closed.
		sh.mu.Lock()
		sh.mu.Unlock() //nolint:staticcheck // an empty section, to wait for the others
	}
	return nil
}

// shard returns the shard of a partition. Neighbouring partitions share one, so
// that what is loaded in their order stays in the processor's caches.
func (m *Memory) shard(partition uint16) *shard {
	return m.shards[int(partition)*len(m.shards)>>16]
}

// usable returns why nothing can be asked of the store, or nil.
func (m *Memory) usable(ctx context.Context) error {
	if m.closed.Load() {
		return ErrClosed
	}
	if err := m.failure.Load(); err != nil {
		return *err
	}
	return ctx.Err()
}

// Get implements Store.
func (m *Memory) Get(ctx context.Context, aor AOR) (Record, error) {
	if err := m.usable(ctx); err != nil {
		return Record{AOR: aor}, err
	}
	sh := m.shard(Partition(aor))
	now := time.Now()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	rec, _, err := sh.record(aor, now)
	return rec, err
}

// Resolve implements Store.
func (m *Memory) Resolve(ctx context.Context, id BindingID) (AOR, error) {
	if err := m.usable(ctx); err != nil {
		return "", err
	}
	sh := m.shard(id.Partition())
	now := time.Now()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	at := sh.findID(id)
	if at == 0 || sh.bindings.at(at).lapsed(now) {
		return "", ErrNotFound
	}
	return sh.name(sh.users.at(sh.bindings.at(at).aor)), nil
}

// Update implements Store. fn runs once, under the lock of aor's shard; done
// runs before the watches of aor are told.
func (m *Memory) Update(ctx context.Context, aor AOR, fn func(Record) (Record, error), done func(Record, []Change, error)) {
	if err := m.usable(ctx); err != nil {
		done(Record{AOR: aor}, nil, err)
		return
	}
	if m.pending.Add(1) > int64(m.opts.MaxPending) {
		m.pending.Add(-1)
		m.metrics.refused("pending")
		done(Record{AOR: aor}, nil, ErrFull)
		return
	}
	sh := m.shard(Partition(aor))
	m.update(sh, aor, fn, &delivery{done: done})
	m.drain(sh, aor)
}

// update applies fn and puts d, the end of the Update, into aor's lane.
func (m *Memory) update(sh *shard, aor AOR, fn func(Record) (Record, error), d *delivery) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	queued := false
	defer func() {
		if !queued { // fn panicked
			m.pending.Add(-1)
		}
	}()
	var changes []Change
	if m.closed.Load() {
		d.rec, d.err = Record{AOR: aor}, ErrClosed
	} else {
		d.rec, changes, d.err = m.change(sh, aor, fn)
	}
	d.changes = told(changes)
	commit := m.opts.Committer != nil && needsCommit(changes)
	// A Touch of this AOR may be under way: its Waiter comes first.
	behind := d.err == nil && m.touches != nil && m.pending.Load() > 1
	d.ready = !commit && !behind
	sh.enqueue(aor, d)
	queued = true
	if d.ready {
		return
	}
	if !commit {
		changes = nil
	}
	m.opts.Committer.Commit(aor, changes, func(err error) {
		m.committed(sh, aor, d, err)
	})
}

// told returns the changes that somebody is told of.
func told(changes []Change) []Change {
	if !slices.ContainsFunc(changes, func(c Change) bool { return c.silent() }) {
		return changes
	}
	return slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return c.silent() })
}

// needsCommit reports whether changes must be made durable. Expiry need not:
// RetainUntil is durable already.
func needsCommit(changes []Change) bool {
	for i := range changes {
		if changes[i].Kind != Expired {
			return true
		}
	}
	return false
}

// committed is called once the changes of d are durable, or have failed.
func (m *Memory) committed(sh *shard, aor AOR, d *delivery, err error) {
	if err != nil {
		err = m.fail(fmt.Errorf("commit record of %s: %w: %w", aor, ErrUnavailable, err))
	}
	sh.mu.Lock()
	if err != nil {
		d.rec, d.changes, d.err = Record{AOR: aor}, nil, err
	}
	d.ready = true
	sh.mu.Unlock()
	m.drain(sh, aor)
}

// fail makes the store unavailable, because of err, and returns err.
func (m *Memory) fail(err error) error {
	m.failure.CompareAndSwap(nil, &err)
	return err
}

// change runs fn on the Record of aor and applies what it returns. The caller
// holds the lock.
func (m *Memory) change(sh *shard, aor AOR, fn func(Record) (Record, error)) (Record, []Change, error) {
	now := time.Now()
	failed := func(err error) (Record, []Change, error) { return Record{AOR: aor}, nil, err }
	old, lapsed, err := sh.record(aor, now)
	if err != nil {
		return failed(err)
	}
	result, err := fn(old)
	if err != nil {
		return failed(err)
	}
	bindings, changes, err := compare(aor, old.Bindings, result, now)
	if err != nil {
		return failed(err)
	}
	changes = append(expired(aor, lapsed), changes...)
	if len(changes) == 0 {
		return old, nil, nil
	}
	if a, ok := m.opts.Committer.(Admitter); ok && needsCommit(changes) {
		if err := a.Admit(aor, changes); err != nil {
			return failed(err)
		}
	}
	if err := m.admit(sh, aor, changes); err != nil {
		return failed(err)
	}
	version := sh.apply(aor, changes)
	if m.opts.Changed != nil {
		m.opts.Changed(aor)
	}
	for i := range changes {
		changes[i].Version = version
		if !changes[i].silent() {
			m.metrics.changed(changes[i].Kind)
		}
	}
	return Record{AOR: aor, Version: version, Bindings: bindings}, changes, nil
}

// expired returns the changes that remove lapsed.
func expired(aor AOR, lapsed []Binding) []Change {
	if len(lapsed) == 0 {
		return nil
	}
	changes := make([]Change, len(lapsed))
	for i := range lapsed {
		changes[i] = Change{Kind: Expired, Cause: CauseExpiry, AOR: aor, Old: &lapsed[i]}
	}
	return changes
}

// admit counts the bindings that changes add and remove, and refuses changes
// that do not fit, or that use the ID of another AOR's binding.
func (m *Memory) admit(sh *shard, aor AOR, changes []Change) error {
	var grow int64
	for i := range changes {
		switch changes[i].Kind {
		case Created:
			grow++
			if at := sh.findID(changes[i].New.ID); at != 0 && sh.bindings.at(at).aor != sh.find(aor) {
				return fmt.Errorf("check record of %s: %w", aor, ErrForeignID)
			}
		case Removed, Expired:
			grow--
		case Updated:
		}
	}
	if total := m.bindings.Add(grow); grow > 0 && total > int64(m.opts.MaxBindings) {
		m.bindings.Add(-grow)
		m.metrics.refused("bindings")
		return ErrFull
	}
	return nil
}
