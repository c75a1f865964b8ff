package usrloc

import (
	"fmt"
	"time"
)

// maxTouched is how many bindings an AOR may have that Touch changes: what it
// costs grows with them, under the lock.
const maxTouched = 4

// A view is the bindings that Touch shows: it is kept so that nothing need be
// allocated for it.
type view struct {
	bindings [maxTouched]Binding
	seen     [maxTouched]Binding // bindings before fn, which may change anything
	body     []byte              // where their strings lie
}

// Touched says how a Touch ended.
type Touched uint8

// The ends of a Touch.
const (
	// TouchDeclined: nothing was changed. The caller makes an Update.
	TouchDeclined Touched = iota
	// TouchDone: the binding was changed, as durably as the store promises.
	TouchDone
	// TouchPending: the binding was changed. The Waiter is told when that is
	// durable.
	TouchPending
)

// A Waiter waits for a Touch to become durable.
type Waiter interface {
	// Settled is called exactly once for each TouchPending, perhaps before Touch
	// has returned, with nil when the change is durable and with an error when
	// it never will be. The rules of Update's done hold: it is never called
	// under a lock, must neither block nor write to a socket, and for one AOR
	// the calls come in commit order.
	Settled(err error)
}

// A RefreshCommitter is a Committer that also makes durable what a Touch has
// changed, at less expense than Changes are.
//
// Where Commits of one AOR may end in any order, CommitRefresh and Commit must
// end in the order of the calls: nothing restores it for a Touch. Commit may be
// called without Changes: its done is then called, like that of others, when all
// that was handed over for the AOR before has ended.
type RefreshCommitter interface {
	Committer
	// AdmitRefresh is asked before a binding is changed; false declines the
	// Touch. It is called as Commit is.
	AdmitRefresh() bool
	// CommitRefresh takes over a Refresh, and settles its Pending as Commit calls
	// done. It is called as Commit is. What r holds, less Pending, is valid
	// during the call only.
	CommitRefresh(r Refresh)
}

// A Refresh is what a Touch has changed.
type Refresh struct {
	AOR AOR
	// Binding is the binding of AOR that was changed, as it is now.
	Binding *Binding
	// Version is that of the Record now.
	Version uint64
	// Agent: the UserAgent is another than before. Beside it only CallID, CSeq,
	// Updated, Expires, RetainUntil, RefreshAt, Flow and GRUUSet may have changed.
	Agent bool
	// Pending is to be settled.
	Pending Pending
}

// A Pending is a Touch that waits to be durable.
type Pending struct {
	memory *Memory
	waiter Waiter
}

// Settle tells the Waiters of Touches of one Memory, in order, how their commits
// ended. It must be called once for each Pending, without a lock. After an error
// the Memory is unavailable.
func Settle(touches []Pending, err error) {
	if len(touches) == 0 {
		return
	}
	m := touches[0].memory
	if err != nil {
		err = m.fail(fmt.Errorf("commit refresh: %w: %w", ErrUnavailable, err))
	}
	for i := range touches {
		touches[i].waiter.Settled(err)
	}
	// An Update that needs no commit looks at pending to know whether it has to
	// let a Waiter go first.
	m.pending.Add(-int64(len(touches)))
}

// Touch is an Update for the plainest of changes, without its price: one device
// comes back as what it was. wait is told when a change that is TouchPending is
// durable; a store without a Committer has none.
//
// fn gets the bindings of aor, in the order of its Record, and may change CallID,
// CSeq, Updated, Expires, RetainUntil, RefreshAt, Flow, UserAgent and GRUUSet of one
// of them, whose index it returns; nothing else of what it changes is kept. If it
// returns -1, or leaves the binding no time, nothing is changed; otherwise the
// change is made. The bindings and their strings are valid during the call only,
// and the strings that it sets are copied. fn runs once at most, under the lock of
// aor's shard: it must be quick and must not call the store.
//
// Touch takes nothing upon itself that somebody else has to hear of: it declines
// if aor is watched or has Updates to tell of, if it has more bindings than a few,
// or if one of them has lapsed or has a Path. It also declines if there is a
// Committer and no wait, one that takes no Refresh or takes none now, or if as
// many changes wait as may. aor may lie in a buffer that changes after the call.
func (m *Memory) Touch(aor AOR, now time.Time, fn func([]Binding) int, wait Waiter) (touched Touched) {
	if m.failure.Load() != nil || m.opts.Committer != nil && (m.touches == nil || wait == nil) {
		return TouchDeclined
	}
	if m.touches != nil {
		defer func() {
			if touched != TouchPending { // or fn panicked
				m.pending.Add(-1)
			}
		}()
		if m.pending.Add(1) > int64(m.opts.MaxPending) {
			return TouchDeclined
		}
	}
	sh := m.shard(Partition(aor))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if m.closed.Load() || m.touches != nil && !m.touches.AdmitRefresh() {
		return TouchDeclined
	}
	changed, agent := sh.touch(aor, now, fn)
	if changed == nil {
		return TouchDeclined
	}
	m.metrics.changed(Updated)
	if m.opts.Changed != nil {
		m.opts.Changed(aor)
	}
	if m.touches == nil {
		return TouchDone
	}
	m.touches.CommitRefresh(Refresh{
		AOR: aor, Binding: changed, Version: sh.version, Agent: agent, Pending: Pending{m, wait},
	})
	return TouchPending
}

// touch is Touch with the lock held. It returns the binding that was changed, which
// stays as it is until the next call, or nil. agent reports whether its UserAgent
// is another.
func (sh *shard) touch(aor AOR, now time.Time, fn func([]Binding) int) (b *Binding, agent bool) {
	i := sh.find(aor)
	if i == 0 || sh.lanes[aor] != nil {
		return nil, false
	}
	u := sh.users.at(i)
	slots, n := sh.show(u, now)
	if n == 0 {
		return nil, false
	}
	v := &sh.touched
	chosen := fn(v.bindings[:n])
	if chosen < 0 {
		return nil, false
	}
	at, seen := slots[chosen], &v.seen[chosen]
	if b = &v.bindings[chosen]; !now.Before(b.RetainUntil) {
		return nil, false
	}
	b.ID, b.Contact, b.Params, b.Q, b.Created, b.Path, b.Received = seen.ID, seen.Contact, seen.Params, seen.Q, seen.Created, nil, seen.Received
	b.Methods, b.Instance, b.RegID, b.Attributes, b.Push = seen.Methods, seen.Instance, seen.RegID, seen.Attributes, seen.Push
	agent = b.UserAgent != seen.UserAgent
	if b.CallID == seen.CallID && b.GRUUSet == seen.GRUUSet && !agent && b.Flow.Listener == seen.Flow.Listener &&
		b.Flow.Remote.Addr().Zone() == seen.Flow.Remote.Addr().Zone() {
		sh.writeHead(at, b)
	} else {
		sh.write(at, b)
	}
	sh.version++
	u.version = sh.version
	return b, agent
}

// show reads the bindings of u into touched, and returns their slots and how many
// there are: 0 if Touch must not change them.
func (sh *shard) show(u *aorSlot, now time.Time) (slots [maxTouched]uint32, n int) {
	v := &sh.touched
	v.body = v.body[:0]
	for at := u.first; at != 0; n++ {
		s := sh.bindings.at(at)
		if n == maxTouched || s.lapsed(now) {
			return slots, 0
		}
		// If body moves, the strings of those before stay where they are.
		start := len(v.body)
		v.body = sh.strings.get(v.body, s.body, int(s.bodyLen))
		b := &v.bindings[n]
		*b = Binding{}
		if parseBody(b, &s.head, asString(v.body[start:]), &sh.words) != nil || len(b.Path) > 0 {
			return slots, 0
		}
		v.seen[n], slots[n] = *b, at
		at = s.sibling
	}
	return slots, n
}
