package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/tlscert/certtest"
)

// inWSSBubble is inSecureBubble with a WSS listener. dial makes a connection on
// which the handshake is done.
func inWSSBubble(t *testing.T, policy WSOptions, test func(t *testing.T, b *bench, dial func() *tls.Conn)) {
	t.Helper()
	o := Options{Listeners: []ListenerOptions{{Name: "wss", Transport: flow.WSS, Addr: ":5061", WS: policy}}}
	complete := func(a *certtest.Authority, cfg *tls.Config) { o.Listeners[0].TLS = cfg }
	inSecureBubble(t, o, complete, func(t *testing.T, b *bench, a *certtest.Authority) {
		phone := b.net.Host("192.0.2.50")
		test(t, b, func() *tls.Conn {
			c := b.secured(phone, a)
			mustWrite(t, c, wsHandshake)
			if got := readSecured(t, c, len(wsAccepted)); got != wsAccepted {
				t.Fatalf("handshake answered with %q", got)
			}
			return c
		})
	})
}

// readSecured reads n bytes.
func readSecured(t *testing.T, c *tls.Conn, n int) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, n)
	if k, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("read %q, %v", got[:k], err)
	}
	return string(got)
}

func TestWSS_CarriesMessages_RFC7118_9_1(t *testing.T) {
	inWSSBubble(t, WSOptions{}, func(t *testing.T, b *bench, dial func() *tls.Conn) {
		c := dial()
		mustWrite(t, c, text(message(1, ""))+frame(ws.OpPing, true, "x"))
		if got := readSecured(t, c, 3); got != serverFrame(ws.OpPong, "x") {
			t.Errorf("answered %q", got)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{message(1, "")}, b.take()); diff != "" {
			t.Error(diff)
		}
		f := b.last()
		if f.Transport != flow.WSS || !b.Alive(f, time.Now()) {
			t.Errorf("flow %v", f)
		}
		if err := b.Send(f, []byte(message(2, ""))); err != nil {
			t.Fatal(err)
		}
		want := serverFrame(ws.OpText, message(2, ""))
		if got := readSecured(t, c, len(want)); got != want {
			t.Errorf("read %q", got)
		}
		mustWrite(t, c, frame(ws.OpClose, true, ""))
		if got := readSecured(t, c, 2); got != serverFrame(ws.OpClose, "") {
			t.Errorf("goodbye %q", got)
		}
		synctest.Wait()
		if err := b.cause(f); !errors.Is(err, io.EOF) {
			t.Errorf("closed with %v", err)
		}
	})
}

// A deadline that passes while the reader waits for a Ping's turn must not break
// the TLS below.
func TestWSS_PingsLeaveTLSWhole(t *testing.T) {
	inWSSBubble(t, WSOptions{PingInterval: time.Minute}, func(t *testing.T, b *bench, dial func() *tls.Conn) {
		c := dial()
		mustWrite(t, c, text(message(1, "")))
		for range 3 {
			time.Sleep(61 * time.Second)
			if got := readSecured(t, c, 2); got != serverFrame(ws.OpPing, "") {
				t.Fatalf("read %q", got)
			}
			mustWrite(t, c, frame(ws.OpPong, true, "")+text(message(2, "")))
			synctest.Wait()
		}
		if got := b.take(); len(got) != 4 {
			t.Errorf("%d messages came", len(got))
		}
	})
}

// Half a handshake, of TLS or of HTTP, holds up nobody and ends in time.
func TestWSS_HalfAHandshake(t *testing.T) {
	inWSSBubble(t, WSOptions{}, func(t *testing.T, b *bench, dial func() *tls.Conn) {
		b.raw(b.net.Host("192.0.2.51"))
		half := dial()
		mustWrite(t, half, text(message(1, ""))[:5])
		dial()
		time.Sleep(31*time.Second + lingerTime)
		if n := len(b.conns.all()); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}
