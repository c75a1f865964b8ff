package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reveille/internal/event"
	"reveille/internal/phone"
	"reveille/push/webhook"
)

// TestEvents_KilledAndRestarted: events that a webhook did not take are there after
// kill -9, and are the same that the stream had.
func TestEvents_KilledAndRestarted(t *testing.T) {
	var up atomic.Bool
	// What is offered to the webhook lies on the disk.
	came, refused := make(chan event.Envelope, 100), make(chan event.Envelope, 1000)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		events := came
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			events = refused
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = webhook.Verify([]byte("s3cret"), r, body, time.Now(), time.Minute)
		}
		if err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(body)) {
			var e event.Envelope
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Error(err)
			}
			events <- e
		}
	}))
	defer srv.Close()
	p := startProcess(t, fmt.Sprintf("events: {webhooks: [{name: crm, url: %q, secret: s3cret}]}", srv.URL))
	// People look on.
	signals := make(chan os.Signal)
	in, out := io.Pipe()
	ended := make(chan int)
	go func() {
		ended <- run([]string{"events", "--config", p.config(), "--type", "binding.*", "--json"},
			program{stdout: out, stderr: io.Discard, lookupEnv: os.LookupEnv, signals: signals})
		out.Close()
	}()
	lines := bufio.NewScanner(in)
	var shown event.Envelope
	next := make(chan bool, 1)
	go func() { next <- lines.Scan() }()
	// The stream may begin after the first registrations.
	for n, asked := 0, time.Now(); shown.ID == ""; n++ {
		registerPhone(t, p.addr, fmt.Sprintf("user%d", n))
		select {
		case ok := <-next:
			if err := json.Unmarshal(lines.Bytes(), &shown); err != nil || !ok || shown.Type != "binding.registered" {
				t.Fatalf("shown: %s, %v", lines.Text(), err)
			}
		case <-time.After(100 * time.Millisecond):
			if time.Since(asked) > 20*time.Second {
				t.Fatal("nothing is shown")
			}
		}
	}
	go io.Copy(io.Discard, in)
	signals <- syscall.SIGINT
	if code := <-ended; code != exitOK {
		t.Errorf("an interrupted look ends with %d", code)
	}
	await := func(what string, events <-chan event.Envelope) {
		t.Helper()
		end := time.After(20 * time.Second)
		for {
			select {
			case e := <-events:
				if e.ID == shown.ID {
					return
				}
			case <-end:
				t.Fatal(what)
			}
		}
	}
	await("the event is not offered", refused)
	p.kill()
	up.Store(true)
	p.start()
	await("the event does not arrive", came)
}

// registerPhone registers a phone of user.
func registerPhone(t *testing.T, addr, user string) {
	t.Helper()
	p, err := phone.New(phone.Options{User: user, Domain: "example.com", Server: addr, Transport: "udp"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Register(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestEvents_Arguments(t *testing.T) {
	p := startProcess(t)
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"events --config CONFIG --type binding.gone", exitFailed, `no type of event matches "binding.gone"`},
		{"events --config CONFIG alice", exitUsage, "no arguments"},
		{"events", exitUsage, "name the server"},
		{"woken --config CONFIG --aor sip:alice@example.com gone", exitFailed, "no such push"},
		{"woken --config CONFIG --push-id 1 failed", exitFailed, "no such push"},
		{"woken --config CONFIG --push-id 1 lost", exitUsage, "delivered, gone or failed"},
		{"woken --config CONFIG gone", exitUsage, "either push_id or aor"},
		{"woken --config CONFIG --push-id 1", exitUsage, "one result"},
	} {
		var stdout, stderr strings.Builder
		code := run(strings.Fields(strings.ReplaceAll(tt.args, "CONFIG", p.config())), program{stdout: &stdout, stderr: &stderr, lookupEnv: os.LookupEnv})
		if code != tt.code || !strings.Contains(stderr.String(), tt.says) {
			t.Errorf("%s: code %d, want %d; printed %s%s", tt.args, code, tt.code, stdout.String(), stderr.String())
		}
	}
}

func TestEventLine(t *testing.T) {
	data, err := event.Encode(event.Call{Step: "failed", Method: "INVITE", CallID: "c 1\x1b", AOR: "sip:ali\u009bce@example.com", Status: 480, Reason: ""},
		"1", time.Date(2026, 11, 22, 8, 0, 0, 1e6, time.Local), 0, event.Plain)
	if err != nil {
		t.Fatal(err)
	}
	got, err := eventLine(data)
	if want := `08:00:00.001  request.failed       sip:ali?ce@example.com by=server call_id="c 1\x1b" method=INVITE status=480`; err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if _, err := eventLine([]byte("{")); err == nil {
		t.Error("half an event is shown")
	}
	for v, want := range map[string]string{`"2026-11-22T08:00:00Z"`: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC).Local().Format(time.RFC3339), `""`: `""`, `[1]`: "[1]", `{"transport":"udp","remote":"192.0.2.7:5060"}`: "udp:192.0.2.7:5060", `{"a":1}`: `{"a":1}`, `true`: "true"} {
		var x any
		if err := json.Unmarshal([]byte(v), &x); err != nil {
			t.Fatal(err)
		}
		if got := fieldText(x); got != want {
			t.Errorf("%s is shown as %s, want %s", v, got, want)
		}
	}
}
