package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"reveille/internal/event"
	"reveille/internal/sipmsg"
)

// refusals are the events of refused requests.
func (w *world) refusals() (list []event.Call) {
	for _, e := range w.events {
		if c, ok := e.(event.Call); ok && c.Step == "refused" {
			list = append(list, c)
		}
	}
	return list
}

// TestRefused: what a rule refuses is told of, with the user for whom it was; a plain
// question for credentials is not, nor what rings no phone of ours.
func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name, method, uri string
		admission         Admission
		want              string
	}{
		{"by a rule", "INVITE", "sip:alice@example.com", Admission{Refusal: &sipmsg.Reply{Code: 403}, Rule: event.RuleTrusted}, "sip:alice@example.com 403  auth.trusted"},
		{"with a phrase", "MESSAGE", "sip:alice@example.com", Admission{Refusal: &sipmsg.Reply{Code: 480, Reason: "No Way Known"}, Rule: event.RuleRouteHook}, "sip:alice@example.com 480 No Way Known hooks.route"},
		{"wrong credentials", "INVITE", "sip:alice@EXAMPLE.com;user=phone", Admission{Refusal: &sipmsg.Reply{Code: 407}, Rule: event.RuleCredentials, Why: "password"}, "sip:alice@example.com 407 password auth.users"},
		{"a question", "INVITE", "sip:alice@example.com", Admission{Refusal: &sipmsg.Reply{Code: 407}}, ""},
		{"for somebody else", "INVITE", "sip:alice@elsewhere.example", Admission{Refusal: &sipmsg.Reply{Code: 403}, Rule: event.RuleTrusted}, ""},
		{"rings nothing", "PUBLISH", "sip:alice@example.com", Admission{Refusal: &sipmsg.Reply{Code: 403}, Rule: event.RuleTrusted}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				w.admit = func(*sipmsg.Message) Admission { return tt.admission }
				w.recv(caller, request(tt.method, tt.uri, "c1"))
				got := ""
				for _, c := range w.refusals() {
					got += fmt.Sprintf("%s %d %s %s", c.AOR, c.Status, c.Reason, c.Rule)
					if c.CallID != "c1" || c.From != "sip:bob@example.net" || c.Flow != caller || c.Request == 0 || c.Asleep {
						t.Errorf("%+v", c)
					}
				}
				if got != tt.want {
					t.Errorf("told %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// TestRefused_OfAFloodSomeAreTold: nobody reads the rest, and it would drive out others.
func TestRefused_OfAFloodSomeAreTold(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.admit = func(*sipmsg.Message) Admission {
			return Admission{Refusal: &sipmsg.Reply{Code: 403}, Rule: event.RuleTrusted}
		}
		for n := range 4 * refusalsBurst {
			w.recv(caller, request("INVITE", "sip:alice@example.com", fmt.Sprint("c", n)))
		}
		if got := len(w.refusals()); got != refusalsBurst {
			t.Errorf("%d were told of, want %d", got, refusalsBurst)
		}
		time.Sleep(time.Second)
		for n := range 4 * refusalsBurst {
			w.recv(caller, request("INVITE", "sip:alice@example.com", fmt.Sprint("d", n)))
		}
		if got := len(w.refusals()); got != refusalsBurst+refusalsRate {
			t.Errorf("%d were told of a second later, want %d", got, refusalsBurst+refusalsRate)
		}
	})
}

// TestRefused_BeforeTheGate: what cannot be passed on at all is told as failed, for the
// user, unless it belongs to a dialog that nobody knows.
func TestRefused_BeforeTheGate(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, aor string }{
		"too many hops": {"Max-Forwards: 70", "Max-Forwards: 0", "sip:alice@example.com"},
		"no dialog":     {"To: <sip:alice@example.com>", "To: <sip:alice@example.com>;tag=x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				m := request("INVITE", "sip:alice@example.com", "c1")
				if !strings.Contains(m, tt.old) {
					t.Fatal(m)
				}
				w.recv(caller, strings.Replace(m, tt.old, tt.new, 1))
				if len(w.events) != 1 || w.events[0].(event.Call).AOR != tt.aor {
					t.Errorf("told %+v, want it to be for %q", w.events, tt.aor)
				}
			})
		})
	}
}
