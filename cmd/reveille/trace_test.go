package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/admin"
	"reveille/internal/trace"
)

func TestTrace_Text(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local)
	in := trace.Shown{
		At: at, Direction: trace.In, Transport: "UDP", Local: "192.0.2.1:5060", Remote: "192.0.2.9:5060", First: "OPTIONS sip:a SIP/2.0",
		Message: "OPTIONS sip:a SIP/2.0\r\nX: \x1b[31m\r\n\r\nv=0\r\n",
	}
	out := in
	out.Direction, out.Again, out.Message, out.First = trace.Out, true, "SIP/2.0 200 OK\r\n\r\n", "SIP/2.0 200 OK"
	failed := out
	failed.Again, failed.Error, failed.Local = false, "flow has ended", ""
	for _, tc := range []struct {
		name  string
		m     trace.Shown
		brief bool
		want  string
	}{
		{"in", in, false, "03:04:05.006 UDP 192.0.2.9:5060 --> 192.0.2.1:5060  OPTIONS sip:a SIP/2.0\n    X: ?[31m\n    \n    v=0\n\n"},
		{"out", out, false, "03:04:05.006 UDP 192.0.2.9:5060 <-- 192.0.2.1:5060  SIP/2.0 200 OK (again)\n\n"},
		{"brief", in, true, "03:04:05.006 UDP 192.0.2.9:5060 --> 192.0.2.1:5060  OPTIONS sip:a SIP/2.0\n"},
		{"not sent", failed, true, "03:04:05.006 UDP 192.0.2.9:5060 <--   SIP/2.0 200 OK (not sent: flow has ended)\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, program{}.traceText(tc.m, tc.brief)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestTrace_OfARunningServer: what a phone and the server say is shown while they do, until
// somebody interrupts.
func TestTrace_OfARunningServer(t *testing.T) {
	p := startProcess(t, "")
	signals := make(chan os.Signal)
	in, out := io.Pipe()
	ended := make(chan int)
	var said strings.Builder
	go func() {
		ended <- run([]string{"trace", "alice@example.com", "--config", p.config(), "--brief"}, program{stdout: out, stderr: &said, lookupEnv: os.LookupEnv, signals: signals})
		out.Close()
	}()
	lines := make(chan string, 100)
	go func() {
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()
	// The trace may begin after the first registrations.
	var first string
	for asked := time.Now(); first == ""; {
		registerPhone(t, p.addr, "bob")
		registerPhone(t, p.addr, "alice")
		select {
		case first = <-lines:
		case <-time.After(100 * time.Millisecond):
			if time.Since(asked) > 20*time.Second {
				t.Fatal("nothing is shown")
			}
		}
	}
	if !strings.Contains(first, "REGISTER") && !strings.Contains(first, "SIP/2.0 ") {
		t.Errorf("shown: %q", first)
	}
	go func() {
		for range lines { // Nobody reads on.
		}
	}()
	signals <- syscall.SIGINT
	if code := <-ended; code != exitOK {
		t.Errorf("an interrupted look ends with %d: %s", code, said.String())
	}
}

// TestTrace_JSON: what a server sends does nothing to a terminal, and is JSON.
func TestTrace_JSON(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		code       int
		want       string
	}{
		{"a message", `{"first": "OPTIONS <a>` + "\u009b" + `", "later": 1}`, exitFailed, `{"first":"OPTIONS <a>\u009b","later":1}` + "\n"},
		{"no JSON", "\x1b[2J", exitFailed, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := newControl(t, func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, "event: "+admin.TraceMessage+"\ndata: "+tt.data+"\n\n")
			})
			code, stdout, stderr := runWith(program{}, "trace", "alice", "--json", "--config", config)
			if code != tt.code || stdout != tt.want || strings.ContainsAny(stderr, "\x1b\u009b") {
				t.Errorf("code %d, want %d; printed %q, want %q; %q", code, tt.code, stdout, tt.want, stderr)
			}
		})
	}
}

func TestTrace_Arguments(t *testing.T) {
	for _, args := range [][]string{{"trace"}, {"trace", "a", "b"}} {
		if code := run(args, program{stdout: io.Discard, stderr: io.Discard, lookupEnv: os.LookupEnv}); code != exitUsage {
			t.Errorf("%v = %d", args, code)
		}
	}
}
