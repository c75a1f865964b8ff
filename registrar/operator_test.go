package registrar

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/usrloc"
)

// add adds a contact by hand.
func (s *server) add(a Addition) (b usrloc.Binding, err error) {
	s.t.Helper()
	ended := make(chan struct{})
	s.Add(s.t.Context(), a, func(got usrloc.Binding, cause error) { b, err = got, cause; close(ended) })
	<-ended
	return b, err
}

const desk = "sip:desk@192.0.2.20:5070;transport=tcp"

func TestAdd_ContactsAreHeldToTheRulesOfREGISTER(t *testing.T) {
	for _, tt := range []struct {
		name string
		a    Addition
		// code is that of the Refusal, 0 for none.
		code int
	}{
		{"a gateway", Addition{URI: "sip:192.0.2.20"}, 0},
		{"with everything", Addition{URI: desk, Q: 500, Path: []string{"<sip:edge.example.com;lr>"}, UserAgent: "desk", Methods: usrloc.MethodInvite, Lifetime: time.Minute}, 0},
		{"shorter than phones may", Addition{URI: desk, Lifetime: time.Second}, 0},
		{"longer than phones may", Addition{URI: desk, Lifetime: 1000 * time.Hour}, 0},
		{"one that is woken", Addition{URI: "sip:a@192.0.2.20;pn-provider=fcm;pn-param=p;pn-prid=t"}, 0},
		{"a push service that is not there", Addition{URI: "sip:a@192.0.2.20;pn-provider=other;pn-param=p;pn-prid=t"}, 555},
		{"too short to be woken", Addition{URI: "sip:a@192.0.2.20;pn-provider=fcm;pn-param=p;pn-prid=t", Lifetime: time.Minute}, 423},
		{"no URI", Addition{URI: "desk"}, 400},
		{"no SIP URI", Addition{URI: "tel:+15550100"}, 400},
		{"a line break", Addition{URI: "sip:a@192.0.2.20\r\nX: y"}, 400},
		{"the address of record", Addition{URI: "sip:alice@example.com;transport=tcp"}, 403},
		{"a contact that is too long", Addition{URI: "sip:" + strings.Repeat("a", 3000) + "@192.0.2.20"}, 400},
		{"a Path that is none", Addition{URI: desk, Path: []string{"<<"}}, 400},
		{"a strict router", Addition{URI: desk, Path: []string{"<sip:edge.example.com>"}}, 400},
		{"a Path with a line break", Addition{URI: desk, Path: []string{"<sip:edge.example.com;lr>;x=\"\r\n\""}}, 400},
		{"a User-Agent with a line break", Addition{URI: desk, UserAgent: "x\r\ny"}, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, usrloc.NewMemory(usrloc.MemoryOptions{}))
			if tt.a.Q == 0 {
				tt.a.Q = usrloc.QUnset
			}
			tt.a.AOR = alice
			began := time.Now()
			b, err := s.add(tt.a)
			var r *Refusal
			if errors.As(err, &r); (err != nil) != (tt.code != 0) || r != nil && r.Code != tt.code {
				t.Fatalf("Add = %v, want code %d", err, tt.code)
			}
			if err != nil {
				return
			}
			want := tt.a.Lifetime
			if want == 0 {
				want = maxLifetime
			}
			if got := b.Expires.Sub(began); got < want-time.Second || got > want+time.Minute {
				t.Errorf("it expires in %s, want %s", got, want)
			}
			if !b.Static() || b.Contact != tt.a.URI || b.Q != tt.a.Q || !slices.Equal(b.Path, tt.a.Path) || b.UserAgent != tt.a.UserAgent || b.Methods != tt.a.Methods {
				t.Errorf("Add(%+v) = %+v", tt.a, b)
			}
		})
	}
}

func TestAdd_AgainChangesIt(t *testing.T) {
	s := newServer(t, usrloc.NewMemory(usrloc.MemoryOptions{}))
	first, err := s.add(Addition{AOR: alice, URI: desk, Q: usrloc.QUnset})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.add(Addition{AOR: alice, URI: "sip:other@192.0.2.21", Q: usrloc.QUnset}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []usrloc.Q{300, 700, 700} {
		again, err := s.add(Addition{AOR: alice, URI: desk, Q: q, Lifetime: time.Hour})
		if err != nil || again.ID != first.ID || again.Q != q || time.Until(again.Expires) > time.Hour {
			t.Errorf("added again with q %d: %+v, %v", q, again, err)
		}
	}
	rec, err := s.store.Get(t.Context(), alice)
	if err != nil || len(rec.Bindings) != 2 {
		t.Errorf("%d contacts, %v; want 2", len(rec.Bindings), err)
	}
}

// A phone's own registration is not overwritten, and makes one of what was added.
func TestAdd_PhonesCountMore(t *testing.T) {
	s := newServer(t, usrloc.NewMemory(usrloc.MemoryOptions{}))
	if got := s.roundTrip(request(1, "Contact: <"+desk+">")); !strings.HasPrefix(got, "SIP/2.0 200 ") {
		t.Fatal(got)
	}
	var r *Refusal
	if _, err := s.add(Addition{AOR: alice, URI: desk, Q: usrloc.QUnset}); !errors.As(err, &r) || r.Code != 409 {
		t.Errorf("Add of what a phone registered: %v, want 409", err)
	}
	other := "sip:a@192.0.2.77"
	added, err := s.add(Addition{AOR: alice, URI: other, Q: usrloc.QUnset})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.roundTrip(request(2, "Contact: <"+other+">;expires=600")); !strings.HasPrefix(got, "SIP/2.0 200 ") {
		t.Fatal(got)
	}
	rec, err := s.store.Get(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	b := rec.Find(added.ID)
	if b == nil || b.Static() || b.CallID == "" || time.Until(b.Expires) > 600*time.Second {
		t.Errorf("registered by a phone: %+v", b)
	}
}

// One contact too many throws nobody out, whatever phones may.
func TestAdd_NobodyGivesWay(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	s := newServer(t, store)
	p := pushPolicy()
	p.MaxContacts, p.Overflow, p.OverflowStatus = 1, ReplaceOldest, 403
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	s.roundTrip(request(1, "Contact: <sip:a@192.0.2.1>"))
	var r *Refusal
	if _, err := s.add(Addition{AOR: alice, URI: desk, Q: usrloc.QUnset}); !errors.As(err, &r) || r.Code != 403 {
		t.Errorf("Add of one too many: %v, want 403", err)
	}
	if rec, err := store.Get(t.Context(), alice); err != nil || len(rec.Bindings) != 1 || rec.Bindings[0].Contact != "sip:a@192.0.2.1" {
		t.Errorf("Get = %+v, %v", rec, err)
	}
}

// TestAdd_GivesWayToNoPhone: it is refreshed by nobody, so that it would always be the
// oldest.
func TestAdd_GivesWayToNoPhone(t *testing.T) {
	for _, overflow := range []Overflow{ReplaceOldest, ReplaceUnavailable} {
		for most, want := range map[int][]string{2: {desk, "sip:b@192.0.2.1"}, 1: {desk}} {
			store := usrloc.NewMemory(usrloc.MemoryOptions{})
			s := newServer(t, store)
			p := pushPolicy()
			p.MaxContacts, p.Overflow, p.OverflowStatus = most, overflow, 403
			p.Reachable = func(*usrloc.Binding) bool { return false }
			if err := s.SetPolicy(p); err != nil {
				t.Fatal(err)
			}
			if _, err := s.add(Addition{AOR: alice, URI: desk, Q: usrloc.QUnset}); err != nil {
				t.Fatal(err)
			}
			s.roundTrip(request(1, "Contact: <sip:a@192.0.2.1>"))
			s.roundTrip(request(2, "Contact: <sip:b@192.0.2.1>"))
			rec, err := store.Get(t.Context(), alice)
			var got []string
			for i := range rec.Bindings {
				got = append(got, rec.Bindings[i].Contact)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("overflow %d, at most %d: %q, %v, want %q", overflow, most, got, err, want)
			}
		}
	}
}

func TestAdd_StoreErrorsAreTheirs(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	s := newServer(t, store)
	store.Close()
	if _, err := s.add(Addition{AOR: alice, URI: desk}); !errors.Is(err, usrloc.ErrClosed) {
		t.Errorf("Add = %v, want ErrClosed", err)
	}
}

// What an operator changed is told as what phones change, and ends what was held for
// it.
func TestChanged_IsTold(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	var holds []held
	sink := new(events)
	r, err := New(Options{Store: store, Policy: pushPolicy(), Sink: sink, Hold: func(f flow.Flow, _ usrloc.BindingID, until time.Time) {
		holds = append(holds, held{f, max(0, time.Until(until))})
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Registrar: r, t: t}
	x := s.exchange(request(1, "Contact: <sip:a@192.0.2.1:40000;transport=tcp>"))
	x.f = overTCP(1)
	s.Serve(x, nil)
	<-x.answer
	holds = nil
	ended := make(chan []usrloc.Change, 1)
	store.Update(context.Background(), alice, func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings, rec.Cause = nil, usrloc.CauseOperator
		return rec, nil
	}, func(_ usrloc.Record, changes []usrloc.Change, err error) {
		if err != nil {
			t.Error(err)
		}
		ended <- changes
	})
	r.Changed(<-ended)
	if d := cmp.Diff([]held{{overTCP(1), 0}}, holds, cmp.Comparer(func(a, b flow.Flow) bool { return a == b })); d != "" {
		t.Errorf("holds (-want +got):\n%s", d)
	}
	told := false
	for _, e := range *sink {
		if reg, ok := e.(event.Registration); ok && reg.Action == "removed" && reg.Cause == "operator" {
			told = true
		}
	}
	if !told {
		t.Errorf("no event of the removal: %+v", *sink)
	}
}
