package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"reveille/internal/admin"
	"reveille/internal/timeline"
	"reveille/internal/why"
)

// sleptThrough is a call to a phone that did not wake.
func sleptThrough() timeline.Record {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	return timeline.Record{
		Summary: timeline.Summary{
			ID: "17", CallID: "c@h", Method: "INVITE", From: "sip:bob@example.com\x1b[2J", AOR: "sip:alice@example.com", Began: at, Ended: at.Add(25 * time.Second),
			State: "ended", Outcome: "failed", Status: 480, Verdict: &timeline.Verdict{Code: timeline.CodeDidNotWake, Said: "The phone did not register within 25 s.", Do: "Open the app."},
		},
		Steps: []timeline.Step{
			{At: at, Kind: "received", Text: "INVITE from bob"},
			{At: at.Add(12 * time.Millisecond), OffsetMS: 12, Kind: "push", Text: "a push by fcm\u009b"},
			{At: at.Add(25 * time.Second), OffsetMS: 25000, Kind: "failed", Text: "480 to the caller"},
		},
	}
}

func TestCalls(t *testing.T) {
	record := sleptThrough()
	report := why.Report{
		AOR: "sip:alice@example.com", Verdict: *record.Verdict, Calls: []timeline.Record{record},
		Phones:  []why.Phone{{Binding: "aa", State: "registered", Provider: "fcm", Wake: &why.Habit{Failures: 3, FailingSince: record.Began}}, {Binding: "bb", State: "registered", Lacks: "DeadToken"}},
		Endings: []timeline.Ending{{At: record.Began, Action: "removed", Cause: "token_moved", UserAgent: "Phone\x1b", MovedTo: "sip:bob@example.com"}},
		Queues:  []why.Queue{{App: "android", Said: "The key is refused.", Do: "Make another."}},
	}
	parked := admin.ParkedList{Total: 3, Parked: []timeline.Waiting{{ID: "18", Method: "INVITE", AOR: "sip:alice@example.com", Since: time.Now(), Deadline: time.Now().Add(time.Hour)}}}
	config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		var answer any
		switch r.URL.RequestURI() {
		case "/v1/calls?aor=alice&limit=2&outcome=failed":
			answer = admin.CallList{Calls: []timeline.Summary{record.Summary}, Next: "17"}
		case "/v1/calls?limit=30":
			answer = admin.CallList{}
		case "/v1/calls/17":
			answer = record
		case "/v1/calls/a%2Fb":
			answer = timeline.Record{Summary: timeline.Summary{ID: "18", Method: "INVITE", To: "sip:x@example.com"}, Dropped: 2}
		case "/v1/why?aor=alice&calls=5":
			answer = report
		case "/v1/why?aor=carol&calls=1":
			answer = why.Report{AOR: "sip:carol@example.com", Verdict: timeline.Verdict{Code: why.CodeFine, Said: "Nothing is in the way of a call."}}
		case "/v1/parked":
			answer = parked
		case "/v1/reload":
			answer = admin.Reloaded{Changed: []string{"log.level"}, Restart: []string{"http.addr"}}
		case "/v1/status":
			answer = admin.Status{Version: "v1\x1b", Ready: true, Overloaded: true, Registrations: admin.Registrations{Users: 1, Bindings: 2, Counted: &admin.Counted{Asleep: 2}}, Listeners: []admin.Listener{{Name: "tls", Transport: "tls", Addr: ":5061"}}}
		case "/v1/config":
			answer = admin.Configuration{YAML: "realm: x\u009b\n"}
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"title": "Not Found", "detail": "nothing is known"}`)
			return
		}
		json.NewEncoder(w).Encode(answer)
	})
	for _, tt := range []struct {
		args string
		code int
		says []string
	}{
		{"calls list --aor alice --outcome failed --limit 2", exitOK, []string{when(record.Began) + "  17  INVITE  sip:bob@example.com?[2J  sip:alice@example.com  failed 480  The phone did not", "--before 17"}},
		{"calls list", exitOK, []string{"no call is known"}},
		{"calls", exitOK, []string{"no call is known"}},
		{"calls nonsense", exitUsage, []string{"no argument"}},
		{"calls list --limit 3 --before x", exitFailed, []string{"nothing is known"}},
		{"calls show 17", exitOK, []string{
			"INVITE  sip:bob@example.com?[2J → sip:alice@example.com\n", "03:04:05.000     +0 ms ├─ INVITE from bob\n", "03:04:05.012    +12 ms ├─ a push by fcm?\n",
			"03:04:30.000  +25.00 s └─ 480 to the caller\n", "within 25 s.\nWhat to do: Open the app.\n",
		}},
		{"calls show 17 --json", exitOK, []string{`"offset_ms": 25000`, `"code": "did_not_wake"`}},
		{"calls show a/b", exitOK, []string{"not over yet", "2 steps that were not kept", "sip:x@example.com"}},
		{"calls show", exitUsage, []string{"one id"}},
		{"why alice", exitFailed, []string{
			"sip:alice@example.com\nThe phone did not register", "not since", "cannot be woken: DeadToken", "sip:bob@example.com logged in with the push token", "android: The key is refused.\nWhat to do: Make another.", "failed 480",
		}},
		{"why alice --json", exitFailed, []string{`"code": "did_not_wake"`}},
		{"why carol --calls 1", exitOK, []string{"Nothing is in the way", "none is registered", "none met"}},
		{"parked", exitOK, []string{"18    INVITE", "and 2 more"}},
		{"parked --json", exitOK, []string{`"total": 3`}},
		{"reload", exitOK, []string{"reloaded: log.level\n", "until a restart: http.addr"}},
		{"reload --json", exitOK, []string{`"restart": [`}},
		{"status", exitOK, []string{"overloaded.\n", "2 phones of 1 user", "0 awake, 2 asleep", "tls tls :5061"}},
		{"status --json", exitOK, []string{`"overloaded": true`}},
		{"config show", exitOK, []string{"realm: x?\n", "generation 0"}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := runWith(program{}, append(strings.Fields(tt.args), "--config", config)...)
			if code != tt.code {
				t.Errorf("code %d, want %d; printed\n%s%s", code, tt.code, stdout, stderr)
			}
			contains(t, stdout+stderr, tt.says)
			if strings.ContainsAny(stdout+stderr, "\x1b\u009b") {
				t.Errorf("a phone speaks to the terminal: %q", stdout)
			}
		})
	}
}

// TestParked_Follow: it goes on until a signal ends it, which is no failure.
func TestParked_Follow(t *testing.T) {
	signals := make(chan os.Signal, 1)
	var asked atomic.Int32
	config := newControl(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 2 {
			signals <- syscall.SIGINT
		}
		io.WriteString(w, `{"parked": [], "total": 0}`)
	})
	code, stdout, stderr := runWith(program{signals: signals}, "parked", "--follow", "--json", "--config", config)
	if code != exitOK || !strings.HasPrefix(stdout, "{\"parked\":[],\"total\":0}\n") {
		t.Errorf("code %d; printed %s%s", code, stdout, stderr)
	}
}

func TestStatus(t *testing.T) {
	stopping := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/status" {
			json.NewEncoder(w).Encode(admin.Status{Draining: true})
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "stopping\n")
	})
	other := newControl(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	ready := newControl(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ready\n") })
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"--config " + stopping, exitFailed, "It stops"},
		{"--quiet --config " + stopping, exitFailed, ""},
		{"--config " + other, exitFailed, "is that a reveille"},
		{"--quiet --config " + ready, exitOK, ""},
		{"-q --store " + t.TempDir(), exitFailed, ""},
		{"-q", exitUsage, "name the server"},
	} {
		code, stdout, stderr := runWith(program{}, append([]string{"status"}, strings.Fields(tt.args)...)...)
		if code != tt.code || !strings.Contains(stdout+stderr, tt.says) || stdout+stderr != "" && tt.says == "" {
			t.Errorf("%s: code %d, want %d; printed %s%s", tt.args, code, tt.code, stdout, stderr)
		}
	}
}
