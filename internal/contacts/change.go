package contacts

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/registrar"
	"reveille/usrloc"
)

// Removal says which contacts were removed.
type Removal struct {
	Removed []Contact `json:"removed" doc:"The contacts as they were."`
	Count   int       `json:"count" doc:"How many were removed."`
	Next    string    `json:"next,omitempty" doc:"Where to go on with the same call; none: all that were meant are gone. There may be more behind a call that removed none."`
}

// Remove removes the contacts that q means, each user's at once or not at all: of one
// user all, otherwise as many as the page has room for. A page holds whole users. A
// Query that means everybody is refused.
//
// Whoever waits for a phone that is removed is told, and its GRUUs, its place in
// subscriptions and its connection end with it, as if it had done so itself. The error
// may come beside what was removed before.
func (b *Book) Remove(ctx context.Context, q Query, p Page) (Removal, error) {
	r := Removal{Removed: []Contact{}}
	s, err := b.search(ctx, q)
	if err != nil {
		return r, err
	}
	if s.aor == "" && s.filter.IsZero() {
		return r, &InputError{Field: "aor", Err: errNothing}
	}
	at, limit, err := p.read()
	if err != nil {
		return r, err
	}
	v := b.view(false)
	var failed error
	at, err = s.walk(ctx, at, func(rec usrloc.Record) bool {
		meant := slices.DeleteFunc(slices.Clone(rec.Bindings), func(x usrloc.Binding) bool { return !s.matches(ctx, &x) })
		if len(meant) == 0 {
			return true
		}
		var gone []usrloc.Binding
		if gone, failed = b.remove(ctx, rec.AOR, func(x *usrloc.Binding) bool { return s.filter.Match(x, s.names.of) }); failed != nil {
			return false
		}
		for i := range gone {
			r.Removed = append(r.Removed, v.contact(rec.AOR, &gone[i]))
		}
		return len(r.Removed) < limit
	})
	r.Count, r.Next = len(r.Removed), at.String()
	return r, errors.Join(err, failed)
}

// RemoveContact removes the binding with an ID; the error is as that of Contact.
func (b *Book) RemoveContact(ctx context.Context, id string) (Contact, error) {
	aor, bid, err := b.resolve(ctx, id)
	if err != nil {
		return Contact{}, err
	}
	gone, err := b.remove(ctx, aor, func(x *usrloc.Binding) bool { return x.ID == bid })
	switch {
	case err != nil:
		return Contact{}, err
	case len(gone) == 0:
		return Contact{}, ErrNotRegistered
	}
	return b.view(false).contact(aor, &gone[0]), nil
}

// remove removes the bindings of aor that are meant and returns them.
func (b *Book) remove(ctx context.Context, aor usrloc.AOR, meant func(*usrloc.Binding) bool) (gone []usrloc.Binding, err error) {
	ended := make(chan error, 1)
	b.o.Store.Update(ctx, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = slices.DeleteFunc(slices.Clone(rec.Bindings), func(x usrloc.Binding) bool { return meant(&x) })
		rec.Cause = usrloc.CauseOperator
		return rec, nil
	}, func(_ usrloc.Record, changes []usrloc.Change, err error) {
		if err == nil {
			b.o.Registrar.Changed(changes)
		}
		for _, c := range changes {
			if c.Kind == usrloc.Removed {
				gone = append(gone, *c.Old)
			}
		}
		ended <- err
	})
	// A commit that has begun is not undone: it is waited for.
	err = <-ended
	return gone, err
}

// An Addition is a contact to be added by hand.
type Addition struct {
	Contact   string   `json:"contact" minLength:"1" maxLength:"4096" doc:"A SIP URI. Where it leads is looked up for each request, unless there is a path." example:"sip:desk@192.0.2.20:5060;transport=tcp"`
	Q         *float64 `json:"q,omitempty" minimum:"0" maximum:"1" doc:"The preference."`
	Expires   int64    `json:"expires,omitempty" minimum:"0" maximum:"2147483647" doc:"Seconds; 0: until it is removed."`
	Path      []string `json:"path,omitempty" maxItems:"16" doc:"Path values with lr, topmost first." example:"[\"<sip:edge.example.com;lr>\"]"`
	Methods   []string `json:"methods,omitempty" maxItems:"64" doc:"What the device takes; none: everything."`
	UserAgent string   `json:"user_agent,omitempty" maxLength:"128"`
}

// Add adds a contact of a user, or changes one that was added before; phones register
// theirs. It is held to the rules of REGISTER: see registrar.Registrar.Add. The error
// is ErrNoUser, an *InputError, a *registrar.Refusal or the store's.
func (b *Book) Add(ctx context.Context, user string, a Addition) (Contact, error) {
	aor, err := b.o.AOR(user)
	if err != nil {
		return Contact{}, err
	}
	in, err := a.read(aor)
	if err != nil {
		return Contact{}, err
	}
	type result struct {
		b   usrloc.Binding
		err error
	}
	ended := make(chan result, 1)
	b.o.Registrar.Add(ctx, in, func(x usrloc.Binding, err error) { ended <- result{x, err} })
	r := <-ended
	if r.err != nil {
		return Contact{}, r.err
	}
	return b.view(false).contact(aor, &r.b), nil
}

// read checks what the registrar does not know of: there has to be a way.
func (a *Addition) read(aor usrloc.AOR) (registrar.Addition, error) {
	in := registrar.Addition{AOR: aor, URI: a.Contact, Q: usrloc.QUnset, Path: a.Path, UserAgent: a.UserAgent}
	u, err := sipmsg.ParseURI(a.Contact)
	if err != nil {
		return in, wrong("contact", "it is no URI: %w", err)
	}
	if _, pushed := u.Param("pn-provider"); !pushed {
		to, field := u, "contact"
		if len(a.Path) > 0 {
			path, err := sipmsg.ParseNameAddr(a.Path[0])
			if err != nil {
				return in, wrong("path", "%q is no Path: %w", a.Path[0], err)
			}
			to, field = path.URI, "path"
		}
		if _, err := resolve.TargetOf(to); err != nil {
			return in, &InputError{Field: field, Err: err}
		}
	}
	if a.Q != nil {
		if math.IsNaN(*a.Q) || *a.Q < 0 || *a.Q > 1 {
			return in, wrong("q", "%v is not within 0 and 1", *a.Q)
		}
		in.Q = usrloc.Q(math.Round(*a.Q * 1000))
	}
	if a.Expires < 0 || a.Expires > math.MaxInt32 {
		return in, wrong("expires", "%d is not within 0 and %d", a.Expires, math.MaxInt32)
	}
	in.Lifetime = time.Duration(a.Expires) * time.Second
	for _, m := range a.Methods {
		if m == "" || m != strings.ToUpper(m) || strings.ContainsAny(m, " ,\t") {
			return in, wrong("methods", "%q is none", m)
		}
	}
	in.Methods = usrloc.MethodsNamed(a.Methods)
	return in, nil
}

// Describe says in a line which contacts a Query means, for logs: it holds no push
// token.
func (q Query) Describe() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("aor", q.AOR)
	add("contact", place(q.Contact))
	add("call_id", q.CallID)
	add("ip", strings.Join(q.IP, ","))
	if len(q.Port) > 0 {
		add("port", fmt.Sprint(q.Port))
	}
	add("next_hop", q.NextHop)
	add("instance", q.Instance)
	add("provider", q.Provider)
	add("prid", usrloc.Redact(q.PRID))
	add("ua", q.UA)
	return strings.Join(parts, " ")
}

// place is where a Contact URI leads, less its parameters: any of them may hold a
// token.
func place(contact string) string {
	if contact == "" {
		return ""
	}
	u, err := sipmsg.ParseURI(strings.TrimSuffix(strings.TrimPrefix(contact, "<"), ">"))
	if err != nil {
		return "<no URI>"
	}
	return sipmsg.URI{Scheme: u.Scheme, User: u.User, Host: u.Host, Port: u.Port}.String()
}

// Describe says in a line what is added, for logs.
func (a Addition) Describe() string { return place(a.Contact) }
