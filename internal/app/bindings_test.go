package app

import (
	"errors"
	"testing"
	"time"

	"reveille/internal/admin"
	"reveille/internal/contacts"
	"reveille/usrloc"
)

// An operator sees how a phone woke.
func TestShowBindings_HowAPhoneWakes(t *testing.T) {
	r := newRig(t)
	r.sleeper("alice", "tcp", "token-of-alice")
	bob := r.phone("bob", "udp", "")
	r.register(bob)
	show := func(user string) admin.Binding {
		t.Helper()
		list, err := r.showBindings(t.Context(), user)
		if err != nil || len(list.Bindings) != 1 {
			t.Fatalf("%s: %+v, %v", user, list, err)
		}
		return list.Bindings[0]
	}
	if b := show("alice@example.com"); b.State != admin.StateRegistered || b.Provider != "fcm" || b.RefreshAt.IsZero() || b.Wake != nil {
		t.Errorf("before the call: %+v", b)
	}
	if err := ring(r, bob); err != nil {
		t.Fatal(err)
	}
	b := show("sip:alice@EXAMPLE.com")
	if w := b.Wake; w == nil || w.Successes != 1 || w.Failures != 0 || w.Average <= 0 || w.Last.IsZero() {
		t.Errorf("after the call: %+v, %+v", b, b.Wake)
	}
	if b := show("bob@example.com"); b.Provider != "" || !b.Awake || b.Wake != nil {
		t.Errorf("a phone without push: %+v", b)
	}
	if list, err := r.showBindings(t.Context(), "carol@example.com"); err != nil || list.Bindings == nil || len(list.Bindings) != 0 {
		t.Errorf("a user without phones: %+v, %v", list, err)
	}
	for _, user := range []string{"", "alice@example.net", "sip:example.com", "tel:+1"} {
		if _, err := r.showBindings(t.Context(), user); !errors.Is(err, contacts.ErrNoUser) {
			t.Errorf("%q: %v, want ErrNoUser", user, err)
		}
	}
}

func TestShowBindings_Dormant(t *testing.T) {
	r := newRig(t)
	r.sleeper("alice", "tcp", "token-of-alice")
	ended, kept := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	r.Store().Update(t.Context(), "sip:alice@example.com", func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = append([]usrloc.Binding{}, rec.Bindings...)
		rec.Bindings[0].Expires, rec.Bindings[0].RetainUntil = ended, kept
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			t.Error(err)
		}
	})
	list, err := r.showBindings(t.Context(), "sip:alice@example.com")
	if err != nil || len(list.Bindings) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if b := list.Bindings[0]; b.State != admin.StateDormant || b.Awake || b.RetainUntil.IsZero() {
		t.Errorf("%+v, want it dormant", b)
	}
}
