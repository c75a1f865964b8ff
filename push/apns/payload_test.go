package apns

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/sideshow/apns2"

	"reveille/push"
	"reveille/push/pushsim"
)

// templatedSender makes forms only.
func templatedSender(t testing.TB, text string) *Sender {
	t.Helper()
	tmpl, err := newTemplate(text, DefaultAlerts())
	if err != nil {
		t.Fatal(err)
	}
	return &Sender{alerts: DefaultAlerts(), template: tmpl}
}

func TestNew_RefusesBadPayload(t *testing.T) {
	for _, c := range []struct{ name, payload, want string }{
		{"no template", "{\n{{", "template:2:"},
		{"unknown field", `{"a": "{{.Nope}}"}`, "template:1:9"},
		{"no JSON", `{"a": {{.CallerName}}}`, "makes no JSON for a push of kind call"},
		{"a list", `["{{.Kind}}"]`, "no JSON object"},
		{"null", `null`, "no JSON object"},
		{"aps is text", `{"aps": "x"}`, "no dictionary"},
		{"aps without content", `{"aps": {"category": "x"}}`, "content-available"},
		{"for one kind only", `{{if eq .Kind "refresh"}}[]{{else}}{}{{end}}`, "kind refresh"},
		{"too long", `{"a": "` + strings.Repeat("x", 4090) + `"}`, "more than the 4096"},
		{"too long with aps", `{"a": "` + strings.Repeat("x", 4060) + `"}`, "too long with its aps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(Options{KeyP8: []byte("never read"), KeyID: "K", TeamID: "T", Template: c.payload})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New = %v, want %q", err, c.want)
			}
		})
	}
}

// TestPayload_Template: what aps says decides how iOS takes the push.
func TestPayload_Template(t *testing.T) {
	const shown = `{
		"aps": {
			{{- if and (eq .Kind "message") (eq .Use "remote")}}
			"alert": {"title-loc-key": "MESSAGE_FROM", "title-loc-args": ["{{.CallerName}}"]}, "mutable-content": 1
			{{- else if ne .Use "voip"}}
			"content-available": 1
			{{- end}}
		},
		"id": "{{.PushID}}"
	}`
	name := map[string]string{"caller_name": `"Bob"`}
	for _, c := range []struct {
		name, template string
		r              *push.Request
		data           map[string]string
		kind           apns2.EPushType
		want           string
	}{
		{
			"message that is shown", shown, request(push.Message, both()...), name, apns2.PushTypeAlert,
			`{"aps":{"alert":{"title-loc-key":"MESSAGE_FROM","title-loc-args":["\"Bob\""]},"mutable-content":1},"id":"p1"}`,
		},
		{"refresh in the background", shown, request(push.Refresh, both()...), nil, apns2.PushTypeBackground, `{"aps":{"content-available":1},"id":"p1"}`},
		{"call by PushKit", shown, request(push.Call, both()...), nil, apns2.PushTypeVOIP, `{"aps":{},"id":"p1"}`},
		{"PushKit shows nothing", `{"aps": {"alert": "x"}}`, request(push.Call, both()...), nil, apns2.PushTypeVOIP, `{"aps":{"alert":"x"}}`},
		{"without aps", `{"k": "{{.Kind}}"}`, request(push.Refresh, both()...), nil, apns2.PushTypeBackground, `{"aps":{"content-available":1},"k":"refresh"}`},
		{"without aps, call", `{"k": "{{.Kind}}"}`, request(push.Call, both()...), nil, apns2.PushTypeVOIP, `{"aps":{},"k":"call"}`},
		{
			"without aps, message", `{"k": 1}`, request(push.Message, both()...), nil, apns2.PushTypeBackground,
			`{"aps":{"content-available":1},"k":1}`,
		},
		{
			"without aps, call without PushKit", `{"k": 1}`, request(push.Call, push.Token{PRID: remoteToken}), nil, apns2.PushTypeAlert,
			`{"aps":{"alert":{"title":"Incoming call"},"sound":"default","mutable-content":1},"k":1}`,
		},
		{"badge alone", `{"aps": {"badge": 1}}`, request(push.Message, both()...), nil, apns2.PushTypeAlert, `{"aps":{"badge":1}}`},
		{
			"data that does not fit", `{"who": "{{.CallerName}}"}`, request(push.Refresh, both()...),
			map[string]string{"caller_name": strings.Repeat("x", 5000)},
			apns2.PushTypeBackground, `{"aps":{"content-available":1},"who":""}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.Data = c.data
			tok, _ := c.r.Token()
			got := templatedSender(t, c.template).form(c.r, tok, time.Now())
			var have, want any
			if err := json.Unmarshal(got.body, &have); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, have); d != "" || got.kind != c.kind {
				t.Errorf("type %s, want %s; payload (-want +got):\n%s", got.kind, c.kind, d)
			}
		})
	}
}

// A message is shown only where the operator gave a text for it.
func TestPayload_MessageIsShownByConfiguration(t *testing.T) {
	r := request(push.Message, both()...)
	tok, _ := r.Token()
	for text, want := range map[string]apns2.EPushType{"": apns2.PushTypeBackground, "New message": apns2.PushTypeAlert} {
		s := &Sender{alerts: map[push.Kind]string{push.Message: text}}
		if got := s.form(r, tok, time.Now()); got.kind != want || strings.Contains(string(got.body), "New message") != (text != "") {
			t.Errorf("with the text %q: type %s, payload %s; want %s", text, got.kind, got.body, want)
		}
	}
}

// TestPayload_TemplateIsSent: APNs takes what a template makes, with the
// priority that belongs to its type.
func TestPayload_TemplateIsSent(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s, err := New(Options{
		KeyP8: sim.Credentials().KeyP8(), KeyID: pushsim.KeyID, TeamID: pushsim.TeamID, Host: sim.URL(), RootCAs: sim.RootCAs(),
		Template: `{"kind": "{{.Kind}}", "aps": {"content-available": 1}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if o := s.Send(t.Context(), request(push.Message, both()...)); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	if p := sim.Pushes()[0]; p.PushType != "background" || p.Priority != "5" || p.Kind != "message" {
		t.Errorf("push = %+v, want the template's in the background", p)
	}
}

// Whatever the caller is called, the payload is a JSON object that APNs takes.
func FuzzPayload_CallerName(f *testing.F) {
	s := templatedSender(f, `{"who": "{{.CallerName}}", "number": {{json .CallerNumber}}, "aps": {"alert": "{{.CallerName}} calls"}}`)
	f.Add("Bob", "123")
	f.Add(`"},"aps":{"alert":"`, "\x00\xff{{.PRID}}")
	f.Add(strings.Repeat("x", 4090), "1")
	f.Fuzz(func(t *testing.T, name, number string) {
		r := request(push.Message, both()...)
		r.Data = map[string]string{"caller_name": name, "caller_number": number}
		tok, _ := r.Token()
		got := s.form(r, tok, time.Now())
		var p struct {
			Who, Number string
			Aps         struct{ Alert string }
		}
		if err := json.Unmarshal(got.body, &p); err != nil || len(got.body) > maxPayload || got.kind != apns2.PushTypeAlert {
			t.Fatalf("payload = %q of type %s, %v", got.body, got.kind, err)
		}
		if utf8.ValidString(name+number) && p.Who != "" && (p.Who != name || p.Number != number || p.Aps.Alert != name+" calls") {
			t.Errorf("payload = %+v, want %q and %q", p, name, number)
		}
	})
}
