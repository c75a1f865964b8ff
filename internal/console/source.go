package console

import (
	"context"
	"errors"
	"time"

	"reveille/internal/admin"
	"reveille/internal/event"
	"reveille/internal/timeline"
)

// A Source is what the console shows and does. Its functions are safe for concurrent
// use. Those that are marked optional may be nil: the page that shows them is left out.
type Source struct {
	// State is what the server is and how it is.
	State func() State
	// Counts counts the phones.
	Counts func(context.Context) (Counts, error)
	// Hour is how phones woke within the last hour.
	Hour func() timeline.Hour
	// Waiting lists the phones that somebody waits for, the longest first.
	Waiting func() []timeline.Waiting
	// Calls finds requests that met a sleeping phone, the latest first, and says
	// whether there are more than the filter's limit.
	Calls func(CallFilter) (found []timeline.Summary, more bool)
	// Call returns one of them.
	Call func(id string) (timeline.Record, bool)
	// Users lists users who have a registration, in order.
	Users func(context.Context, UserQuery) (UserPage, error)
	// User shows the registrations of a user; the error is admin.ErrNoUser or why it
	// cannot be said.
	User func(ctx context.Context, aor string) (admin.BindingList, error)
	// Why says what is the matter with a user's phones. Optional.
	Why func(ctx context.Context, aor string) (timeline.Verdict, error)
	// Pushes tests pushes, wakes phones and lists the queues to push services.
	Pushes *admin.Pushes
	// Drop ends a registration; the error is ErrGone if there is none.
	Drop func(ctx context.Context, aor, binding string) error
	// Bans lists who is not listened to.
	Bans *admin.Bans
	// Messages lists for whom messages wait. Optional.
	Messages *admin.Messages
	// Configuration returns the configuration in force as YAML, without secrets.
	Configuration func() (string, error)
	// Events returns the latest events, the newest first. Optional.
	Events func(filter event.Filter, limit int) []Event
	// Audit returns the latest changes that people made, the newest first. Optional.
	Audit func(limit int) []admin.Change
	// Audited takes what somebody changed here.
	Audited func(admin.Change)
}

// ErrGone says that a registration is not there any more.
var ErrGone = errors.New("the registration is not there any more")

// State is what the server is and how it is.
type State struct {
	Version string
	Node    uint32
	Started time.Time
	// Health says how it is.
	Health Health
}

// Health is whether the server takes what comes.
type Health int

// The states of health.
const (
	// Serving: it takes what comes.
	Serving Health = iota
	// Overloaded: new calls are refused at times.
	Overloaded
	// Draining: it stops, and lets calls finish.
	Draining
)

// Counts are numbers of phones.
type Counts struct {
	// Users have one registration or more.
	Users int
	// Awake phones get requests without a push, Asleep ones have to be woken. Dormant
	// ones are asleep, and their registration has ended (push.dormant).
	Awake, Asleep, Dormant int
}

// Phones are all of them.
func (c Counts) Phones() int { return c.Awake + c.Asleep + c.Dormant }

// A CallFilter chooses among requests. Empty fields choose all.
type CallFilter struct {
	AOR, CallID string
	// Outcome is one of timeline.Outcome…, or timeline.StateWaiting.
	Outcome string
	// Before is the ID of a record: those before it are chosen.
	Before string
	Limit  int
}

// A UserQuery chooses among users.
type UserQuery struct {
	// Part is what the AOR contains; After the last AOR of the page before.
	Part, After string
	Limit       int
}

// A UserPage is a part of a list of users.
type UserPage struct {
	Users []User
	// Next is UserQuery.After of the next page, empty if this is the last.
	Next string
}

// A User is a line in a list of users.
type User struct {
	AOR string
	Counts
	// Updated is when one of the phones last registered.
	Updated time.Time
}

// An Event is a line of the log.
type Event struct {
	ID, Type string
	At       time.Time
	// AOR is the user whom it is about, if it is about one.
	AOR string
	// Fields are the rest of it, in order.
	Fields []Field
}

// A Field is a part of an Event.
type Field struct{ Name, Value string }
