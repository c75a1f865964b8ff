package proxy

import (
	"testing"

	"reveille/internal/sipmsg"
	"reveille/push"
)

// directed has the Gate send every request there.
func (w *world) directed(a Admission, route string, targets ...string) {
	w.t.Helper()
	a.Direction.Route = route
	for _, s := range targets {
		u, err := sipmsg.ParseURI(s)
		if err != nil {
			w.t.Fatal(err)
		}
		a.Direction.Targets = append(a.Direction.Targets, u)
	}
	w.admit = func(*sipmsg.Message) Admission { return a }
}

func TestDirect(t *testing.T) {
	routes := []Route{{Name: "gateway", Domain: "pstn.example", To: to("sip:198.51.100.90:5060")}}
	user := Admission{User: "sip:bob@example.net"}
	known := "INVITE 198.51.100.1:5060"
	tests := []struct {
		name      string
		admission Admission
		route     string
		targets   []string
		want      []string
		uri       string // the Request-URI of the first
	}{
		{"as addressed", user, "", nil, []string{known}, ""},
		{"another user", user, "", []string{"sip:bob@example.com"}, []string{"INVITE 198.51.100.2:5060"}, ""},
		{"for a stranger, too", Admission{}, "", []string{"sip:bob@example.com"}, []string{"INVITE 198.51.100.2:5060"}, ""},
		{"two users", user, "", []string{"sip:alice@example.com", "sip:bob@example.com"}, []string{known, "INVITE 198.51.100.2:5060"}, ""},
		{"one twice", user, "", []string{"sip:bob@example.com", "sip:bob@EXAMPLE.com"}, []string{"INVITE 198.51.100.2:5060"}, ""},
		{"nobody there", user, "", []string{"sip:dora@example.com"}, []string{"480 203.0.113.9:5060"}, ""},
		{"a route", user, "gateway", nil, []string{"INVITE 198.51.100.90:5060"}, "sip:alice@example.com"},
		{"a route, for a peer", Admission{Trusted: true}, "gateway", nil, []string{"INVITE 198.51.100.90:5060"}, "sip:alice@example.com"},
		{"a route, for a stranger", Admission{}, "gateway", nil, []string{"403 203.0.113.9:5060"}, ""},
		{"no such route", user, "trunk", nil, []string{"500 203.0.113.9:5060"}, ""},
		{"a number at the gateway", user, "", []string{"sip:+4912@198.51.100.90?Subject=x"}, []string{"INVITE 198.51.100.90:5060"}, "sip:+4912@198.51.100.90"},
		{"a number, for a stranger", Admission{}, "", []string{"sip:+4912@198.51.100.90"}, []string{"403 203.0.113.9:5060"}, ""},
		{"the gateway's other port", user, "", []string{"sip:+4912@198.51.100.90:5070"}, []string{"500 203.0.113.9:5060"}, ""},
		{"the gateway's other transport", user, "", []string{"sip:+4912@198.51.100.90;transport=tcp"}, []string{"500 203.0.113.9:5060"}, ""},
		{"anywhere", user, "", []string{"sip:bob@203.0.113.77"}, []string{"500 203.0.113.9:5060"}, ""},
		{"a name", user, "", []string{"sip:+4912@pstn.example"}, []string{"500 203.0.113.9:5060"}, ""},
		{"one of two is wrong", user, "", []string{"sip:bob@example.com", "sip:x@203.0.113.77"}, []string{"500 203.0.113.9:5060"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Routes: routes}, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				w.register(w.newPhone("bob", udp("198.51.100.2:5060"), ""))
				w.directed(tt.admission, tt.route, tt.targets...)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "x"))
				out := w.expect(tt.want...)
				if got := out[0].m.RequestURI().String(); tt.uri != "" && got != tt.uri {
					t.Errorf("Request-URI %s, want %s", got, tt.uri)
				}
			})
		})
	}
}

// TestDirect_Sleeper: a user who was not dialled is woken like any other.
func TestDirect_Sleeper(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("bob", udp("198.51.100.2:5060"), "fcm")
		w.register(p)
		w.with(func() { w.alive[p.flow] = false })
		w.directed(Admission{}, "", "sip:bob@example.com")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "x"))
		w.outcome(w.pushCount(1), push.OK)
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		w.reply(w.expect("INVITE 198.51.100.7:40000")[0], 486)
		w.expect("ACK 198.51.100.7:40000", "486 203.0.113.9:5060")
	})
}
