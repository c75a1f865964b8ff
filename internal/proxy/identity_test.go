package proxy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// asBob admits everybody as bob, who may also call as the office.
func asBob(*sipmsg.Message) Admission {
	return Admission{User: "sip:bob@example.com", May: func(aor usrloc.AOR) bool {
		return aor == "sip:office@example.com" || aor == "sip:+14440@example.com"
	}}
}

// identities are the header fields of a message that say who sent it.
func identities(m *sipmsg.Message) []string {
	var got []string
	for h := range m.Headers() {
		switch {
		case h.ID == sipmsg.HdrFrom, h.ID == sipmsg.HdrPAssertedIdentity, h.ID == sipmsg.HdrPPreferredIdentity, h.ID == sipmsg.HdrPrivacy,
			strings.EqualFold(h.Name, "Remote-Party-ID"):
			got = append(got, h.Name+": "+h.Value)
		}
	}
	slices.Sort(got)
	return got
}

// sorted is what identities should return.
func sorted(lines ...string) []string {
	slices.Sort(lines)
	return lines
}

// trunk is a route whose next hop is trusted.
func trunk() Route {
	return Route{Name: "trunk", Domain: "pstn.example", To: to("sip:203.0.113.80:5060"), Trusted: true}
}

const (
	ownFrom  = `From: "Bob" <sip:bob@example.com>;tag=caller`
	anonFrom = `From: "Anonymous" <sip:anonymous@anonymous.invalid>;tag=caller`
)

// from is a request with that From line.
func from(line, method, uri, callID string, extra ...string) string {
	return strings.Replace(request(method, uri, callID, extra...), `From: "Bob" <sip:bob@example.net>;tag=caller`, line, 1)
}

func TestIdentity_TowardPeersAndPhones_RFC3325(t *testing.T) {
	forged := "P-Asserted-Identity: <sip:president@example.com>"
	tests := []struct {
		name, from string
		identity   Identity
		extra      []string
		peer       []string // what the trusted next hop sees
		phone      []string // what a phone sees
	}{
		{
			name: "asserted to peers_RFC3325_5", from: ownFrom,
			peer:  []string{`P-Asserted-Identity: "Bob" <sip:bob@example.com>`, ownFrom},
			phone: []string{ownFrom},
		},
		{
			name: "a stranger's word is taken out_RFC3325_5", from: ownFrom, extra: []string{forged, "Remote-Party-ID: <sip:president@example.com>"},
			peer:  []string{`P-Asserted-Identity: "Bob" <sip:bob@example.com>`, ownFrom},
			phone: []string{ownFrom},
		},
		{
			name: "the preferred one of the own_RFC3325_6", from: ownFrom, extra: []string{`P-Preferred-Identity: "The Office" <sip:office@EXAMPLE.com>`},
			peer:  []string{`P-Asserted-Identity: "The Office" <sip:office@example.com>`, ownFrom},
			phone: []string{ownFrom},
		},
		{
			name: "a telephone number nobody vouches for_RFC3325_6", from: ownFrom, extra: []string{`P-Preferred-Identity: <tel:+15551234>`},
			peer:  []string{`P-Asserted-Identity: "Bob" <sip:bob@example.com>`, ownFrom},
			phone: []string{ownFrom},
		},
		{
			name: "the own telephone number_RFC3325_6", from: ownFrom, extra: []string{`P-Preferred-Identity: "Bob" <tel:+1-4440>`},
			peer:  []string{`P-Asserted-Identity: "Bob" <tel:+14440>`, ownFrom},
			phone: []string{ownFrom},
		},
		{
			name: "anonymous_RFC3325_10_1", from: anonFrom, extra: []string{"Privacy: id"},
			peer:  []string{`P-Asserted-Identity: <sip:bob@example.com>`, anonFrom, "Privacy: id"},
			phone: []string{anonFrom, "Privacy: id"},
		},
		{
			name: "phones that are told", from: anonFrom, identity: Identity{TrustOutbound: true}, extra: []string{"Privacy: id"},
			peer:  []string{`P-Asserted-Identity: <sip:bob@example.com>`, anonFrom, "Privacy: id"},
			phone: []string{`P-Asserted-Identity: <sip:bob@example.com>`, anonFrom, "Privacy: id"},
		},
		{
			name: "overwritten", from: `From: "The President" <sip:president@example.com>;tag=caller`, identity: Identity{From: OverwriteFrom},
			extra: []string{"P-Preferred-Identity: <sip:president@example.com>"},
			peer:  []string{`P-Asserted-Identity: <sip:bob@example.com>`, "From: <sip:bob@example.com>;tag=caller"},
			phone: []string{"From: <sip:bob@example.com>;tag=caller"},
		},
		{
			name: "any, but not vouched for", from: `From: "P" <sip:president@example.com>;tag=caller`, identity: Identity{From: AnyFrom},
			extra: []string{"P-Preferred-Identity: <sip:president@example.com>"},
			peer:  []string{`P-Asserted-Identity: <sip:bob@example.com>`, `From: "P" <sip:president@example.com>;tag=caller`},
			phone: []string{`From: "P" <sip:president@example.com>;tag=caller`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Routes: []Route{trunk()}, Identity: tt.identity}, func(w *world) {
				w.admit = asBob
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				w.recv(caller, from(tt.from, "INVITE", "sip:+1555@pstn.example", "c1", tt.extra...))
				out := w.expect("INVITE 203.0.113.80:5060")[0]
				if d := cmp.Diff(sorted(tt.peer...), identities(out.m)); d != "" {
					t.Errorf("toward a peer (-want +got):\n%s", d)
				}
				w.reply(out, 486)
				// The caller hears of the From that it wrote.
				if got := w.expect("ACK 203.0.113.80:5060", "486 203.0.113.9:5060")[1]; "From: "+got.m.From().String() != tt.from {
					t.Errorf("the answer has From %s, want %s", got.m.From(), tt.from)
				}
				w.recv(caller, from(tt.from, "INVITE", "sip:alice@example.com", "c2", tt.extra...))
				out = w.expect("INVITE 198.51.100.1:5060")[0]
				if d := cmp.Diff(sorted(tt.phone...), identities(out.m)); d != "" {
					t.Errorf("toward a phone (-want +got):\n%s", d)
				}
				w.reply(out, 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}

func TestIdentity_FromOfAnotherUserIsRefused(t *testing.T) {
	tests := []struct {
		name, from string
		extra      string
		want       string
	}{
		{"own", ownFrom, "Subject: x", "INVITE 198.51.100.1:5060"},
		{"another of the own", `From: <sip:office@example.com>;tag=caller`, "Subject: x", "INVITE 198.51.100.1:5060"},
		{"another spelling", `From: <sips:%62ob@Example.COM:5061;x=y>;tag=caller`, "Subject: x", "INVITE 198.51.100.1:5060"},
		{"anonymous_RFC3323_4_1_1_3", anonFrom, "Subject: x", "INVITE 198.51.100.1:5060"},
		{"another user", `From: <sip:alice@example.com>;tag=caller`, "Subject: x", "403 203.0.113.9:5060"},
		{"another domain", `From: <sip:bob@example.net>;tag=caller`, "Subject: x", "403 203.0.113.9:5060"},
		{"a number", `From: <tel:+1555>;tag=caller`, "Subject: x", "403 203.0.113.9:5060"},
		{"the own number_RFC3966_5_1_1", `From: <tel:+1-(444).0;ext=1>;tag=caller`, "Subject: x", "INVITE 198.51.100.1:5060"},
		{"preferred of another_RFC3325_6", ownFrom, "P-Preferred-Identity: <sip:alice@example.com>", "403 203.0.113.9:5060"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.admit = asBob
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				w.recv(caller, from(tt.from, "INVITE", "sip:alice@example.com", "c1", tt.extra))
				if s := w.expect(tt.want)[0]; s.m.IsRequest() {
					w.reply(s, 200)
					w.expect("200 203.0.113.9:5060")
				}
			})
		})
	}
}

// The From of a request in a dialog is what the dialog began with: of a phone that
// was called, the name under which it was called.
func TestIdentity_FromInADialogIsTheDialogs_RFC3261_12_2_1_1(t *testing.T) {
	for _, policy := range []FromPolicy{RejectFrom, OverwriteFrom, AnyFrom} {
		inWorld(t, Options{Identity: Identity{From: policy}}, func(w *world) {
			w.admit = asBob
			p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
			w.register(p)
			called := `From: <sip:sales@example.com>;tag=caller`
			w.recv(caller, strings.Replace(midDialog("BYE", p.public(), "c1"), `From: "Bob" <sip:bob@example.net>;tag=caller`, called, 1))
			out := w.expect("BYE 198.51.100.1:5060")[0]
			if got := identities(out.m); !slices.Equal(got, []string{called}) {
				t.Errorf("sent %q, want %q", got, called)
			}
			w.reply(out, 200)
			w.expect("200 203.0.113.9:5060")
		})
	}
}

// What a peer asserts goes on, to phones only if the caller did not mind.
func TestIdentity_FromAPeer_RFC3325_7(t *testing.T) {
	asserted, party := `P-Asserted-Identity: "C" <sip:carol@elsewhere.example>, <tel:+15551234>`, "Remote-Party-ID: <sip:carol@elsewhere.example>"
	tests := []struct {
		name  string
		extra []string
		want  []string
	}{
		{"no privacy", []string{asserted, party}, []string{asserted, party}},
		{"Privacy: none_RFC3325_7", []string{asserted, "Privacy: none"}, []string{asserted, "Privacy: none"}},
		{"Privacy: id_RFC3325_7", []string{asserted, asserted, "Privacy: header;ID", party}, []string{"Privacy: header;ID"}},
		{"party wants privacy", []string{party + ";privacy=full", asserted}, []string{asserted}},
		{"party does not", []string{party + ";privacy=off"}, []string{party + ";privacy=off"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Routes: []Route{trunk()}}, func(w *world) {
				w.admit = func(*sipmsg.Message) Admission { return Admission{Trusted: true} }
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				line := "From: <sip:carol@elsewhere.example>;tag=caller"
				w.recv(caller, from(line, "INVITE", "sip:alice@example.com", "c1", tt.extra...))
				out := w.expect("INVITE 198.51.100.1:5060")[0]
				if d := cmp.Diff(sorted(append([]string{line}, tt.want...)...), identities(out.m)); d != "" {
					t.Errorf("toward a phone (-want +got):\n%s", d)
				}
				w.reply(out, 486)
				w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
				w.recv(caller, from(line, "INVITE", "sip:+1@pstn.example", "c2", tt.extra...))
				out = w.expect("INVITE 203.0.113.80:5060")[0]
				if d := cmp.Diff(sorted(append([]string{line}, tt.extra...)...), identities(out.m)); d != "" {
					t.Errorf("toward a peer (-want +got):\n%s", d)
				}
				w.reply(out, 486)
				w.expect("ACK 203.0.113.80:5060", "486 203.0.113.9:5060")
			})
		})
	}
}

// Responses: phones assert nothing, peers do.
func TestIdentity_OfResponses_RFC3325_5(t *testing.T) {
	inWorld(t, Options{Routes: []Route{trunk()}}, func(w *world) {
		w.admit = asBob
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		asserted := "P-Asserted-Identity: <sip:president@example.com>"
		w.recv(caller, from(ownFrom, "INVITE", "sip:alice@example.com", "c1"))
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 200, asserted)
		if got := w.expect("200 203.0.113.9:5060")[0]; got.m.Has(sipmsg.HdrPAssertedIdentity) {
			t.Errorf("a phone's assertion went on:\n%s", got.m.Raw())
		}
		w.recv(caller, from(ownFrom, "INVITE", "sip:+1@pstn.example", "c2"))
		out := w.expect("INVITE 203.0.113.80:5060")[0]
		w.reply(out, 180, asserted, "Privacy: id")
		if got := w.expect("180 203.0.113.9:5060")[0]; got.m.Has(sipmsg.HdrPAssertedIdentity) {
			t.Errorf("a private identity went to a phone:\n%s", got.m.Raw())
		}
		w.reply(out, 200, asserted)
		if got := w.expect("200 203.0.113.9:5060")[0]; !got.m.Has(sipmsg.HdrPAssertedIdentity) {
			t.Errorf("a peer's assertion did not go on:\n%s", got.m.Raw())
		}
	})
}

func TestIdentity_InDialog_RFC3325_5(t *testing.T) {
	inWorld(t, Options{Trusted: func(f flow.Flow) bool { return f.Remote.Addr() == netip.MustParseAddr("198.51.100.7") }}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 200)
		answer := w.expect("200 203.0.113.9:5060")[0].m
		asserted := "P-Asserted-Identity: <sip:x@example.com>"
		w.recv(caller, inDialogRequest("UPDATE", 2, answer, true, p.contact(), asserted))
		out := w.expect("UPDATE 198.51.100.1:5060")[0]
		if out.m.Has(sipmsg.HdrPAssertedIdentity) {
			t.Errorf("a stranger's assertion went on:\n%s", out.m.Raw())
		}
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
		p.flow = udp("198.51.100.7:5060")
		w.register(p)
		w.recv(p.flow, inDialogRequest("UPDATE", 3, answer, false, "sip:bob@203.0.113.9:5060", asserted))
		out = w.expect("UPDATE 203.0.113.9:5060")[0]
		if !out.m.Has(sipmsg.HdrPAssertedIdentity) {
			t.Errorf("a peer's assertion did not go on:\n%s", out.m.Raw())
		}
		w.reply(out, 200)
		w.expect("200 198.51.100.7:5060")
	})
}

func TestParseFromPolicy(t *testing.T) {
	for name, want := range map[string]FromPolicy{"reject": RejectFrom, "overwrite": OverwriteFrom, "any": AnyFrom} {
		if got, ok := ParseFromPolicy(name); !ok || got != want {
			t.Errorf("ParseFromPolicy(%q) = %v, %v, want %v", name, got, ok, want)
		}
	}
	if _, ok := ParseFromPolicy("none"); ok {
		t.Error("ParseFromPolicy took an unknown name")
	}
}
