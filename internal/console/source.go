package console

import (
	"context"
	"time"

	"reveille/internal/admin"
	"reveille/internal/contacts"
	"reveille/internal/event"
)

// A Source is what the console shows and does. Its functions are safe for concurrent
// use. Those that are marked optional may be nil: the page that shows them is left out.
type Source struct {
	// State is what the server is and how it is.
	State func() State
	// Counts counts the phones.
	Counts func(context.Context) (Counts, error)
	// Timeline tells what became of requests that met a sleeping phone.
	Timeline *admin.Timeline
	// Users lists users who have a registration and whose AOR contains part.
	Users func(ctx context.Context, part string, p contacts.Page) (contacts.UserList, error)
	// User shows the registrations of a user, none if there are none. The error is
	// contacts.ErrNoUser, or why it cannot be said.
	User func(ctx context.Context, name string) (contacts.UserContacts, error)
	// Drop ends a registration; the error is contacts.ErrNotRegistered if there is none.
	Drop func(ctx context.Context, binding string) (contacts.Contact, error)
	// Pushes tests pushes, wakes phones and lists the queues to push services.
	Pushes *admin.Pushes
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
	// ones are asleep, and their registration has ended (push.dormant). Nothing wakes
	// Unreachable ones.
	Awake, Asleep, Dormant, Unreachable int
}

// Phones are all of them.
func (c Counts) Phones() int { return c.Awake + c.Asleep + c.Dormant + c.Unreachable }

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
