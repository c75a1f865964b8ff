package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"reveille/internal/contacts"
	"reveille/registrar"
	"reveille/usrloc"
)

// Contacts are what operators ask of the location service and change in it;
// *contacts.Book implements it.
type Contacts interface {
	Users(ctx context.Context, search string, p contacts.Page) (contacts.UserList, error)
	User(ctx context.Context, name string, secrets bool) (contacts.UserContacts, error)
	Contact(ctx context.Context, id string, secrets bool) (contacts.Contact, error)
	Contacts(ctx context.Context, q contacts.Query, p contacts.Page, secrets bool) (contacts.ContactList, error)
	Remove(ctx context.Context, q contacts.Query, p contacts.Page) (contacts.Removal, error)
	RemoveContact(ctx context.Context, id string) (contacts.Contact, error)
	Add(ctx context.Context, user string, a contacts.Addition) (contacts.Contact, error)
	Dump(ctx context.Context, secrets bool, yield func(contacts.UserContacts) error) error
}

// Parts of what is asked.
type (
	// PageInput asks for a part of a list.
	PageInput struct {
		After string `query:"after" maxLength:"64" doc:"The next of the page before; none begins."`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many a page has, or a few more: it holds whole users."`
	}
	// FilterInput says which contacts are meant. Of what is there all must be true.
	FilterInput struct {
		Contact  string   `query:"contact" maxLength:"4096" doc:"A Contact URI, compared by RFC 3261 §19.1.4; push parameters may be left out."`
		CallID   string   `query:"call_id" maxLength:"512" doc:"The Call-ID of the last REGISTER."`
		IP       []string `query:"ip,explode" maxItems:"64" doc:"An address where the phone was seen, or else that of its contact; one of several."`
		Port     []int    `query:"port,explode" maxItems:"64" doc:"The port of each ip, in the same order."`
		NextHop  string   `query:"next_hop" maxLength:"255" doc:"An address or a name that requests for the phone go to next: that of its Path, or else where it was seen, or else that of its contact. Names are looked up."`
		Instance string   `query:"instance" maxLength:"1024" doc:"The phone's +sip.instance."`
		Provider string   `query:"provider" maxLength:"64" doc:"The push service."`
		PRID     string   `query:"prid" maxLength:"4096" doc:"The whole push token."`
		UA       string   `query:"ua" maxLength:"512" doc:"A regular expression (RE2) for the User-Agent; (?i) in front of it for any case."`
	}
	// PushInput asks for push parameters.
	PushInput struct {
		Push bool `query:"push" doc:"Show push parameters, to the role admin."`
	}
	// UserInput names a user in the path.
	UserInput struct {
		AOR string `path:"aor" maxLength:"1024" doc:"The user, such as sip:alice@example.com; the scheme may be left out." example:"sip:alice@example.com"`
	}
	// BindingInput names a binding in the path.
	BindingInput struct {
		ID string `path:"id" maxLength:"64" doc:"The binding, as it is shown." example:"0c4e5c3f2a9d4e1f8a7b6c5d4e3f2a1b"`
	}
)

func (p PageInput) page() contacts.Page { return contacts.Page{After: p.After, Limit: p.Limit} }

func (f FilterInput) query(aor string) contacts.Query {
	return contacts.Query{
		AOR: aor, Contact: f.Contact, CallID: f.CallID, IP: f.IP, Port: f.Port, NextHop: f.NextHop, Instance: f.Instance,
		Provider: f.Provider, PRID: f.PRID, UA: f.UA,
	}
}

// shows reports whether push parameters are shown; an error says that they may not be.
func (p PushInput) shows(ctx context.Context) (bool, error) {
	if p.Push && !exchangeOf(ctx).who.secrets() {
		return false, failure(http.StatusForbidden, errors.New("push parameters are shown to the role admin"))
	}
	return p.Push, nil
}

type (
	usersInput struct {
		PageInput
		Q string `query:"q" maxLength:"1024" doc:"A part of the AOR in any case; its beginning, if it has the scheme: sip:al."`
	}
	userInput struct {
		UserInput
		PushInput
	}
	contactInput struct {
		BindingInput
		PushInput
	}
	searchInput struct {
		AOR string `query:"aor" maxLength:"1024" doc:"The user; none: all users."`
		FilterInput
		PageInput
		PushInput
	}
	removeInput struct {
		AOR string `query:"aor" maxLength:"1024" doc:"The user; none: all users."`
		FilterInput
		PageInput
	}
	removeUserInput struct{ UserInput }
	removeOfInput   struct {
		UserInput
		FilterInput
	}
	removeOneInput struct{ BindingInput }
	addInput       struct {
		UserInput
		Body contacts.Addition
	}

	usersReply    struct{ Body contacts.UserList }
	userReply     struct{ Body contacts.UserContacts }
	contactReply  struct{ Body contacts.Contact }
	contactsReply struct{ Body contacts.ContactList }
	removedReply  struct{ Body contacts.Removal }
)

// The targets hold no push token: see contacts.Query.Describe.

func (i *removeInput) target() string     { return i.query(i.AOR).Describe() }
func (i *removeUserInput) target() string { return i.AOR }
func (i *removeOfInput) target() string   { return i.query(i.AOR).Describe() }
func (i *removeOneInput) target() string  { return i.ID }
func (i *addInput) target() string        { return i.AOR + " " + i.Body.Describe() }

func registerContacts(a *api, b Contacts) {
	if b == nil {
		return
	}
	const tag = "contacts"
	dumps := make(chan struct{}, maxDumps)
	answers := []int{http.StatusNotFound, http.StatusServiceUnavailable}
	query(a, Read, call{
		id: "list-users", method: http.MethodGet, path: "/aors", tag: tag, summary: "All users that have contacts, a page at a time",
		doc: "In no order. A user who has contacts all the while is on exactly one page, whatever happens to others.", errors: []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *usersInput) (*usersReply, error) {
		l, err := b.Users(ctx, in.Q, in.page())
		return &usersReply{l}, contactsError(err)
	})
	query(a, Read, call{
		id: "get-user", method: http.MethodGet, path: "/aors/{aor}", tag: tag, summary: "The contacts of a user; 404 for one who has none", errors: answers,
	}, func(ctx context.Context, in *userInput) (*userReply, error) {
		secrets, err := in.shows(ctx)
		if err != nil {
			return nil, err
		}
		u, err := b.User(ctx, in.AOR, secrets)
		return &userReply{u}, contactsError(err)
	})
	query(a, Read, call{
		id: "find-contacts", method: http.MethodGet, path: "/contacts", tag: tag, summary: "The contacts that a filter means",
		doc: "Of one user all, otherwise a page of all users'.", errors: answers,
	}, func(ctx context.Context, in *searchInput) (*contactsReply, error) {
		secrets, err := in.shows(ctx)
		if err != nil {
			return nil, err
		}
		l, err := b.Contacts(ctx, in.query(in.AOR), in.page(), secrets)
		return &contactsReply{l}, contactsError(err)
	})
	query(a, Read, call{
		id: "get-binding", method: http.MethodGet, path: "/bindings/{id}", tag: tag, summary: "A contact by its identity", errors: answers,
	}, func(ctx context.Context, in *contactInput) (*contactReply, error) {
		secrets, err := in.shows(ctx)
		if err != nil {
			return nil, err
		}
		c, err := b.Contact(ctx, in.ID, secrets)
		return &contactReply{c}, contactsError(err)
	})
	streams(a, Read, call{
		id: "dump", method: http.MethodGet, path: "/dump", tag: tag, summary: "All users and their contacts, a line of JSON for each user",
		doc:    "In no order. A line is a user at one moment, as /aors/{aor} shows it. If it cannot go on, the last line is a problem.",
		errors: []int{http.StatusServiceUnavailable},
	}, "application/x-ndjson", func(ctx context.Context, in *PushInput) (func(context.Context, http.ResponseWriter), error) {
		secrets, err := in.shows(ctx)
		if err != nil {
			return nil, err
		}
		select {
		case dumps <- struct{}{}:
		default:
			return nil, huma.ErrorWithHeaders(failure(http.StatusServiceUnavailable, errors.New("as many as may be are under way")), http.Header{"Retry-After": {"10"}})
		}
		return func(ctx context.Context, w http.ResponseWriter) {
			defer func() { <-dumps }()
			dump(ctx, w, b, secrets)
		}, nil
	})
	registerChanges(a, b, tag, answers)
}

// registerChanges registers the calls that remove and add contacts.
func registerChanges(a *api, b Contacts, tag string, answers []int) {
	const ends = "Whoever waits for a phone that is removed is told at once; the phone may register again."
	remove := func(ctx context.Context, q contacts.Query, p contacts.Page) (*removedReply, error) {
		r, err := b.Remove(ctx, q, p)
		if err != nil && r.Count > 0 {
			err = fmt.Errorf("%d contacts were removed before: %w", r.Count, err)
		}
		return &removedReply{r}, contactsError(err)
	}
	change(a, Operate, call{
		id: "remove-user", method: http.MethodDelete, path: "/aors/{aor}", tag: tag, summary: "Remove all contacts of a user", doc: ends, errors: answers,
	}, func(ctx context.Context, in *removeUserInput) (*removedReply, error) {
		r, err := remove(ctx, contacts.Query{AOR: in.AOR}, contacts.Page{})
		if err == nil && r.Body.Count == 0 {
			err = contactsError(contacts.ErrNotRegistered)
		}
		return r, err
	})
	change(a, Operate, call{
		id: "remove-of-user", method: http.MethodDelete, path: "/aors/{aor}/contacts", tag: tag, summary: "Remove the contacts of a user that a filter means",
		doc: "Without a filter all. " + ends, errors: answers,
	}, func(ctx context.Context, in *removeOfInput) (*removedReply, error) {
		return remove(ctx, in.query(in.AOR), contacts.Page{})
	})
	change(a, Operate, call{
		id: "remove-contacts", method: http.MethodDelete, path: "/contacts", tag: tag, summary: "Remove the contacts that a filter means, of one user or of all",
		doc: "At most a page; what it leaves is for the next call, from next on. Something must be asked for. " + ends, errors: answers,
	}, func(ctx context.Context, in *removeInput) (*removedReply, error) {
		return remove(ctx, in.query(in.AOR), in.page())
	})
	change(a, Operate, call{
		id: "remove-binding", method: http.MethodDelete, path: "/bindings/{id}", tag: tag, summary: "Remove a contact by its identity", doc: ends, errors: answers,
	}, func(ctx context.Context, in *removeOneInput) (*contactReply, error) {
		c, err := b.RemoveContact(ctx, in.ID)
		return &contactReply{c}, contactsError(err)
	})
	change(a, Operate, call{
		id: "add-contact", method: http.MethodPost, path: "/aors/{aor}/contacts", tag: tag, summary: "Add a contact by hand, for a device that does not register",
		doc: "It is held to the rules of REGISTER. One that was added before is changed; one that a phone registered is not (409). " +
			"When a phone registers the same contact, it is that phone's from then on.",
		errors: append([]int{http.StatusConflict}, answers...),
	}, func(ctx context.Context, in *addInput) (*contactReply, error) {
		c, err := b.Add(ctx, in.AOR, in.Body)
		if input, ok := errors.AsType[*contacts.InputError](err); ok {
			return nil, invalid("body."+input.Field, input.Err)
		}
		return &contactReply{c}, contactsError(err)
	})
}

// contactsError is an error of a Book as an answer.
func contactsError(err error) error {
	if err == nil {
		return nil
	}
	if input, ok := errors.AsType[*contacts.InputError](err); ok {
		return invalid("query."+input.Field, err)
	}
	if refusal, ok := errors.AsType[*registrar.Refusal](err); ok {
		status := http.StatusUnprocessableEntity
		switch refusal.Code {
		case http.StatusConflict, http.StatusServiceUnavailable:
			status = refusal.Code
		}
		return failure(status, fmt.Errorf("the registrar says %w", err))
	}
	for status, causes := range map[int][]error{
		http.StatusNotFound:           {contacts.ErrNoUser, contacts.ErrNotRegistered},
		http.StatusServiceUnavailable: {usrloc.ErrUnavailable, usrloc.ErrFull, usrloc.ErrClosed},
	} {
		for _, cause := range causes {
			if errors.Is(err, cause) {
				return failure(status, err)
			}
		}
	}
	return err
}

// maxDumps bounds how many go on at a time: each looks at every user there is.
const maxDumps = 4

// dumpChunk is how many bytes are written at once.
const dumpChunk = 32 << 10

// dump writes a line for each user. What ends it early is the last line: the status
// has left.
func dump(ctx context.Context, w http.ResponseWriter, b Contacts, secrets bool) {
	out := &writer{w: w, c: http.NewResponseController(w)}
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := b.Dump(ctx, secrets, func(u contacts.UserContacts) error {
		if err := enc.Encode(u); err != nil {
			return err
		}
		if text.Len() >= dumpChunk {
			out.text(text.String())
			text.Reset()
		}
		return out.err
	})
	if err != nil && out.err == nil && ctx.Err() == nil {
		// It is a line like the others for who reads lines.
		_ = enc.Encode(&huma.ErrorModel{Status: http.StatusServiceUnavailable, Title: http.StatusText(http.StatusServiceUnavailable), Detail: err.Error()})
	}
	out.text(text.String())
}
