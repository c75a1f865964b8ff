package app

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"reveille/internal/timeline"
	"reveille/push/pushsim"
)

// TestAdmin_NoPushParametersForTheRoleRead has a phone woken, and asks for all that a
// token of the role read may ask for.
func TestAdmin_NoPushParametersForTheRoleRead(t *testing.T) {
	t.Parallel()
	const token = "token-of-alice"
	r := newRig(t, `http: {addr: "127.0.0.1:0", tokens: [{name: watch, role: read, token: token-of-the-watch}, {name: helpdesk, role: operate, token: token-of-the-helpdesk}]}`)
	r.sleeper("alice", "tcp", token)
	if err := ring(r, r.caller()); err != nil {
		t.Fatal(err)
	}
	watch := operator{&http.Client{}, r, "http", "token-of-the-watch"}
	_, document := watch.do("GET", "/v1/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		t.Fatal(err)
	}
	calls, _, err := r.timelineCalls().Calls(timeline.Query{AOR: "alice@example.com"})
	if err != nil || len(calls) != 1 {
		t.Fatal(calls, err)
	}
	asked := 0
	for path, operations := range doc.Paths {
		if operations["get"] == nil || strings.HasSuffix(path, "/events") {
			continue // Events are read below.
		}
		path = "/v1" + strings.TrimPrefix(strings.NewReplacer(
			"{aor}", "alice@example.com", "calls/{id}", "calls/"+calls[0].ID, "{id}", r.only("alice").ID).Replace(path), "/v1")
		if strings.HasSuffix(path, "/why") {
			path += "?aor=alice@example.com"
		}
		status, answer := watch.do("GET", path, "")
		if strings.Contains(answer, pushsim.ProjectID) || strings.Contains(answer, token) {
			t.Errorf("%s: %s", path, answer)
		}
		if status == http.StatusOK {
			asked++
		}
	}
	if asked < 12 {
		t.Errorf("%d answers were looked at", asked)
	}
	for who, want := range map[string]bool{"token-of-the-watch": false, "token-of-the-helpdesk": true} {
		watch.token = who
		got := watch.eventsUntil("event: request.answered")
		if !strings.Contains(got, `"provider":"fcm"`) || strings.Contains(got, pushsim.ProjectID) != want || strings.Contains(got, token) {
			t.Errorf("%s is shown %s", who, got)
		}
	}
}

// eventsUntil reads the events that are kept, and those that come, up to a line.
func (o operator) eventsUntil(line string) string {
	t := o.rig.t
	t.Helper()
	req, err := http.NewRequestWithContext(o.rig.within(), http.MethodGet, o.scheme+"://"+o.rig.HTTPAddr().String()+"/v1/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	req.Header.Set("Last-Event-ID", "00000000-0000-7000-8000-000000000000")
	resp, err := o.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all strings.Builder
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if lines.Text() == line {
			return all.String()
		}
	}
	t.Fatalf("no %q after %s", line, all.String())
	return ""
}
