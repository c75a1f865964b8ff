package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"reveille/internal/contacts"
)

func TestBindingsShow(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const id = "0c4e5c3f2a9d4e1f8a7b6c5d4e3f2a1b"
	phones := []contacts.Contact{
		{
			ID: "aa", State: contacts.Asleep, Provider: "apns", Expires: at, RefreshAt: at, UserAgent: "Phone/1\x1b[2J\tx", Contact: "sip:\x9b@h", Flow: "tls:192.0.2.7:40312",
			Wake: &contacts.WakeHabit{Last: at, Average: 2.25, Successes: 9, Failures: 3, FailingSince: at},
		},
		{ID: "bb\x1b[2J", AOR: "sip:\x1b[2J@h", State: contacts.Dormant, Provider: "fcm", Expires: at, Retained: at},
		{ID: id, AOR: "sip:alice@example.com", State: contacts.Awake, Expires: at},
		{ID: "dd", State: contacts.Awake, Expires: at, Flags: []string{contacts.Static}},
		{ID: "ee", State: contacts.Unreachable, Expires: at},
	}
	config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch r.URL.RequestURI() {
		case "/v1/contacts?aor=alice%40example.com":
			answer = contacts.ContactList{Contacts: phones, Count: len(phones)}
		case "/v1/contacts?aor=nobody%40example.com":
			answer = contacts.ContactList{Contacts: []contacts.Contact{}}
		case "/v1/bindings/" + id:
			answer = phones[2]
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"title": "Not Found", "detail": "`+r.URL.RequestURI()+`"}`)
			return
		}
		json.NewEncoder(w).Encode(answer)
	})
	for _, tt := range []struct {
		args string
		code int
		says []string
	}{
		{"alice@example.com", exitOK, []string{
			"aa\n", "asleep, registered until 2026-01-02", "by tls:192.0.2.7:40312", "2.2 s after a push; 9 of 12 pushes", "not since 2026-01-02",
			"dormant since 2026-01-02", "nothing known since the server started", "awake, registered until", "unreachable, registered until", "added by hand",
		}},
		{"--json alice@example.com", exitOK, []string{`"state": "dormant"`, `"average_seconds": 2.25`, `"count": 5`}},
		{id, exitOK, []string{id + "\n", "sip:alice@example.com\n", "awake, registered until"}},
		{id + " --json", exitOK, []string{`"state": "awake"`, `"count": 1`}},
		{"nobody@example.com", exitOK, []string{"nobody@example.com has no phone\n"}},
		{"nobody@example.com --json", exitOK, []string{`"count": 0`, `"contacts": []`}},
		{"x@example.net", exitFailed, []string{"Not Found: /v1/contacts?aor=x%40example.net"}},
		{"1" + id[1:], exitFailed, []string{"Not Found: /v1/bindings/1c4e"}},
		{"", exitUsage, []string{"takes one user or binding"}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := runWith(program{}, append([]string{"bindings", "show", "--config", config}, strings.Fields(tt.args)...)...)
			if code != tt.code || strings.ContainsAny(stdout+stderr, "\x1b\t\u009b") {
				t.Errorf("code %d, want %d; printed\n%s%s", code, tt.code, stdout, stderr)
			}
			contains(t, stdout+stderr, tt.says)
		})
	}
}
