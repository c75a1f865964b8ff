package registrar

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// The mappings of docs/push.md: what apps wrote before RFC 8599.
func olderApps() []Mapping {
	return []Mapping{
		{
			UserAgent: regexp.MustCompile("^Linphone"), Contact: map[string]string{"pn-type": "apple", "app-id": "{app}.dev", "pn-tok": "{token}"},
			Provider: "apns.dev", Param: "TEAM567890.{app}", PRID: "{token}",
		},
		{
			UserAgent: regexp.MustCompile("^Linphone"), Contact: map[string]string{"pn-type": "apple", "app-id": "{app}.prod", "pn-tok": "{token}"},
			Provider: "apns", Param: "TEAM567890.{app}", PRID: "{token}",
		},
		{
			Contact:  map[string]string{"pn-type": "*", "pn-tok": "{token}", "app-id": "*"},
			Provider: "fcm", Param: "my-project", PRID: "{token}",
		},
		{
			Header:   map[string]string{"X-MPUSH": "i:{app}:{token}"},
			Provider: "apns", Param: "TEAM567890.{app}.voip", PRID: "{token}",
		},
		{
			Header:   map[string]string{"X-MPUSH": "a:*:{token}"},
			Provider: "fcm", Param: "my-project", PRID: "{token}",
		},
		{
			UserAgent: regexp.MustCompile("^Old/"), Contact: map[string]string{"push-token": "{token}"},
			Provider: "fcm", Param: "my-project", PRID: "{token}",
		},
	}
}

func mustMapper(t testing.TB, list []Mapping) *mapper {
	t.Helper()
	r, err := newMapper(list)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMapping_OlderApps(t *testing.T) {
	r := mustMapper(t, olderApps())
	fcm := usrloc.Push{Provider: "fcm", Param: "my-project", PRID: "cx:APA91b-x"}
	tests := []struct {
		name, agent, contact, mpush string
		want                        usrloc.Push
	}{
		{
			name: "Linphone for iOS", agent: "LinphoneiOS/4.0", contact: "<sip:a@h;app-id=org.linphone.phone.voip.prod;pn-type=apple;pn-tok=00AA11;pn-msg-str=IM>",
			want: usrloc.Push{Provider: "apns", Param: "TEAM567890.org.linphone.phone.voip", PRID: "00AA11"},
		},
		{
			name: "Linphone for iOS, built with Xcode", agent: "LinphoneiOS/4.0", contact: "<sip:a@h;app-id=org.linphone.phone.voip.dev;pn-type=apple;pn-tok=00AA11>",
			want: usrloc.Push{Provider: "apns.dev", Param: "TEAM567890.org.linphone.phone.voip", PRID: "00AA11"},
		},
		{name: "Linphone for Android", agent: "LinphoneAndroid/4.1", contact: "<sip:a@h;app-id=929724111839;pn-type=firebase;pn-tok=cx%3aAPA91b-x>", want: fcm},
		{name: "older still", agent: "LinphoneAndroid/3.0", contact: "<sip:a@h;APP-ID=929724111839;pn-type=google;PN-Tok=cx:APA91b-x>", want: fcm},
		{name: "behind the URI", agent: "x", contact: "<sip:a@h>;app-id=9;pn-type=google;pn-tok=cx:APA91b-x", want: fcm},
		{
			name: "Mizutech for iOS", agent: "MyCoolApp", contact: "<sip:a@h>", mpush: "i:com.mycompany.myapp:00aa11",
			want: usrloc.Push{Provider: "apns", Param: "TEAM567890.com.mycompany.myapp.voip", PRID: "00aa11"},
		},
		{name: "Mizutech for Android", contact: "<sip:a@h>", mpush: "a:com.mycompany.myapp:cx:APA91b-x", want: fcm},
		{name: "by User-Agent", agent: "Old/1", contact: "<sip:a@h;push-token=cx:APA91b-x>", want: fcm},
		{name: "another User-Agent", agent: "New/1", contact: "<sip:a@h;push-token=cx:APA91b-x>"},
		{name: "a parameter is missing", agent: "x", contact: "<sip:a@h;pn-type=google;pn-tok=cx>"},
		{name: "no token", agent: "x", contact: "<sip:a@h;app-id=1;pn-type=google;pn-tok=>"},
		{name: "another service", contact: "<sip:a@h>", mpush: "w:com.mycompany.myapp:x"},
		{name: "too long", contact: "<sip:a@h>", mpush: "a:x:" + strings.Repeat("t", maxMappedValue)},
		{
			name: "knows RFC 8599", agent: "Old/1", contact: "<sip:a@h;pn-provider=apns;pn-param=T.b;pn-prid=00;push-token=x>", mpush: "a:b:c",
			want: usrloc.Push{Provider: "apns", Param: "T.b", PRID: "00"},
		},
		{name: "asks as RFC 8599 has it", contact: "<sip:a@h;pn-provider>", mpush: "a:b:c"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := sipmsg.ParseNameAddr(tt.contact)
			if err != nil {
				t.Fatal(err)
			}
			c := readContact(&a)
			knows := c.PushAsked
			r.read(&c, &a, tt.agent, func(name string) (string, bool) { return tt.mpush, tt.mpush != "" && name == "X-MPUSH" })
			if d := cmp.Diff(tt.want, c.Push); d != "" {
				t.Errorf("push data (-want +got):\n%s", d)
			}
			if mapped := tt.want != (usrloc.Push{}) && !knows; c.PushMapped != mapped || c.PushAsked != (mapped || knows) {
				t.Errorf("asked %t, mapped %t", c.PushAsked, c.PushMapped)
			}
		})
	}
}

func TestMapping_Check(t *testing.T) {
	ok := olderApps()[0]
	for _, tt := range []struct {
		name   string
		change func(*Mapping)
		want   string
	}{
		{"nothing to read", func(m *Mapping) { m.Contact = nil }, "neither"},
		{"no name", func(m *Mapping) { m.Contact = map[string]string{"a b": "{token}{app}"} }, "no name"},
		{"found twice", func(m *Mapping) { m.Header = map[string]string{"X": "{token}"} }, "{token} is found twice"},
		{"not found", func(m *Mapping) { m.Param = "{team}.{app}" }, "no pattern finds {team}"},
		{"no token", func(m *Mapping) { m.PRID = "x" }, "says nothing of the phone"},
		{"no provider", func(m *Mapping) { m.Provider = "" }, "says nothing of the phone"},
	} {
		m := ok
		tt.change(&m)
		if err := m.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q in it", tt.name, err, tt.want)
		}
		p := pushPolicy()
		p.Push.Mappings = []Mapping{ok, m}
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "mapping 1: ") {
			t.Errorf("%s: the policy's error is %v", tt.name, err)
		}
	}
	if d := cmp.Diff([]string{"app-id", "pn-tok"}, ok.Secrets()); d != "" {
		t.Errorf("secrets (-want +got):\n%s", d)
	}
	if _, err := newMapper(make([]Mapping, maxMappings+1)); err == nil {
		t.Error("too many mappings were taken")
	}
}

func TestServe_OlderAppIsAPushBinding(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	s := newServer(t, store)
	p := pushPolicy()
	p.Push.Mappings, p.Push.Unsupported = olderApps(), RejectUnsupported
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	get := func() usrloc.Binding {
		rec, err := store.Get(t.Context(), alice)
		if err != nil || len(rec.Bindings) != 1 {
			t.Fatalf("%d bindings, %v", len(rec.Bindings), err)
		}
		return rec.Bindings[0]
	}
	answer := s.roundTrip(request(1, "Contact: <sip:a@h;app-id=1;pn-type=google;pn-tok=old-token-1>"))
	if !strings.HasPrefix(answer, "SIP/2.0 200") || !strings.Contains(answer, `+sip.pns="fcm"`) {
		t.Errorf("answer\n%s", answer)
	}
	b := get()
	if b.Push.PRID != "old-token-1" || b.RefreshAt.IsZero() {
		t.Errorf("push data %v, refresh at %v", b.Push, b.RefreshAt)
	}
	// Its token was replaced: the same phone, by nothing but its contact.
	s.roundTrip(request(2, "Contact: <sip:a@h;app-id=1;pn-type=google;pn-tok=old-token-2>"))
	if again := get(); again.ID != b.ID || again.Push.PRID != "old-token-2" {
		t.Errorf("binding %s with a token of %d bytes, want %s with the new one", again.ID, len(again.Push.PRID), b.ID)
	}
	// Another phone of the user is not told of it.
	other := s.roundTrip(request(3, "Contact: <sip:b@h>"))
	if strings.Contains(other, "old-token") {
		t.Errorf("the token is shown to another phone:\n%s", other)
	}
	for _, e := range *s.events {
		if told := fmt.Sprintf("%+v", e); strings.Contains(told, "old-token") {
			t.Errorf("the token is in an event: %s", told)
		}
	}
	// It does not know 555.
	if got := s.roundTrip(request(4, "Contact: <sip:c@h>", "X-MPUSH: i:no:00aa:unknown-service")); !strings.HasPrefix(got, "SIP/2.0 200") {
		t.Errorf("answer\n%s", got)
	}
}

// The short way knows neither header fields nor what was lost.
func TestRefresh_OfOlderApps(t *testing.T) {
	const contact = "<sip:alice@192.0.2.1;push-token=token>"
	for _, tt := range []struct {
		name  string
		agent string
		list  []Mapping
		lost  bool
		want  bool
	}{
		{"as before", "Old/1", olderApps()[5:], false, true},
		{"no mapping is for it", "phone/1", olderApps()[:2], false, true},
		{"another User-Agent", "Old/2", olderApps()[5:], false, false},
		{"it lost its token", "Old/1", olderApps()[5:], true, false},
		{"a header field counts", "Old/1", olderApps(), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newRefreshing(t, nil, func(p *Policy) { p.Push.Mappings = tt.list })
			in := x.input("c", 1)
			in.UserAgent = tt.agent
			if tt.agent == "Old/2" {
				in.UserAgent = "Old/1"
			}
			x.apply(in, contact)
			if tt.lost {
				x.store.Update(t.Context(), alice, func(rec usrloc.Record) (usrloc.Record, error) {
					b := rec.Bindings[0]
					b.Push.PRID = ""
					rec.Bindings = []usrloc.Binding{b}
					return rec, nil
				}, func(usrloc.Record, []usrloc.Change, error) {})
			}
			in.CSeq, in.UserAgent = 2, tt.agent
			if _, ok := x.try(in, contact); ok != tt.want {
				t.Errorf("in place %t, want %t", ok, tt.want)
			}
		})
	}
}

// Whatever a phone sends and an operator writes: what is read consists of what was
// sent, and takes no longer than reading it.
func FuzzMapping(f *testing.F) {
	f.Add("i:{app}:{token}", "T.{app}", "{token}", "i:com.x:y:z")
	f.Add("{token}*{app}", "{app}", "{token}:voip", "%41(?i)(")
	f.Fuzz(func(t *testing.T, pattern, param, prid, value string) {
		m := Mapping{Contact: map[string]string{"tok": pattern}, Provider: "fcm", Param: param, PRID: prid}
		r, err := newMapper([]Mapping{m})
		if err != nil {
			return
		}
		a := sipmsg.NameAddr{Params: sipmsg.Params(`;tok="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`)}
		sent, _ := a.Params.Get("tok")
		var c Contact
		r.read(&c, &a, "", func(string) (string, bool) { return "", false })
		if !c.PushMapped {
			return
		}
		text := placeholder.ReplaceAllString(prid, "")
		if len(c.Push.PRID) <= len(text) || len(c.Push.PRID) > len(text)+len(sent)*strings.Count(prid, "{") {
			t.Errorf("%q of %q by %q: PRID %q", prid, sent, pattern, c.Push.PRID)
		}
		if prid == "{token}" && !strings.Contains(sent, c.Push.PRID) {
			t.Errorf("%q: token %q is not in it", sent, c.Push.PRID)
		}
	})
}
