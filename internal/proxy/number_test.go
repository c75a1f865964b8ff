package proxy

import (
	"testing"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

func TestNumber_AsDialled_RFC3966_3(t *testing.T) {
	p, err := New(Options{Store: broken{}, Flows: &world{}, Waker: &world{}, Gate: &world{}, Keys: keyring(), Domains: []string{"example.com", "example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ uri, want string }{
		{"tel:+1-201-555-0123", "sip:+12015550123@example.com;user=phone"},
		{"TEL:+1(201)555.0123;isub=1", "sip:+12015550123@example.com;user=phone"},
		{"tel:7042;phone-context=example.org", "sip:7042@example.org;user=phone"},
		{"tel:7042;phone-context=example.net", "sip:7042@example.com;user=phone"},
		{"tel:*21*7#;phone-context=+49", "sip:*21*7%23@example.com;user=phone"},
		{"tel:alice", "tel:alice"},
		{"tel:+", "tel:+"},
		{"tel:12+3", "tel:12+3"},
		{"sip:+12015550123@example.net", "sip:+12015550123@example.net"},
	}
	for _, tt := range tests {
		u, err := sipmsg.ParseURI(tt.uri)
		if err != nil {
			t.Fatalf("%s: %v", tt.uri, err)
		}
		got := p.dialled(u).String()
		if got != tt.want {
			t.Errorf("dialled(%s) = %s, want %s", tt.uri, got, tt.want)
		}
		if _, err := sipmsg.ParseURI(got); err != nil {
			t.Errorf("dialled(%s) = %s: %v", tt.uri, got, err)
		}
	}
}

var pstn = Route{Name: "pstn", Domain: "example.com", Prefix: "+1", To: to("sip:203.0.113.80:5060")}

func TestNumber_LeadsTo_RFC3261_19_1_6(t *testing.T) {
	tests := []struct {
		name, uri  string
		stranger   bool
		want, left string
	}{
		{"a user", "tel:+1-555-0100", false, "INVITE 198.51.100.1:5060", "sip:+15550100@198.51.100.1:5060"},
		{"a user, as a SIP URI", "sip:+15550100@example.com", false, "INVITE 198.51.100.1:5060", "sip:+15550100@198.51.100.1:5060"},
		{"a route", "tel:+1-555-0199", false, "INVITE 203.0.113.80:5060", "sip:+15550199@example.com;user=phone"},
		{"a route, as a SIP URI", "sip:+15550199@example.com", false, "INVITE 203.0.113.80:5060", "sip:+15550199@example.com"},
		{"a route, of no right to the sender", "tel:+1-555-0199", true, "403 203.0.113.9:5060", ""},
		{"nobody", "tel:+49-555-0199", false, "404 203.0.113.9:5060", ""},
		{"no number", "tel:alice", false, "416 203.0.113.9:5060", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			known := func(aor usrloc.AOR) bool { return aor == "sip:+15550100@example.com" }
			inWorld(t, Options{Routes: []Route{pstn}, Known: known}, func(w *world) {
				w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: !tt.stranger} }
				w.register(w.newPhone("+15550100", udp("198.51.100.1:5060"), ""))
				w.recv(caller, request("INVITE", tt.uri, "c1"))
				out := w.expect(tt.want)[0]
				if !out.m.IsRequest() {
					return
				}
				if got := out.m.RequestURI().String(); got != tt.left {
					t.Errorf("Request-URI %s, want %s", got, tt.left)
				}
				w.reply(out, 486)
			})
		})
	}
}

func TestEmergency_RFC5031_4_2(t *testing.T) {
	help := Route{Name: "help", Domain: "psap.invalid", To: to("sip:203.0.113.112:5060")}
	tests := []struct {
		name, uri string
		want      string
	}{
		{"by name", "urn:service:sos", "INVITE 203.0.113.112:5060"},
		{"by the name of one of them", "URN:service:SOS.fire", "INVITE 203.0.113.112:5060"},
		{"by number", "sip:112@example.com", "INVITE 203.0.113.112:5060"},
		{"by number and context", "sip:1-1-2;phone-context=+49@192.0.2.1", "INVITE 203.0.113.112:5060"},
		{"as a number", "tel:112;phone-context=example.com", "INVITE 203.0.113.112:5060"},
		{"another service", "urn:service:counseling", "416 203.0.113.9:5060"},
		{"another name", "urn:service:sosx", "416 203.0.113.9:5060"},
		{"another number", "sip:1120@example.com", "480 203.0.113.9:5060"},
		{"somebody else's number", "sip:112@example.net", "403 203.0.113.9:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Routes: []Route{help}, Emergency: Emergency{Route: "help", Numbers: []string{"112"}}}
			inWorld(t, o, func(w *world) {
				// Somebody has taken the number, and a hook leads elsewhere.
				w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: true} }
				w.register(w.newPhone("112", udp("198.51.100.1:5060"), ""))
				w.recv(caller, request("INVITE", tt.uri, "c1"))
				if out := w.expect(tt.want)[0]; out.m.IsRequest() {
					w.reply(out, 486)
				}
			})
		})
	}
	t.Run("no route", func(t *testing.T) {
		inWorld(t, Options{}, func(w *world) {
			w.recv(caller, request("INVITE", "urn:service:sos", "c1"))
			w.expect("416 203.0.113.9:5060")
		})
	})
	t.Run("of anyone", func(t *testing.T) {
		o := Options{Routes: []Route{help}, RegisteredCallers: true, Emergency: Emergency{Route: "help", Numbers: []string{"112"}, Anyone: true}}
		inWorld(t, o, func(w *world) {
			w.admit = func(m *sipmsg.Message) Admission {
				a := Admission{Refusal: &sipmsg.Reply{Code: 407}, Unknown: true}
				if m.CallID() == "limited" {
					a = Admission{Refusal: &sipmsg.Reply{Code: 480}}
				}
				return a
			}
			for _, uri := range []string{"urn:service:sos", "sip:112@example.com"} {
				w.recv(caller, request("INVITE", uri, uri))
				out := w.expect("INVITE 203.0.113.112:5060")[0]
				// Nothing is asserted of who nobody knows.
				if out.m.Has(sipmsg.HdrPAssertedIdentity) {
					t.Errorf("%s leaves with an identity:\n%s", uri, out.m.Raw())
				}
				w.reply(out, 200)
				w.expect("200 203.0.113.9:5060")
			}
			// The way is open for nothing else: not for messages, other calls, nor for too many.
			w.recv(caller, request("MESSAGE", "sip:112@example.com", "text"))
			w.expect("407 203.0.113.9:5060")
			w.recv(caller, request("INVITE", "sip:alice@example.com", "other"))
			w.expect("407 203.0.113.9:5060")
			w.recv(caller, request("INVITE", "sip:112@example.com", "limited"))
			w.expect("480 203.0.113.9:5060")
		})
	})
	t.Run("of a stranger", func(t *testing.T) {
		inWorld(t, Options{Routes: []Route{help}, Emergency: Emergency{Route: "help"}}, func(w *world) {
			w.recv(caller, request("INVITE", "urn:service:sos", "c1"))
			w.expect("403 203.0.113.9:5060")
		})
	})
}

// What scanners are told apart by is not asked of numbers that lead somewhere.
func TestNumber_Takes(t *testing.T) {
	p, err := New(Options{
		Store: broken{}, Flows: &world{}, Waker: &world{}, Gate: &world{}, Keys: keyring(), Domains: []string{"example.com"},
		Routes: []Route{pstn}, Emergency: Emergency{Route: "pstn", Numbers: []string{"112"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]bool{
		"urn:service:sos": true, "tel:112": true, "sip:112@example.com": true, "sip:112@192.0.2.1": true, "tel:+1-555-0199": true,
		"tel:+49-555-0199": false, "tel:7042;phone-context=example.com": true, "tel:7042;phone-context=example.net": false,
		"urn:service:counseling": false, "sip:alice@example.com": false, "sip:112@example.net": false, "mailto:x@example.com": false,
	} {
		if got := p.Takes(mustURI(uri)); got != want {
			t.Errorf("Takes(%s) = %t, want %t", uri, got, want)
		}
	}
}
