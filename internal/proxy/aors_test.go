package proxy

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/domain"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

func contacts(t *testing.T, uris ...string) []Contact {
	t.Helper()
	var all []Contact
	for _, s := range uris {
		u, err := sipmsg.ParseURI(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Contact{URI: u})
	}
	return all
}

func TestAORs_StaticContacts(t *testing.T) {
	aors := map[usrloc.AOR]AOR{"sip:desk@example.com": {Contacts: contacts(t, "sip:200@198.51.100.20:5070;transport=tcp", "sip:198.51.100.21")}}
	unknown := func(usrloc.AOR) bool { return false }
	inWorld(t, Options{AORs: aors, Known: unknown}, func(w *world) {
		w.recv(caller, request("INVITE", "sip:desk@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.20:5070", "INVITE 198.51.100.21:5060")
		if out[0].flow.Transport != flow.TCP || out[1].flow.Transport != flow.UDP {
			t.Errorf("sent by %s and %s, want TCP and UDP", out[0].flow.Transport, out[1].flow.Transport)
		}
		if got := out[0].m.RequestURI().String(); got != "sip:200@198.51.100.20:5070;transport=tcp" {
			t.Errorf("Request-URI %s, want the contact", got)
		}
		// Of a gateway only the address is configured.
		if got := out[1].m.RequestURI().String(); got != "sip:desk@198.51.100.21" {
			t.Errorf("Request-URI %s, want the dialled user at the contact", got)
		}
		w.reply(out[0], 503)
		w.expect("ACK 198.51.100.20:5070")
		w.reply(out[1], 200, "Contact: <sip:desk@198.51.100.21>")
		answer := w.expect("200 203.0.113.9:5060")[0].m
		w.recv(caller, inDialogRequest("BYE", 2, answer, true, "sip:desk@198.51.100.21"))
		w.reply(w.expect("BYE 198.51.100.21:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestAORs_StaticContactThatIsDown(t *testing.T) {
	aors := map[usrloc.AOR]AOR{"sip:desk@example.com": {Contacts: contacts(t, "sip:198.51.100.20;transport=tcp")}}
	inWorld(t, Options{AORs: aors}, func(w *world) {
		w.with(func() { w.unreachable = errors.New("connection refused") })
		w.recv(caller, request("INVITE", "sip:desk@example.com", "c1"))
		w.expect("480 203.0.113.9:5060")
	})
}

// One phone that is registered as two of the users is called once.
func TestAORs_RingsOthers(t *testing.T) {
	aors := map[usrloc.AOR]AOR{
		"sip:sales@example.com": {Rings: []usrloc.AOR{"sip:alice@example.com", "sip:team@example.com"}},
		"sip:team@example.com":  {Rings: []usrloc.AOR{"sip:bob@example.com", "sip:sales@example.com"}},
	}
	inWorld(t, Options{AORs: aors}, func(w *world) {
		alice := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(alice)
		w.sleeps(alice)
		bob := w.newPhone("bob", udp("198.51.100.2:5060"), "")
		w.register(bob)
		same := w.newPhone("bob", udp("198.51.100.1:5061"), "")
		same.instance = alice.instance
		w.register(same)
		w.recv(caller, request("INVITE", "sip:sales@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.2:5060")
		if p := w.pushCount(1); p.aor != "sip:alice@example.com" {
			t.Errorf("pushed for %s, want alice", p.aor)
		}
		w.reply(out[0], 180)
		w.expect("180 203.0.113.9:5060")
		// The phone comes back as bob: that does not release what waits for alice.
		time.Sleep(time.Second)
		w.register(same)
		w.expect()
		w.register(alice)
		out = append(out, w.expect("INVITE 198.51.100.1:5060")...)
		w.reply(out[1], 200)
		w.reply(w.expect("200 203.0.113.9:5060", "CANCEL 198.51.100.2:5060")[1], 200)
		w.reply(out[0], 487)
		w.expect("ACK 198.51.100.2:5060")
	})
}

// A phone of which one user is being called registers as another who is called,
// too: it is one phone all the same.
func TestAORs_OnePhoneRingsOnce(t *testing.T) {
	for _, fork := range []ForkMode{Parallel, Sequential} {
		aors := map[usrloc.AOR]AOR{"sip:alice@example.com": {Rings: []usrloc.AOR{"sip:bob@example.com"}}}
		inWorld(t, Options{AORs: aors, Fork: fork}, func(w *world) {
			alice := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
			w.register(alice)
			w.sleeps(alice)
			w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
			w.expect()
			same := w.newPhone("bob", udp("198.51.100.1:5060"), "")
			same.instance = alice.instance
			w.register(same)
			w.expect()
			time.Sleep(100 * time.Millisecond)
			w.register(alice)
			out := w.expect("INVITE 198.51.100.1:5060")[0]
			w.reply(out, 486)
			w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
		})
	}
}

func TestAORs_ExpandEndsInCircles(t *testing.T) {
	o := Options{AORs: map[usrloc.AOR]AOR{"a": {Rings: []usrloc.AOR{"b", "a"}}, "b": {Rings: []usrloc.AOR{"c", "a"}}}}
	if got := o.expand("a"); len(got) != 3 {
		t.Errorf("expand = %v, want a, b and c once each", got)
	}
	many := AOR{}
	for i := range 100 {
		many.Rings = append(many.Rings, usrloc.AOR(rune('A'+i)))
	}
	o.AORs["a"] = many
	if got := o.expand("a"); len(got) != maxRings {
		t.Errorf("expand gave %d users, want the bound, %d", len(got), maxRings)
	}
}

func TestOptions_StaticContactIsAnAddress(t *testing.T) {
	for _, uri := range []string{"sip:a@phone.example", "sip:a@198.51.100.1;transport=ws", "tel:+1555"} {
		o := Options{
			Store: broken{}, Flows: &world{}, Waker: &world{}, Gate: &world{}, Keys: keyring(), Domains: []string{"example.com"},
			AORs: map[usrloc.AOR]AOR{"sip:a@example.com": {Contacts: contacts(t, uri)}},
		}
		if _, err := New(o); err == nil {
			t.Errorf("New accepted the contact %s", uri)
		}
	}
}

func TestAORs_DomainAliases(t *testing.T) {
	hosts, err := domain.New([]domain.Domain{{Name: "example.com", Aliases: []string{"sip.example.com"}}}, true)
	if err != nil {
		t.Fatal(err)
	}
	inWorld(t, Options{Hosts: hosts, RegisteredCallers: true}, func(w *world) {
		w.register(w.newPhone("bob", caller, ""))
		w.admit = asBob
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		for i, uri := range []string{"sip:Alice@sip.example.com", "sip:ALICE@Example.COM;gr=" + p.instance, "sip:alice@192.0.2.1"} {
			w.recv(caller, from(ownFrom, "MESSAGE", uri, fmt.Sprint("c", i)))
			w.reply(w.expect("MESSAGE 198.51.100.1:5060")[0], 200)
			w.expect("200 203.0.113.9:5060")
		}
		// The caller's own name, by the other name of the domain, and what the Gate
		// calls it.
		w.admit = func(*sipmsg.Message) Admission { return Admission{User: "sip:BOB@sip.example.com"} }
		w.recv(caller, from(`From: <sip:Bob@sip.example.com>;tag=caller`, "MESSAGE", "sip:alice@example.com", "own"))
		w.reply(w.expect("MESSAGE 198.51.100.1:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}
