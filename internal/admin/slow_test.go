package admin

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/memnet"
)

// TestHostile_SlowClients: who sends nothing, or a byte a second, or takes no answer, is
// hung up on soon, whatever it asks for.
func TestHostile_SlowClients(t *testing.T) {
	for _, tt := range []struct {
		name, begin string
		drip        string // sent over and over, a byte a second
		within      time.Duration
		stream      bool // the answer has no end: it is to begin within that time
	}{
		{"silence", "", "", 5 * time.Second, false},
		{"a header without end", "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ", "x", 5 * time.Second, false},
		{"a body without end", "POST /v1/reload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + rootToken + "\r\nContent-Length: 1000\r\n\r\n", "x", 10 * time.Second, false},
		{"a body to a stream", "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + rootToken + "\r\nContent-Length: 1000\r\n\r\n", "x", 10 * time.Second, true},
		{"nothing after an answer", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "", time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := Options{Gatherer: prometheus.NewRegistry(), Ready: func() error { return nil }, Access: everybody(), Calls: everything(t), Logger: slog.New(slog.DiscardHandler)}
				s, err := New(o)
				if err != nil {
					t.Fatal(err)
				}
				n := memnet.New(1)
				l, err := n.Host("192.0.2.1").Listen(t.Context(), "tcp", "192.0.2.1:8080")
				if err != nil {
					t.Fatal(err)
				}
				s.serve(l, routes(o), s.guarded)
				s.Start()
				defer func() {
					if err := s.Stop(t.Context()); err != nil {
						t.Error(err)
					}
				}()
				c, err := n.Host("192.0.2.2").DialContext(t.Context(), "tcp", "", "192.0.2.1:8080")
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				began := time.Now()
				if _, err := io.WriteString(c, tt.begin); err != nil {
					t.Fatal(err)
				}
				stop := make(chan struct{})
				defer close(stop)
				go drip(c, tt.drip, stop)
				answer := io.Reader(c)
				if tt.stream {
					answer = io.LimitReader(c, 1)
				}
				// How it is hung up on is the system's business.
				_, _ = io.Copy(io.Discard, answer)
				if took := time.Since(began); took > tt.within+time.Second {
					t.Errorf("was listened to for %v, want %v", took, tt.within)
				}
			})
		})
	}
}

// drip writes what there is to c, again each second, until stop or an error.
func drip(c net.Conn, what string, stop <-chan struct{}) {
	for what != "" {
		select {
		case <-stop:
			return
		case <-time.After(time.Second):
		}
		if _, err := io.WriteString(c, what); err != nil {
			return
		}
	}
}
