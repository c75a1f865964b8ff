package proxy

import "testing"

// A phone that redirects must not make us send to whom it likes: callers decide about
// that, and see no push data in it (RFC 3261 §16.7 step 4 leaves recursing open).
func TestRedirect_IsNotFollowed_RFC3261_16_7_4(t *testing.T) {
	tests := []struct{ name, contact, want string }{
		{"to somebody else", "<sip:victim@203.0.113.50>", "<sip:victim@203.0.113.50>"},
		{"to a user of ours", "<sip:carol@example.com>;q=0.5", "<sip:carol@example.com>;q=0.5"},
		{"to itself", "<sip:alice@198.51.100.1:5060;pn-provider=fcm;pn-prid=secret>", "<sip:alice@198.51.100.1:5060>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				w.register(w.newPhone("carol", udp("198.51.100.2:5060"), ""))
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 302, "Contact: "+tt.contact)
				out := w.expect("ACK 198.51.100.1:5060", "302 203.0.113.9:5060")[1]
				if contacts := out.m.Contacts(); len(contacts) != 1 || contacts[0].String() != tt.want {
					t.Errorf("Contact %v, want %s", contacts, tt.want)
				}
				w.pushCount(0)
			})
		})
	}
}
