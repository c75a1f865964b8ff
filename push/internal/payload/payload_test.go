package payload_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"reveille/push"
	"reveille/push/internal/payload"
)

func mustJSON(t testing.TB, text string) *payload.Template {
	t.Helper()
	tmpl, err := payload.JSON("payload", text)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

const big = 1 << 16

func TestNewFields(t *testing.T) {
	now := time.Unix(1000, 0)
	r := &push.Request{
		AOR: "sip:alice@example.com", Params: push.Params{Provider: "fcm", Param: "project"}, Kind: push.Call,
		Method: "INVITE", CallID: "c1", PushID: "p1", Deadline: now.Add(20 * time.Second),
		Data: map[string]string{"caller_name": "Bob", "caller_number": "123"},
	}
	got := payload.NewFields(r, push.Token{PRID: "tok", Use: push.VoIP}, now)
	want := payload.Fields{
		Provider: "fcm", Param: "project", PRID: "tok", Token: "tok", Use: "voip", Kind: "call", Method: "INVITE",
		AOR: "sip:alice@example.com", CallID: "c1", PushID: "p1", Deadline: 1020, ExpiresAt: 1020, TTL: 20,
		Data: r.Data, CallerName: "Bob", CallerNumber: "123",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestJSON_EscapesWhatIsPrinted(t *testing.T) {
	const nasty = "a\"b\\c\n</script>é"
	f := payload.Fields{Kind: "call", CallerName: nasty, TTL: 7, Data: map[string]string{"k\"": nasty, "x": "y"}}
	for _, tc := range []struct {
		name, text string
		want       any
	}{
		{"in quotes", `"{{.CallerName}}"`, nasty},
		{"with its quotes", `{{json .CallerName}}`, nasty},
		{"a map", `{{json .Data}}`, map[string]any{"k\"": nasty, "x": "y"}},
		{"no map", `{{json .Nothing.Data}}`, nil},
		{"a number", `{{.TTL}}`, 7.0},
		{"compared as it is", `{{if eq .CallerName "a\"b\\c\n</script>é"}}1{{else}}2{{end}}`, 1.0},
		{"cut as it is", `"{{slice .CallerName 0 2}}"`, `a"`},
		{"formatted", `"{{printf "<%s>" .CallerName}}"`, "<" + nasty + ">"},
		{"in a range", `{ {{range $k, $v := .Data}}"{{$k}}":"{{$v}}",{{end}}"z":1}`, map[string]any{"k\"": nasty, "x": "y", "z": 1.0}},
		{"in a variable", `{{$n := .CallerName}}"{{$n}}"`, nasty},
		{"in a definition", `{{define "n"}}"{{.CallerName}}"{{end}}{{template "n" .}}`, nasty},
		{"in with and else", `{{with .AOR}}1{{else}}"{{.CallerName}}"{{end}}`, nasty},
		{"a key that is not there", `"{{.Data.nothing}}"`, ""},
		{"piped", `"{{.CallerName | printf "%s"}}"`, nasty},
		{"true", `{{eq .Kind "call"}}`, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if strings.Contains(tc.text, ".Nothing") {
				if _, err := mustJSON(t, tc.text).JSON(f, big); err == nil || !strings.Contains(err.Error(), "payload:1:") {
					t.Errorf("JSON = %v, want an error with its place", err)
				}
				return
			}
			b, err := mustJSON(t, tc.text).JSON(f, big)
			if err != nil {
				t.Fatal(err)
			}
			var got any
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("%s: %v", b, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: %s", b, diff)
			}
		})
	}
}

// What is wrong is told with the line where it is, and without values.
func TestJSON_Mistakes(t *testing.T) {
	f := payload.Fields{Kind: "message", PRID: "secret", CallerName: "secret"}
	for _, tc := range []struct{ name, text, want string }{
		{"no template", "{\n{{.PRID}", "payload:2:"},
		{"unknown function", `{{shell "x"}}`, `payload:1: function "shell" not defined`},
		{"unknown field", "{\n\"a\":\n  \"{{.Tokn}}\"}", "payload:3:5:"},
		{"no JSON", "{\"a\": \"1\"\n \"b\": 2}", "line 2 of the result"},
		{"value without quotes", `{"a": {{.PRID}}}`, "makes no JSON for a push of kind message"},
		{"too long for JSON", `"{{.Kind}} and more than the thirty bytes"`, "more than the 30"},
		{"far too long", `{{range 70000}}1{{end}}`, "result too long"},
		{"map that is printed", `"{{.Data}}"`, "neither text nor a number"},
		{"own escape", `{{.PRID | _escape}}`, "not for templates"},
		{"half a string", `"{{.PRID}}`, "makes no JSON"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tmpl, err := payload.JSON("payload", tc.text)
			if err == nil {
				_, err = tmpl.JSON(f, 30)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error = %v, want %q in it", err, tc.want)
			}
		})
	}
}

// TestSamples: there is one of each kind, and each finds out a template that
// forgets about quotes.
func TestSamples(t *testing.T) {
	kinds := map[push.Kind]bool{}
	good, bad := mustJSON(t, `{"a": "{{.CallID}}", "b": {{json .CallerName}}}`), mustJSON(t, `{"a": {{.CallerName}}}`)
	for _, r := range payload.Samples("acme") {
		kinds[r.Kind] = true
		tok, ok := r.Token()
		if !ok {
			t.Errorf("a sample of kind %s has no token", r.Kind)
		}
		f := payload.NewFields(r, tok, time.Now())
		if _, err := good.JSON(f, big); err != nil {
			t.Error(err)
		}
		if _, err := bad.JSON(f, big); err == nil {
			t.Errorf("a value without quotes is no mistake for a sample of kind %s", r.Kind)
		}
	}
	if len(kinds) != int(push.Cancel) {
		t.Errorf("samples of kinds %v", kinds)
	}
}

// Whatever the caller is called, the payload is JSON that says just that, and a
// URL stays where it is.
func FuzzCallerName(f *testing.F) {
	body := mustJSON(f, `{"a":"{{.CallerName}}","b":{{json .CallerName}},"c":{{.TTL}},"d":"{{printf "%.3s" .CallerName}}"}`)
	target, err := payload.URL("url", "https://push.example.com/send/{{.PRID}}/x?p={{.CallerName}}")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("token", "param")
	f.Add(`","a":"`, "..")
	f.Add("..", "&q=1#")
	f.Add("../../admin?x", "\r\nHost: evil")
	f.Add("%2e%2e%2f", "é\x00\u2028\xff")
	f.Fuzz(func(t *testing.T, prid, name string) {
		in := payload.Fields{PRID: prid, CallerName: name, TTL: 7}
		b, err := body.JSON(in, big)
		if err != nil {
			if len(name) < 1000 {
				t.Fatal(err)
			}
			return // too long
		}
		var got struct {
			A, B, D string
			C       int
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("payload %q: %v", b, err)
		}
		if utf8.ValidString(name) && (got.A != name || got.B != name || got.C != 7) {
			t.Errorf("payload = %+v, want %q twice, and 7", got, name)
		}
		if !utf8.ValidString(prid) || !utf8.ValidString(name) {
			return
		}
		s, err := target.Execute(in)
		if err != nil {
			return // too long
		}
		u, err := url.Parse(string(s))
		if err != nil {
			t.Fatalf("URL %q: %v", s, err)
		}
		if u.Host != "push.example.com" || u.Query().Get("p") != name || len(u.Query()) != 1 || u.Fragment != "" {
			t.Errorf("URL = %q, want host and query as configured", s)
		}
		if u.Path != "/send/"+prid+"/x" || len(strings.Split(u.EscapedPath(), "/")) != 4 {
			t.Errorf("path = %q, want /send/<token>/x", u.EscapedPath())
		}
	})
}
