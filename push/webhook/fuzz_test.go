package webhook

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever phones send, the body is JSON that says just that, and the URL stays
// where it is.
func FuzzTemplates(f *testing.F) {
	body, err := newBodyTemplate(`{"a":"{{.PRID}}","b":{{json .Param}},"c":{{.TTL}}}`)
	if err != nil {
		f.Fatal(err)
	}
	target, err := newURLTemplate("https://push.example.com/send/{{.PRID}}/x?p={{.Param}}")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("token", "param")
	f.Add(`","a":"`, "..")
	f.Add("..", "&q=1#")
	f.Add("../../admin?x", "\r\nHost: evil")
	f.Add("%2e%2e%2f", "é\x00\u2028")
	f.Fuzz(func(t *testing.T, prid, param string) {
		if !utf8.ValidString(prid) || !utf8.ValidString(param) {
			return // JSON has no way to say it
		}
		in := fields{PRID: prid, Param: param, TTL: 7}
		b, err := body.execute(in)
		if err != nil {
			return // too long
		}
		var got struct {
			A, B string
			C    int
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("body %q: %v", b, err)
		}
		if got.A != prid || got.B != param || got.C != 7 {
			t.Errorf("body = %+v, want %q, %q, 7", got, prid, param)
		}

		s, err := target.execute(in)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(s)
		if err != nil {
			t.Fatalf("URL %q: %v", s, err)
		}
		if u.Host != "push.example.com" || u.Query().Get("p") != param || len(u.Query()) != 1 || u.Fragment != "" {
			t.Errorf("URL = %q, want host and query as configured", s)
		}
		if parts := strings.Split(u.EscapedPath(), "/"); len(parts) != 4 || parts[1] != "send" || parts[3] != "x" {
			t.Errorf("path = %q, want /send/<token>/x", u.EscapedPath())
		}
		if u.Path != "/send/"+prid+"/x" {
			t.Errorf("path says %q, want %q", u.Path, prid)
		}
	})
}
