package registrar

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// This file is about what operators do to bindings without a REGISTER.

// An Addition is a contact that an operator adds by hand: a device that does not
// register.
type Addition struct {
	// AOR is whose contact it is, in canonical form.
	AOR usrloc.AOR
	// URI is the Contact URI, with push parameters if a push wakes the device.
	URI string
	// Q is its preference, usrloc.QUnset for none.
	Q usrloc.Q
	// Path holds Path values with lr, topmost first: the way to the device.
	Path []string
	// UserAgent and Methods are as a REGISTER would have said them.
	UserAgent string
	Methods   usrloc.Methods
	// Lifetime is how long the contact counts, in whole seconds; 0: until it is
	// removed, or for 68 years.
	Lifetime time.Duration
}

// Add adds a contact, or changes one that was added before. What a phone could not
// register cannot be added: see Policy. Lifetimes are not bounded, and no binding
// gives way: one contact too many is refused. done runs as that of a Store's Update
// does; its error is a *Refusal or the Store's.
func (r *Registrar) Add(ctx context.Context, a Addition, done func(usrloc.Binding, error)) {
	in, err := r.addition(&a)
	if err != nil {
		done(usrloc.Binding{}, err)
		return
	}
	p := r.policy.Load().of(in).byHand()
	var added usrloc.BindingID
	r.store.Update(ctx, a.AOR, func(rec usrloc.Record) (usrloc.Record, error) {
		// What is added again is newer than before, as in a REGISTER.
		again := *in
		for i := range rec.Bindings {
			if b := &rec.Bindings[i]; b.Static() {
				again.CSeq = max(again.CSeq, b.CSeq+1)
			}
		}
		next, res, err := Apply(&p, rec, &again)
		if err != nil {
			return rec, err
		}
		added = res.Carried[0]
		if b := rec.Find(added); b != nil && !b.Static() && !b.Expired(in.Now) {
			return rec, refuse(409, "A Phone Has Registered This Contact")
		}
		next.Cause = usrloc.CauseOperator
		return next, nil
	}, func(rec usrloc.Record, changes []usrloc.Change, err error) { //nolint:contextcheck // What is told is nobody's request.
		if err != nil {
			done(usrloc.Binding{}, err)
			return
		}
		r.Changed(changes)
		if b := rec.Find(added); b != nil {
			done(*b, nil)
			return
		}
		done(usrloc.Binding{}, fmt.Errorf("add contact of %s: %w", a.AOR, usrloc.ErrNotFound))
	})
}

// addition is a as a REGISTER that came from nowhere.
func (r *Registrar) addition(a *Addition) (*Input, error) {
	for _, v := range a.Path {
		n, err := sipmsg.ParseNameAddr(v)
		if err != nil {
			return nil, &Refusal{Code: 400, Reason: "Bad Path", Err: err}
		}
		// RFC 3327 §4, as for phones.
		if _, ok := n.URI.Param("lr"); !ok || !n.URI.IsSIP() {
			return nil, refuse(400, "Path Without lr")
		}
	}
	u, err := sipmsg.ParseURI(a.URI)
	if err != nil || !u.IsSIP() {
		return nil, &Refusal{Code: 400, Reason: "Contact Is No SIP URI", Err: err}
	}
	id, err := usrloc.NewBindingID(a.AOR, r.random)
	if err != nil {
		return nil, err
	}
	c := readContact(&sipmsg.NameAddr{URI: u})
	c.ID, c.Q, c.Expires = id, a.Q, Expires{Present: true, Seconds: uint32(maxLifetime / time.Second)}
	if a.Lifetime > 0 {
		c.Expires.Seconds = uint32(max(min(a.Lifetime, maxLifetime)/time.Second, 1))
	}
	return &Input{
		AOR: a.AOR, Now: time.Now().Truncate(time.Millisecond), UserAgent: a.UserAgent, Methods: a.Methods,
		Supported: ExtPath, Path: slices.Clone(a.Path), Contacts: []Contact{c}, Random: rand.Float64(),
	}, nil
}

// byHand is p for what operators add: they know what they want.
func (p *Policy) byHand() Policy {
	q := *p
	q.MinExpires, q.MaxExpires, q.Push.MaxExpires, q.Jitter = 0, maxLifetime, maxLifetime, Jitter{}
	q.Overflow, q.Path, q.Outbound.Mode = RejectNew, PathLazy, OutboundOff
	// A push service that is not there would leave a contact that nobody reaches.
	q.Push.Unsupported, q.Push.TooShort = RejectUnsupported, TooShortReject
	return q
}

// Changed tells what somebody else than a phone or the clock did to bindings: it is
// counted, told as events, and connections that lived for a binding that is gone need
// not live any more.
func (r *Registrar) Changed(changes []usrloc.Change) {
	for i := range changes {
		r.changed(&changes[i])
	}
}
