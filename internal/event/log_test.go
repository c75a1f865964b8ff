package event

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/flow"
)

func TestLog_Lines(t *testing.T) {
	f := flow.Flow{Listener: "main", Transport: flow.UDP, Remote: netip.MustParseAddrPort("192.0.2.7:5060")}
	tests := []struct {
		name  string
		event Event
		want  string // "" if the line is below Info
	}{
		{
			name:  "refresh is quiet",
			event: Registration{Action: "refreshed", AOR: "sip:a@example.com"},
		},
		{
			name:  "created",
			event: Registration{Action: "created", AOR: "sip:a@example.com", Flow: f},
			want:  `level=INFO msg="registration created" aor=sip:a@example.com flow=udp:192.0.2.7:5060@main`,
		},
		{
			name:  "refused",
			event: Registration{Action: "refused", AOR: "sip:a@example.com", Status: 423, Reason: "Interval Too Brief"},
			want:  `level=INFO msg="registration refused" aor=sip:a@example.com status=423 reason="Interval Too Brief"`,
		},
		{
			name:  "banned, as fail2ban reads it",
			event: SourceBanned{Source: "192.0.2.7", Reason: "authentication", Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
			want:  `level=INFO msg="source banned" source=192.0.2.7 reason=authentication datagrams_only=false until=2026-01-02T03:04:05.000Z`,
		},
		{
			name:  "a message that waited",
			event: Message{Step: "delivered", AOR: "sip:a@example.com", CallID: "c", From: "sip:b@example.com", Size: 300, Status: 200, Waited: time.Hour, StillWaiting: 2},
			want:  `level=INFO msg="message delivered" aor=sip:a@example.com call_id=c from=sip:b@example.com size=300 status=200 waited=1h0m0s still_waiting=2`,
		},
		{
			name:  "push accepted is quiet",
			event: PushOutcome{Class: "ok"},
		},
		{
			name:  "push refused",
			event: PushOutcome{Class: "credential", Provider: "apns", Status: 403, Latency: 1500 * time.Microsecond, Err: errors.New("bad key")},
			want:  `level=WARN msg="push outcome" class=credential provider=apns status=403 latency=1.5ms err="bad key"`,
		},
		{
			name:  "a push that nobody waits for is quiet",
			event: PushOutcome{Class: "shed", Err: fmt.Errorf("push: %w", context.Canceled)},
		},
		{
			name:  "dead token",
			event: PushOutcome{Class: "gone", Provider: "fcm"},
			want:  `level=INFO msg="push outcome" class=gone provider=fcm`,
		},
		{
			name:  "answered",
			event: Call{Step: "answered", Method: "INVITE", Status: 200, Elapsed: 2 * time.Second},
			want:  `level=INFO msg="request answered" method=INVITE status=200 elapsed=2s`,
		},
		{
			name:  "parked is quiet",
			event: Call{Step: "parked"},
		},
		{
			name:  "fail2ban line",
			event: AuthFailed{Flow: f, Method: "REGISTER", User: "alice", Realm: "example.com", Reason: "wrong password"},
			want:  `level=INFO msg="authentication failed" source=192.0.2.7 method=REGISTER user=alice realm=example.com reason="wrong password"`,
		},
		{name: "refresh due is quiet", event: RefreshDue{AOR: "sip:a@example.com"}},
		{name: "push requested is quiet", event: PushRequested{AOR: "sip:a@example.com"}},
		{name: "flow closed is quiet", event: FlowClosed{Flow: f}},
		{name: "a push for others is quiet", event: PushSend{AOR: "sip:a@example.com", Token: "t"}},
		{name: "a push that arrived is quiet", event: PushReported{Result: "delivered"}},
		{
			name:  "a push that failed elsewhere",
			event: PushReported{Result: "gone", AOR: "sip:a@example.com", Reason: "uninstalled"},
			want:  `level=INFO msg="push reported" result=gone aor=sip:a@example.com reason=uninstalled`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			h := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})
			Fan{Discard{}, NewLog(slog.New(h))}.Emit(tt.event)
			if got := strings.TrimSpace(b.String()); got != tt.want {
				t.Errorf("Emit(%#v) wrote\n%s\nwant\n%s", tt.event, got, tt.want)
			}
		})
	}
}

func TestLog_DebugShowsTheQuietOnes(t *testing.T) {
	var b bytes.Buffer
	l := NewLog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for _, e := range []Event{
		Registration{Action: "refreshed"}, RefreshDue{}, PushRequested{}, PushOutcome{Class: "ok"}, PushSend{}, Call{Step: "woken"}, FlowClosed{Err: errors.New("reset")},
	} {
		b.Reset()
		l.Emit(e)
		if !strings.Contains(b.String(), "level=DEBUG") {
			t.Errorf("Emit(%#v) wrote %q, want a line at DEBUG", e, b.String())
		}
	}
}
