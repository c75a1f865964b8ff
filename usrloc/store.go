package usrloc

import (
	"context"
	"time"
)

// A Store keeps the Records. Every implementation passes usrloctest.Run. All
// methods are safe for concurrent use.
//
// Bindings whose RetainUntil has passed are gone for every reader, although the
// Change{Expired} is published only by the next Update of their AOR (the keeper
// of due timers makes one).
type Store interface {
	// Get returns the Record of aor. An AOR without bindings gives a Record
	// with no Bindings and no error. It returns ErrUnavailable, never an empty
	// Record, if the back end cannot be asked.
	Get(ctx context.Context, aor AOR) (Record, error)

	// Update replaces the Record of aor by fn's result, atomically: no other
	// Update of aor runs between what fn read and what is committed.
	//
	// fn is pure and may run several times. It gets the current Record and
	// returns a new one (it must not change the given one's slices) or an
	// error, which leaves everything as it was. Bindings missing from the
	// result are removed; a result that equals its input commits nothing but
	// what has expired. The store sets AOR and Version, and keeps bindings that
	// stay in their order, before new ones. A BindingID that was not made for aor,
	// or stands twice in the result, gives ErrForeignID.
	//
	// done runs exactly once, after the promised durability is reached, with
	// the Record now in force and what changed (less bindings of which only GRUUSet
	// did), or with fn's or the store's error. It is never called under a lock, may be called before Update
	// returns and on any goroutine; it must neither block nor write to a socket.
	// For one AOR, done functions run in commit order.
	//
	// ctx bounds the wait for a back end; a commit that has begun is not undone.
	Update(ctx context.Context, aor AOR, fn func(Record) (Record, error), done func(Record, []Change, error))

	// Watch reads the Record of aor and reports every Change of it that is
	// committed later, without a gap and in order, until the time until or
	// until cancel is called. changed follows the rules of Update's done; it
	// may be called once more after cancel returned. Of several Watches of an
	// AOR the one that began first hears of a Change first. Cancel may be called
	// several times. A closed or failed Watch is not reported: until bounds it.
	Watch(ctx context.Context, aor AOR, until time.Time, changed func(Change)) (rec Record, cancel func(), err error)

	// Resolve returns the AOR that a binding belongs to, or ErrNotFound.
	Resolve(ctx context.Context, id BindingID) (AOR, error)

	// Claim returns up to n timers that are due at now, the oldest first as
	// far as the back end can tell. A claimed timer is hidden for ClaimHold,
	// then due again unless Done was called: at least once, by one claimer at
	// a time.
	Claim(ctx context.Context, now time.Time, n int) ([]Due, error)

	// Done ends a claim. With a zero next the timer is gone until the binding
	// changes; otherwise it is due again at next. Done for a binding that has
	// changed since the claim does nothing: its new timers stand.
	Done(due Due, next time.Time)
}

// ClaimHold is how long a claimed timer is hidden from other claimers.
const ClaimHold = 30 * time.Second

// DueKind says what a timer is for.
type DueKind uint8

// The kinds of timer.
const (
	// DueRefresh: the binding's RefreshAt has come.
	DueRefresh DueKind = iota + 1
	// DueExpiry: the binding's RetainUntil has come; an Update of its AOR, whose
	// function changes nothing, removes it and publishes the Change.
	DueExpiry
)

// A Due is a claimed timer.
type Due struct {
	Kind DueKind
	AOR  AOR
	ID   BindingID
	// At is when it was due.
	At time.Time
	// Stamp is the store's own mark of the binding's state; opaque to callers.
	Stamp uint64
}
