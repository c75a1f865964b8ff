package app

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/internal/contacts"
	"reveille/internal/event"
	"reveille/internal/phone"
	"reveille/usrloc"
)

// book is what operators ask of the rig's location service.
func (r *rig) book() *contacts.Book {
	r.t.Helper()
	b, err := r.contactBook()
	if err != nil || b == nil {
		r.t.Fatal(b, err)
	}
	return b
}

// only is the one contact of a user.
func (r *rig) only(user string) contacts.Contact {
	r.t.Helper()
	u, err := r.book().User(r.t.Context(), user, false)
	if err != nil || len(u.Contacts) != 1 {
		r.t.Fatalf("%s: %+v, %v", user, u, err)
	}
	return u.Contacts[0]
}

// changes counts the events of registrations with this action and cause.
func (e *events) changes(action, cause string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.all {
		if c, ok := x.(event.Registration); ok && c.Action == action && c.Cause == cause {
			n++
		}
	}
	return n
}

// TestRemove_WhoWaitsIsToldAtOnce: the call waits longer for its phone than the test
// would.
func TestRemove_WhoWaitsIsToldAtOnce(t *testing.T) {
	for _, by := range []string{"id", "user", "address", "token"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, `push: {wait: {invite: {default: 170s}}, apps: @apps}`)
			alice := r.phone("alice", "tcp", "token-of-alice")
			r.register(alice)
			// It registers from somewhere else than bob.
			at := r.only("alice@example.com")
			alice.Sleep()
			bob := r.phone("bob", "tcp", "")
			r.register(bob)
			ended := make(chan error, 1)
			go func() {
				_, err := bob.Call(r.within(), "sip:alice@example.com")
				ended <- err
			}()
			r.eventually("the call waits", func() bool { return r.Parked() == 1 })
			var err error
			switch by {
			case "id":
				_, err = r.book().RemoveContact(t.Context(), at.ID)
			case "user":
				_, err = r.book().Remove(t.Context(), contacts.Query{AOR: "alice@example.com"}, contacts.Page{})
			case "address":
				seen, _ := netip.ParseAddrPort(strings.TrimSuffix(strings.TrimPrefix(at.Received, "sip:"), ";transport=tcp"))
				_, err = r.book().Remove(t.Context(), contacts.Query{IP: []string{seen.Addr().String()}, Port: []int{int(seen.Port())}}, contacts.Page{})
			case "token":
				_, err = r.book().Remove(t.Context(), contacts.Query{Provider: "fcm", PRID: "token-of-alice"}, contacts.Page{})
			}
			if err != nil {
				t.Fatal(err)
			}
			var status *phone.StatusError
			if err := <-ended; !errors.As(err, &status) || status.Code != 480 {
				t.Errorf("the caller heard %v, want 480", err)
			}
			if n := r.events.changes("removed", "operator"); n != 1 {
				t.Errorf("%d events of a removal, want 1", n)
			}
			if _, err := r.book().User(t.Context(), "alice@example.com", false); !errors.Is(err, contacts.ErrNotRegistered) {
				t.Errorf("alice = %v, want ErrNotRegistered", err)
			}
			// bob's phone is where it was, and alice's may come back.
			r.only("bob@example.com")
			r.register(alice)
			if err := ring(r, bob); err != nil {
				t.Errorf("call after alice registered again: %v", err)
			}
		})
	}
}

// TestAdd_ADeviceThatDoesNotRegisterIsCalled: the device is carol's phone, of which
// alice's contact knows where it is.
func TestAdd_ADeviceThatDoesNotRegisterIsCalled(t *testing.T) {
	r := newRig(t, `auth: {mode: {registrar: required, proxy: required}, users: [{name: alice, password: secret}, {name: bob, password: secret}, {name: carol, password: secret}], limit: {per_source: 0}}`)
	carol, bob := r.phone("carol", "tcp", ""), r.phone("bob", "tcp", "")
	r.register(carol)
	r.register(bob)
	var status *phone.StatusError
	if err := ring(r, bob); !errors.As(err, &status) || status.Code != 480 {
		t.Fatalf("call to a user without phones: %v, want 480", err)
	}
	added, err := r.book().Add(t.Context(), "alice@example.com", contacts.Addition{Contact: r.only("carol@example.com").Contact})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(added.Flags, contacts.Static) || added.State != contacts.Awake || added.Flow != "" || time.Until(added.Expires) < 50*365*24*time.Hour {
		t.Errorf("added %+v", added)
	}
	if err := ring(r, bob); err != nil {
		t.Errorf("call to a contact that was added by hand: %v", err)
	}
	if n := carol.Count(phone.Answered); n != 1 {
		t.Errorf("the device answered %d calls, want 1", n)
	}
	if _, err := r.book().RemoveContact(t.Context(), added.ID); err != nil {
		t.Fatal(err)
	}
	if err := ring(r, bob); !errors.As(err, &status) || status.Code != 480 {
		t.Errorf("call after it was removed: %v, want 480", err)
	}
	if r.events.changes("created", "operator") != 1 || r.events.changes("removed", "operator") != 1 {
		t.Errorf("events: created %d, removed %d; want one of each", r.events.changes("created", "operator"), r.events.changes("removed", "operator"))
	}
}

// TestRemove_OneFlowOfAPair: the phone is reached by its other flow (RFC 5626 §7).
func TestRemove_OneFlowOfAPair_RFC5626_7(t *testing.T) {
	r := newRig(t, openYAML)
	const instance = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	var flows []*wire
	for _, reg := range []string{"1", "2"} {
		w := r.dial("tcp")
		w.send(w.request("REGISTER", "sip:example.com", "From: <sip:alice@example.com>;tag=t", "Supported: outbound",
			"Contact: <sip:alice@"+w.conn.LocalAddr().String()+`;transport=tcp>;+sip.instance="<`+instance+`>";reg-id=`+reg))
		w.expect(200)
		flows = append(flows, w)
	}
	u, err := r.book().User(t.Context(), "alice@example.com", false)
	if err != nil || len(u.Contacts) != 2 {
		t.Fatalf("alice = %+v, %v", u, err)
	}
	// Of the two, the one that registered last would be called.
	second := u.Contacts[slices.IndexFunc(u.Contacts, func(c contacts.Contact) bool { return c.RegID == 2 })]
	gone, err := r.book().Remove(t.Context(), contacts.Query{AOR: "alice@example.com", Contact: second.Contact, CallID: second.CallID}, contacts.Page{})
	if err != nil || gone.Count != 1 || gone.Removed[0].ID != second.ID {
		t.Fatalf("removed %+v, %v", gone, err)
	}
	bob := r.dial("tcp")
	bob.send(bob.request("INVITE", "sip:alice@example.com"))
	if got := flows[0].response(); !strings.HasPrefix(got, "INVITE sip:alice@") {
		t.Errorf("the flow that is left got %q, want the INVITE", got)
	}
}

func TestStateOf(t *testing.T) {
	r := newRig(t)
	asleep := r.phone("alice", "tcp", "token-of-alice")
	r.register(asleep)
	asleep.Sleep()
	bob := r.phone("bob", "tcp", "")
	r.register(bob)
	r.eventually("alice's phone is asleep", func() bool { return r.only("alice@example.com").State == contacts.Asleep })
	if got := r.only("bob@example.com").State; got != contacts.Awake {
		t.Errorf("bob's phone is %s, want awake", got)
	}
	now := time.Now()
	for _, tt := range []struct {
		name string
		b    usrloc.Binding
		want string
	}{
		{"by hand", usrloc.Binding{Contact: "sip:desk@192.0.2.20", Expires: now.Add(time.Hour)}, contacts.Awake},
		{"by hand, to a browser", usrloc.Binding{Contact: "sip:desk@192.0.2.20;transport=ws", Expires: now.Add(time.Hour)}, contacts.Unreachable},
		{"registered, and no way to it", usrloc.Binding{Contact: "sip:desk@192.0.2.20", CallID: "c", Expires: now.Add(time.Hour)}, contacts.Unreachable},
		{"dormant", usrloc.Binding{Contact: "sip:desk@192.0.2.20", Push: usrloc.Push{Provider: "fcm", PRID: "t"}, Expires: now.Add(-time.Hour)}, contacts.Dormant},
	} {
		if got := r.stateOf(&tt.b, now); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestNamedAOR(t *testing.T) {
	r := newRig(t)
	for name, want := range map[string]usrloc.AOR{"alice@example.com": "sip:alice@example.com", "sip:alice@EXAMPLE.com": "sip:alice@example.com", "sip:%61lice@example.com": "sip:alice@example.com", "alice": "sip:alice@example.com", "sip:alice": "sip:alice@example.com", "+4930123": "sip:+4930123@example.com"} {
		if got, err := r.namedAOR(name); got != want || err != nil {
			t.Errorf("namedAOR(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"", "alice@example.net", "sip:example.com", "tel:+1"} {
		if _, err := r.namedAOR(name); !errors.Is(err, contacts.ErrNoUser) {
			t.Errorf("namedAOR(%q) = %v, want ErrNoUser", name, err)
		}
	}
}

func TestLookupHost(t *testing.T) {
	r := newRig(t)
	list, err := r.lookupHost(t.Context(), "localhost")
	if err != nil || !slices.Contains(list, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("localhost = %v, %v", list, err)
	}
	if _, err := r.lookupHost(t.Context(), "none.invalid"); err == nil {
		t.Error("a name that is none was found")
	}
}

// An operator sees how a phone woke.
func TestContacts_HowAPhoneWakes(t *testing.T) {
	r := newRig(t)
	r.sleeper("alice", "tcp", "token-of-alice")
	bob := r.phone("bob", "udp", "")
	r.register(bob)
	if c := r.only("alice@example.com"); c.Provider != "fcm" || c.RefreshAt.IsZero() || c.Wake != nil {
		t.Errorf("before the call: %+v", c)
	}
	if err := ring(r, bob); err != nil {
		t.Fatal(err)
	}
	c := r.only("sip:alice@EXAMPLE.com")
	if w := c.Wake; w == nil || w.Successes != 1 || w.Failures != 0 || w.Average <= 0 || w.Last.IsZero() {
		t.Errorf("after the call: %+v, %+v", c, c.Wake)
	}
	if c := r.only("bob@example.com"); c.Provider != "" || c.State != contacts.Awake || c.Wake != nil {
		t.Errorf("a phone without push: %+v", c)
	}
}
