package contacts

import (
	"context"
	"net/netip"
	"time"

	"reveille/usrloc"
)

// ContactList is a page of contacts.
type ContactList struct {
	Contacts []Contact `json:"contacts"`
	Count    int       `json:"count" doc:"How many contacts are on this page."`
	Next     string    `json:"next,omitempty" doc:"Where the next page begins; none: this is the last. There may be one behind a page without contacts."`
}

// Contacts returns those that q means: of one user all, otherwise a page of all
// users'. A page holds whole users, so there may be a few more than its limit.
func (b *Book) Contacts(ctx context.Context, q Query, p Page, secrets bool) (ContactList, error) {
	s, err := b.search(ctx, q)
	if err != nil {
		return ContactList{}, err
	}
	at, limit, err := p.read()
	if err != nil {
		return ContactList{}, err
	}
	v := b.view(secrets)
	f := ContactList{Contacts: []Contact{}}
	take := func(rec usrloc.Record) bool {
		for i := range rec.Bindings {
			if s.matches(ctx, &rec.Bindings[i]) {
				f.Contacts = append(f.Contacts, v.contact(rec.AOR, &rec.Bindings[i]))
			}
		}
		return len(f.Contacts) < limit
	}
	if at, err = s.walk(ctx, at, take); err != nil {
		return ContactList{}, err
	}
	f.Count, f.Next = len(f.Contacts), at.String()
	return f, nil
}

// A search is a Query on its way. It belongs to one goroutine.
type search struct {
	book   *Book
	aor    usrloc.AOR // empty: all
	filter Filter
	names  names
}

func (b *Book) search(ctx context.Context, q Query) (*search, error) {
	s := &search{book: b, names: names{lookup: b.o.Lookup, found: map[string][]netip.Addr{}}}
	var err error
	if s.filter, err = ParseFilter(q); err != nil {
		return nil, err
	}
	if q.AOR != "" {
		if s.aor, err = b.o.AOR(q.AOR); err != nil {
			return nil, err
		}
	}
	for _, host := range s.filter.NamesOf(nil) {
		// Whoever names a host wants to hear that there is none.
		if err := s.names.ask(ctx, host); err != nil {
			return nil, &InputError{Field: "next_hop", Err: err}
		}
	}
	return s, nil
}

// walk visits the users that may be meant.
func (s *search) walk(ctx context.Context, at usrloc.Cursor, visit func(usrloc.Record) bool) (usrloc.Cursor, error) {
	if s.aor == "" {
		return s.book.walk(ctx, at, maxRead, everybody, visit)
	}
	rec, err := s.book.o.Store.Get(ctx, s.aor)
	if err != nil {
		return usrloc.Cursor{}, err
	}
	visit(rec)
	return usrloc.Cursor{}, nil
}

// matches reports whether a binding is meant, and looks up the names that tell.
func (s *search) matches(ctx context.Context, b *usrloc.Binding) bool {
	for _, host := range s.filter.NamesOf([]usrloc.Binding{*b}) {
		// What cannot be looked up is nowhere.
		_ = s.names.ask(ctx, host)
	}
	return s.filter.Match(b, s.names.of)
}

// Bounds of what is looked up for one search. A name beyond them leads nowhere.
const (
	maxNames = 256
	nameTime = 2 * time.Second
)

// names are those that were looked up for one search, each once.
type names struct {
	lookup func(context.Context, string) ([]netip.Addr, error)
	found  map[string][]netip.Addr
}

func (n *names) ask(ctx context.Context, host string) error {
	if _, known := n.found[host]; known || len(n.found) >= maxNames {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, nameTime)
	defer cancel()
	list, err := n.lookup(ctx, host)
	for i := range list {
		list[i] = list[i].Unmap().WithZone("")
	}
	n.found[host] = list
	return err
}

func (n *names) of(host string) []netip.Addr { return n.found[host] }
