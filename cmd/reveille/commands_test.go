package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestCommands_OfARealServer: what commands ask for is what the server answers.
func TestCommands_OfARealServer(t *testing.T) {
	r := newPushRig(t, true)
	r.register("alice", "alices-token")
	r.register("bob", "bobs-token")
	// A call that comes to nothing: nobody of that name has a phone.
	w := dialWire(t, r.app.Addr("udp").String())
	w.invite("carol", "to-carol")
	w.await("SIP/2.0 4")
	for _, tt := range []struct {
		line string
		code int
		says []string
	}{
		{"status --config CONFIG", exitOK, []string{"It takes traffic.", "2 phones of 2 users, 2 can be woken", "listener       tcp tcp 127.0.0.1:"}},
		{"status --quiet --config CONFIG", exitOK, nil},
		{"config show --config CONFIG", exitOK, []string{"generation 1", "example.com"}},
		{"bindings list --config CONFIG --provider fcm", exitOK, []string{"sip:alice@example.com ", "sip:bob@example.com "}},
		{"bindings list --config CONFIG --aor alice@example.com --json", exitOK, []string{`"count": 1`}},
		{"bindings show --config CONFIG alice@example.com", exitOK, []string{"registered until"}},
		{"bindings rm --config CONFIG --aor bob@example.com", exitOK, []string{"sip:bob@example.com "}},
		{"bindings rm --config CONFIG 00000000000000000000000000000000", exitFailed, []string{"not registered"}},
		{"bindings add --config CONFIG desk@example.com sip:desk@127.0.0.1:9", exitOK, []string{"sip:desk@example.com ", ": added"}},
		{"calls list --config CONFIG", exitOK, []string{"carol", "failed 4"}},
		{"calls show --config CONFIG to-carol", exitOK, []string{"INVITE", "└─"}},
		{"calls show --config CONFIG nothing", exitFailed, []string{"nothing is known of a call"}},
		{"parked --config CONFIG", exitOK, []string{"nobody waits for a phone"}},
		{"why --config CONFIG alice@example.com", exitOK, []string{"sip:alice@example.com\n", "Phones\n"}},
		{"why --config CONFIG bob@example.com", exitFailed, []string{"sip:bob@example.com\n", "an operator removed the last"}},
		{"why --config CONFIG bob@example.net", exitFailed, []string{"reveille: the server on"}},
		{"stats --config CONFIG", exitOK, []string{"registered_users ", "location_contacts "}},
		{"dump --config CONFIG", exitOK, []string{`{"aor":"sip:alice@example.com",`}},
		{"dump --config CONFIG --aor alice", exitUsage, []string{"unknown flag"}},
		{"flush --config CONFIG", exitFailed, []string{"kept in memory alone"}},
		{"bans list --config CONFIG", exitOK, []string{"nobody is banned"}},
		{"providers --config CONFIG", exitOK, []string{"android"}},
		{"__complete wake --config CONFIG sip:al", exitOK, []string{"sip:alice@example.com\n"}},
		{"__complete push test --config CONFIG --provider=", exitOK, []string{"fcm\n"}},
	} {
		code, stdout, stderr := r.run("", tt.line)
		if code != tt.code {
			t.Errorf("%s: code %d, want %d; printed\n%s%s", tt.line, code, tt.code, stdout, stderr)
		}
		for _, s := range tt.says {
			if !strings.Contains(stdout+stderr, s) {
				t.Errorf("%s: there is no %q in\n%s%s", tt.line, s, stdout, stderr)
			}
		}
		if strings.Contains(stdout+stderr, "s-token") {
			t.Errorf("%s tells a push token:\n%s%s", tt.line, stdout, stderr)
		}
	}
	// The id of a list is one that the other commands take.
	_, stdout, _ := r.run("", "bindings list --config CONFIG --aor alice@example.com --json")
	id := regexp.MustCompile(`"id": "([0-9a-f]{32})"`).FindStringSubmatch(stdout)
	if id == nil {
		t.Fatalf("there is no id in %s", stdout)
	}
	if code, stdout, stderr := r.run("", fmt.Sprintf("bindings rm --config CONFIG %s", id[1])); code != exitOK || !strings.Contains(stdout, id[1]+": removed") {
		t.Errorf("code %d; printed %s%s", code, stdout, stderr)
	}
}
