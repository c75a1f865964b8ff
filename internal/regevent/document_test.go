package regevent

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"reveille/usrloc"
)

type fixedGRUU struct{}

func (fixedGRUU) AppendTempGRUU(dst []byte, user string, _ *usrloc.Binding) []byte {
	return append(append(dst, "temp-"...), user...)
}

func instant() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func sample() usrloc.Binding {
	return usrloc.Binding{
		ID: usrloc.BindingID{1}, Contact: "sip:alice@192.0.2.7:5060;transport=tcp;pn-provider=fcm;pn-prid=SECRET-TOKEN-1;pn-param=project;app-id=X?Subject=hi",
		Params: `;+sip.instance="<urn:x:1>";reg-id=1;audio;pub-gruu="sip:forged@example.com";tok=SECRET-TOKEN-1;pn-call-str="x"`,
		Q:      500, CallID: `a&"<b`, CSeq: 7, Created: instant().Add(-time.Hour), Expires: instant().Add(90 * time.Second),
		Instance: "urn:x:1", Push: usrloc.Push{Provider: "fcm", PRID: "SECRET-TOKEN-1"},
	}
}

func TestDocument_RFC3680_5_RFC5628_5(t *testing.T) {
	b := sample()
	d := document{
		aor: alice, version: 3, full: true, state: stateActive, now: instant(), gruu: fixedGRUU{}, own: true, secrets: []string{"app-id"},
		contacts: []*contact{{id: "c1", binding: &b, active: true, event: eventRefreshed}, {id: "c2", binding: &b, event: eventExpired}},
	}
	got, err := d.marshal()
	if err != nil {
		t.Fatal(err)
	}
	params := `<unknown-param name="+sip.instance">&#34;&lt;urn:x:1&gt;&#34;</unknown-param><unknown-param name="reg-id">1</unknown-param><unknown-param name="audio"></unknown-param>`
	want := `<?xml version="1.0" encoding="UTF-8"?>` +
		`<reginfo xmlns="urn:ietf:params:xml:ns:reginfo" xmlns:gr="urn:ietf:params:xml:ns:gruuinfo" version="3" state="full">` +
		`<registration aor="sip:alice@example.com" id="r" state="active">` +
		`<contact id="c1" state="active" event="refreshed" duration-registered="3600" expires="90" q="0.5" callid="a&amp;&#34;&lt;b" cseq="7">` +
		`<uri>sip:alice@192.0.2.7:5060;transport=tcp</uri>` + params +
		`<gr:pub-gruu uri="sip:alice@example.com;gr=urn:x:1"></gr:pub-gruu><gr:temp-gruu uri="sip:temp-alice@example.com;gr" first-cseq="7"></gr:temp-gruu></contact>` +
		`<contact id="c2" state="terminated" event="expired" duration-registered="3600" q="0.5" callid="a&amp;&#34;&lt;b" cseq="7">` +
		`<uri>sip:alice@192.0.2.7:5060;transport=tcp</uri>` + params + `</contact></registration></reginfo>`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	read(t, got)
}

func TestDocument_GRUUs_RFC5628_7(t *testing.T) {
	for _, tt := range []struct {
		name         string
		own, active  bool
		gruu         GRUU
		instance     string
		public, temp int
	}{
		{name: "the user", own: true, active: true, gruu: fixedGRUU{}, instance: "urn:x:1", public: 1, temp: 1},
		{name: "somebody else", active: true, gruu: fixedGRUU{}, instance: "urn:x:1", public: 1},
		{name: "no instance", own: true, active: true, gruu: fixedGRUU{}},
		{name: "no GRUUs here", own: true, active: true, instance: "urn:x:1"},
		{name: "a contact that is gone", own: true, gruu: fixedGRUU{}, instance: "urn:x:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := sample()
			b.Instance = tt.instance
			d := document{aor: alice, state: stateActive, now: instant(), gruu: tt.gruu, own: tt.own, contacts: []*contact{{id: "c1", binding: &b, active: tt.active, event: eventRegistered}}}
			if !tt.active {
				d.contacts[0].event = eventUnregistered
			}
			text, err := d.marshal()
			if err != nil {
				t.Fatal(err)
			}
			c := read(t, text).Registration.Contacts[0]
			if len(c.Public) != tt.public || len(c.Temp) != tt.temp {
				t.Errorf("%d public and %d temporary GRUUs, want %d and %d\n%s", len(c.Public), len(c.Temp), tt.public, tt.temp, text)
			}
		})
	}
}

// Whatever phones write, a document can be read, says what it should, and no secret.
func FuzzDocument(f *testing.F) {
	f.Add("sip:alice@192.0.2.7;pn-prid=SECRET-TOKEN-1;x=<&>", `;a="</uri>";b`, "SECRET-TOKEN-1")
	f.Add("tel:+1;pn-prid=SECRET-TOKEN-1", "", "SECRET-TOKEN-1")
	f.Add("sip:%00@h;PN-%70rid=SECRET-TOKEN-1?x=y", ";x=SECRET-TOKEN-1;\xff=\x01", "SECRET-TOKEN-1")
	f.Fuzz(func(t *testing.T, uri, params, prid string) {
		b := sample()
		b.Contact, b.Params, b.Push.PRID = uri, params, prid
		d := document{aor: alice, full: true, state: stateActive, now: instant(), contacts: []*contact{{id: "c1", binding: &b, active: true, event: eventRegistered}}}
		text, err := d.marshal()
		if err != nil {
			t.Fatal(err)
		}
		v := read(t, text)
		if got, want := v.Registration.Contacts[0].URI[0], concealed(&b, nil); xmlText(want) && got != want {
			t.Errorf("uri %q, want %q", got, want)
		}
		for _, p := range v.Registration.Contacts[0].Unknown {
			if strings.HasPrefix(strings.ToLower(p.Name), "pn-") {
				t.Errorf("parameter %s is shown", p.Name)
			}
		}
		if _, params, ok := strings.Cut(v.Registration.Contacts[0].URI[0], ";"); ok && strings.Contains(strings.ToLower(params), "pn-prid=") {
			t.Errorf("the token is shown: %s", text)
		}
	})
}

// xmlText reports whether XML has every character of s as it is.
func xmlText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return false
	}
	return !strings.ContainsRune(b.String(), utf8.RuneError) && !strings.ContainsRune(s, '\r')
}

func TestEventOf_RFC3680_4_7_1(t *testing.T) {
	was, is, over := sample(), sample(), sample()
	is.Expires = was.Expires.Add(time.Hour)
	over.Expires = instant().Add(-time.Second)
	tests := []struct {
		name   string
		c      usrloc.Change
		known  bool
		event  string
		active bool
	}{
		{"new", usrloc.Change{Kind: usrloc.Created, New: &is}, false, "registered", true},
		{"new, by an operator", usrloc.Change{Kind: usrloc.Created, Cause: usrloc.CauseOperator, New: &is}, false, "created", true},
		{"again", usrloc.Change{Kind: usrloc.Updated, Old: &was, New: &is}, true, "refreshed", true},
		{"again, elsewhere", usrloc.Change{Kind: usrloc.Updated, Cause: usrloc.CauseOtherNode, Old: &was, New: &is}, true, "refreshed", true},
		{"less time, by an operator", usrloc.Change{Kind: usrloc.Updated, Cause: usrloc.CauseOperator, Old: &is, New: &was}, true, "shortened", true},
		{"a dead token", usrloc.Change{Kind: usrloc.Updated, Cause: usrloc.CauseDeadToken, Old: &is, New: &is}, true, "", true},
		{"registration over, device kept", usrloc.Change{Kind: usrloc.Updated, Cause: usrloc.CauseExpiry, Old: &was, New: &over}, true, "expired", false},
		{"device kept on", usrloc.Change{Kind: usrloc.Updated, Cause: usrloc.CauseExpiry, Old: &over, New: &over}, false, "", false},
		{"a kept device is back", usrloc.Change{Kind: usrloc.Updated, Old: &over, New: &is}, false, "registered", true},
		{"a kept device is forgotten", usrloc.Change{Kind: usrloc.Expired, Cause: usrloc.CauseExpiry, Old: &over}, false, "", false},
		{"time over", usrloc.Change{Kind: usrloc.Expired, Cause: usrloc.CauseExpiry, Old: &was}, true, "expired", false},
		{"left", usrloc.Change{Kind: usrloc.Removed, Old: &was}, true, "unregistered", false},
		{"removed by an operator", usrloc.Change{Kind: usrloc.Removed, Cause: usrloc.CauseOperator, Old: &was}, true, "deactivated", false},
		{"its flow ended", usrloc.Change{Kind: usrloc.Removed, Cause: usrloc.CauseFlow, Old: &was}, true, "deactivated", false},
		{"its token is another user's", usrloc.Change{Kind: usrloc.Removed, Cause: usrloc.CauseTokenMoved, Old: &was}, true, "deactivated", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if event, active := eventOf(tt.c, tt.known, instant()); event != tt.event || active != tt.active {
				t.Errorf("eventOf = %q, %v, want %q, %v", event, active, tt.event, tt.active)
			}
		})
	}
}
