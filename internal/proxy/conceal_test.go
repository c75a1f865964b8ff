package proxy

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
)

func TestConceal_PushDataOfEveryContact_RFC8599_13(t *testing.T) {
	tests := []struct {
		name, contacts string
		want           string
	}{
		{"none: byte for byte", "m :  <sip:a@192.0.2.9>  ;q=0.5", "m :  <sip:a@192.0.2.9>  ;q=0.5"},
		{"one", "Contact: <sip:a@192.0.2.9;pn-provider=fcm;pn-param=p;pn-prid=secret;ob>;q=0.5", "Contact: <sip:a@192.0.2.9;ob>;q=0.5"},
		{"compact", "m: <sip:a@192.0.2.9;pn-prid=secret>", "Contact: <sip:a@192.0.2.9>"},
		{"pn-param alone", "m: <sip:a@192.0.2.9;pn-param=secret>", "Contact: <sip:a@192.0.2.9>"},
		{"upper case", "Contact: <sip:a@192.0.2.9;PN-PRID=secret>", "Contact: <sip:a@192.0.2.9>"},
		{"escaped name", "Contact: <sip:a@192.0.2.9;%70n-prid=secret>", "Contact: <sip:a@192.0.2.9>"},
		{"no brackets", "Contact: sip:a@192.0.2.9;pn-prid=secret;q=1", "Contact: <sip:a@192.0.2.9>;q=1"},
		{"display name", `Contact: "A, \"B\" \\" <sip:a@192.0.2.9;pn-prid=secret>`, `Contact: "A, \"B\" \\" <sip:a@192.0.2.9>`},
		{"PURR stays", "Contact: <sip:a@192.0.2.9;pn-purr=x;pn-prid=secret>", "Contact: <sip:a@192.0.2.9;pn-purr=x>"},
		{"what apps add", "Contact: <sip:a@192.0.2.9;pn-prid=secret;pn-call-str=IC;pn-timeout=0;pn-silent=1;ob>", "Contact: <sip:a@192.0.2.9;ob>"},
		{"older names", "Contact: <sip:a@192.0.2.9;app-id=x;pn-type=google;pn-tok=secret>;q=1", "Contact: <sip:a@192.0.2.9;app-id=x>;q=1"},
		{"a configured name", "Contact: <sip:a@192.0.2.9;Token=secret>;token=secret", "Contact: <sip:a@192.0.2.9>"},
		{
			"several, on two lines", "Contact: <sip:a@192.0.2.9;pn-prid=secret>, <sip:b@192.0.2.8>\nContact: \"C\" <sip:c@192.0.2.7;pn-prid=secret>",
			"Contact: <sip:a@192.0.2.9>\nContact: <sip:b@192.0.2.8>\nContact: \"C\" <sip:c@192.0.2.7>",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "SIP/2.0 302 Moved\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\nFrom: <sip:x@y>;tag=1\nTo: <sip:a@b>;tag=2\nCall-ID: c\nCSeq: 1 INVITE\n" +
				tt.contacts + "\nContent-Length: 0\n\n"
			m, err := sipmsg.Parse([]byte(strings.ReplaceAll(text, "\n", "\r\n")), netip.AddrPort{})
			if err != nil {
				t.Fatal(err)
			}
			e := m.Edit()
			concealPush(m, e, []string{"token"})
			got := strings.ReplaceAll(string(e.Bytes()), "\r\n", "\n")
			if want := strings.Replace(text, tt.contacts, tt.want, 1); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if _, err := sipmsg.Parse([]byte(strings.ReplaceAll(got, "\n", "\r\n")), netip.AddrPort{}); err != nil {
				t.Errorf("the result does not parse: %v", err)
			}
		})
	}
}

// Where a phone says by which way a call has come, it may name itself as it registered.
func TestConceal_PushDataOfTheWay_RFC8599_13(t *testing.T) {
	tests := []struct{ name, lines, want string }{
		{"none: byte for byte", "History-Info :  <sip:a@b> ;index=1 , <sip:c@d>;index=1.1", "History-Info :  <sip:a@b> ;index=1 , <sip:c@d>;index=1.1"},
		{
			"one of two, in order", "History-Info: <sip:a@192.0.2.9;pn-prid=secret;ob?Reason=SIP%3Bcause%3D302>;index=1, <sip:c@d>;index=1.1",
			"History-Info: <sip:a@192.0.2.9;ob?Reason=SIP%3Bcause%3D302>;index=1\nHistory-Info: <sip:c@d>;index=1.1",
		},
		{"Diversion", `Diversion: "A" <sip:a@192.0.2.9;pn-provider=fcm;pn-prid=secret>;reason=no-answer`, `Diversion: "A" <sip:a@192.0.2.9>;reason=no-answer`},
		{"no brackets", "Diversion: sip:a@192.0.2.9;pn-prid=secret;reason=no-answer", "Diversion: <sip:a@192.0.2.9>;reason=no-answer"},
		{"a configured name", "Diversion: <sip:a@192.0.2.9;token=secret>", "Diversion: <sip:a@192.0.2.9>"},
		{"what cannot be read is taken out", "History-Info: <sip:a@b>;index=1, <sip:a@192.0.2.9;%70n-prid=secret;index=1.1", "History-Info: <sip:a@b>;index=1"},
		{"what cannot be read and says nothing stays", "History-Info: <sip:a@b;index=1", "History-Info: <sip:a@b;index=1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{PushParams: []string{"token"}}, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				w.invite(tt.lines)
				out := w.expect("INVITE 198.51.100.1:5060")[0]
				if got := strings.ReplaceAll(out.m.Raw(), "\r\n", "\n"); !strings.Contains(got, "\n"+tt.want+"\n") || strings.Contains(got, "secret") {
					t.Errorf("the phone gets\n%s, want\n%s", got, tt.want)
				}
				// And back, as RFC 7044 §9.3 has phones do.
				w.reply(out, 302, tt.lines, "Contact: <sip:x@192.0.2.9>")
				back := w.expect("ACK 198.51.100.1:5060", "302 203.0.113.9:5060")[1]
				if got := strings.ReplaceAll(back.m.Raw(), "\r\n", "\n"); !strings.Contains(got, "\n"+tt.want+"\n") || strings.Contains(got, "secret") {
					t.Errorf("the caller gets\n%s, want\n%s", got, tt.want)
				}
			})
		})
	}
}

// A phone that has somebody call it may name itself as it registered. What makes such a
// call find it (RFC 8599 §7) stays.
func TestConceal_PushDataOfReferences_RFC8599_13(t *testing.T) {
	tests := []struct{ name, lines, want string }{
		{"none: byte for byte", "r :  <sip:a@b;pn-purr=x?Replaces=c%3Bto-tag%3D1>\nb: <sip:c@d> ;cid=\"1@x\"", "r :  <sip:a@b;pn-purr=x?Replaces=c%3Bto-tag%3D1>\nb: <sip:c@d> ;cid=\"1@x\""},
		{
			"to itself", "Refer-To: <sip:a@192.0.2.9;pn-provider=fcm;pn-prid=secret;pn-purr=x;ob?Replaces=c%3Bto-tag%3D1>",
			"Refer-To: <sip:a@192.0.2.9;pn-purr=x;ob?Replaces=c%3Bto-tag%3D1>",
		},
		{"compact", "r: <sip:a@192.0.2.9;pn-prid=secret>", "Refer-To: <sip:a@192.0.2.9>"},
		{"by itself", "Refer-To: <sip:a@b>\nReferred-By: \"A\" <sip:a@192.0.2.9;token=secret>;cid=\"1@x\"", "Refer-To: <sip:a@b>\nReferred-By: \"A\" <sip:a@192.0.2.9>;cid=\"1@x\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{PushParams: []string{"token"}}, func(w *world) {
				w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
				w.recv(caller, request("REFER", "sip:alice@example.com", "r1", "Contact: <sip:bob@203.0.113.9:5060>", tt.lines))
				out := w.expect("REFER 198.51.100.1:5060")[0]
				if got := strings.ReplaceAll(out.m.Raw(), "\r\n", "\n"); !strings.Contains(got, "\n"+tt.want+"\n") || strings.Contains(got, "secret") {
					t.Errorf("the phone gets\n%s, want\n%s", got, tt.want)
				}
				w.reply(out, 603)
				w.expect("603 203.0.113.9:5060")
			})
		})
	}
}

func TestConceal_RedirectTellsTheCallerNoToken_RFC8599_13(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), "fcm"))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 302, "Contact: <sip:x@192.0.2.9;pn-prid=secret>, <sip:y@192.0.2.9;pn-prid=secret>")
		got := w.expect("ACK 198.51.100.1:5060", "302 203.0.113.9:5060")[1]
		if strings.Contains(got.m.Raw(), "secret") || len(got.m.Contacts()) != 2 {
			t.Errorf("redirect:\n%s", got.m.Raw())
		}
	})
}

func TestConceal_RequestURIOfADialog_RFC8599_13(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		ok := w.call(p, "c1")
		w.recv(p.flow, inDialogRequest("BYE", 2, ok, false, "sip:bob@203.0.113.9;pn-prid=secret;ob"))
		if uri := w.expect("BYE 203.0.113.9:5060")[0].m.RequestURI().String(); uri != "sip:bob@203.0.113.9;ob" {
			t.Errorf("Request-URI = %s", uri)
		}
	})
}

func TestRealmOf(t *testing.T) {
	tests := []struct{ credentials, want string }{
		{`Digest username="bob", realm="example.com"`, "example.com"},
		{`Digest REALM = "example.com" ,nonce="x"`, "example.com"},
		{"Digest\r\n username=\"bob\",\r\n realm=\"example.com\"", "example.com"},
		{`Digest opaque=", realm=\"evil\"", realm="example.com"`, "example.com"},
		{`Digest username="bob"`, ""},
		{`Bearer abc`, ""},
		{`Digest`, ""},
		{`Digest realm="never closed`, ""},
		{`Digest x="\`, ""},
		{"", ""},
	}
	for _, tt := range tests {
		if got := realmOf(tt.credentials); got != tt.want {
			t.Errorf("realmOf(%q) = %q, want %q", tt.credentials, got, tt.want)
		}
	}
}

func TestResponse_LengthOnAStream_RFC3261_18_3(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		from := tcp("203.0.113.9:5060", 9)
		w.recv(from, strings.Replace(request("INVITE", "sip:alice@example.com", "c1"), "/UDP", "/TCP", 1))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		for _, status := range []int{180, 486} {
			w.recv(out.flow, strings.Replace(response(out.m, status), "Content-Length: 0\n\n", "\nbody", 1))
			for _, s := range w.take() {
				if v, has := s.m.HeaderNamed("Content-Length"); s.flow == from && (!has || v != "4") {
					t.Errorf("%d over TCP has Content-Length %q:\n%s", status, v, s.m.Raw())
				}
			}
		}
	})
}

func TestRequest_RefusalCostsNoMemory(t *testing.T) {
	for _, m := range []string{
		strings.Replace(request("INVITE", "sip:alice@example.com", "x"), "\nCall-ID", ";tag=forged\nCall-ID", 1),
		request("INVITE", "sip:alice@example.com", "x", "Route: <sip:203.0.113.50;lr>"),
		request("INVITE", "tel:+1555", "x"),
		request("INVITE", "sip:example.com", "x"),
		request("OPTIONS", "sip:example.com", "x"),
	} {
		inWorld(t, Options{}, func(w *world) {
			w.recv(caller, m)
			first := w.one()
			// A kept transaction would repeat the answer to an INVITE by Timer G.
			time.Sleep(10 * time.Second)
			w.expect()
			w.recv(caller, m)
			if again := w.one(); again.m.Raw() != first.m.Raw() {
				t.Errorf("a copy got another answer:\n%s\n%s", first.m.Raw(), again.m.Raw())
			}
		})
	}
}

func TestRequest_OwnAddressInAnotherSpelling(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		for i, host := range []string{"[2001:db8:0:0:0:0:0:1]", "[2001:db8::1]:5060", "192.0.2.1", "192.0.2.1:443", "EXAMPLE.com."} {
			w.recv(caller, request("INVITE", "sip:alice@"+host, "x"+string(rune('a'+i))))
			w.expect("INVITE 198.51.100.1:5060")
		}
	})
}

func TestRequest_LoopThroughOurselvesIsFoundAtOnce_RFC5393_4_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		// It came back to us without anybody in between, to the AOR again.
		back := strings.Replace(out.m.Raw(), "INVITE "+out.m.RequestURI().String(), "INVITE sip:alice@example.com", 1)
		w.recv(udp("192.0.2.1:5060"), strings.ReplaceAll(back, "\r\n", "\n"))
		w.expect("482 192.0.2.1:5060")
	})
}
