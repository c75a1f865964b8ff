package registrar

import (
	"testing"
	"time"

	"reveille/usrloc"
)

// The tests of this file follow the identity of a device: a contact is the
// device of a stored binding by instance and reg-id, else by instance, else by
// its push token; what has neither is compared by RFC 3261 §19.1.4.

func TestApply_Identity(t *testing.T) {
	const (
		push1 = ";pn-provider=fcm;pn-param=proj;pn-prid=tok1"
		push2 = ";pn-provider=fcm;pn-param=proj;pn-prid=tok2"
		inst1 = `;+sip.instance="<urn:uuid:0000000a-0000-1000-8000-000a95a0e128>"`
		inst2 = `;+sip.instance="<urn:uuid:0000000b-0000-1000-8000-000a95a0e128>"`
	)
	tests := []struct {
		name   string
		first  string // registered first
		second string // registered after it, with another Call-ID
		same   bool   // one binding, with its identity kept
	}{
		// (a) instance and reg-id, if both have a reg-id.
		{"a: same instance and reg-id", "<sip:a@h1>" + inst1 + ";reg-id=1", "<sip:b@h2>" + inst1 + ";reg-id=1", true},
		{"a: same instance, other reg-id", "<sip:a@h1>" + inst1 + ";reg-id=1", "<sip:a@h1>" + inst1 + ";reg-id=2", false},
		{"a: other instance, same reg-id", "<sip:a@h1>" + inst1 + ";reg-id=1", "<sip:a@h1>" + inst2 + ";reg-id=1", false},
		{"a: reg-id without instance is none (RFC 5626 §6)", "<sip:a@h1>;reg-id=1", "<sip:a@h1>;reg-id=2", true},
		{"a: reg-id beyond its range is none (RFC 5626 §4.2)", "<sip:a@h1>" + inst1 + ";reg-id=2147483648", "<sip:a@h2>" + inst1 + ";reg-id=1", true},

		// (b) instance, if one of them has no reg-id.
		{"b: same instance", "<sip:a@h1>" + inst1, "<sip:b@h2:99>" + inst1, true},
		{"b: reg-id came", "<sip:a@h1>" + inst1, "<sip:a@h2>" + inst1 + ";reg-id=1", true},
		{"b: reg-id went", "<sip:a@h1>" + inst1 + ";reg-id=3", "<sip:a@h2>" + inst1, true},
		{"b: case of a UUID", "<sip:a@h1>" + inst1, `<sip:a@h2>;+sip.instance="<urn:UUID:0000000A-0000-1000-8000-000A95A0E128>"`, true},
		{"b: case of another URN", `<sip:a@h1>;+sip.instance="<urn:x:a>"`, `<sip:a@h2>;+sip.instance="<urn:x:A>"`, false},
		{"b: token rotated (RFC 8599 §4.1.3)", "<sip:a@h1" + push1 + ">" + inst1, "<sip:a@h1" + push2 + ">" + inst1, true},
		{"b: other service", "<sip:a@h1" + push1 + ">" + inst1, "<sip:a@h1;pn-provider=apns;pn-param=T.b;pn-prid=00>" + inst1, true},
		{"b: token given back", "<sip:a@h1" + push1 + ">" + inst1, "<sip:a@h2>" + inst1, true},
		{"b: query of a device that is registered", "<sip:a@h1" + push1 + ">" + inst1, "<sip:a@h2;pn-provider>" + inst1, true},
		{"b: two phones behind equal addresses", "<sip:a@192.168.1.2>" + inst1, "<sip:a@192.168.1.2>" + inst2, false},

		// (c) provider, param and PRID.
		{"c: new address", "<sip:a@h1" + push1 + ">", "<sip:b@h2:1024;transport=tcp" + push1 + ">", true},
		{"c: app re-installed", "<sip:a@h1" + push1 + ">" + inst1, "<sip:a@h2" + push1 + ">" + inst2, true},
		{"c: app re-installed, with reg-id", "<sip:a@h1" + push1 + ">" + inst1 + ";reg-id=1", "<sip:a@h2" + push1 + ">" + inst2 + ";reg-id=1", true},
		{"c: instance came", "<sip:a@h1" + push1 + ">", "<sip:a@h2" + push1 + ">" + inst1, true},
		{"c: decoded before compared", "<sip:a@h1;pn-provider=fcm;pn-param=p;pn-prid=a%3ab>", "<sip:a@h2;pn-prid=a:b;pn-param=p;pn-provider=fcm>", true},
		{"c: decoded once", "<sip:a@h1;pn-provider=fcm;pn-param=p;pn-prid=a%253ab>", "<sip:a@h2;pn-prid=a:b;pn-param=p;pn-provider=fcm>", false},
		{"c: case of the token is kept", "<sip:a@h1" + push1 + ">", "<sip:a@h2;pn-provider=fcm;pn-param=proj;pn-prid=TOK1>", false},
		{"c: case of the provider is not", "<sip:a@h1" + push1 + ">", "<sip:a@h2;pn-provider=FCM;pn-param=proj;pn-prid=tok1>", true},
		{"c: other param", "<sip:a@h1" + push1 + ">", "<sip:a@h2;pn-provider=fcm;pn-param=other;pn-prid=tok1>", false},
		{"c: other provider", "<sip:a@h1" + push1 + ">", "<sip:a@h2;pn-provider=acme;pn-param=proj;pn-prid=tok1>", false},
		{"c: patterns are no patterns", "<sip:a@h1" + push1 + ">", "<sip:a@h2;pn-provider=fcm;pn-param=proj;pn-prid=*>", false},
		{"c: two reg-ids of one instance (RFC 5626 §6)", "<sip:a@h1" + push1 + ">" + inst1 + ";reg-id=1", "<sip:a@h2" + push1 + ">" + inst1 + ";reg-id=2", false},
		{"c: service that we do not support", "<sip:a@h1;pn-provider=acme;pn-prid=t>", "<sip:a@h2;pn-provider=acme;pn-prid=t>", true},
		{"c: two queries", "<sip:a@h1;pn-provider=fcm;pn-param=p>", "<sip:a@h2;pn-provider=fcm;pn-param=p>", false},
		{"c: two empty queries", "<sip:a@h1;pn-provider>", "<sip:b@h1;pn-provider>", false},
		{"c: empty pn-prid", "<sip:a@h1;pn-provider=fcm;pn-prid=>", "<sip:a@h2;pn-provider=fcm;pn-prid=>", false},

		// The Contact URI, for what has neither instance nor token.
		{"uri: parameter in one only", "<sip:a@h1>", "<sip:a@h1;ob>", true},
		{"uri: transport in one only (RFC 3261 §19.1.4)", "<sip:a@h1>", "<sip:a@h1;transport=udp>", false},
		{"uri: port in one only (RFC 3261 §19.1.4)", "<sip:a@h1>", "<sip:a@h1:5060>", false},
		{"uri: case of the host", "<sip:a@h1>", "<sip:a@H1>", true},
		{"uri: case of the user", "<sip:a@h1>", "<sip:A@h1>", false},
		{"uri: headers count", "<sip:a@h1?Route=x>", "<sip:a@h1>", false},
		{"uri: parameters without brackets are the header's", "sip:a@h1;x=1", "<sip:a@h1;x=2>", true},
		{"uri: instance came", "<sip:a@h1>", "<sip:a@h1>" + inst1, true},
		{"uri: instance went", "<sip:a@h1>" + inst1, "<sip:a@h1>", true},
		{"uri: not compared with a reg-id (RFC 5626 §6)", "<sip:a@h1>", "<sip:a@h1>" + inst1 + ";reg-id=1", false},
		{"uri: other schemes", "<mailto:a@h1>", "<MAILTO:a@h1>", true},

		// RFC 8599 without an instance.
		{"§4.1.1: token rotated", "<sip:a@h1" + push1 + ">", "<sip:a@h1" + push2 + ">", true},
		{"§4.1.1: token rotated and address changed", "<sip:a@h1" + push1 + ">", "<sip:a@h1:99" + push2 + ">", false},
		{"§4.1.1: another app at that address", "<sip:a@h1" + push1 + ">", "<sip:a@h1;pn-provider=fcm;pn-param=other;pn-prid=tok2>", false},
		{"§4.1.5: registers after a query", "<sip:a@h1;pn-provider>", "<sip:a@h1" + push1 + ">", true},
		{"§4.1.5: registers after a query for another service", "<sip:a@h1;pn-provider=apns>", "<sip:a@h1" + push1 + ">", true},
		{"§4.1.5: asks again", "<sip:a@h1;pn-provider>", "<sip:a@h1;pn-provider=apns>", true},
		{"§4.1.5: a query never takes a token away", "<sip:a@h1" + push1 + ">", "<sip:a@h1;pn-provider>", false},
		{"§4.1.2: token given back", "<sip:a@h1" + push1 + ">", "<sip:a@h1>", true},
		{"§4.1.2: token given back, service named", "<sip:a@h1" + push1 + ">", "<sip:a@h1;pn-provider=fcm>", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRegister("one", 1, tt.first)
			id := w.only().ID
			w.after(time.Second)
			w.mustRegister("two", 1, tt.second)
			if !tt.same {
				if len(w.rec.Bindings) != 2 || w.rec.Bindings[0].ID != id {
					t.Errorf("want two devices, have %q", w.contacts())
				}
				return
			}
			b := w.only()
			if b.ID != id {
				t.Error("the device lost its identity")
			}
			if c := w.contact(tt.second); b.Contact != c.URI || b.Instance != c.Instance || !b.Updated.Equal(w.now) || !b.Created.Equal(birthday) {
				t.Errorf("the binding was not updated: %+v", b)
			}
		})
	}
}

func TestApply_RemovalFindsDevice_RFC8599_4_1_2(t *testing.T) {
	// A phone that disables push or leaves removes its binding without pn-prid.
	for _, stored := range []string{
		"<sip:a@h1;pn-provider=fcm;pn-param=p;pn-prid=tok>",
		`<sip:a@h1;pn-provider=fcm;pn-param=p;pn-prid=tok>;+sip.instance="<urn:x>"`,
	} {
		for _, removal := range []string{
			"<sip:a@h1>;expires=0",
			"<sip:a@h1;pn-provider=fcm>;expires=0",
			"<sip:a@h1;pn-provider=fcm;pn-param=p>;expires=0",
			"<sip:a@h1;pn-provider>;expires=0",
			`<sip:a@elsewhere;pn-provider=fcm;pn-param=p;pn-prid=tok>;expires=0`,
		} {
			w := newWorld(t)
			w.mustRegister("one", 1, stored)
			if res := w.mustRegister("one", 2, removal); len(res.Caps) != 0 {
				t.Errorf("%s: announced %v", removal, res.Caps)
			}
			if len(w.rec.Bindings) != 0 {
				t.Errorf("%s did not remove %s", removal, stored)
			}
		}
	}
}

func TestApply_TokenGivenBack_RFC8599_4_1_2(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 1, `<sip:a@h1;pn-provider=fcm;pn-param=p;pn-prid=tok>;+sip.instance="<urn:x>"`)
	if b := w.only(); b.Push.PRID != "tok" || b.RefreshAt.IsZero() {
		t.Fatalf("not a push binding: %+v", b)
	}
	res := w.mustRegister("one", 2, `<sip:a@h1>;+sip.instance="<urn:x>"`)
	if b := w.only(); !b.Push.IsZero() || !b.RefreshAt.IsZero() || len(res.Caps) != 0 {
		t.Errorf("push data kept: %+v, announced %v", b, res.Caps)
	}
}

func TestApply_MergesWhatBecameOneDevice(t *testing.T) {
	const (
		push = ";pn-provider=fcm;pn-param=p;pn-prid=tok"
		x, y = `;+sip.instance="<urn:x>"`, `;+sip.instance="<urn:y>"`
	)
	tests := []struct {
		name   string
		stored []string
		last   string
		keeps  int // index of the stored contact whose identity lives on
		left   int
	}{
		{"instance before token", []string{"<sip:1@h" + push + ">" + y, "<sip:2@h>" + x}, "<sip:3@h" + push + ">" + x, 1, 1},
		{"both flows of a re-installed app", []string{"<sip:1@h" + push + ">" + x + ";reg-id=1", "<sip:2@h" + push + ">" + x + ";reg-id=2"}, "<sip:3@h" + push + ">" + y, 1, 1},
		{"outbound given up", []string{"<sip:1@h>" + x + ";reg-id=1", "<sip:2@h>" + x + ";reg-id=2"}, "<sip:3@h>" + x, 1, 1},
		{"one flow of two", []string{"<sip:1@h>" + x + ";reg-id=1", "<sip:2@h>" + x + ";reg-id=2"}, "<sip:3@h>" + x + ";reg-id=1", 0, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			for i, c := range tt.stored {
				w.mustRegister("one", uint32(i+1), c)
				w.after(time.Second)
			}
			keeps := w.rec.Bindings[tt.keeps].ID
			res := w.mustRegister("two", 1, tt.last)
			if len(w.rec.Bindings) != tt.left || w.rec.Find(keeps) == nil || res.Carried[0] != keeps {
				t.Errorf("left %q, carried %v, want %v", w.contacts(), res.Carried, keeps)
			}
		})
	}
}

func TestApply_OneRequestOneDevice(t *testing.T) {
	const x = `;+sip.instance="<urn:x>"`
	tests := []struct {
		name     string
		contacts []string
		want     string
	}{
		{"old goes, new comes", []string{"<sip:old@h>;expires=0" + x, "<sip:new@h>" + x}, "sip:new@h"},
		{"new comes, old goes", []string{"<sip:new@h>" + x, "<sip:old@h>;expires=0" + x}, "sip:new@h"},
		{"two transports: the last counts", []string{"<sip:new@h;transport=tcp>" + x, "<sip:new@h>" + x}, "sip:new@h"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRegister("one", 1, "<sip:old@h>"+x)
			id := w.only().ID
			w.mustRegister("one", 2, tt.contacts...)
			if b := w.only(); b.Contact != tt.want || b.ID != id {
				t.Errorf("binding %s %s, want %s %s", b.ID, b.Contact, id, tt.want)
			}
		})
	}
}

func TestApply_MatchModes(t *testing.T) {
	tests := []struct {
		name   string
		match  Match
		callID string
		second string
		same   bool
	}{
		{"contact", MatchURI, "two", "<sip:a@h1>", true},
		{"contact and Call-ID", MatchURICallID, "one", "<sip:a@h1>", true},
		{"contact and another Call-ID", MatchURICallID, "two", "<sip:a@h1>", false},
		{"another contact and Call-ID", MatchURICallID, "one", "<sip:b@h1>", false},
		{"parameter", MatchParameter, "two", "<sip:b@h2;rinstance=1>", true},
		{"another parameter", MatchParameter, "two", "<sip:a@h1;rinstance=2>", false},
		{"no parameter: contact", MatchParameter, "two", "<sip:a@h1>", true},
		{"no parameter: another contact", MatchParameter, "two", "<sip:b@h1>", false},
		{"a push device is matched as ever", MatchURICallID, "two", "<sip:a@h1;pn-provider=fcm;pn-param=p;pn-prid=tok>", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(p *Policy) { p.Match, p.MatchParam = tt.match, "rinstance" })
			w.mustRegister("one", 1, "<sip:a@h1;rinstance=1>")
			w.mustRegister(tt.callID, 2, tt.second)
			if got := len(w.rec.Bindings) == 1; got != tt.same {
				t.Errorf("bindings %q", w.contacts())
			}
		})
	}
}

func TestApply_DeadTokenIsStillTheDevice(t *testing.T) {
	// The server took the token out of the binding; the phone does not know.
	w := newWorld(t)
	w.mustRegister("one", 1, "<sip:a@h1;pn-provider=fcm;pn-param=p;pn-prid=tok>")
	b := *w.only()
	b.Push.PRID = ""
	w.rec.Bindings = []usrloc.Binding{b}
	w.mustRegister("two", 1, "<sip:a@h2;pn-provider=fcm;pn-param=p;pn-prid=tok>")
	if got := w.only(); got.ID != b.ID || got.Push.PRID != "tok" {
		t.Errorf("binding %+v", got)
	}
}

func TestApply_RegIDOutOfRange_RFC5626_4_2(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 1, `<sip:a@h1>;+sip.instance="<urn:x>";reg-id=1`)
	in := w.input("two", 1, `<sip:a@h2>;+sip.instance="<urn:x>"`)
	in.Contacts[0].RegID = 1 << 31
	if _, err := w.apply(in); err != nil {
		t.Fatal(err)
	}
	if b := w.only(); b.RegID != 0 {
		t.Errorf("reg-id %d stored", b.RegID)
	}
}
