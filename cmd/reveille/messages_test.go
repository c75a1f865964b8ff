package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/internal/admin"
)

func TestMessages(t *testing.T) {
	dir, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	config := filepath.Join(dir, "r.yaml")
	if err := os.WriteFile(config, []byte("control: {socket: c}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(admin.MessageList{Users: []admin.MessageUser{
			{User: "sip:alice@example.com", Messages: 3, Bytes: 1200, Oldest: at}, {User: "sip:bob@example.com", Messages: 12, Bytes: 7, Oldest: at},
		}})
	})}
	go srv.Serve(l) // It ends with Close.
	defer srv.Close()
	const list = "sip:alice@example.com  3 messages   1200 bytes  the oldest from 2026-01-02T03:04:05Z\n" +
		"sip:bob@example.com    12 messages  7 bytes     the oldest from 2026-01-02T03:04:05Z\n"
	for _, tt := range []struct {
		args   string
		code   int
		stdout string
		says   string
	}{
		{"--config " + config, exitOK, list, ""},
		{"", exitUsage, "", "name the server"},
		{"--store " + filepath.Join(dir, "none"), exitFailed, "", "no such file"},
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
