package push

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// expiring is a Sender with a certificate.
type expiring struct {
	outcome  Outcome
	notAfter time.Time
}

func (s *expiring) Send(context.Context, *Request) Outcome { return s.outcome }
func (s *expiring) NotAfter() time.Time                    { return s.notAfter }
func (s *expiring) Close() error                           { return nil }

// TestExpired: who asks why a push failed is told that the certificate has ended, unless
// the push service said something else of the push.
func TestExpired(t *testing.T) {
	for _, tt := range []struct {
		name  string
		class Class
		left  time.Duration
		want  bool
	}{
		{"refused", Credential, -time.Hour, true},
		{"the connection ends", Network, -time.Hour, true},
		{"refused for another cause", Credential, time.Hour, false},
		{"the token is dead", Gone, -time.Hour, false},
		{"taken all the same", OK, -time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := time.Now().Add(tt.left)
				d := newTestDispatcher(t, App{Name: "ios", Provider: "fcm", Sender: &expiring{Outcome{Class: tt.class, Reason: "x"}, end}})
				defer closeNow(t, d)
				r := fcmRequest("t1")
				r.Deadline = time.Now().Add(time.Second)
				o := submit(t, d, r).once(t)
				if (o.Expired != Expiry{}) != tt.want || tt.want && (o.Expired.App != "ios" || !o.Expired.At.Equal(end)) {
					t.Errorf("%s: %+v", o.Class, o.Expired)
				}
				if h := d.Health(); !h[0].Expired.Equal(end) && tt.left < 0 || !h[0].Expired.IsZero() && tt.left > 0 {
					t.Errorf("health: %v", h[0].Expired)
				}
			})
		})
	}
}
