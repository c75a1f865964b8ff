package mailbox

import (
	"errors"
	"slices"
	"time"

	"reveille/usrloc"
)

// Why a message is not kept.
var (
	// ErrUserFull says that too much waits for this user already.
	ErrUserFull = errors.New("too many messages wait for this user")
	// ErrFull says that too much waits for all users together.
	ErrFull = errors.New("too many messages wait")
	// ErrName says that the user's name is too long to be written down.
	ErrName = errors.New("the name of this user is too long")
	// ErrStopped says that the server stops.
	ErrStopped = errors.New("mailbox stopped")
)

// Limits bound what waits. Each must be positive.
type Limits struct {
	// Bytes is for all users together, and so is Users, the number of those for whom
	// something waits.
	Bytes int64
	Users int
	// UserMessages and UserBytes are for one user.
	UserMessages int
	UserBytes    int64
}

// A state says what a user's messages do.
type state uint8

const (
	waiting state = iota
	ready         // they are to be handed over, as soon as there is a place
	leaving       // the first is being handed over
)

// A user is somebody for whom messages wait.
type user struct {
	// entries are on disk, in order of arrival; coming are those on their way there.
	// bytes is the size of both.
	entries []entry
	coming  int
	bytes   int64
	state   state
	// seen is the Version of the user's Record at the last registration that was heard
	// of; began is seen when the attempt began that is under way.
	seen, began uint64
	// unwatch ends the watch of the user's registrations, which ends by itself at
	// watched; nil: there is none.
	unwatch func()
	watched time.Time
}

// An entry is what is known of a message without looking at the disk.
type entry struct {
	key         uint64
	kept, until time.Time
	size        int
	// failures are how often a phone said that it could not take it now.
	failures int
}

// waits returns how many messages wait for u, those on their way to the disk included.
func (u *user) waits() int { return len(u.entries) + u.coming }

func (u *user) find(key uint64) int {
	return slices.IndexFunc(u.entries, func(e entry) bool { return e.key == key })
}

// remove takes an entry out, if it is there.
func (u *user) remove(key uint64) (e entry, ok bool) {
	i := u.find(key)
	if i < 0 {
		return entry{}, false
	}
	e = u.entries[i]
	u.entries = slices.Delete(u.entries, i, i+1)
	u.bytes -= int64(e.size)
	return e, true
}

// A book says how much waits for whom. It is not safe for concurrent use.
type book struct {
	limits Limits
	users  map[usrloc.AOR]*user
	// count and bytes are those of all users.
	count int
	bytes int64
	// queue are the users who are ready, the one that waits for longest first; leaving
	// is how many are.
	queue   []usrloc.AOR
	leaving int
}

func newBook(l Limits) *book { return &book{limits: l, users: make(map[usrloc.AOR]*user)} }

// reserve makes room for a message of a size, or says why there is none.
func (b *book) reserve(aor usrloc.AOR, size int) error {
	u := b.users[aor]
	switch {
	case len(aor) > maxName:
		return ErrName
	case u == nil && len(b.users) >= b.limits.Users, b.bytes+int64(size) > b.limits.Bytes:
		return ErrFull
	case u != nil && (u.waits() >= b.limits.UserMessages || u.bytes+int64(size) > b.limits.UserBytes), int64(size) > b.limits.UserBytes:
		return ErrUserFull
	}
	u = b.user(aor)
	u.coming++
	u.bytes += int64(size)
	b.count++
	b.bytes += int64(size)
	return nil
}

func (b *book) user(aor usrloc.AOR) *user {
	u := b.users[aor]
	if u == nil {
		u = &user{}
		b.users[aor] = u
	}
	return u
}

// settle says what became of a message for which there is room: it is on disk as e, or
// it is not.
func (b *book) settle(aor usrloc.AOR, e entry, kept bool) {
	u := b.users[aor]
	u.coming--
	if kept {
		u.entries = append(u.entries, e)
		return
	}
	u.bytes -= int64(e.size)
	b.count--
	b.bytes -= int64(e.size)
}

// load enters a message that was there when the file was opened.
func (b *book) load(aor usrloc.AOR, e entry) {
	u := b.user(aor)
	u.entries = append(u.entries, e)
	u.bytes += int64(e.size)
	b.count++
	b.bytes += int64(e.size)
}

// remove takes a message out, if it is there.
func (b *book) remove(aor usrloc.AOR, key uint64) (e entry, ok bool) {
	u := b.users[aor]
	if u == nil {
		return entry{}, false
	}
	if e, ok = u.remove(key); ok {
		b.count--
		b.bytes -= int64(e.size)
	}
	return e, ok
}

// expire takes out what is of no more use, of a user.
func (b *book) expire(aor usrloc.AOR, now time.Time) (gone []entry) {
	u := b.users[aor]
	for _, e := range slices.Clone(u.entries) {
		if !e.until.After(now) {
			b.remove(aor, e.key)
			gone = append(gone, e)
		}
	}
	return gone
}

// call puts a user whose messages only wait at the end of the queue.
func (b *book) call(aor usrloc.AOR) {
	if u := b.users[aor]; u != nil && u.state == waiting && len(u.entries) > 0 {
		u.state = ready
		b.queue = append(b.queue, aor)
	}
}

// next takes the first of the queue for whom something waits; most is how many may leave
// at a time.
func (b *book) next(most int) (aor usrloc.AOR, u *user, ok bool) {
	for len(b.queue) > 0 && b.leaving < most {
		aor, b.queue = b.queue[0], b.queue[1:]
		if u = b.users[aor]; u == nil || u.state != ready {
			// It was forgotten since, and may have come again.
			continue
		}
		if u.state = waiting; len(u.entries) > 0 {
			u.state, u.began = leaving, u.seen
			b.leaving++
			return aor, u, true
		}
	}
	return "", nil, false
}

// left ends what next began.
func (b *book) left(aor usrloc.AOR) {
	b.leaving--
	b.users[aor].state = waiting
}

// forget drops a user for whom nothing waits any more, and returns what ends the watch;
// nil: there is nothing to end.
func (b *book) forget(aor usrloc.AOR) (unwatch func()) {
	u := b.users[aor]
	if u == nil || u.waits() > 0 || u.state == leaving {
		return nil
	}
	delete(b.users, aor)
	return u.unwatch
}

// oldest returns when the message came that waits for longest; zero: none waits.
func (b *book) oldest() (t time.Time) {
	for _, u := range b.users {
		if len(u.entries) > 0 && (t.IsZero() || u.entries[0].kept.Before(t)) {
			t = u.entries[0].kept
		}
	}
	return t
}
