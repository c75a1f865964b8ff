package contacts

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"reveille/flow"
	"reveille/registrar"
	"reveille/usrloc"
)

// A Registrar is told of changes, and adds contacts; *registrar.Registrar implements
// it.
type Registrar interface {
	Add(ctx context.Context, a registrar.Addition, done func(usrloc.Binding, error))
	Changed(changes []usrloc.Change)
}

// Store is a location service that can be gone through.
type Store interface {
	usrloc.Store
	usrloc.Lister
}

// Options are what a Book needs. All but Wake and Socket are required.
type Options struct {
	Store     Store
	Registrar Registrar
	// AOR returns the address of record that an operator means, who may leave out the
	// scheme, or ErrNoUser.
	AOR func(string) (usrloc.AOR, error)
	// Lookup returns the addresses of a name.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// State returns Awake, Asleep, Dormant or Unreachable.
	State func(b *usrloc.Binding, now time.Time) string
	// Wake returns how a phone woke until now, nil if that is not known.
	Wake func(usrloc.BindingID) *WakeHabit
	// Socket names where a flow came in.
	Socket func(flow.Flow) string
	// Memory says that the store has no disk.
	Memory bool
}

// A Book answers operators. It is safe for concurrent use.
type Book struct{ o Options }

// New returns a Book.
func New(o Options) (*Book, error) {
	if o.Store == nil || o.Registrar == nil || o.AOR == nil || o.Lookup == nil || o.State == nil {
		return nil, errors.New("contacts: Store, Registrar, AOR, Lookup and State are required")
	}
	if o.Wake == nil {
		o.Wake = func(usrloc.BindingID) *WakeHabit { return nil }
	}
	if o.Socket == nil {
		o.Socket = func(flow.Flow) string { return "" }
	}
	return &Book{o}, nil
}

var (
	// ErrNoUser says that a name is that of no user here.
	ErrNoUser = errors.New("no user of a domain that is served here")
	// ErrNotRegistered says that a user, or what was asked for of one, has no contact.
	ErrNotRegistered = errors.New("not registered")
)

// Bounds of a page.
const (
	// DefaultLimit is how many a page has if nobody says; MaxLimit bounds it.
	DefaultLimit = 100
	MaxLimit     = 1000
	// maxLook is how many users are looked at for a page by their names, maxRead by
	// their contacts. What is not found among them is on a page that follows.
	maxLook = 1 << 20
	maxRead = 1 << 17
	// lookStep is how many are looked at between two looks at the clock.
	lookStep = 1 << 12
	// lookTime is for how long a page is worked at.
	lookTime = 2 * time.Second
)

// A Page asks for a part of a list.
type Page struct {
	// After is the Next of the page before; empty begins.
	After string
	// Limit is how many there should be; 0 stands for DefaultLimit.
	Limit int
}

func (p Page) read() (usrloc.Cursor, int, error) {
	if p.Limit < 0 || p.Limit > MaxLimit {
		return usrloc.Cursor{}, 0, wrong("limit", "%d is not within 1 and %d", p.Limit, MaxLimit)
	}
	at, err := usrloc.ParseCursor(p.After)
	if err != nil {
		return at, 0, wrongCursor()
	}
	if p.Limit == 0 {
		p.Limit = DefaultLimit
	}
	return at, p.Limit, nil
}

func wrongCursor() error {
	return wrong("after", "this is no page of a list as it is now: begin again; a restart ends all lists")
}

// view is what contacts are shown with now.
func (b *Book) view(secrets bool) *view {
	return &view{now: time.Now(), memory: b.o.Memory, secrets: secrets, state: b.o.State, wake: b.o.Wake, socket: b.o.Socket}
}

// UserList is a page of all users that have contacts.
type UserList struct {
	Users []UserSummary `json:"users"`
	Next  string        `json:"next,omitempty" doc:"Where the next page begins; none: this is the last. There may be one behind a page without users."`
}

// Users lists users in no order. Each that has contacts all the while is on exactly
// one page, whatever happens to others. search keeps those whose AOR contains it, in
// any case; with a scheme ("sip:al") those that begin with it.
func (b *Book) Users(ctx context.Context, search string, p Page) (UserList, error) {
	at, limit, err := p.read()
	if err != nil {
		return UserList{}, err
	}
	if len(search) > maxText {
		return UserList{}, wrong("q", "more than %d bytes", maxText)
	}
	v := b.view(false)
	list := UserList{Users: []UserSummary{}}
	at, err = b.walk(ctx, at, maxLook, searched(search), func(rec usrloc.Record) bool {
		list.Users = append(list.Users, v.summary(&rec))
		return len(list.Users) < limit
	})
	list.Next = at.String()
	return list, err
}

// searched returns what tells the AORs that are looked for.
func searched(search string) func(usrloc.AOR) bool {
	lower := strings.ToLower(search)
	switch {
	case search == "":
		return everybody
	case strings.HasPrefix(lower, "sip:"), strings.HasPrefix(lower, "sips:"):
		return func(aor usrloc.AOR) bool {
			return len(aor) >= len(lower) && strings.EqualFold(string(aor[:len(lower)]), lower)
		}
	}
	return func(aor usrloc.AOR) bool {
		for i := 0; i+len(lower) <= len(aor); i++ {
			if strings.EqualFold(string(aor[i:i+len(lower)]), lower) {
				return true
			}
		}
		return false
	}
}

func everybody(usrloc.AOR) bool { return true }

// walk goes on from at until visit has enough, most users were looked at or the time
// is over, and returns the place behind.
func (b *Book) walk(ctx context.Context, at usrloc.Cursor, most int, want func(usrloc.AOR) bool, visit func(usrloc.Record) bool) (next usrloc.Cursor, err error) {
	end := time.Now().Add(lookTime)
	for more := true; more; most -= lookStep {
		at, err = b.o.Store.Walk(ctx, at, min(most, lookStep), want, func(rec usrloc.Record) bool {
			more = visit(rec) && time.Now().Before(end)
			return more
		})
		if errors.Is(err, usrloc.ErrCursor) {
			return at, wrongCursor()
		}
		if err != nil {
			return usrloc.Cursor{}, err
		}
		more = more && !at.IsZero() && most > lookStep && time.Now().Before(end)
	}
	return at, nil
}

// User returns a user's contacts; the error is ErrNoUser, ErrNotRegistered or the
// store's. secrets shows push tokens.
func (b *Book) User(ctx context.Context, name string, secrets bool) (UserContacts, error) {
	aor, err := b.o.AOR(name)
	if err != nil {
		return UserContacts{}, err
	}
	rec, err := b.o.Store.Get(ctx, aor)
	switch {
	case err != nil:
		return UserContacts{}, err
	case len(rec.Bindings) == 0:
		return UserContacts{}, ErrNotRegistered
	}
	return b.view(secrets).user(&rec), nil
}

// Contact returns the binding with an ID; the error is ErrNotRegistered, or as that of
// User.
func (b *Book) Contact(ctx context.Context, id string, secrets bool) (Contact, error) {
	aor, bid, err := b.resolve(ctx, id)
	if err != nil {
		return Contact{}, err
	}
	rec, err := b.o.Store.Get(ctx, aor)
	if err != nil {
		return Contact{}, err
	}
	found := rec.Find(bid)
	if found == nil {
		return Contact{}, ErrNotRegistered
	}
	return b.view(secrets).contact(aor, found), nil
}

// resolve returns whose binding an ID names.
func (b *Book) resolve(ctx context.Context, id string) (usrloc.AOR, usrloc.BindingID, error) {
	bid, err := usrloc.ParseBindingID(id)
	if err != nil {
		return "", bid, wrong("id", "it has 32 hexadecimal digits")
	}
	aor, err := b.o.Store.Resolve(ctx, bid)
	if errors.Is(err, usrloc.ErrNotFound) {
		err = ErrNotRegistered
	}
	return aor, bid, err
}

// Dump calls yield with every user, in no order, until it returns an error. Each is as
// it was at one moment, and each that has contacts all the while comes exactly once.
func (b *Book) Dump(ctx context.Context, secrets bool, yield func(UserContacts) error) (err error) {
	v := b.view(secrets)
	var failed error
	for at := (usrloc.Cursor{}); ; {
		at, err = b.o.Store.Walk(ctx, at, lookStep, everybody, func(rec usrloc.Record) bool {
			v.now = time.Now()
			failed = yield(v.user(&rec))
			return failed == nil
		})
		if err != nil || failed != nil || at.IsZero() {
			return errors.Join(err, failed)
		}
	}
}
