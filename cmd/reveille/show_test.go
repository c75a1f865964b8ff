package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"reveille/internal/admin"
)

func TestBindingsShow(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		list := admin.BindingList{User: "sip:alice@example.com", Bindings: []admin.Binding{}}
		switch user := r.URL.Query().Get("user"); user {
		case "alice@example.com":
			list.Bindings = []admin.Binding{
				{
					ID: "aa", State: admin.StateRegistered, Provider: "apns", Expires: at, RefreshAt: at, UserAgent: "Phone/1\x1b[2J\tx", Contact: "sip:\x9b@h",
					Wake: &admin.Wake{Last: at, Average: 2.25, Successes: 9, Failures: 3, FailingSince: at},
				},
				{ID: "bb", State: admin.StateDormant, Provider: "fcm", Expires: at, RetainUntil: at},
				{ID: "cc", State: admin.StateRegistered, Awake: true, Expires: at},
			}
		case "nobody@example.com":
		default:
			w.WriteHeader(http.StatusNotFound)
			return
		}
		json.NewEncoder(w).Encode(list)
	})
	for _, tt := range []struct {
		args string
		code int
		says []string
	}{
		{"alice@example.com", exitOK, []string{
			"aa\n", "asleep, registered until 2026-01-02", "2.2 s after a push; 9 of 12 pushes", "not since 2026-01-02",
			"dormant since 2026-01-02", "nothing known since the server started", "awake, registered until",
		}},
		{"--json alice@example.com", exitOK, []string{`"state": "dormant"`, `"average_seconds": 2.25`}},
		{"nobody@example.com", exitOK, []string{"has no phone"}},
		{"x@example.net", exitFailed, []string{"404"}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr strings.Builder
			args := append([]string{"bindings", "show", "--config", config}, strings.Fields(tt.args)...)
			code := run(args, program{stdout: &stdout, stderr: &stderr, lookupEnv: os.LookupEnv})
			if code != tt.code {
				t.Errorf("code %d, want %d; printed\n%s%s", code, tt.code, stdout.String(), stderr.String())
			}
			if strings.ContainsAny(stdout.String(), "\x1b\t\u009b") {
				t.Errorf("a phone speaks to the terminal: %q", stdout.String())
			}
			for _, s := range tt.says {
				if !strings.Contains(stdout.String()+stderr.String(), s) {
					t.Errorf("%q is missing in\n%s%s", s, stdout.String(), stderr.String())
				}
			}
		})
	}
}
