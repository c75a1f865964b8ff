package regevent

import (
	"strconv"
	"time"

	"reveille/usrloc"
)

// States of a registration and of a contact (RFC 3680 §4.7.1).
const (
	stateInit       = "init"
	stateActive     = "active"
	stateTerminated = "terminated"
)

// Events of a contact (RFC 3680 §4.7.1, §5.1). "probation" and "rejected" are for
// an administrator who wants the phone to come back later or never; nothing here
// removes a contact for such a reason.
const (
	eventRegistered   = "registered"
	eventCreated      = "created"
	eventRefreshed    = "refreshed"
	eventShortened    = "shortened"
	eventExpired      = "expired"
	eventDeactivated  = "deactivated"
	eventUnregistered = "unregistered"
)

// A contact is what a subscriber knows, or is to know, of a binding.
type contact struct {
	id      string
	binding *usrloc.Binding
	active  bool
	// event is what made it what it is.
	event string
	// news: the subscriber has not been told yet.
	news bool
}

// contacts are those of one subscription. IDs are given in order and mean nothing
// outside of it (RFC 3680 §5.1).
type contacts struct {
	known map[usrloc.BindingID]*contact
	order []*contact
	last  uint64
}

// begin takes over what is registered when the subscription begins, or when too much
// has changed to be told one by one. IDs stay.
func (l *contacts) begin(rec usrloc.Record, now time.Time) {
	old := l.known
	l.known, l.order = map[usrloc.BindingID]*contact{}, nil
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		if b.Expired(now) {
			continue
		}
		c := l.add(b, old[b.ID])
		if c.event == "" || !c.active {
			c.event = eventRegistered
		}
		c.active = true
	}
}

// add adds a contact for b, which takes the place of old if that is not nil.
func (l *contacts) add(b *usrloc.Binding, old *contact) *contact {
	c := old
	if c == nil {
		l.last++
		c = &contact{id: "c" + strconv.FormatUint(l.last, 10)}
	}
	c.binding = b
	l.known[b.ID] = c
	l.order = append(l.order, c)
	return c
}

// change takes a Change of the location service. It reports whether there is
// something to tell; refreshes says whether a refresh is.
func (l *contacts) change(c usrloc.Change, now time.Time, refreshes bool) bool {
	id := bindingOf(c).ID
	k := l.known[id]
	known := k != nil && k.active
	event, active := eventOf(c, known, now)
	if event == "" || event == eventRefreshed && !refreshes && sameContact(c) {
		if k != nil && c.New != nil {
			k.binding = c.New // times have changed
		}
		return false
	}
	if k == nil {
		k = l.add(c.New, nil)
	}
	if c.New != nil {
		k.binding = c.New
	}
	k.active, k.event, k.news = active, event, true
	return true
}

func bindingOf(c usrloc.Change) *usrloc.Binding {
	if c.New != nil {
		return c.New
	}
	return c.Old
}

// eventOf is the transition of RFC 3680 §4.7.1 that a Change is, for a contact that
// was active or not. It is empty if nobody is to be told.
func eventOf(c usrloc.Change, known bool, now time.Time) (event string, active bool) {
	switch {
	case c.New == nil && !known:
		return "", false
	case c.New == nil:
		return endOf(c), false
	case c.New.Expired(now):
		// A device that is kept although its registration has ended.
		if known {
			return eventExpired, false
		}
		return "", false
	case !known && c.Cause == usrloc.CauseOperator:
		return eventCreated, true
	case !known:
		return eventRegistered, true
	case c.Cause == usrloc.CauseRegister || c.Cause == usrloc.CauseOtherNode:
		return eventRefreshed, true
	case c.Old != nil && c.New.Expires.Before(c.Old.Expires):
		return eventShortened, true
	}
	// Such as a token that is dead: it is not shown.
	return "", true
}

// endOf is the event of a contact that is gone.
func endOf(c usrloc.Change) string {
	switch {
	case c.Kind == usrloc.Expired || c.Cause == usrloc.CauseExpiry:
		return eventExpired
	case c.Cause == usrloc.CauseRegister || c.Cause == usrloc.CauseOtherNode:
		return eventUnregistered
	}
	// The phone may register again, and should.
	return eventDeactivated
}

// sameContact reports whether a refresh changed nothing but times.
func sameContact(c usrloc.Change) bool {
	return c.Old != nil && c.New != nil && c.Old.Contact == c.New.Contact && c.Old.Params == c.New.Params &&
		c.Old.Q == c.New.Q && c.Old.GRUUSet == c.New.GRUUSet
}

// active reports whether anything is registered.
func (l *contacts) active() bool {
	for _, c := range l.order {
		if c.active {
			return true
		}
	}
	return false
}

// news returns the contacts of which the subscriber is to be told.
func (l *contacts) news() (list []*contact) {
	for _, c := range l.order {
		if c.news {
			list = append(list, c)
		}
	}
	return list
}

// all returns those that are registered.
func (l *contacts) all() (list []*contact) {
	for _, c := range l.order {
		if c.active {
			list = append(list, c)
		}
	}
	return list
}

// told notes that the subscriber is told. Of those that are gone nothing is kept.
func (l *contacts) told() {
	kept := l.order[:0]
	for _, c := range l.order {
		c.news = false
		if c.active {
			kept = append(kept, c)
		} else {
			delete(l.known, c.binding.ID)
		}
	}
	clear(l.order[len(kept):])
	l.order = kept
}
