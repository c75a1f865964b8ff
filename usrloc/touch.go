package usrloc

import (
	"time"
	"unsafe"
)

// A view is the binding that Touch shows: it is kept so that nothing need be
// allocated for it.
type view struct {
	binding Binding
	body    []byte // where the binding's strings lie
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

// Touch is an Update for the plainest of changes, without its price: a device
// that has the only binding of aor comes back as what it was. wait is told when a
// change that is TouchPending is durable; a store without a Committer has none.
//
// fn gets the binding and may change its CallID, CSeq, Updated, Expires,
// RetainUntil, RefreshAt, Flow and UserAgent; nothing else of what it changes is
// kept. If it returns false nothing is changed. The strings that it is shown are
// valid during the call only, and those that it sets are copied. fn runs once at
// most, under the lock of aor's shard: it must be quick and must not call the
// store.
//
// Touch takes nothing upon itself that somebody else has to hear of: it declines
// if there is a Committer, if aor is watched or has commits to tell of, if there
// are other bindings, or if the binding has lapsed or has a Path. aor may lie in
// a buffer that changes after the call.
func (m *Memory) Touch(aor AOR, now time.Time, fn func(*Binding) bool, _ Waiter) Touched {
	if m.opts.Committer != nil || m.closed.Load() || m.failure.Load() != nil {
		return TouchDeclined
	}
	sh := m.shard(Partition(aor))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !sh.touch(aor, now, fn) {
		return TouchDeclined
	}
	m.metrics.changed(Updated)
	return TouchDone
}

// touch is Touch with the lock held.
func (sh *shard) touch(aor AOR, now time.Time, fn func(*Binding) bool) bool {
	i := sh.find(aor)
	if i == 0 || sh.lanes[aor] != nil {
		return false
	}
	u := sh.users.at(i)
	at := u.first
	s := sh.bindings.at(at)
	if s.sibling != 0 || s.lapsed(now) {
		return false
	}
	v := &sh.touched
	v.body = sh.strings.get(v.body[:0], s.body, int(s.bodyLen))
	b := &v.binding
	*b = Binding{}
	if parseBody(b, &s.head, unsafe.String(unsafe.SliceData(v.body), len(v.body)), &sh.words) != nil || len(b.Path) > 0 {
		return false
	}
	seen := *b
	if !fn(b) || !now.Before(b.RetainUntil) {
		return false
	}
	b.ID, b.Contact, b.Params, b.Q, b.Created, b.Path = seen.ID, seen.Contact, seen.Params, seen.Q, seen.Created, nil
	b.Instance, b.RegID, b.Push = seen.Instance, seen.RegID, seen.Push
	if b.CallID == seen.CallID && b.UserAgent == seen.UserAgent && b.Flow.Listener == seen.Flow.Listener &&
		b.Flow.Remote.Addr().Zone() == seen.Flow.Remote.Addr().Zone() {
		sh.writeHead(at, b)
	} else {
		sh.write(at, b)
	}
	sh.version++
	u.version = sh.version
	return true
}
