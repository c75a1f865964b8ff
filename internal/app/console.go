package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"reveille/internal/admin"
	"reveille/internal/console"
	"reveille/internal/contacts"
	"reveille/internal/event"
)

// addConsole has the HTTP server serve the console, with all that the API has. book is
// nil for a store that cannot be gone through, which has no console.
func (a *App) addConsole(o *admin.Options, book *contacts.Book) error {
	if o.Addr == "" || !a.config.HTTP.Console || book == nil {
		return nil
	}
	signOn, err := a.buildSignOn(a.config)
	if err != nil {
		return err
	}
	a.useSignOn(signOn)
	a.onStop("sign-on", func(context.Context) error { a.useSignOn(nil); return nil })
	changes := &changeLog{next: o.Audit}
	o.Audit = changes.add
	o.Console = func(door admin.ConsoleDoor) (http.Handler, error) {
		return console.New(console.Options{
			Door: door, SignOn: a.signOn.Load, Ending: door.Ending(), Logger: a.component("console"),
			Source: console.Source{
				State: a.consoleState, Counts: a.counts, Timeline: o.Calls.Timeline, Pushes: o.Calls.Pushes, Bans: o.Calls.Bans, Messages: o.Calls.Messages,
				Users: book.Users, User: a.consoleUser(book), Drop: book.RemoveContact,
				Configuration: a.printConfiguration, Events: a.latestEvents, Audit: changes.latest, Audited: door.Changed,
			},
		})
	}
	return nil
}

func (a *App) consoleState() console.State {
	s := console.State{Version: "(devel)", Node: a.config.Node.ID, Started: a.began}
	if info, ok := debug.ReadBuildInfo(); ok {
		s.Version = cmp.Or(info.Main.Version, s.Version)
	}
	switch {
	case a.readiness() != nil:
		s.Health = console.Draining
	case a.layer.Overloaded():
		s.Health = console.Overloaded
	}
	return s
}

// consoleUser shows a user, also one who has no registration.
func (a *App) consoleUser(book *contacts.Book) func(context.Context, string) (contacts.UserContacts, error) {
	return func(ctx context.Context, name string) (contacts.UserContacts, error) {
		u, err := book.User(ctx, name, false)
		if errors.Is(err, contacts.ErrNotRegistered) {
			aor, err := a.namedAOR(name)
			return contacts.UserContacts{AOR: string(aor)}, err
		}
		return u, err
	}
}

// printConfiguration is the configuration in force, without secrets.
func (a *App) printConfiguration() (string, error) {
	a.mu.Lock()
	cfg := a.config
	a.mu.Unlock()
	text, err := cfg.YAML()
	return string(text), err
}

// latestEvents returns the latest events, the newest first, as everybody may see them.
func (a *App) latestEvents(f event.Filter, limit int) []console.Event {
	var list []console.Event
	for _, r := range a.events.feed.Latest(f, limit) {
		text, err := r.JSON(event.Plain)
		if err != nil {
			continue // The stream of events says so, too.
		}
		var e event.Envelope
		if json.Unmarshal(text, &e) == nil {
			list = append(list, console.Event{ID: e.ID, Type: e.Type, At: e.Time, AOR: r.AOR, Fields: fieldsOf(e.Data)})
		}
	}
	return list
}

// fieldsOf are the fields of a JSON object in their order, but for those that are shown
// elsewhere.
func fieldsOf(object []byte) (fields []console.Field) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return fields
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return fields
		}
		if n := fmt.Sprint(name); !slices.Contains([]string{"aor", "domain"}, n) {
			fields = append(fields, console.Field{Name: n, Value: plain(value)})
		}
	}
	return fields
}

// plain is a value in words.
func plain(value any) string {
	switch v := value.(type) {
	case []any:
		var words []string
		for _, x := range v {
			words = append(words, plain(x))
		}
		return strings.Join(words, ", ")
	case map[string]any:
		// A flow, mostly.
		if v["remote"] != nil {
			return fmt.Sprint(v["transport"], " ", v["remote"])
		}
		var words []string
		for k, x := range v {
			words = append(words, k+" "+plain(x))
		}
		slices.Sort(words)
		return strings.Join(words, ", ")
	case nil:
		return ""
	}
	return fmt.Sprint(value)
}

// changeLog remembers the latest changes that people made.
type changeLog struct {
	next func(admin.Change) // is told, too; nil: nobody is

	mu     sync.Mutex // guards recent
	recent []admin.Change
}

// maxChanges bounds a changeLog.
const maxChanges = 500

func (l *changeLog) add(c admin.Change) {
	l.mu.Lock()
	if len(l.recent) == maxChanges {
		l.recent = slices.Delete(l.recent, 0, 1)
	}
	l.recent = append(l.recent, c)
	l.mu.Unlock()
	if l.next != nil {
		l.next(c)
	}
}

func (l *changeLog) latest(limit int) []admin.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.recent[max(0, len(l.recent)-limit):])
	slices.Reverse(list)
	return list
}
