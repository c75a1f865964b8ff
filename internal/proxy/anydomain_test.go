package proxy

import (
	"testing"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// TestRoute_AnyDomain: a route for "*" takes what is for others, of those who may, and
// nothing that is for us.
func TestRoute_AnyDomain(t *testing.T) {
	user, trusted, stranger := Admission{User: "sip:bob@example.net"}, Admission{Trusted: true}, Admission{}
	tests := []struct {
		name   string
		prefix string
		sender Admission
		uri    string
		want   string
	}{
		{"a user calls a domain", "", user, "sip:carol@other.example", "INVITE " + gwA},
		{"a trusted peer does", "", trusted, "sip:carol@other.example", "INVITE " + gwA},
		{"a stranger does", "", stranger, "sip:carol@other.example", "403 203.0.113.9:5060"},
		{"an address, which is not where it goes", "", user, "sip:carol@198.51.100.200:5099", "INVITE " + gwA},
		{"another prefix", "+", user, "sip:carol@other.example", "403 203.0.113.9:5060"},
		{"its prefix", "+", user, "sip:+4912@other.example", "INVITE " + gwA},
		{"nobody of ours", "", user, "sip:nobody@example.com", "404 203.0.113.9:5060"},
		{"nobody at our address", "", user, "sip:nobody@192.0.2.1", "404 203.0.113.9:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{
				Routes: []Route{{Name: "trunk", Domain: "*", Prefix: tt.prefix, To: to("sip:" + gwA)}},
				Known:  func(usrloc.AOR) bool { return false },
			}
			inWorld(t, o, func(w *world) {
				w.admit = func(*sipmsg.Message) Admission { return tt.sender }
				w.recv(caller, request("INVITE", tt.uri, "c1"))
				s := w.expect(tt.want)[0]
				if s.m.IsRequest() {
					w.reply(s, 603)
				}
			})
		})
	}
}
