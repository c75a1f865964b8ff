package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestDump(t *testing.T) {
	const alice, bob = `{"aor":"sip:alice@example.com","contacts":[{"id":"aa","later":1}]}`, `{"aor":"sip:bob@example.com","contacts":[]}`
	for _, tt := range []struct {
		name, args, answer string
		cut                bool
		code               int
		stdout, stderr     string
	}{
		{"whole", "", alice + "\n" + bob + "\n", false, exitOK, alice + "\n" + bob + "\n", ""},
		{"with push parameters", "--push", alice + "\n", false, exitOK, alice + "\n", ""},
		{"nobody", "", "", false, exitOK, "", ""},
		{"what a terminal obeys", "", `{"aor":"sip:a@h","contacts":[{"user_agent":"` + "\u009b" + `"}]}` + "\n", false, exitOK, `{"aor":"sip:a@h","contacts":[{"user_agent":"\u009b"}]}` + "\n", ""},
		{"a problem in the end", "", alice + "\n" + `{"title":"Service Unavailable","status":503,"detail":"closed\u001b"}` + "\n", false, exitFailed, alice + "\n", "not whole: the server on SOCKET: Service Unavailable: closed?"},
		{"cut", "", alice + "\n", true, exitFailed, alice + "\n", "not whole"},
		{"something else", "", "<html>", false, exitFailed, "", "is that a reveille"},
		{"a line without end", "", strings.Repeat("x", maxAnswer+1), false, exitFailed, "", "longer than 16 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
				if want := "/v1/dump" + map[string]string{"--push": "?push=true"}[tt.args]; r.URL.RequestURI() != want {
					t.Errorf("asked for %s, want %s", r.URL.RequestURI(), want)
				}
				io.WriteString(w, tt.answer)
				if tt.cut {
					http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
			})
			code, stdout, stderr := runWith(program{}, append([]string{"dump", "--config", config}, strings.Fields(tt.args)...)...)
			if want := strings.ReplaceAll(tt.stderr, "SOCKET", strings.TrimSuffix(config, "r.yaml")+"c"); code != tt.code || stdout != tt.stdout || !strings.Contains(stderr, want) {
				t.Errorf("code %d, want %d; printed\n%.500s%s", code, tt.code, stdout, stderr)
			}
			for line := range strings.Lines(stdout) {
				if !json.Valid([]byte(line)) {
					t.Errorf("%s is no JSON", line)
				}
			}
		})
	}
}
