package fcm

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"reveille/push"
	"reveille/push/pushsim"
)

func TestNew_RefusesBadPayload(t *testing.T) {
	account := startSim(t, pushsim.Options{}).ServiceAccountJSON()
	for _, c := range []struct{ name, payload, want string }{
		{"no template", "{\n{{", "template:2:"},
		{"unknown field", `{"a": "{{.Nope}}"}`, "template:1:9"},
		{"no JSON", `a={{.Kind}}`, "makes no JSON"},
		{"a list", `["{{.Kind}}"]`, "no JSON object of strings"},
		{"null", `null`, "no JSON object of strings"},
		{"a number", `{"ttl": {{.TTL}}}`, "put numbers in quotes"},
		{"an object", `{"data": {{json .Data}}}`, "no JSON object of strings"},
		{"reserved", `{"from": "{{.CallerName}}"}`, `"from" is reserved`},
		{"reserved prefix", `{"gcm.x": "1"}`, `"gcm.x" is reserved`},
		{"for one kind only", `{{if eq .Kind "cancel"}}[]{{else}}{}{{end}}`, "kind cancel"},
		{"too long", `{"a": "` + strings.Repeat("x", 3600) + `"}`, "more than the 3584"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(t.Context(), Options{ServiceAccountJSON: account, Template: c.payload})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New = %v, want %q", err, c.want)
			}
		})
	}
}

func TestPayload_Template(t *testing.T) {
	m, err := newData(`{
		"type": "{{.Kind}}", "id": "{{.PushID}}", "until": "{{.ExpiresAt}}",
		{{if .CallerName}}"who": "{{.CallerName}}",{{end}}
		"app": "{{.Param}}"
	}`)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r := request(push.Call)
	r.Deadline = time.Unix(1000, 0)
	want := map[string]string{"type": "call", "id": "p1", "until": "1000", "app": pushsim.ProjectID}
	if d := cmp.Diff(want, m.of(r, r.Tokens[0], now)); d != "" {
		t.Error(d)
	}
	r.Data = map[string]string{"caller_name": `"Bob" <x>`}
	want["who"] = `"Bob" <x>`
	if d := cmp.Diff(want, m.of(r, r.Tokens[0], now)); d != "" {
		t.Error(d)
	}
	// Too long a name is left out, the rest stays as the template says.
	r.Data["caller_name"] = strings.Repeat("x", 4000)
	delete(want, "who")
	if d := cmp.Diff(want, m.of(r, r.Tokens[0], now)); d != "" {
		t.Error(d)
	}
}

// TestPayload_TemplateIsSent: FCM takes what a template makes.
func TestPayload_TemplateIsSent(t *testing.T) {
	sim := startSim(t, pushsim.Options{})
	s, err := New(t.Context(), Options{
		ServiceAccountJSON: sim.ServiceAccountJSON(), Endpoint: sim.FCMEndpoint(), RootCAs: sim.RootCAs(),
		Template: `{"kind": "{{.Kind}}", "wake": "{{.Method}}"}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := request(push.Call)
	r.Method = "INVITE"
	if o := s.Send(t.Context(), r); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	if p := sim.Pushes()[0]; !strings.Contains(p.Payload, `"wake":"INVITE"`) || p.Kind != "call" || p.PushID != "" {
		t.Errorf("push = %+v, want what the template makes and nothing else", p)
	}
}

// Whatever the caller is called, the data is what FCM takes.
func FuzzPayload_CallerName(f *testing.F) {
	m, err := newData(`{"who": "{{.CallerName}}", "number": {{json .CallerNumber}}, "kind": "{{.Kind}}"}`)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Bob", "123")
	f.Add(`", "from": "`, "\x00\xff{{.PRID}}")
	f.Add(strings.Repeat("x", 3580), "1")
	f.Fuzz(func(t *testing.T, name, number string) {
		r := request(push.Call)
		r.Data = map[string]string{"caller_name": name, "caller_number": number}
		d := m.of(r, r.Tokens[0], time.Now())
		if len(d) != 3 || d["kind"] != "call" || size(d) > maxData {
			t.Fatalf("data = %q", d)
		}
		if utf8.ValidString(name+number) && d["who"] != "" && (d["who"] != name || d["number"] != number) {
			t.Errorf("data = %q, want %q and %q", d, name, number)
		}
	})
}
