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

func TestMessages(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	config := newControl(t, func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(admin.MessageList{Users: []admin.MessageUser{
			{User: "sip:alice@example.com", Messages: 3, Bytes: 1200, Oldest: at}, {User: "sip:bob@example.com", Messages: 12, Bytes: 7, Oldest: at},
		}})
	})
	list := "USER                   MESSAGES  BYTES  OLDEST                UNTIL\n" +
		"sip:alice@example.com  3         1200   " + when(at) + "  -\n" +
		"sip:bob@example.com    12        7      " + when(at) + "  -\n"
	for _, tt := range []struct {
		args   string
		code   int
		stdout string
		says   string
	}{
		{"--config " + config, exitOK, list, ""},
		{"", exitUsage, "", "name the server"},
		{"--store " + filepath.Join(t.TempDir(), "none"), exitFailed, "", "no such file"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(append([]string{"messages"}, strings.Fields(tt.args)...), program{stdout: &stdout, stderr: &stderr, lookupEnv: os.LookupEnv})
			if code != tt.code || stdout.String() != tt.stdout || !strings.Contains(stderr.String(), tt.says) {
				t.Errorf("code %d, want %d; printed\n%s%s", code, tt.code, stdout.String(), stderr.String())
			}
		})
	}
}
