package transport

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/tlscert/certtest"
)

// recordAlert is the type of a TLS record that is an alert.
const recordAlert = 21

// A recorded connection keeps what is read from it.
type recorded struct {
	net.Conn
	in []byte
}

func (c *recorded) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in = append(c.in, b[:n]...)
	return n, err
}

// alerts counts the alerts that were read, and reports whether one came last.
func (c *recorded) alerts() (n int, last bool) {
	for rest := c.in; len(rest) >= 5; rest = rest[min(5+(int(rest[3])<<8|int(rest[4])), len(rest)):] {
		if last = rest[0] == recordAlert; last {
			n++
		}
	}
	return n, last
}

// TestTLS_EveryEndSaysGoodbye_RFC5246_7_2_1: whatever ends a connection from our
// side, or if the peer ends it in order, there is one close_notify, and it is last.
func TestTLS_EveryEndSaysGoodbye_RFC5246_7_2_1(t *testing.T) {
	wssListener := func() []ListenerOptions {
		return []ListenerOptions{{Name: "wss", Transport: flow.WSS, Addr: ":5061"}}
	}
	for _, tc := range []struct {
		name string
		wss  bool
		act  func(t *testing.T, b *bench, c *tls.Conn)
	}{
		{"idle", false, func(t *testing.T, _ *bench, c *tls.Conn) {
			mustWrite(t, c, message(1, ""))
			time.Sleep(time.Hour + time.Second)
		}},
		{"no message in time", false, func(*testing.T, *bench, *tls.Conn) { time.Sleep(31 * time.Second) }},
		{"half a message", false, func(t *testing.T, _ *bench, c *tls.Conn) {
			mustWrite(t, c, message(1, "")[:50])
			time.Sleep(31 * time.Second)
		}},
		{"no SIP", false, func(t *testing.T, _ *bench, c *tls.Conn) { mustWrite(t, c, "\x00\x01\x02\x03 no SIP at all\r\n\r\n") }},
		{"a message that has no end", false, func(t *testing.T, _ *bench, c *tls.Conn) {
			mustWrite(t, c, strings.Replace(message(1, ""), "Content-Length: 0", "Content-Length: -1", 1))
		}},
		{"longer than a message may be", false, func(t *testing.T, _ *bench, c *tls.Conn) {
			mustWrite(t, c, "REGISTER sip:example.com SIP/2.0\r\nX: "+strings.Repeat("x", 70_000))
		}},
		{"the peer ends it", false, func(t *testing.T, _ *bench, c *tls.Conn) {
			mustWrite(t, c, message(1, ""))
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}},
		{"the server stops", false, func(t *testing.T, b *bench, c *tls.Conn) {
			mustWrite(t, c, message(1, ""))
			synctest.Wait()
			if err := b.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		{"WebSocket, idle", true, func(t *testing.T, _ *bench, c *tls.Conn) {
			mustWrite(t, c, wsHandshake)
			mustWrite(t, c, text(message(1, "")))
			time.Sleep(time.Hour + 2*time.Second)
		}},
		{"WebSocket, handshake refused", true, func(t *testing.T, _ *bench, c *tls.Conn) {
			mustWrite(t, c, "GET / HTTP/1.1\r\nHost: sip.example.com\r\n\r\n")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{}
			var complete func(*certtest.Authority, *tls.Config)
			if tc.wss {
				o.Listeners = wssListener()
				complete = func(_ *certtest.Authority, cfg *tls.Config) { o.Listeners[0].TLS = cfg }
			}
			inSecureBubble(t, o, complete, func(t *testing.T, b *bench, a *certtest.Authority) {
				raw := &recorded{Conn: b.raw(b.net.Host("192.0.2.50"))}
				// The types of the records of TLS 1.2 can be seen.
				c := tls.Client(raw, &tls.Config{ServerName: "sip.example.com", RootCAs: a.Pool(), MaxVersion: tls.VersionTLS12})
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				raw.in = nil
				tc.act(t, b, c)
				if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, c); err != nil {
					t.Errorf("the peer read %v", err)
				}
				if n, last := raw.alerts(); n != 1 || !last {
					t.Errorf("%d alerts, the last record is one: %v; want 1 and true", n, last)
				}
			})
		})
	}
}

// TestTLS_PeerThatDoesNotReadGetsNoGoodbye: nobody waits to tell it.
func TestTLS_PeerThatDoesNotReadGetsNoGoodbye(t *testing.T) {
	inSecureBubble(t, Options{IdleTimeout: 10 * time.Second}, nil, func(t *testing.T, b *bench, a *certtest.Authority) {
		c := b.secured(b.net.Host("192.0.2.50"), a)
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		f, start := b.last(), time.Now()
		for range 20 {
			if err := b.Send(f, []byte(message(2, strings.Repeat("x", 10_000)))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if err := b.cause(f); err == nil {
			t.Errorf("open after %v", time.Since(start))
		}
	})
}
