package registrar

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reveille/usrloc"
)

func TestApply_NewBinding_RFC3261_10_3_7(t *testing.T) {
	w := newWorld(t)
	in := w.input("call-1", 7, `"Alice" <sip:alice@192.0.2.1;transport=tcp?Route=x>;methods="INVITE, BYE";q=0.7;expires=600;audio`)
	in.UserAgent, in.Path = strings.Repeat("u", 200), []string{"<sip:edge.example.com;lr>"}
	res, err := w.apply(in)
	if err != nil {
		t.Fatal(err)
	}
	want := usrloc.Binding{
		ID:      in.Contacts[0].ID,
		Contact: "sip:alice@192.0.2.1;transport=tcp?Route=x",
		Params:  `;methods="INVITE, BYE";audio`,
		Q:       700,
		CallID:  "call-1", CSeq: 7,
		Created: birthday, Updated: birthday,
		Expires: birthday.Add(600 * time.Second), RetainUntil: birthday.Add(600 * time.Second),
		Flow: in.Flow, Path: in.Path, UserAgent: strings.Repeat("u", 128),
	}
	if d := cmp.Diff(want, *w.only(), cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
		t.Errorf("binding (-want +got):\n%s", d)
	}
	if !slices.Equal(res.Carried, []usrloc.BindingID{want.ID}) || res.Fetch || res.Retransmission {
		t.Errorf("result %+v", res)
	}
	if w.rec.Cause != usrloc.CauseRegister {
		t.Errorf("cause %v", w.rec.Cause)
	}
}

func TestApply_Refresh_RFC3261_10_3_7(t *testing.T) {
	tests := []struct {
		name   string
		callID string
		cseq   uint32
		uri    string
		status int // 0: accepted
	}{
		{name: "same Call-ID, higher CSeq", callID: "one", cseq: 11, uri: "sip:alice@192.0.2.1"},
		{name: "same Call-ID, lower CSeq", callID: "one", cseq: 9, uri: "sip:alice@192.0.2.1", status: 500},
		{name: "same Call-ID, equal CSeq, other content", callID: "one", cseq: 10, uri: "sip:ALICE.invalid;x=1", status: 0},
		{name: "other Call-ID, lower CSeq", callID: "two", cseq: 1, uri: "sip:alice@192.0.2.1"},
		{name: "other spelling of the same URI", callID: "one", cseq: 11, uri: "sip:%61lice@192.0.2.1;x=y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRegister("one", 10, "<sip:alice@192.0.2.1>;expires=3600")
			id := w.only().ID
			w.after(time.Minute)
			_, err := w.register(tt.callID, tt.cseq, "<"+tt.uri+">;expires=3600")
			if tt.status != 0 {
				wantRefusal(t, err, tt.status)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(tt.uri, "invalid") {
				// Another contact: the CSeq rule is about the binding it matches.
				w.want("sip:alice@192.0.2.1", tt.uri)
				return
			}
			b := w.only()
			if b.ID != id || b.Contact != tt.uri || b.CallID != tt.callID || b.CSeq != tt.cseq ||
				!b.Updated.Equal(w.now) || !b.Created.Equal(birthday) || !b.Expires.Equal(w.now.Add(time.Hour)) {
				t.Errorf("binding %+v", b)
			}
		})
	}
}

func TestApply_StaleCSeqStatus_RFC3261_10_3_7(t *testing.T) {
	w := newWorld(t, func(p *Policy) { p.StaleStatus = 400 })
	w.mustRegister("one", 10, "<sip:alice@192.0.2.1>")
	_, err := w.register("one", 9, "<sip:alice@192.0.2.1>")
	wantRefusal(t, err, 400)
}

func TestApply_StaleCSeqOfExpiredBindingDoesNotCount(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 10, "<sip:alice@192.0.2.1>;expires=60")
	w.after(2 * time.Minute)
	w.mustRegister("one", 9, "<sip:alice@192.0.2.1>;expires=60")
	if b := w.only(); b.CSeq != 9 {
		t.Errorf("CSeq %d, want 9", b.CSeq)
	}
}

func TestApply_Retransmission(t *testing.T) {
	const phone = "<sip:alice@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=tok>;q=0.5;expires=3600"
	tests := []struct {
		name    string
		change  func(*Input)
		refused int
	}{
		{name: "the same again", change: func(*Input) {}},
		{name: "other lifetime is not seen in the binding", change: func(in *Input) { in.Contacts[0].Expires.Seconds = 1800 }},
		{name: "other parameters", change: func(in *Input) { in.Contacts[0].Params = ";a" }, refused: 500},
		{name: "other q", change: func(in *Input) { in.Contacts[0].Q = 1 }, refused: 500},
		{name: "other flow", change: func(in *Input) { in.Flow = flowFrom(9) }, refused: 482},
		{name: "other path", change: func(in *Input) { in.Path = []string{"<sip:e;lr>"} }, refused: 482},
		{name: "removal", change: func(in *Input) { in.Contacts[0].Expires.Seconds = 0 }, refused: 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			first := w.mustRegister("one", 1, phone)
			before := snapshot(w.rec)
			w.after(2 * time.Second)
			in := w.input("one", 1, phone)
			tt.change(in)
			res, err := w.apply(in)
			if tt.refused != 0 {
				wantRefusal(t, err, tt.refused)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !res.Retransmission || snapshot(w.rec) != before {
				t.Errorf("retransmission %v, record\n%swas\n%s", res.Retransmission, snapshot(w.rec), before)
			}
			if d := cmp.Diff(first.Caps, res.Caps); d != "" || !slices.Equal(first.Carried, res.Carried) {
				t.Errorf("answer differs from the first: %s", d)
			}
			if got := w.ok(res); !strings.Contains(got, "expires=3598") {
				t.Errorf("answer does not show the time that is left:\n%s", got)
			}
		})
	}
}

func TestApply_RetransmittedMove(t *testing.T) {
	// The old contact goes and the new one comes in one request; both are the
	// same device.
	const move1, move2 = `<sip:a@192.0.2.1>;+sip.instance="<urn:uuid:1>";expires=0`, `<sip:a@192.0.2.2>;+sip.instance="<urn:uuid:1>"`
	w := newWorld(t)
	w.mustRegister("one", 1, `<sip:a@192.0.2.1>;+sip.instance="<urn:uuid:1>"`)
	w.mustRegister("one", 2, move1, move2)
	if res := w.mustRegister("one", 2, move1, move2); !res.Retransmission {
		t.Error("not seen as a retransmission")
	}
	w.want("sip:a@192.0.2.2")
}

func TestApply_RetransmittedRemoval(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 1, "<sip:a@192.0.2.1>")
	w.mustRegister("one", 2, "<sip:a@192.0.2.1>;expires=0")
	w.mustRegister("one", 2, "<sip:a@192.0.2.1>;expires=0")
	w.want()
}

func TestApply_Removal_RFC3261_10_3_7(t *testing.T) {
	tests := []struct {
		name   string
		callID string
		cseq   uint32
		status int
	}{
		{name: "other Call-ID", callID: "two", cseq: 1},
		{name: "same Call-ID, higher CSeq", callID: "one", cseq: 6},
		{name: "same Call-ID, equal CSeq", callID: "one", cseq: 5, status: 500},
		{name: "same Call-ID, lower CSeq", callID: "one", cseq: 4, status: 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRegister("one", 5, "<sip:a@192.0.2.1>", "<sip:b@192.0.2.1>")
			_, err := w.register(tt.callID, tt.cseq, "<sip:a@192.0.2.1>;expires=0")
			if tt.status != 0 {
				wantRefusal(t, err, tt.status)
				w.want("sip:a@192.0.2.1", "sip:b@192.0.2.1")
				return
			}
			w.want("sip:b@192.0.2.1")
		})
	}
}

func TestApply_RemovalByExpiresHeader_RFC3261_10_2_2(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 5, "<sip:a@192.0.2.1>")
	in := w.input("one", 6, "<sip:a@192.0.2.1>")
	in.Expires = Expires{Present: true}
	if _, err := w.apply(in); err != nil {
		t.Fatal(err)
	}
	w.want()
}

func TestApply_RemovalOfNothing_RFC3261_10_3_7(t *testing.T) {
	w := newWorld(t)
	if res := w.mustRegister("one", 5, "<sip:a@192.0.2.1>;expires=0"); len(res.Carried) != 0 {
		t.Errorf("carried %v", res.Carried)
	}
	w.want()
}

func TestApply_Atomic_RFC3261_10_3_7(t *testing.T) {
	tests := []struct {
		name     string
		contacts []string
		status   int
	}{
		{name: "the last one out of order", contacts: []string{"<sip:new@192.0.2.1>", "<sip:a@192.0.2.1>;expires=900"}, status: 500},
		{name: "the first one out of order", contacts: []string{"<sip:a@192.0.2.1>;expires=900", "<sip:new@192.0.2.1>"}, status: 500},
		{name: "one is the AOR", contacts: []string{"<sip:new@192.0.2.1>", "<sip:alice@example.com>"}, status: 403},
		{name: "one is too brief for a push", contacts: []string{"<sip:new@192.0.2.1>", "<sip:n@h;pn-provider=fcm;pn-param=p;pn-prid=t>;expires=90"}, status: 423},
		{name: "one is too long", contacts: []string{"<sip:new@192.0.2.1>", "<sip:" + strings.Repeat("n", 2048) + "@h>"}, status: 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRegister("one", 10, "<sip:a@192.0.2.1>;expires=3600")
			_, err := w.register("one", 10, tt.contacts...)
			wantRefusal(t, err, tt.status)
			w.want("sip:a@192.0.2.1")
		})
	}
}

func TestApply_Fetch_RFC3261_10_3_6(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 1, "<sip:a@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=secret>")
	res := w.mustRegister("one", 1)
	if !res.Fetch || len(res.Carried) != 0 || len(res.Caps) != 0 {
		t.Errorf("result %+v", res)
	}
	w.want("sip:a@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=secret")
}

func TestApply_Star_RFC3261_10_3_6(t *testing.T) {
	zero := Expires{Present: true}
	tests := []struct {
		name     string
		expires  Expires
		contacts []string
		callID   string
		cseq     uint32
		status   int
	}{
		{name: "all go", expires: zero, callID: "three", cseq: 1},
		{name: "higher CSeq of one Call-ID", expires: zero, callID: "one", cseq: 11},
		{name: "equal CSeq of one Call-ID", expires: zero, callID: "one", cseq: 10, status: 500},
		{name: "lower CSeq of one Call-ID", expires: zero, callID: "two", cseq: 1, status: 500},
		{name: "without Expires", callID: "three", cseq: 1, status: 400},
		{name: "Expires nonzero", expires: Expires{Present: true, Seconds: 1}, callID: "three", cseq: 1, status: 400},
		{name: "malformed Expires", expires: ParseExpires("never"), callID: "three", cseq: 1, status: 400},
		{name: "another contact", expires: zero, contacts: []string{"<sip:a@192.0.2.1>"}, callID: "three", cseq: 1, status: 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.mustRegister("one", 10, "<sip:a@192.0.2.1>")
			w.mustRegister("two", 20, `<sip:b@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=t>;+sip.instance="<urn:x>";reg-id=1`)
			in := w.input(tt.callID, tt.cseq, tt.contacts...)
			in.Star, in.Expires = true, tt.expires
			res, err := w.apply(in)
			if tt.status != 0 {
				wantRefusal(t, err, tt.status)
				if len(w.rec.Bindings) != 2 {
					t.Errorf("%d bindings left, want 2", len(w.rec.Bindings))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w.want()
			if got := w.ok(res); got != "" {
				t.Errorf("answer %q, want no Contact", got)
			}
		})
	}
}

func TestApply_MultiContact(t *testing.T) {
	w := newWorld(t)
	in := w.input("one", 1, "<sip:a@192.0.2.1>;q=0.2;expires=600", "<sip:b@192.0.2.1>", "<mailto:alice@example.com>;q=0.1", "<tel:+4930>")
	in.Expires = Expires{Present: true, Seconds: 1800}
	res, err := w.apply(in)
	if err != nil {
		t.Fatal(err)
	}
	w.want("sip:a@192.0.2.1", "sip:b@192.0.2.1", "mailto:alice@example.com", "tel:+4930")
	want := "Contact: <sip:a@192.0.2.1>;q=0.2;expires=600\r\n" +
		"Contact: <sip:b@192.0.2.1>;expires=1800\r\n" +
		"Contact: <mailto:alice@example.com>;q=0.1;expires=1800\r\n" +
		"Contact: <tel:+4930>;expires=1800\r\n"
	if got := w.ok(res); got != want {
		t.Errorf("answer\n%s\nwant\n%s", got, want)
	}
	w.mustRegister("one", 2, "<sip:b@192.0.2.1>;expires=0", "<tel:+4930>;expires=0", "<sip:c@192.0.2.1>")
	w.want("sip:a@192.0.2.1", "mailto:alice@example.com", "sip:c@192.0.2.1")
}

func TestApply_MaxContacts(t *testing.T) {
	tests := []struct {
		name     string
		overflow Overflow
		status   int
		contacts []string
		want     []string
		refused  int
	}{
		{name: "one too many, 403", status: 403, contacts: []string{"<sip:c@h>"}, refused: 403},
		{name: "one too many, 503", status: 503, contacts: []string{"<sip:c@h>"}, refused: 503},
		{name: "refresh of a full AOR", status: 403, contacts: []string{"<sip:a@h>"}, want: []string{"sip:a@h", "sip:b@h"}},
		{name: "one goes, one comes", status: 403, contacts: []string{"<sip:c@h>", "<sip:a@h>;expires=0"}, want: []string{"sip:b@h", "sip:c@h"}},
		{name: "the oldest gives way", overflow: ReplaceOldest, status: 403, contacts: []string{"<sip:c@h>"}, want: []string{"sip:a@h", "sip:c@h"}},
		{
			name: "not those of the request", overflow: ReplaceOldest, status: 403,
			contacts: []string{"<sip:b@h>", "<sip:c@h>"}, want: []string{"sip:b@h", "sip:c@h"},
		},
		{name: "the unreachable one gives way", overflow: ReplaceUnavailable, status: 403, contacts: []string{"<sip:c@h>"}, want: []string{"sip:b@h", "sip:c@h"}},
		{
			name: "both can be reached", overflow: ReplaceUnavailable, status: 403,
			contacts: []string{"<sip:c@h>", "<sip:a@h>"}, refused: 403,
		},
		{
			name: "too many in one request", overflow: ReplaceOldest, status: 403,
			contacts: []string{"<sip:c@h>", "<sip:d@h>", "<sip:e@h>"}, refused: 403,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(p *Policy) {
				p.MaxContacts, p.Overflow, p.OverflowStatus = 2, tt.overflow, tt.status
				p.Reachable = func(b *usrloc.Binding) bool { return b.Contact != "sip:a@h" }
			})
			w.mustRegister("one", 1, "<sip:a@h>")
			w.after(time.Second)
			w.mustRegister("two", 1, "<sip:b@h>")
			w.after(time.Second)
			w.mustRegister("one", 2, "<sip:a@h>") // b is the oldest now
			w.after(time.Second)
			_, err := w.register("three", 1, tt.contacts...)
			if tt.refused != 0 {
				r := wantRefusal(t, err, tt.refused)
				if (r.RetryAfter != 0) != (tt.refused == 503) {
					t.Errorf("Retry-After %v with %d", r.RetryAfter, r.Code)
				}
				w.want("sip:a@h", "sip:b@h")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w.want(tt.want...)
		})
	}
}

func TestApply_MaxContactsLowered(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 1, "<sip:a@h>", "<sip:b@h>", "<sip:c@h>")
	w.p.MaxContacts = 1
	w.mustRegister("one", 2, "<sip:b@h>")
	w.want("sip:a@h", "sip:b@h", "sip:c@h")
}

// TestApply_MaxContactsOfTheUser: what is known of the user goes before the
// policy, in both directions.
func TestApply_MaxContactsOfTheUser(t *testing.T) {
	for most, refused := range map[int]bool{0: true, 1: true, 2: true, 3: false} {
		w := newWorld(t, func(p *Policy) { p.MaxContacts = 2 })
		w.mustRegister("one", 1, "<sip:a@h>", "<sip:b@h>")
		in := w.input("one", 2, "<sip:c@h>")
		in.MaxContacts = most
		if _, err := w.apply(in); (err != nil) != refused {
			t.Errorf("with %d: %v", most, err)
		}
	}
}

func TestApply_ContactIsTheAOR_RFC5627_5_1(t *testing.T) {
	for value, status := range map[string]int{
		"<sip:alice@example.com>":               403,
		"<sip:%61lice@EXAMPLE.com>":             403,
		"<sips:alice@example.com>":              403,
		"<sip:alice@example.com;transport=tcp>": 403,
		"<sip:alice@example.com:5070>":          0, // a host of that name may be a phone
		"<sip:bob@example.com>":                 0, // diverted to a colleague
		"<sip:Alice@example.com>":               0, // the user part has case
	} {
		w := newWorld(t)
		_, err := w.register("one", 1, value)
		if status == 0 && err != nil {
			t.Errorf("%s: %v", value, err)
		} else if status != 0 {
			wantRefusal(t, err, status)
		}
	}
}

func TestApply_Path_RFC3327_5_3(t *testing.T) {
	first, second := []string{"<sip:p2;lr>", "<sip:p1;lr>"}, []string{"<sip:p3;lr>"}
	w := newWorld(t)
	in := w.input("one", 1, "<sip:a@h>")
	in.Path, in.Supported = first, ExtPath
	res, err := w.apply(in)
	if err != nil || !slices.Equal(w.only().Path, first) {
		t.Fatalf("stored %q, %v", w.only().Path, err)
	}
	if want := "Contact: <sip:a@h>;expires=3600\r\nPath: <sip:p2;lr>\r\nPath: <sip:p1;lr>\r\nSupported: path\r\n"; w.ok(res) != want {
		t.Errorf("answer\n%s\nwant\n%s", w.ok(res), want)
	}

	in = w.input("one", 2, "<sip:a@h>")
	in.Path = second
	if res, err = w.apply(in); err != nil || !slices.Equal(w.only().Path, second) {
		t.Fatalf("a refresh left %q, %v", w.only().Path, err)
	}
	if strings.Contains(w.ok(res), "Path") {
		t.Errorf("shown to a phone that does not support it:\n%s", w.ok(res))
	}

	w.p.Path = PathOff
	in = w.input("one", 3, "<sip:a@h>")
	in.Path, in.Supported = first, ExtPath
	if res, err = w.apply(in); err != nil || w.only().Path != nil || len(res.Path) != 0 {
		t.Errorf("switched off, but stored %q and shown %q, %v", w.only().Path, res.Path, err)
	}
}

func TestApply_DefaultQ(t *testing.T) {
	w := newWorld(t, func(p *Policy) { p.DefaultQ = 500 })
	w.mustRegister("one", 1, "<sip:a@h>", "<sip:b@h>;q=0", "<sip:c@h>;q=7")
	for i, want := range []usrloc.Q{500, 0, 500} {
		if got := w.rec.Bindings[i].Q; got != want {
			t.Errorf("binding %d has q %d, want %d", i, got, want)
		}
	}
}
