package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/purr"
	"reveille/usrloc"
)

// What leaves differs from what came in only where it must (RFC 3261 §16.6).
func TestForward_OnlyWhatMustChange_RFC3261_16_6(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, `
INVITE sip:alice@example.com SIP/2.0
v: SIP/2.0/UDP 203.0.113.9:5060 ;branch=z9hG4bKodd;rport , SIP/2.0/TCP inner.example;branch=z9hG4bK2
X-Odd:   kept  as   it is
f: "B, \"ob" <sip:bob@example.net>  ; tag = caller
t: <sip:alice@example.com>
i: c1
CSeq: 7   INVITE
Max-Forwards: 12
m: <sip:bob@203.0.113.9:5060>;+foo="a,b"
Subject: one
 two
k: timer, 100rel
l: 3

abc`)
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		got := strings.Split(strings.ReplaceAll(out.m.Raw(), "\r\n", "\n"), "\n")
		for i, line := range got {
			if strings.HasPrefix(line, "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK") {
				got[i] = "Via: ours"
			}
			if strings.HasPrefix(line, "Record-Route: <sip:") && strings.HasSuffix(line, "@192.0.2.1:5060;lr>") {
				got[i] = "Record-Route: ours"
			}
		}
		want := strings.Split(`INVITE sip:alice@198.51.100.1:5060 SIP/2.0
Via: ours
v: SIP/2.0/UDP 203.0.113.9:5060 ;branch=z9hG4bKodd;rport=5060;received=203.0.113.9, SIP/2.0/TCP inner.example;branch=z9hG4bK2
Record-Route: ours
X-Odd:   kept  as   it is
f: "B, \"ob" <sip:bob@example.net>  ; tag = caller
t: <sip:alice@example.com>
i: c1
CSeq: 7   INVITE
Max-Forwards: 11
m: <sip:bob@203.0.113.9:5060>;+foo="a,b"
Subject: one
 two
k: timer, 100rel
l: 3
Max-Breadth: 45

abc`, "\n")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("forwarded message (-want +got):\n%s", d)
		}
	})
}

func TestForward_PathBecomesRoute_RFC3327_5_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.9:5060"), "")
		p.path = []string{"<sip:edge1.example;lr>", "<sip:edge2.example;lr>"}
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.9:5060")[0]
		var got []string
		for _, r := range out.m.Routes() {
			got = append(got, r.String())
		}
		if d := cmp.Diff(p.path, got); d != "" {
			t.Errorf("Route (-want +got):\n%s", d)
		}
		w.reply(out, 486)
		w.expect("ACK 198.51.100.9:5060", "486 203.0.113.9:5060")
	})
}

func TestRequestURI_WithoutPushDataAndHeaders_RFC3261_16_6(t *testing.T) {
	got := requestURI("sip:alice@198.51.100.1:5060;transport=tcp;pn-provider=fcm;pn-prid=x;PN-Param=y;token=z;method=INVITE?Subject=z", []string{"token"})
	if want := "sip:alice@198.51.100.1:5060;transport=tcp"; got != want {
		t.Errorf("requestURI = %s, want %s", got, want)
	}
}

func TestToken_RoundTripAndDirections(t *testing.T) {
	keys := purr.Generate(time.Now())
	in := token{
		dialog: dialogID("call", "from"),
		caller: leg{flow: udp("203.0.113.9:5060")},
		callee: leg{binding: [16]byte{1, 2, 3}, flow: tcp("[2001:db8::1]:40000", 77)},
	}
	out, err := openToken(keys, in.seal(keys))
	if err != nil || *out != in {
		t.Fatalf("openToken = %+v, %v, want %+v", out, err, in)
	}
	tests := []struct {
		name, callID, fromTag, toTag string
		to                           leg
		ok                           bool
	}{
		{"caller's request", "call", "from", "to", in.callee, true},
		{"callee's request", "call", "to", "from", in.caller, true},
		{"another dialog", "other", "from", "to", leg{}, false},
		{"other tags", "call", "x", "y", leg{}, false},
		{"no tag at all", "call", "", "", leg{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			to, ok := out.destination(tt.callID, tt.fromTag, tt.toTag)
			if to != tt.to || ok != tt.ok {
				t.Errorf("destination = %v %t, want %v %t", to, ok, tt.to, tt.ok)
			}
		})
	}
	if _, err := openToken(keys, keys.Mint([16]byte{1})); err == nil {
		t.Error("a PURR opened as a Record-Route token")
	}
	if _, err := openToken(purr.Generate(time.Now()), in.seal(keys)); err == nil {
		t.Error("a token of another keyring opened")
	}
}

func FuzzToken(f *testing.F) {
	keys := purr.Generate(time.Now())
	good := token{caller: leg{flow: udp("203.0.113.9:5060")}, callee: leg{binding: [16]byte{9}, flow: tcp("192.0.2.3:1", 2)}}
	plain, err := keys.Unseal(purr.RecordRoute, good.seal(keys))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte{tokenVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 512 {
			return
		}
		// Whatever a key of ours sealed: what opens is sealed and opened again
		// without loss.
		tok, err := openToken(keys, keys.Seal(purr.RecordRoute, b))
		if err != nil {
			return
		}
		again, err := openToken(keys, tok.seal(keys))
		if err != nil || *again != *tok {
			t.Errorf("%+v came back as %+v, %v", tok, again, err)
		}
	})
}

func TestBest_Ranking_RFC3261_16_7_6(t *testing.T) {
	phone := func(code int) final { return final{code: code, message: new(sipmsg.Message)} }
	tests := []struct {
		name         string
		finals       []final
		want         int
		upstream     int
		upstreamNonI int
	}{
		{"6xx beats all", []final{phone(486), phone(603), phone(302)}, 603, 603, 603},
		{"lowest class", []final{phone(500), phone(486), phone(302)}, 302, 302, 302},
		{"authentication first", []final{phone(404), phone(407), phone(486)}, 407, 407, 407},
		{"a phone's word beats ours", []final{{code: 480}, phone(486)}, 486, 486, 486},
		{"503 last of its class", []final{phone(503), phone(504)}, 504, 504, 504},
		{"lone 503", []final{phone(503)}, 503, 500, 500},
		{"408 only for INVITE", []final{phone(408)}, 408, 408, 480},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var best final
			for _, f := range tt.finals {
				if f.better(best) {
					best = f
				}
			}
			if best.code != tt.want || best.status(true) != tt.upstream || best.status(false) != tt.upstreamNonI {
				t.Errorf("best %d, upstream %d and %d, want %d, %d and %d", best.code, best.status(true), best.status(false), tt.want, tt.upstream, tt.upstreamNonI)
			}
		})
	}
}

func TestHostPort(t *testing.T) {
	tests := []struct {
		host string
		port uint16
		want string
	}{
		{"sip.example.com", 0, "sip.example.com"},
		{"192.0.2.1", 5060, "192.0.2.1:5060"},
		{"2001:db8::1", 5060, "[2001:db8::1]:5060"},
		{"2001:db8::1", 0, "[2001:db8::1]"},
		{"[2001:db8::1]", 5062, "[2001:db8::1]:5062"},
	}
	for _, tt := range tests {
		if got := string(appendHostPort(nil, tt.host, tt.port)); got != tt.want {
			t.Errorf("appendHostPort(%q, %d) = %s, want %s", tt.host, tt.port, got, tt.want)
		}
	}
}

func TestRecordRoute_TransportParameter_RFC7118_5(t *testing.T) {
	p := &Proxy{}
	p.options.Store(&Options{Flows: &world{}})
	for tp, want := range map[flow.Transport]string{
		flow.UDP: "<sip:t@192.0.2.1:5060;lr>", flow.TCP: "<sip:t@192.0.2.1:5060;transport=tcp;lr>",
		flow.WSS: "<sip:t@192.0.2.1:443;transport=ws;lr>",
	} {
		if got := p.recordRoute("t", flow.Flow{Transport: tp}, false); got != want {
			t.Errorf("recordRoute over %s = %s, want %s", tp, got, want)
		}
	}
}

func TestContactFlow_RFC3261_16_6(t *testing.T) {
	tests := []struct {
		name, contact string
		from          flow.Flow
		push, want    string
	}{
		{"same address", "sip:a@198.51.100.1:5060", udp("198.51.100.1:5060"), "", "198.51.100.1:5060"},
		{"another port of the same host", "sip:a@198.51.100.1:5990", udp("198.51.100.1:40000"), "", "198.51.100.1:5990"},
		{"default port", "sip:a@198.51.100.1", udp("198.51.100.1:40000"), "", "198.51.100.1:5060"},
		{"behind a NAT", "sip:a@10.0.0.7:5060", udp("198.51.100.1:40000"), "", "198.51.100.1:40000"},
		{"a name", "sip:a@phone.example:5060", udp("198.51.100.1:40000"), "", "198.51.100.1:40000"},
		{"another transport", "sip:a@198.51.100.1:5990;transport=tcp", udp("198.51.100.1:40000"), "", "198.51.100.1:40000"},
		{"a phone that sleeps", "sip:a@198.51.100.1:5990", udp("198.51.100.1:40000"), "fcm", "198.51.100.1:40000"},
		{"a connection", "sip:a@198.51.100.1:5990", tcp("198.51.100.1:40000", 1), "", "198.51.100.1:40000"},
		{"no URI at all", "a@b", udp("198.51.100.1:40000"), "", "198.51.100.1:40000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := usrloc.Binding{Contact: tt.contact, Flow: tt.from, Push: usrloc.Push{Provider: tt.push}}
			got := contactFlow(&b)
			if got.Remote.String() != tt.want || got.Listener != tt.from.Listener {
				t.Errorf("contactFlow = %s, want %s on the same listener", got, tt.want)
			}
		})
	}
}
