package contacts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reveille/registrar"
	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// A rig is a Book on a store in memory.
type rig struct {
	*Book
	t       testing.TB
	store   *usrloc.Memory
	changed *changes
	asked   map[string]int // names that were looked up
}

// changes is a Registrar that remembers what it was told.
type changes struct {
	*registrar.Registrar
	mu   sync.Mutex // guards list
	list []usrloc.Change
}

func (c *changes) Changed(list []usrloc.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, list...)
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, store: usrloc.NewMemory(usrloc.MemoryOptions{}), changed: &changes{}, asked: map[string]int{}}
	t.Cleanup(func() { r.store.Close() })
	var err error
	if r.changed.Registrar, err = registrar.New(registrar.Options{Store: r.store, Policy: registrar.DefaultPolicy("example.com")}); err != nil {
		t.Fatal(err)
	}
	r.Book, err = New(Options{
		Store: r.store, Registrar: r.changed, State: func(*usrloc.Binding, time.Time) string { return Awake },
		AOR: func(name string) (usrloc.AOR, error) {
			if !strings.HasSuffix(name, "@example.com") {
				return "", ErrNoUser
			}
			return usrloc.AOR("sip:" + strings.TrimPrefix(name, "sip:")), nil
		},
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			r.asked[host]++
			if list := known(host); list != nil {
				return list, nil
			}
			return nil, errors.New("no such host")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) put(aor usrloc.AOR, list ...usrloc.Binding) {
	r.t.Helper()
	for i := range list {
		if list[i].ID.IsZero() {
			list[i].ID = usrloctest.ID(aor, 1000+i)
		}
		list[i].Expires, list[i].RetainUntil = time.Now().Add(time.Hour), time.Now().Add(time.Hour)
	}
	r.store.Update(context.Background(), aor, usrloctest.Put(list...), func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			r.t.Error(err)
		}
	})
}

// pages goes through a list, with a limit, and returns what is on all pages.
func pages[T any](t *testing.T, limit int, page func(Page) ([]T, string)) (all []T) {
	t.Helper()
	p := Page{Limit: limit}
	for range 100_000 {
		list, next := page(p)
		all = append(all, list...)
		if p.After = next; next == "" {
			return all
		}
	}
	t.Fatal("the list has no end")
	return nil
}

// TestUsers_WhoStaysIsOnOnePage goes through the users while others come and go.
func TestUsers_WhoStaysIsOnOnePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 600
		r := newRig(t)
		for n := range users {
			r.put(usrloctest.AOR(n), usrloctest.Binding(usrloctest.AOR(n), 1, time.Now()))
		}
		var stop atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				n := 2*(i*7%(users/2)) + 1
				aor := usrloctest.AOR(n)
				if i%2 == 0 {
					if _, err := r.Remove(t.Context(), Query{AOR: string(aor)}, Page{}); err != nil {
						t.Error(err)
					}
				} else {
					r.put(aor, usrloctest.Binding(aor, i, time.Now()))
				}
				r.put(usrloctest.AOR(n-1), usrloctest.Binding(usrloctest.AOR(n-1), i%3, time.Now()))
				time.Sleep(time.Millisecond)
			}
		})
		for _, limit := range []int{1, 7, 100, 1000} {
			seen := map[string]int{}
			for _, u := range pages(t, limit, func(p Page) ([]UserSummary, string) {
				l, err := r.Users(t.Context(), "", p)
				if err != nil || len(l.Users) > limit {
					t.Fatalf("Users = %d users, %v", len(l.Users), err)
				}
				time.Sleep(time.Millisecond)
				return l.Users, l.Next
			}) {
				seen[u.AOR]++
			}
			for n := 0; n < users; n += 2 {
				if aor := string(usrloctest.AOR(n)); seen[aor] != 1 {
					t.Errorf("pages of %d: %s, who stays, is on %d of them", limit, aor, seen[aor])
				}
			}
		}
		stop.Store(true)
		wg.Wait()
	})
}

func TestUsers_Search(t *testing.T) {
	r := newRig(t)
	for _, user := range []string{"alice", "alicia", "malice", "bob", "Alina"} {
		aor := usrloc.AOR("sip:" + user + "@example.com")
		r.put(aor, usrloctest.Binding(aor, 1, time.Now()))
	}
	for search, want := range map[string]string{
		"": "Alina alice alicia bob malice", "ali": "Alina alice alicia malice", "LICE": "alice malice", "sip:ali": "Alina alice alicia", "SIP:bob@": "bob",
		"sips:": "", "@example.com": "Alina alice alicia bob malice", "zoe": "", "sip:alice@example.com and more": "",
	} {
		var got []string
		for _, u := range pages(t, 2, func(p Page) ([]UserSummary, string) {
			l, err := r.Users(t.Context(), search, p)
			if err != nil {
				t.Fatal(err)
			}
			return l.Users, l.Next
		}) {
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(u.AOR, "sip:"), "@example.com"))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("search for %q found %v, want %s", search, got, want)
		}
	}
}

func TestPage_Mistakes(t *testing.T) {
	r := newRig(t)
	for _, p := range []Page{{Limit: -1}, {Limit: 1001}, {After: "x"}, {After: "1-2-3"}, {After: strings.Repeat("1-", 50)}} {
		var input *InputError
		if _, err := r.Users(t.Context(), "", p); !errors.As(err, &input) {
			t.Errorf("Users(%+v) = %v, want an InputError", p, err)
		}
		if _, err := r.Contacts(t.Context(), Query{UA: "x"}, p, false); !errors.As(err, &input) {
			t.Errorf("Contacts(%+v) = %v, want an InputError", p, err)
		}
		if _, err := r.Remove(t.Context(), Query{UA: "x"}, p); !errors.As(err, &input) {
			t.Errorf("Remove(%+v) = %v, want an InputError", p, err)
		}
	}
}

// TestRemove_AsManyAsThePageHas removes in several calls what a filter means, of users
// with several phones each.
func TestRemove_AsManyAsThePageHas(t *testing.T) {
	r := newRig(t)
	const users = 50
	for n := range users {
		aor := usrloctest.AOR(n)
		a, b, c := usrloctest.Binding(aor, 1, time.Now()), usrloctest.Binding(aor, 2, time.Now()), usrloctest.Binding(aor, 3, time.Now())
		a.UserAgent, b.UserAgent, c.UserAgent = "Bad/1", "Bad/2", "Good/1"
		r.put(aor, a, b, c)
	}
	calls := 0
	gone := pages(t, 10, func(p Page) ([]Contact, string) {
		calls++
		x, err := r.Remove(t.Context(), Query{UA: "^Bad/"}, p)
		if err != nil || x.Count != len(x.Removed) || x.Count > 11 {
			t.Fatalf("Remove = %d contacts, %v; want about 10", x.Count, err)
		}
		return x.Removed, x.Next
	})
	if len(gone) != 2*users || calls < 10 {
		t.Errorf("%d contacts are removed by %d calls, want %d", len(gone), calls, 2*users)
	}
	for _, c := range r.changed.list {
		if c.Kind != usrloc.Removed || c.Cause != usrloc.CauseOperator {
			t.Errorf("the registrar was told of %s by %s", c.Kind, c.Cause)
		}
	}
	if len(r.changed.list) != 2*users {
		t.Errorf("the registrar was told of %d changes, want %d", len(r.changed.list), 2*users)
	}
	if left, err := r.Contacts(t.Context(), Query{}, Page{Limit: 1000}, false); err != nil || left.Count != users {
		t.Errorf("%d contacts are left, %v; want %d", left.Count, err, users)
	}
}

func TestRemove_NotEverybody(t *testing.T) {
	r := newRig(t)
	r.put(alice, bindings()["nat"])
	var input *InputError
	if _, err := r.Remove(t.Context(), Query{}, Page{}); !errors.As(err, &input) {
		t.Errorf("Remove of everybody = %v, want an InputError", err)
	}
	if gone, err := r.Remove(t.Context(), Query{AOR: "alice@example.com"}, Page{}); err != nil || gone.Count != 1 {
		t.Errorf("Remove of alice = %+v, %v", gone, err)
	}
}

// TestRemove_ByNextHop looks each name up once, whoever has it in the Path.
func TestRemove_ByNextHop_f2(t *testing.T) {
	r := newRig(t)
	for n := range 20 {
		edge, nat := bindings()["edge"], bindings()["nat"]
		if n%2 == 1 {
			edge.Path = []string{"<sip:other.example.com;lr>"}
		}
		aor := usrloctest.AOR(n)
		edge.ID, nat.ID = usrloctest.ID(aor, 1), usrloctest.ID(aor, 2)
		r.put(aor, edge, nat)
	}
	gone, err := r.Remove(t.Context(), Query{NextHop: "edge2.example.com"}, Page{})
	if err != nil || gone.Count != 10 {
		t.Errorf("Remove = %d contacts, %v; want 10", gone.Count, err)
	}
	for host, n := range r.asked {
		if n != 1 {
			t.Errorf("%s was looked up %d times", host, n)
		}
	}
	if r.asked["other.example.com"] != 1 || r.asked["edge.example.com"] != 1 {
		t.Errorf("looked up: %v", r.asked)
	}
	var input *InputError
	if _, err := r.Remove(t.Context(), Query{NextHop: "none.example.com"}, Page{}); !errors.As(err, &input) || input.Field != "next_hop" {
		t.Errorf("Remove by a name that is none = %v", err)
	}
}

// A phone that registers meanwhile is looked at as it is now.
func TestRemove_WhatChangedMeanwhileIsLookedAtAgain(t *testing.T) {
	r := newRig(t)
	b := bindings()["nat"]
	b.ID = usrloctest.ID(alice, 1)
	r.put(alice, b)
	// Between the look and the removal the phone comes back with another agent.
	moved := false
	r.o.Store = meanwhile{r.store, func() {
		if !moved {
			moved = true
			b.UserAgent = "Another/1"
			r.put(alice, b)
		}
	}}
	gone, err := r.Remove(t.Context(), Query{UA: "Linphone"}, Page{})
	if err != nil || gone.Count != 0 || gone.Next != "" {
		t.Errorf("Remove = %+v, %v; want nothing", gone, err)
	}
	if c, err := r.Contact(t.Context(), b.ID.String(), false); err != nil || c.UserAgent != "Another/1" {
		t.Errorf("the phone is %+v, %v", c, err)
	}
}

// meanwhile is a store in which something happens before each Update.
type meanwhile struct {
	*usrloc.Memory
	happens func()
}

func (m meanwhile) Update(ctx context.Context, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error), done func(usrloc.Record, []usrloc.Change, error)) {
	m.happens()
	m.Memory.Update(ctx, aor, fn, done)
}

func TestAdd_Mistakes(t *testing.T) {
	r := newRig(t)
	q := func(v float64) *float64 { return &v }
	for _, tt := range []struct {
		name  string
		a     Addition
		field string
	}{
		{"no URI", Addition{Contact: "x y"}, "contact"},
		{"a phone number", Addition{Contact: "tel:+15550100"}, "contact"},
		{"a browser", Addition{Contact: "sip:a@192.0.2.1;transport=ws"}, "contact"},
		{"a Path that is none", Addition{Contact: "sip:a@192.0.2.1", Path: []string{"<<"}}, "path"},
		{"a Path to a browser", Addition{Contact: "sip:a@192.0.2.1", Path: []string{"<sip:e;transport=wss;lr>"}}, "path"},
		{"q", Addition{Contact: "sip:a@192.0.2.1", Q: q(1.5)}, "q"},
		{"expires", Addition{Contact: "sip:a@192.0.2.1", Expires: -1}, "expires"},
		{"a method", Addition{Contact: "sip:a@192.0.2.1", Methods: []string{"INVITE, ACK"}}, "methods"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var input *InputError
			if _, err := r.Add(t.Context(), "alice@example.com", tt.a); !errors.As(err, &input) || input.Field != tt.field {
				t.Errorf("Add = %v, want an error in %s", err, tt.field)
			}
		})
	}
	if _, err := r.Add(t.Context(), "alice@example.net", Addition{Contact: "sip:a@192.0.2.1"}); !errors.Is(err, ErrNoUser) {
		t.Errorf("Add for nobody = %v, want ErrNoUser", err)
	}
	var refusal *registrar.Refusal
	if _, err := r.Add(t.Context(), "alice@example.com", Addition{Contact: "sip:alice@example.com"}); !errors.As(err, &refusal) {
		t.Errorf("Add of the address itself = %v, want a Refusal", err)
	}
	c, err := r.Add(t.Context(), "alice@example.com", Addition{Contact: "sip:a@10.0.0.1;transport=ws", Path: []string{"<sip:edge.example.com;lr>"}, Q: q(0.25), Methods: []string{"INVITE", "ACK"}})
	if err != nil || c.Q == nil || *c.Q != 0.25 || len(c.Path) != 1 || len(c.Methods) != 2 {
		t.Errorf("Add = %+v, %v", c, err)
	}
}

func TestDump_EndsWhenItsReaderDoes(t *testing.T) {
	r := newRig(t)
	for n := range 300 {
		r.put(usrloctest.AOR(n), usrloctest.Binding(usrloctest.AOR(n), 1, time.Now()))
	}
	n, stop := 0, errors.New("stop")
	if err := r.Dump(t.Context(), false, func(UserContacts) error {
		if n++; n == 10 {
			return stop
		}
		return nil
	}); !errors.Is(err, stop) || n != 10 {
		t.Errorf("Dump = %v after %d users, want 10", err, n)
	}
	n = 0
	if err := r.Dump(t.Context(), false, func(u UserContacts) error {
		if n++; u.Count != 1 || len(u.Contacts) != 1 {
			return fmt.Errorf("%+v", u)
		}
		return nil
	}); err != nil || n != 300 {
		t.Errorf("Dump = %v after %d users, want 300", err, n)
	}
}

func TestNew_WantsAll(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a Book of nothing")
	}
}
