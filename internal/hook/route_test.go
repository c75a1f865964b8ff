package hook

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoute(t *testing.T) {
	const question = `{"event":"route","method":"INVITE","from":"sip:alice@example.com","to":"sip:bob@example.com","call_id":"c1","source":"192.0.2.1:5060","transport":"UDP"}`
	targets := strings.TrimSuffix(strings.Repeat(`"sip:a@b",`, 33), ",")
	tests := []struct {
		name, body string
		want       Direction
		says       string // the error; empty: none
	}{
		{"continue", `{"action": "continue"}`, Direction{Action: Continue}, ""},
		{"targets", `{"action": "targets", "targets": ["sip:bob@example.com"]}`, Direction{Action: ToTargets, Targets: []string{"sip:bob@example.com"}}, ""},
		{"no targets", `{"action": "targets", "targets": []}`, Direction{}, "not 1 to 32"},
		{"many targets", `{"action": "targets", "targets": [` + targets + `]}`, Direction{}, "not 1 to 32"},
		{"route", `{"action": "route", "name": "gateway"}`, Direction{Action: ToRoute, Name: "gateway"}, ""},
		{"no route", `{"action": "route"}`, Direction{}, "without name"},
		{"reject", `{"action": "reject"}`, Direction{Action: Reject, Status: 403}, ""},
		{"reject so", `{"action": "reject", "status": 603, "reason": "No"}`, Direction{Action: Reject, Status: 603, Reason: "No"}, ""},
		{"a challenge", `{"action": "reject", "status": 407}`, Direction{}, "no refusal"},
		{"two lines", `{"action": "reject", "reason": "a\nb"}`, Direction{}, "control characters"},
		{"nothing", `{}`, Direction{}, "none of continue"},
		{"something else", `{"action": "transfer"}`, Direction{}, "none of continue"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err != nil || string(body) != question {
					t.Errorf("posted %s, %v", body, err)
				}
				io.WriteString(w, tt.body)
			}))
			defer server.Close()
			c := newClient(t, Options{Name: "route", URL: server.URL})
			done := make(chan struct{})
			q := Request{Method: "INVITE", From: "sip:alice@example.com", To: "sip:bob@example.com", CallID: "c1", Source: "192.0.2.1:5060", Transport: "UDP"}
			c.AskRoute(q, func(got Direction, err error) {
				defer close(done)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("AskRoute (-want +got)\n%s", diff)
				}
				if (err != nil) != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
					t.Errorf("AskRoute = %v, want %q", err, tt.says)
				}
			})
			<-done
		})
	}
}
