package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
	"reveille/purr"
	"reveille/usrloc"
)

func keyring() *purr.Keyring { return purr.Generate(time.Now()) }

// public and temporary are the phone's GRUUs.
func (p *phone) public() string { return string(p.aor) + ";gr=" + p.instance }

func (w *world) temporary(p *phone) string {
	rec, err := w.store.Get(context.Background(), p.aor)
	if err != nil {
		w.t.Fatal(err)
	}
	user, _, _ := strings.Cut(strings.TrimPrefix(string(p.aor), "sip:"), "@")
	return "sip:" + string(w.keys.AppendTempGRUU(nil, user, rec.Find(p.id))) + "@example.com;gr"
}

func TestGRUU_OneInstance_RFC5627_6_1(t *testing.T) {
	aors := map[usrloc.AOR]AOR{"sip:alice@example.com": {Rings: []usrloc.AOR{"sip:bob@example.com"}, Contacts: contacts(t, "sip:198.51.100.20")}}
	inWorld(t, Options{AORs: aors}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		p := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(p)
		w.register(w.newPhone("bob", udp("198.51.100.3:5060"), ""))
		upper := strings.Replace(p.public(), p.instance, strings.ToUpper(p.instance), 1)
		escaped := strings.Replace(p.public(), "urn:uuid:", "urn%3Auuid%3A", 1)
		for i, uri := range []string{p.public(), upper, escaped, w.temporary(p), w.temporary(p)} {
			w.recv(caller, request("INVITE", uri, "c"+string(rune('1'+i))))
			out := w.expect("INVITE 198.51.100.2:5060")[0]
			// The "gr" parameter is not carried on.
			if got := out.m.RequestURI().String(); got != "sip:alice@198.51.100.2:5060" {
				t.Errorf("%s: Request-URI %s, want the Contact", uri, got)
			}
			w.reply(out, 486)
			w.expect("ACK 198.51.100.2:5060", "486 203.0.113.9:5060")
		}
	})
}

func TestGRUU_NotValid_RFC5627_6_1(t *testing.T) {
	known := func(aor usrloc.AOR) bool { return aor != "sip:ghost@example.com" }
	inWorld(t, Options{Known: known}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		before := w.temporary(p)
		p.gruuSet++
		w.register(p)
		left := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(left)
		old := w.temporary(left)
		w.unregister(left)
		tests := []struct {
			name, uri string
			want      int
		}{
			{"public, not registered_RFC5627_5_3", left.public(), 480},
			{"public, of a user we do not know", strings.Replace(p.public(), "alice", "ghost", 1), 404},
			{"temporary, of an earlier set_RFC5627_5_1", before, 404},
			{"temporary, not registered_RFC5627_5_3", old, 404},
			{"temporary, forged", "sip:" + strings.Repeat("0", purr.TempGRUULen) + "@example.com;gr", 404},
			{"no token at all", "sip:alice@example.com;gr", 404},
			{"a PURR for a GRUU", "sip:" + w.keys.Mint(p.id) + "@example.com;gr", 404},
		}
		for i, tt := range tests {
			w.recv(caller, request("INVITE", tt.uri, fmt.Sprint("c", i)))
			if s := w.one(); s.m.Status() != tt.want {
				t.Errorf("%s: %d, want %d", tt.name, s.m.Status(), tt.want)
			}
		}
		// The public one is good again as soon as the phone is back.
		w.register(left)
		w.recv(caller, request("MESSAGE", left.public(), "m1"))
		w.reply(w.expect("MESSAGE 198.51.100.2:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A temporary GRUU does not end with the flow over which the phone got it.
func TestGRUU_TemporaryOutlivesItsFlow_RFC5627_5_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		first := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		second := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		first.regID, second.regID, second.instance = 1, 2, strings.ToUpper(first.instance)
		w.register(first)
		uri := w.temporary(first)
		w.register(second)
		w.unregister(first)
		w.recv(caller, request("INVITE", uri, "c1"))
		w.reply(w.expect("INVITE 198.51.100.2:5060")[0], 486)
		w.expect("ACK 198.51.100.2:5060", "486 203.0.113.9:5060")
		w.unregister(second)
		w.recv(caller, request("INVITE", uri, "c2"))
		if s := w.one(); s.m.Status() != 404 {
			t.Errorf("after the last flow: %d, want 404", s.m.Status())
		}
	})
}

func TestGRUU_SleepingPhoneIsWoken_RFC5627_6_1(t *testing.T) {
	inWorld(t, Options{Policy: func(string, string) Mode { return Always }}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", p.public(), "c1"))
		w.expect()
		w.pushCount(1)
		p.flow = udp("198.51.100.1:6000")
		w.register(p)
		out := w.expect("INVITE 198.51.100.1:6000")[0]
		if got := out.m.RequestURI().String(); got != "sip:alice@198.51.100.1:6000" {
			t.Errorf("Request-URI %s, want the new Contact", got)
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestGRUU_NextContact_RFC5627_6_1(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		first := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		second := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		second.instance = first.instance
		w.register(first)
		time.Sleep(time.Second)
		w.register(second)
		w.recv(caller, request("INVITE", first.public(), "c1"))
		out := w.expect("INVITE 198.51.100.2:5060")[0]
		w.reply(out, 430)
		out = w.expect("ACK 198.51.100.2:5060", "INVITE 198.51.100.1:5060")[1]
		w.reply(out, 486)
		w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
	})
}

// midDialog is a request of a dialog that knows the phone by its GRUU alone.
func midDialog(method, uri, callID string, extra ...string) string {
	return strings.Replace(request(method, uri, callID, extra...), "To: <"+uri+">", "To: <sip:alice@example.com>;tag=callee", 1)
}

// The other proxies of the dialog are behind us in the Route; the Path would lead
// to them a second time.
func TestGRUU_MidDialogWithoutOurToken_RFC5627_6_1(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		p.path = []string{"<sip:edge.example;lr>"}
		w.register(p)
		w.recv(caller, midDialog("BYE", p.public(), "c1", "Route: <sip:192.0.2.1;lr>, <sip:inner.example;lr>"))
		out := w.expect("BYE 198.51.100.1:5060")[0]
		if routes := out.m.Routes(); len(routes) != 1 || routes[0].String() != "<sip:inner.example;lr>" {
			t.Errorf("Route %v, want what was behind us, without the Path", routes)
		}
		if got := out.m.RequestURI().String(); got != p.contact() {
			t.Errorf("Request-URI %s, want %s", got, p.contact())
		}
		if strings.Contains(out.m.Raw(), "Record-Route") {
			t.Errorf("a request inside a dialog got a Record-Route:\n%s", out.m.Raw())
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
		// Nothing of others behind us: the phone is reached by its Path.
		w.recv(caller, midDialog("INFO", p.public(), "c2"))
		out = w.expect("INFO 198.51.100.1:5060")[0]
		if routes := out.m.Routes(); len(routes) != 1 || routes[0].String() != p.path[0] {
			t.Errorf("Route %v, want the Path", routes)
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
		// The sender has to be admitted, and an AOR is no GRUU.
		w.recv(caller, midDialog("BYE", "sip:alice@example.com", "c3"))
		w.expect("403 203.0.113.9:5060")
		w.admit = func(*sipmsg.Message) Admission { return Admission{Refusal: &sipmsg.Reply{Code: 407}} }
		w.recv(caller, midDialog("BYE", p.public(), "c4"))
		w.expect("407 203.0.113.9:5060")
		w.recv(caller, midDialog("ACK", p.public(), "c5"))
		w.expect()
		w.admit = func(*sipmsg.Message) Admission { return Admission{} }
		w.recv(caller, midDialog("ACK", p.public(), "c6"))
		if got := w.expect("ACK 198.51.100.1:5060")[0].m.RequestURI().String(); got != p.contact() {
			t.Errorf("Request-URI of the ACK %s, want %s", got, p.contact())
		}
		// The ACK takes the way of the other requests.
		for i, tt := range []struct{ route, want string }{
			{"Supported: gruu", p.path[0]},
			{"Route: <sip:192.0.2.1;lr>, <sip:inner.example;lr>", "<sip:inner.example;lr>"},
		} {
			w.recv(caller, midDialog("ACK", p.public(), fmt.Sprint("c7", i), tt.route))
			if routes := w.expect("ACK 198.51.100.1:5060")[0].m.Routes(); len(routes) != 1 || routes[0].String() != tt.want {
				t.Errorf("Route of the ACK %v, want %s", routes, tt.want)
			}
		}
	})
}

// With our token in the Route the dialog's phone is known; the GRUU in the
// Request-URI still has to become its Contact.
func TestGRUU_MidDialogWithToken_RFC5627_6_1(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 200, "Contact: <"+p.public()+">")
		answer := w.expect("200 203.0.113.9:5060")[0].m
		p.flow = udp("198.51.100.1:6000")
		w.register(p)
		w.recv(caller, inDialogRequest("ACK", 1, answer, true, p.public()))
		if got := w.expect("ACK 198.51.100.1:6000")[0].m.RequestURI().String(); got != p.contact() {
			t.Errorf("Request-URI of the ACK %s, want %s", got, p.contact())
		}
		w.recv(caller, inDialogRequest("BYE", 2, answer, true, p.public()))
		out := w.expect("BYE 198.51.100.1:6000")[0]
		if got := out.m.RequestURI().String(); got != p.contact() {
			t.Errorf("Request-URI %s, want %s", got, p.contact())
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
		// The binding of the token is gone: 480, and nothing is sent to a GRUU.
		w.unregister(p)
		w.recv(caller, inDialogRequest("INFO", 3, answer, true, p.public()))
		w.expect("480 203.0.113.9:5060")
	})
}

func TestGRUU_ContactOfAnotherUser_RFC5627_6_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		alice := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(alice)
		bob := w.newPhone("bob", udp("198.51.100.2:5060"), "")
		w.register(bob)
		w.admit = func(*sipmsg.Message) Admission { return Admission{User: "sip:bob@example.com"} }
		invite := func(callID, contact string) string {
			s := strings.Replace(request("INVITE", "sip:alice@example.com", callID), "sip:bob@203.0.113.9:5060", contact, 1)
			return strings.Replace(s, "bob@example.net", "bob@example.com", 1)
		}
		w.recv(caller, invite("c1", alice.public()))
		w.expect("403 203.0.113.9:5060")
		w.recv(caller, invite("c2", w.temporary(alice)))
		w.expect("403 203.0.113.9:5060")
		for i, own := range []string{bob.public(), w.temporary(bob)} {
			w.recv(caller, invite("c3"+string(rune('a'+i)), own))
			w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 486)
			w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
		}
	})
}
