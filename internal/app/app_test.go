package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/phone"
)

// ring lets bob call alice and hang up, and returns the error of the call.
func ring(r *rig, caller *phone.Phone) error {
	call, err := caller.Call(r.within(), "sip:alice@example.com")
	if err != nil {
		return err
	}
	return call.Bye(r.within())
}

func TestApp_SleepingPhoneRings(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			const token = "token-of-alice"
			alice := r.sleeper("alice", transport, token)
			bob := r.phone("bob", transport, "")
			r.register(bob)
			call, err := bob.Call(r.within(), "sip:alice@example.com")
			if err != nil {
				t.Fatal(err)
			}
			// The phone handles an ACK and a BYE at the same time.
			r.eventually("alice's phone has the ACK", func() bool { return alice.Count(phone.Confirmed) == 1 })
			if err := call.Bye(r.within()); err != nil {
				t.Fatal(err)
			}
			r.eventually("the call ends at alice's", func() bool { return alice.Count(phone.Ended) == 1 })
			// The INVITE may overtake the 200 to the REGISTER inside the phone.
			r.eventually("alice's phone knows that it is registered", func() bool { return alice.Count(phone.Registered) == 2 })
			for k, want := range map[phone.Kind]int{phone.Invited: 1, phone.Answered: 1, phone.Confirmed: 1, phone.Registered: 2} {
				if got := alice.Count(k); got != want {
					t.Errorf("alice's phone: %s %d times, want %d", k, got, want)
				}
			}
			if n := r.pushes(token); n != 1 {
				t.Errorf("%d pushes, want 1", n)
			}
			if n := r.Parked(); n != 0 {
				t.Errorf("%d requests still wait", n)
			}
			if got := r.events.calls("INVITE", "answered"); got != 1 {
				t.Errorf("%d answered calls in the events, want 1", got)
			}
		})
	}
}

func TestApp_TwoInOneProcess(t *testing.T) {
	rigs := []*rig{newRig(t), newRig(t)}
	for i, r := range rigs {
		// The second has never heard of the first one's phones.
		token := fmt.Sprintf("token-%d", i)
		alice, bob := r.sleeper("alice", "tcp", token), r.phone("bob", "udp", "")
		r.register(bob)
		if err := ring(r, bob); err != nil {
			t.Errorf("server %d: %v", i, err)
		}
		if alice.Count(phone.Invited) != 1 || r.pushes(token) != 1 {
			t.Errorf("server %d: rang %d times after %d pushes, want 1 and 1", i, alice.Count(phone.Invited), r.pushes(token))
		}
		if got := r.metric("reveille_usrloc_changes_total", "created"); got != 2 {
			t.Errorf("server %d counts %v new bindings, want its own 2", i, got)
		}
	}
	// The end of one does not concern the other.
	if err := rigs[0].Stop(rigs[0].within()); err != nil {
		t.Fatal(err)
	}
	rigs[1].register(rigs[1].phone("alice", "udp", ""))
}

func TestApp_UnauthenticatedInviteIsChallengedAndStoresNothing_RFC3261_22_3(t *testing.T) {
	r := newRig(t)
	const token = "token-of-alice"
	r.sleeper("alice", "tcp", token)
	r.eventually("the server is at rest", func() bool { return r.metric("reveille_transaction_queued") == 0 })
	live := r.metric("reveille_transaction_live")
	for _, transport := range []string{"udp", "tcp"} {
		w := r.dial(transport)
		w.send(w.request("INVITE", "sip:alice@example.com"))
		w.expect(407)
	}
	if got := r.metric("reveille_transaction_live"); got > live {
		t.Errorf("%v transactions alive, %v before", got, live)
	}
	if r.Parked() != 0 || len(r.sim.Pushes()) != 0 || r.events.calls("", "received") != 0 {
		t.Errorf("%d requests wait, %d pushes, %d calls received; want none", r.Parked(), len(r.sim.Pushes()), r.events.calls("", "received"))
	}
}

func TestApp_WrongPasswordRegistersNothing(t *testing.T) {
	r := newRig(t)
	p := r.phone("alice", "udp", "", func(o *phone.Options) { o.Password = "guess" })
	if err := p.Register(r.within()); status(err) != 401 {
		t.Errorf("Register = %v, want 401", err)
	}
	// Nor may a user register for another.
	p = r.phone("alice", "udp", "", func(o *phone.Options) { o.User = "mallory" })
	if err := p.Register(r.within()); status(err) != 401 {
		t.Errorf("Register of an unknown user = %v, want 401", err)
	}
	if got := r.metric("reveille_usrloc_changes_total"); got != 0 {
		t.Errorf("%v changes in the location service, want none", got)
	}
}

// status is the SIP status in an error of a phone, 0 if it is no such error.
func status(err error) int {
	if s, ok := errors.AsType[*phone.StatusError](err); ok {
		return s.Code
	}
	return 0
}

func TestApp_TrustedNetworks(t *testing.T) {
	const off = `mode: {registrar: "off", proxy: "off"}`
	tests := []struct {
		name, auth       string
		register, invite int // statuses
	}{
		{"nobody is asked", off, 200, 480},
		{"only a trusted network may", off + `, trusted: [{cidr: 192.0.2.0/24}]`, 403, 403},
		{"we are in the trusted network", off + `, trusted: [{cidr: 127.0.0.0/8}]`, 200, 480},
		{
			"trusted sources are not asked for passwords",
			`mode: {registrar: required, proxy: required}, users: [{name: alice, password: secret}], trusted: [{cidr: 127.0.0.0/8}]`, 200, 480,
		},
		{
			"others are", `mode: {registrar: required, proxy: required}, users: [{name: alice, password: secret}], trusted: [{cidr: 192.0.2.0/24}]`,
			401, 407,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "auth: {"+tt.auth+"}")
			for _, transport := range []string{"udp", "tcp"} {
				w := r.dial(transport)
				w.send(w.request("INVITE", "sip:alice@example.com"))
				for got := w.status(); ; got = w.status() {
					if strings.HasPrefix(got, "SIP/2.0 1") {
						continue
					}
					if !strings.HasPrefix(got, fmt.Sprintf("SIP/2.0 %d ", tt.invite)) {
						t.Errorf("INVITE over %s: %q, want %d", transport, got, tt.invite)
					}
					break
				}
				w = r.dial(transport)
				w.send(w.request("REGISTER", "sip:example.com", "From: <sip:alice@example.com>;tag=r", "Contact: <sip:alice@192.0.2.9>;expires=60"))
				w.expect(tt.register)
				// Remove it again, for the next transport.
				if tt.register == 200 {
					w.send(w.request("REGISTER", "sip:example.com", "From: <sip:alice@example.com>;tag=r", "Contact: *", "Expires: 0"))
					w.expect(200)
				}
			}
		})
	}
}

// TestApp_Metrics looks at the names, help texts and labels of all rooms after
// they had something to count.
func TestApp_Metrics(t *testing.T) {
	r := newRig(t)
	const token = "token-of-alice"
	r.sleeper("alice", "tcp", token)
	bob := r.phone("bob", "udp", "")
	r.register(bob)
	if err := ring(r, bob); err != nil {
		t.Fatal(err)
	}
	r.dial("udp").send("no SIP at all")
	r.eventually("the garbage is counted", func() bool { return r.metric("reveille_inlet_discarded_total", "malformed") == 1 })
	problems, err := testutil.GatherAndLint(r.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	rooms := map[string]bool{}
	for _, f := range families {
		name := f.GetName()
		if parts := strings.SplitN(name, "_", 3); parts[0] == "reveille" {
			rooms[parts[1]] = true
		} else if parts[0] != "go" && parts[0] != "process" {
			t.Errorf("%s does not begin with reveille_", name)
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				for _, secret := range []string{token, "alice", "bob", "example.com", "127.0.0.1"} {
					if strings.Contains(l.GetValue(), secret) {
						t.Errorf("%s has the label %s=%q", name, l.GetName(), l.GetValue())
					}
				}
			}
		}
		if len(f.GetMetric()) > 100 {
			t.Errorf("%s has %d series after one call", name, len(f.GetMetric()))
		}
	}
	for _, room := range []string{"transport", "transaction", "auth", "registrar", "usrloc", "proxy", "push", "inlet"} {
		if !rooms[room] {
			t.Errorf("no metric of %s among %v", room, rooms)
		}
	}
}
