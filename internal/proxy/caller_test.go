package proxy

import (
	"testing"

	"reveille/internal/sipmsg"
)

func TestCaller_MustBeRegistered(t *testing.T) {
	tests := []struct {
		name  string
		admit Admission
		from  string
		at    string // where bob is registered
		want  string
	}{
		{"at this flow", Admission{User: "sip:bob@example.com"}, ownFrom, "203.0.113.9:5060", "INVITE 198.51.100.1:5060"},
		{"at this address", Admission{User: "sip:bob@example.com"}, ownFrom, "203.0.113.9:4444", "INVITE 198.51.100.1:5060"},
		{"elsewhere", Admission{User: "sip:bob@example.com"}, ownFrom, "203.0.113.10:5060", "403 203.0.113.9:5060"},
		{"nowhere", Admission{User: "sip:bob@example.com"}, ownFrom, "", "403 203.0.113.9:5060"},
		{"by From, where nobody authenticates", Admission{}, ownFrom, "203.0.113.9:5060", "INVITE 198.51.100.1:5060"},
		{"a stranger", Admission{}, `From: <sip:bob@example.net>;tag=caller`, "203.0.113.9:5060", "403 203.0.113.9:5060"},
		{"a peer", Admission{Trusted: true}, `From: <sip:bob@example.net>;tag=caller`, "", "INVITE 198.51.100.1:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{RegisteredCallers: true}, func(w *world) {
				w.admit = func(*sipmsg.Message) Admission { return tt.admit }
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				if tt.at != "" {
					w.register(w.newPhone("bob", udp(tt.at), ""))
				}
				w.recv(caller, from(tt.from, "INVITE", "sip:alice@example.com", "c1"))
				if s := w.expect(tt.want)[0]; s.m.IsRequest() {
					w.reply(s, 200)
					w.expect("200 203.0.113.9:5060")
				}
			})
		})
	}
}
