package app

import (
	"strconv"
	"strings"
	"testing"

	"reveille/internal/timeline"
)

// TestWhy_RefusedBeforeAnybodyLooked: a rule of the server is the answer to the question
// why a phone did not ring, though the phone is well.
func TestWhy_RefusedBeforeAnybodyLooked(t *testing.T) {
	const wrong = `Proxy-Authorization: Digest username="bob", realm="example.com", nonce="0", uri="sip:alice@example.com", ` +
		`algorithm=MD5, qop=auth, nc=00000001, cnonce="0", response="00000000000000000000000000000000"`
	for _, tt := range []struct {
		name, code string
		more       []string
		header     []string
		status     int
		said       string
	}{
		{
			name: "access list", code: timeline.CodeForbidden, status: 403, said: "the access list acl.source denies its address",
			more: []string{`acl: {source: [{deny: 127.0.0.0/8, listener: udp}]}`},
		},
		{
			name: "not trusted", code: timeline.CodeForbidden, status: 403, said: "its address is not among auth.trusted",
			more: []string{`auth: {mode: {registrar: required, proxy: "off"}, users: [{name: alice, password: secret}], trusted: [{cidr: 192.0.2.0/24}], limit: {per_source: 0}}`},
		},
		{
			name: "wrong password", code: timeline.CodeCallerRefused, status: 407, said: "its password is wrong",
			header: []string{wrong},
		},
		{
			name: "a hook that is away", code: timeline.CodeForbidden, status: 480, said: "hooks.route said so, or did not answer",
			more: []string{openYAML, `hooks: {route: {url: "http://127.0.0.1:1/"}}`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tt.more...)
			r.register(r.phone("alice", "tcp", ""))
			w := r.dial("udp")
			w.send(w.request("INVITE", "sip:alice@example.com", tt.header...))
			got := w.status()
			for strings.HasPrefix(got, "SIP/2.0 1") {
				got = w.status()
			}
			if code, _, _ := strings.Cut(strings.TrimPrefix(got, "SIP/2.0 "), " "); code != strconv.Itoa(tt.status) {
				t.Fatalf("%s, want %d", got, tt.status)
			}
			report := r.asks()
			if report.Verdict.Code != tt.code || !strings.Contains(report.Verdict.Said, "sip:bob@example.com") || !strings.Contains(report.Verdict.Said, tt.said) {
				t.Errorf("%+v", report.Verdict)
			}
			if len(report.Calls) != 1 || !hasStep(&report.Calls[0], timeline.StepRefused) {
				t.Errorf("calls: %+v", report.Calls)
			}
			t.Log(report.Verdict.Said, report.Verdict.Do)
		})
	}
}
