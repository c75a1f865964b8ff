package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/internal/admin"
)

func TestBans(t *testing.T) {
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + " " + r.URL.RequestURI() {
		case "GET /v1/bans":
			json.NewEncoder(w).Encode(admin.BanList{Bans: []admin.Ban{
				{Source: "192.0.2.7", Reason: "authentication", Until: until},
				{Source: "2001:db8:0:1::/64", Reason: "scanner", DatagramsOnly: true, Until: until},
			}})
		case "DELETE /v1/bans?source=192.0.2.7", "DELETE /v1/bans?source=2001%3Adb8%3A0%3A1%3A%3A":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	list := "SOURCE             REASON          WHAT        UNTIL\n" +
		"192.0.2.7          authentication  everything  " + when(until) + "\n" +
		"2001:db8:0:1::/64  scanner         datagrams   " + when(until) + "\n"
	for _, tt := range []struct {
		args   string
		code   int
		stdout string
		says   string
	}{
		{"list --config " + config, exitOK, list, ""},
		{"rm --config " + config + " 192.0.2.7", exitOK, "", ""},
		{"rm --config " + config + " 2001:db8:0:1::/64", exitOK, "", ""},
		{"rm --config " + config + " 192.0.2.8", exitFailed, "", "404"},
		{"rm --config " + config + " alice", exitUsage, "", `"alice" is no address`},
		{"rm --config " + config, exitUsage, "", "one address"},
		{"list", exitUsage, "", "name the server"},
		{"list --store " + filepath.Join(t.TempDir(), "none"), exitFailed, "", "no such file"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(append([]string{"bans"}, strings.Fields(tt.args)...), program{stdout: &stdout, stderr: &stderr, lookupEnv: os.LookupEnv})
			if code != tt.code || stdout.String() != tt.stdout || !strings.Contains(stderr.String(), tt.says) {
				t.Errorf("code %d, want %d; printed\n%s%s", code, tt.code, stdout.String(), stderr.String())
			}
		})
	}
}
