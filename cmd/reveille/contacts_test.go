package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"reveille/internal/contacts"
)

func TestBindings_OfARunningServer(t *testing.T) {
	config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		alice := contacts.Contact{ID: "aa", AOR: "sip:alice@example.com", State: "awake", Contact: "sip:a@h\u009b", UserAgent: "Phone\x1b[2J"}
		var answer any
		switch r.Method + " " + r.URL.RequestURI() {
		case "GET /v1/contacts?limit=3&provider=fcm":
			answer = contacts.ContactList{Contacts: []contacts.Contact{{ID: "dd", AOR: "sip:bob@example.com"}, {ID: "bb", AOR: "sip:bob@example.com"}}, Next: "7"}
		case "GET /v1/contacts?after=7&limit=1&provider=fcm":
			answer = contacts.ContactList{Next: "8"}
		case "GET /v1/contacts?after=8&limit=1&provider=fcm":
			answer = contacts.ContactList{Contacts: []contacts.Contact{alice}, Next: "9"}
		case "GET /v1/contacts?after=7&limit=1000":
			answer = contacts.ContactList{Next: r.URL.Query().Get("after")}
		case "DELETE /v1/bindings/aa":
			answer = alice
		case "DELETE /v1/contacts?ip=192.0.2.7":
			answer = contacts.Removal{Removed: []contacts.Contact{alice}, Count: 1, Next: "7"}
		case "DELETE /v1/contacts?after=7&ip=192.0.2.7":
			answer = contacts.Removal{Removed: []contacts.Contact{{ID: "bb"}}, Count: 1}
		case "DELETE /v1/contacts?ip=192.0.2.7&ip=2001%3Adb8%3A%3A7&port=5060&port=5061&prid=a%2Bb%2Cc":
			answer = contacts.Removal{Removed: []contacts.Contact{{ID: "ee"}}, Count: 1}
		case "DELETE /v1/contacts?aor=nobody":
			answer = contacts.Removal{}
		case "POST /v1/aors/sip:desk@example.com/contacts":
			body, _ := io.ReadAll(r.Body)
			if string(body) != `{"contact":"sip:desk@192.0.2.20","q":0.5}` {
				t.Errorf("added %s", body)
			}
			answer = contacts.Contact{ID: "cc", AOR: "sip:desk@example.com"}
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"title": "Not Found", "detail": "`+r.Method+` `+r.URL.RequestURI()+`"}`)
			return
		}
		json.NewEncoder(w).Encode(answer)
	})
	for _, tt := range []struct {
		args string
		code int
		says []string
	}{
		{"list --provider fcm --limit 3", exitOK, []string{"PHONE\nsip:alice@example.com  aa       awake", "Phone?[2J", "--after 9", "\nsip:bob@example.com    dd", "\nsip:bob@example.com    bb"}},
		{"list --after 7", exitOK, []string{"no phone is registered"}},
		{"list --limit 0", exitUsage, []string{"--limit is 0"}},
		{"list --limit 100001", exitUsage, []string{"--limit is 100001"}},
		{"list --limit 1 --after 5", exitFailed, []string{"after=5&limit=1"}},
		{"list --provider fcm --limit 3 --json", exitOK, []string{`"next": "9"`, `"state": "awake"`, `"count": 3`}},
		{"list alice", exitUsage, []string{"no arguments"}},
		{"rm aa", exitOK, []string{"sip:alice@example.com aa: removed\n"}},
		{"rm --ip 192.0.2.7", exitOK, []string{"aa: removed\n", "bb: removed\n"}},
		{"rm --ip 192.0.2.7 --port 5060 --ip 2001:db8::7 --port 5061 --prid a+b,c", exitOK, []string{"ee: removed\n"}},
		{"rm --aor nobody", exitOK, []string{"no phone is registered"}},
		{"rm --aor nobody --json", exitOK, []string{`"count": 0`}},
		{"rm dd", exitFailed, []string{"DELETE /v1/bindings/dd"}},
		{"rm", exitUsage, []string{"name either"}},
		{"rm aa --aor alice", exitUsage, []string{"name either"}},
		{"add sip:desk@example.com sip:desk@192.0.2.20 --q 0.5", exitOK, []string{"sip:desk@example.com cc: added"}},
		{"add sip:desk@example.com", exitUsage, []string{"a user and a Contact URI"}},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := runWith(program{}, append(append([]string{"bindings"}, strings.Fields(tt.args)...), "--config", config)...)
			if code != tt.code || strings.ContainsAny(stdout+stderr, "\x1b\u009b") {
				t.Errorf("code %d, want %d; printed\n%s%s", code, tt.code, stdout, stderr)
			}
			contains(t, stdout+stderr, tt.says)
		})
	}
}
