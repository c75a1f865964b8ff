package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/memnet"
)

// wsHandshake is the handshake of RFC 7118 §8.1, and wsAccepted the answer.
const (
	wsHandshake = "GET / HTTP/1.1\r\nHost: sip.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://www.example.com\r\n" +
		"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n\r\n"
	wsAccepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)

// wsOptions has one WebSocket listener, where dial connects to.
func wsOptions(o WSOptions) Options {
	return Options{Listeners: []ListenerOptions{{Name: "ws", Transport: flow.WS, Addr: ":5060", WS: o}}}
}

// dialWS returns a connection on which the handshake is done.
func (b *bench) dialWS(from *memnet.Host) net.Conn {
	b.t.Helper()
	c := b.dial(from)
	mustWrite(b.t, c, wsHandshake)
	if got, err := readAvailable(b.t, c); got != wsAccepted || err != nil {
		b.t.Fatalf("handshake answered with %q, %v", got, err)
	}
	return c
}

// frame is a client's frame.
func frame(op ws.OpCode, fin bool, payload string) string {
	f := ws.MaskFrameInPlaceWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{0x37, 0xfa, 0x21, 0x3d})
	return string(ws.MustCompileFrame(f))
}

func text(payload string) string { return frame(ws.OpText, true, payload) }

// serverFrame is a frame of ours.
func serverFrame(op ws.OpCode, payload string) string {
	return string(ws.MustCompileFrame(ws.NewFrame(op, true, []byte(payload))))
}

// goodbye is a Close frame of ours.
func goodbye(code ws.StatusCode, reason string) string {
	return serverFrame(ws.OpClose, string(ws.NewCloseFrameBody(code, reason)))
}

func TestWS_MessagesBothWays_RFC7118_5(t *testing.T) {
	inBubble(t, wsOptions(WSOptions{}), func(t *testing.T, b *bench) {
		c := b.dialWS(b.net.Host("192.0.2.50"))
		// RFC 7118 §4.2: text and binary are taken; §5: Content-Length is not needed.
		bare := strings.Replace(message(2, "hello"), "Content-Length: 5\r\n", "", 1)
		for _, in := range []string{text(message(1, "")), frame(ws.OpBinary, true, bare)} {
			mustWrite(t, c, in)
			synctest.Wait()
		}
		if diff := cmp.Diff([]string{message(1, ""), bare}, b.take()); diff != "" {
			t.Error(diff)
		}
		f := b.last()
		if f.Transport != flow.WS || f.Conn != 1 || f.Listener != "ws" {
			t.Errorf("flow %+v", f)
		}
		// §4.2: what is not UTF-8 leaves as binary.
		latin := message(4, "gr\xfc\xdfe")
		for _, out := range []string{message(3, "grüße"), latin, message(5, strings.Repeat("x", 70))} {
			if err := b.Send(f, []byte(out)); err != nil {
				t.Fatal(err)
			}
		}
		want := serverFrame(ws.OpText, message(3, "grüße")) + serverFrame(ws.OpBinary, latin) + serverFrame(ws.OpText, message(5, strings.Repeat("x", 70)))
		if got, err := readAvailable(t, c); got != want || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		if !b.Alive(f, time.Now()) || !b.Open(f) {
			t.Error("the flow counts as dead")
		}
	})
}

// However a stream of frames is cut into segments, the same messages come out.
func TestWS_SplitAtEveryByte(t *testing.T) {
	one, two := message(1, ""), message(2, strings.Repeat("y", 300))
	stream := text(one) + frame(ws.OpBinary, false, two[:10]) + frame(ws.OpPing, true, "!") +
		frame(ws.OpContinuation, false, "") + frame(ws.OpContinuation, true, two[10:]) + text("\r\n\r\n") + text("\r\n") + text("") +
		frame(ws.OpPong, true, "unasked") + text(one)
	want := []string{one, two, one}
	answers := serverFrame(ws.OpPong, "!") + serverFrame(ws.OpText, "\r\n")
	inBubble(t, wsOptions(WSOptions{}), func(t *testing.T, b *bench) {
		b.net.SetLink(memnet.Link{Delay: time.Millisecond})
		phone := b.net.Host("192.0.2.50")
		for at := range len(stream) {
			c := b.dial(phone)
			mustWrite(t, c, wsHandshake)
			time.Sleep(10 * time.Millisecond)
			mustWrite(t, c, stream[:at])
			time.Sleep(10 * time.Millisecond)
			mustWrite(t, c, stream[at:])
			time.Sleep(10 * time.Millisecond)
			if diff := cmp.Diff(want, b.take()); diff != "" {
				t.Fatalf("split after %d bytes:\n%s", at, diff)
			}
			if got, err := readAvailable(t, c); got != wsAccepted+answers || err != nil {
				t.Fatalf("split after %d bytes: answered %q, %v", at, got, err)
			}
			c.Close()
		}
	})
}

// A handshake that comes byte by byte is one, and whoever sends the next one does
// not wait for it.
func TestWS_SlowHandshakeBlocksNobody(t *testing.T) {
	inBubble(t, wsOptions(WSOptions{}), func(t *testing.T, b *bench) {
		slow, dead := b.dial(b.net.Host("192.0.2.50")), b.dial(b.net.Host("192.0.2.51"))
		mustWrite(t, dead, wsHandshake[:40])
		for i := range len(wsHandshake) {
			mustWrite(t, slow, wsHandshake[i:i+1])
			synctest.Wait()
			if i == 40 {
				b.dialWS(b.net.Host("192.0.2.52"))
			}
		}
		if got, err := readAvailable(t, slow); got != wsAccepted || err != nil {
			t.Errorf("answered %q, %v", got, err)
		}
		time.Sleep(31 * time.Second)
		if got, err := readAvailable(t, dead); got != "" || err == nil {
			t.Errorf("an unfinished handshake was answered %q, %v", got, err)
		}
		for f, err := range b.closed {
			if !errors.Is(err, ErrSlow) {
				t.Errorf("%v closed with %v", f, err)
			}
		}
		if len(b.closed) != 3 { // Two sent no message either.
			t.Errorf("%d connections closed, want 3", len(b.closed))
		}
	})
}

func TestWS_HandshakeRefused(t *testing.T) {
	long := strings.Replace(wsHandshake, "Origin:", "Cookie: "+strings.Repeat("c", maxHandshake)+"\r\nOrigin:", 1)
	for _, tc := range []struct {
		name, in, answer string // start of the answer; "" for none
	}{
		{name: "no subprotocol", in: strings.Replace(wsHandshake, "Sec-WebSocket-Protocol: sip\r\n", "", 1), answer: "HTTP/1.1 400 "},
		{name: "too long", in: long, answer: "HTTP/1.1 431 "},
		{name: "bytes behind it", in: wsHandshake + text(message(1, "")), answer: "HTTP/1.1 400 "},
		{name: "health check", in: "GET /healthz HTTP/1.1\r\nHost: sip.example.com\r\n\r\n", answer: "HTTP/1.1 426 "},
		{name: "TLS", in: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
		{name: "SIP", in: message(1, ""), answer: "HTTP/1.1 400 "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, wsOptions(WSOptions{}), func(t *testing.T, b *bench) {
				c := b.dial(b.net.Host("192.0.2.50"))
				mustWrite(t, c, tc.in)
				time.Sleep(2 * lingerTime)
				got, err := readAvailable(t, c)
				if !strings.HasPrefix(got, tc.answer) || tc.answer == "" && got != "" || err == nil {
					t.Errorf("answered %q, %v, want %q", got, err, tc.answer)
				}
				if got := b.take(); got != nil {
					t.Errorf("received %q", got)
				}
				for f, err := range b.closed {
					if !errors.Is(err, ErrHandshake) {
						t.Errorf("%v closed with %v", f, err)
					}
				}
				if len(b.closed) != 1 {
					t.Errorf("%d connections closed", len(b.closed))
				}
			})
		})
	}
}

// What breaks the protocol ends the connection with a Close frame that says so.
func TestWS_Violations_RFC6455(t *testing.T) {
	body := func(code ws.StatusCode, reason string) string { return string(ws.NewCloseFrameBody(code, reason)) }
	for _, tc := range []struct {
		name, in string
		code     ws.StatusCode
		cause    error
	}{
		{"5.1 not masked", serverFrame(ws.OpText, message(1, "")), 1002, ErrGarbled},
		{"5.2 reserved bit", "\xc1" + text(message(1, ""))[1:], 1002, ErrGarbled},
		{"5.2 reserved opcode", frame(3, true, "x"), 1002, ErrGarbled},
		{"5.2 length not minimal", "\x81\xfe\x00\x02\x00\x00\x00\x00ab", 1002, ErrGarbled},
		{"5.2 length of 2^63", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1002, ErrGarbled},
		{"5.4 continuation of nothing", frame(ws.OpContinuation, true, "x"), 1002, ErrGarbled},
		{"5.4 message inside another", frame(ws.OpText, false, "x") + text("y"), 1002, ErrGarbled},
		{"5.5 control frame too long", frame(ws.OpPing, true, strings.Repeat("x", 126)), 1002, ErrGarbled},
		{"5.5 control frame in fragments", frame(ws.OpPing, false, "x"), 1002, ErrGarbled},
		{"5.5.1 close of one byte", frame(ws.OpClose, true, "x"), 1002, ErrGarbled},
		{"7.4.1 close with a reserved code", frame(ws.OpClose, true, body(1005, "")), 1002, ErrGarbled},
		{"7.4.2 close with a code that is none", frame(ws.OpClose, true, body(5000, "")), 1002, ErrGarbled},
		{"5.5.1 close with a reason that is not UTF-8", frame(ws.OpClose, true, body(1000, "\xff")), 1007, ErrGarbled},
		{"8.1 text that is not UTF-8", text(message(1, "\xff")), 1007, ErrGarbled},
		{"8.1 fragments that are not UTF-8", frame(ws.OpText, false, "\xce") + frame(ws.OpContinuation, true, "x"), 1007, ErrGarbled},
		{"10.4 message too long", text(message(1, strings.Repeat("x", 4096))), 1009, ErrTooLong},
		{"10.4 length beyond memory", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 1009, ErrTooLong},
		{"10.4 fragments too long", frame(ws.OpText, false, strings.Repeat("x", 4000)) + frame(ws.OpContinuation, true, strings.Repeat("x", 97)), 1009, ErrTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := wsOptions(WSOptions{})
			o.MaxMessage = 4096
			inBubble(t, o, func(t *testing.T, b *bench) {
				c := b.dialWS(b.net.Host("192.0.2.50"))
				mustWrite(t, c, text(message(7, ""))+tc.in+text(message(8, "")))
				time.Sleep(2 * lingerTime)
				if diff := cmp.Diff([]string{message(7, "")}, b.take()); diff != "" {
					t.Error(diff)
				}
				got, err := readAvailable(t, c)
				if h, readErr := ws.ReadFrame(strings.NewReader(got)); readErr != nil || h.Header.OpCode != ws.OpClose {
					t.Errorf("answered %q", got)
				} else if code, _ := ws.ParseCloseFrameData(h.Payload); code != tc.code {
					t.Errorf("closed with %d, want %d: %q", code, tc.code, h.Payload)
				}
				if err != io.EOF {
					t.Errorf("the connection ended with %v", err)
				}
				if err := b.cause(b.last()); !errors.Is(err, tc.cause) {
					t.Errorf("closed with %v, want %v", err, tc.cause)
				}
			})
		})
	}
}

// A second SIP message behind the first is refused with the message that it is
// in; the connection goes on, for where the next one begins is certain.
func TestWS_OneSIPMessageEach_RFC7118_5(t *testing.T) {
	ack := strings.ReplaceAll(message(1, ""), "MESSAGE", "ACK")
	response := strings.Replace(message(1, ""), "MESSAGE sip:bob@example.com SIP/2.0", "SIP/2.0 200 OK", 1)
	for _, tc := range []struct {
		name, in string
		want     []string
		refused  bool
	}{
		{name: "two requests", in: message(1, "hi") + message(2, ""), refused: true},
		{name: "body longer than it says", in: message(1, "") + "x", refused: true},
		{name: "two ACKs", in: ack + ack},
		{name: "two responses", in: response + response},
		{name: "line ends behind it", in: message(1, "hi") + "\r\n\r\n", want: []string{message(1, "hi") + "\r\n\r\n"}},
		{name: "line ends before it", in: "\r\n\r\n" + message(1, "hi"), want: []string{"\r\n\r\n" + message(1, "hi")}},
		{name: "line ends before two", in: "\r\n" + message(1, "hi") + message(2, ""), refused: true},
		// What is no SIP is the parser's to drop, as in a datagram.
		{name: "no SIP", in: "hello", want: []string{"hello"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, wsOptions(WSOptions{}), func(t *testing.T, b *bench) {
				c := b.dialWS(b.net.Host("192.0.2.50"))
				mustWrite(t, c, text(tc.in)+text(message(9, "")))
				got, err := readAvailable(t, c)
				if diff := cmp.Diff(append(tc.want, message(9, "")), b.take()); diff != "" {
					t.Error(diff)
				}
				if tc.refused != strings.Contains(got, "SIP/2.0 400 One Message Per WebSocket Message\r\n") || !tc.refused && got != "" || err != nil {
					t.Errorf("answered %q, %v", got, err)
				}
			})
		})
	}
}

// RFC 6455 §5.5.1: a Close frame is answered by one with the same code; then the
// server closes (§7.1.1).
func TestWS_PeerCloses_RFC6455_7_1(t *testing.T) {
	for _, tc := range []struct {
		name, in, out string
	}{
		{"no code", frame(ws.OpClose, true, ""), serverFrame(ws.OpClose, "")},
		{"normal", frame(ws.OpClose, true, "\x03\xe8bye"), serverFrame(ws.OpClose, "\x03\xe8")},
		{"going away", frame(ws.OpClose, true, "\x03\xe9"), serverFrame(ws.OpClose, "\x03\xe9")},
		{"registered later", frame(ws.OpClose, true, "\x03\xf4"), serverFrame(ws.OpClose, "\x03\xf4")},
		{"application's", frame(ws.OpClose, true, "\x0f\xa0"), serverFrame(ws.OpClose, "\x0f\xa0")},
		{"inside a message", frame(ws.OpText, false, "x") + frame(ws.OpClose, true, ""), serverFrame(ws.OpClose, "")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, wsOptions(WSOptions{}), func(t *testing.T, b *bench) {
				c := b.dialWS(b.net.Host("192.0.2.50"))
				mustWrite(t, c, text(message(1, ""))+tc.in)
				if got, err := readAvailable(t, c); got != tc.out || err != io.EOF {
					t.Errorf("answered %q, %v, want %q", got, err, tc.out)
				}
				synctest.Wait()
				f := b.last()
				if err := b.cause(f); !errors.Is(err, io.EOF) || b.Open(f) {
					t.Errorf("closed with %v", err)
				}
			})
		})
	}
}

// Stop says goodbye and waits for the answer, but not for one that does not come.
func TestWS_StopClosesInOrder(t *testing.T) {
	bye := goodbye(ws.StatusGoingAway, ErrStopped.Error())
	for _, tc := range []struct {
		name    string
		answers bool
		longest time.Duration
	}{
		{"the peer answers", true, 100 * time.Millisecond},
		{"the peer sleeps", false, flushTime + 100*time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, wsOptions(WSOptions{}), func(t *testing.T, b *bench) {
				c := b.dialWS(b.net.Host("192.0.2.50"))
				b.dial(b.net.Host("192.0.2.51")) // Its handshake is under way.
				mustWrite(t, c, text(message(1, "")))
				synctest.Wait()
				f := b.last()
				if err := b.Send(f, []byte(message(2, ""))); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				done := make(chan error)
				go func() { done <- b.Stop(context.Background()) }()
				if got, err := readAvailable(t, c); got != serverFrame(ws.OpText, message(2, ""))+bye || err != nil {
					t.Errorf("read %q, %v", got, err)
				}
				if tc.answers {
					mustWrite(t, c, frame(ws.OpClose, true, "\x03\xe9"))
				}
				if err := <-done; err != nil {
					t.Errorf("Stop: %v", err)
				}
				if took := time.Since(began); took > tc.longest {
					t.Errorf("Stop took %s", took)
				}
				if got, err := readAvailable(t, c); got != "" || err != io.EOF {
					t.Errorf("after the goodbye %q, %v", got, err)
				}
				if err := b.cause(f); !errors.Is(err, ErrStopped) {
					t.Errorf("closed with %v", err)
				}
			})
		})
	}
}

func TestWS_Timeouts(t *testing.T) {
	for _, tc := range []struct {
		name  string
		write func(t *testing.T, c net.Conn)
		after time.Duration
		bye   string
		cause error
	}{
		{
			name: "idle", after: time.Hour, bye: goodbye(ws.StatusGoingAway, ErrIdle.Error()), cause: ErrIdle,
			write: func(t *testing.T, c net.Conn) { mustWrite(t, c, text(message(1, ""))) },
		},
		{
			name: "no message", after: 30 * time.Second, bye: goodbye(ws.StatusPolicyViolation, ErrSlow.Error()), cause: ErrSlow,
			write: func(t *testing.T, c net.Conn) { mustWrite(t, c, frame(ws.OpPong, true, "")) },
		},
		{
			name: "half a frame", after: 30 * time.Second, bye: goodbye(ws.StatusPolicyViolation, ErrSlow.Error()), cause: ErrSlow,
			write: func(t *testing.T, c net.Conn) { mustWrite(t, c, text(message(1, ""))+text("x")[:3]) },
		},
		{
			// Fragments and Pings between them do not move the deadline.
			name: "message without end", after: 30 * time.Second, bye: goodbye(ws.StatusPolicyViolation, ErrSlow.Error()), cause: ErrSlow,
			write: func(t *testing.T, c net.Conn) {
				mustWrite(t, c, text(message(1, ""))+frame(ws.OpText, false, "x"))
				time.Sleep(20 * time.Second)
				mustWrite(t, c, frame(ws.OpContinuation, false, "x")+frame(ws.OpPong, true, ""))
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, wsOptions(WSOptions{}), func(t *testing.T, b *bench) {
				c := b.dialWS(b.net.Host("192.0.2.50"))
				began := time.Now()
				tc.write(t, c)
				time.Sleep(tc.after - time.Since(began) - time.Second)
				if got, err := readAvailable(t, c); got != "" || err != nil {
					t.Fatalf("too early: %q, %v", got, err)
				}
				time.Sleep(2 * time.Second)
				if got, err := readAvailable(t, c); got != tc.bye {
					t.Errorf("read %q, %v, want %q", got, err, tc.bye)
				}
				time.Sleep(2 * lingerTime)
				for f, err := range b.closed {
					if !errors.Is(err, tc.cause) {
						t.Errorf("%v closed with %v", f, err)
					}
				}
				if len(b.closed) != 1 {
					t.Errorf("%d connections closed", len(b.closed))
				}
			})
		})
	}
}

// RFC 6455 §5.5.2: a peer that was quiet gets a Ping; one that does not answer is
// gone.
func TestWS_PingFindsDeadPeers_RFC6455_5_5_2(t *testing.T) {
	inBubble(t, wsOptions(WSOptions{PingInterval: time.Minute}), func(t *testing.T, b *bench) {
		c := b.dialWS(b.net.Host("192.0.2.50"))
		mustWrite(t, c, text(message(1, "")))
		synctest.Wait()
		f := b.last()
		for range 3 { // Three hours, far beyond IdleTimeout.
			for range 60 {
				time.Sleep(time.Minute + time.Second)
				if got, err := readAvailable(t, c); got != serverFrame(ws.OpPing, "") || err != nil {
					t.Fatalf("read %q, %v, want a Ping", got, err)
				}
				mustWrite(t, c, frame(ws.OpPong, true, ""))
				synctest.Wait()
			}
		}
		time.Sleep(30 * time.Second)
		mustWrite(t, c, text("\r\n\r\n")) // Whatever comes puts the Ping off.
		time.Sleep(45 * time.Second)
		if got, err := readAvailable(t, c); got != serverFrame(ws.OpText, "\r\n") || err != nil {
			t.Fatalf("read %q, %v", got, err)
		}
		time.Sleep(16 * time.Second)
		if got, err := readAvailable(t, c); got != serverFrame(ws.OpPing, "") || err != nil {
			t.Fatalf("read %q, %v, want a Ping", got, err)
		}
		time.Sleep(58 * time.Second)
		if !b.Open(f) {
			t.Error("closed before its time to answer had passed")
		}
		time.Sleep(5 * time.Second)
		if err := b.cause(f); !errors.Is(err, ErrIdle) {
			t.Errorf("closed with %v", err)
		}
	})
}

// A peer that asks without reading the answers loses its connection, and nobody
// else anything.
func TestWS_PeerThatNeverReads(t *testing.T) {
	o := wsOptions(WSOptions{})
	o.MaxMessage, o.WriteQueue = 4096, 20_000
	inBubble(t, o, func(t *testing.T, b *bench) {
		lazy, good := b.dialWS(b.net.Host("192.0.2.50")), b.dialWS(b.net.Host("192.0.2.51"))
		mustWrite(t, lazy, text(message(1, "")))
		synctest.Wait()
		f := b.last()
		ping := frame(ws.OpPing, true, strings.Repeat("p", 125))
		for i := 0; i < 2000 && b.Open(f); i++ {
			_, _ = io.WriteString(lazy, ping) // It may have ended.
			synctest.Wait()
		}
		if err := b.cause(f); !errors.Is(err, ErrQueueFull) {
			t.Errorf("closed with %v", err)
		}
		mustWrite(t, good, text(message(2, "")))
		synctest.Wait()
		if err := b.Send(b.last(), []byte(message(3, ""))); err != nil {
			t.Error(err)
		}
		if got, _ := readAvailable(t, good); got != serverFrame(ws.OpText, message(3, "")) {
			t.Errorf("another connection read %q", got)
		}
	})
}

// Fragments take from the budget of all connections while they wait, and give it
// back with the message and with the connection.
func TestWS_FragmentsTakeFromTheBudget(t *testing.T) {
	o := wsOptions(WSOptions{})
	o.MaxBuffered = 50_000
	inBubble(t, o, func(t *testing.T, b *bench) {
		c := b.dialWS(b.net.Host("192.0.2.50"))
		body := strings.Repeat("x", 1000)
		whole := message(1, strings.Repeat(body, 10))
		mustWrite(t, c, frame(ws.OpText, false, whole[:len(whole)-10_000]))
		for i := range 10 {
			mustWrite(t, c, frame(ws.OpContinuation, i == 9, body))
			synctest.Wait()
			if used := b.buffered.used.Load(); (used > 0) != (i < 9) {
				t.Fatalf("after %d parts %d bytes are taken", i+1, used)
			}
		}
		if diff := cmp.Diff([]string{whole}, b.take()); diff != "" {
			t.Error(diff)
		}
		// Others have taken the rest: this peer is told to come back.
		if !b.buffered.take(49_000) {
			t.Fatal("the budget is not free")
		}
		mustWrite(t, c, frame(ws.OpText, false, strings.Repeat("x", 2000)))
		if got, _ := readAvailable(t, c); got != goodbye(statusTryAgainLater, ErrBusy.Error()) {
			t.Errorf("read %q", got)
		}
		b.buffered.give(49_000)
		time.Sleep(2 * lingerTime)
	})
}

// RFC 7118 §5: only the peer can open a connection.
func TestWS_IsNeverDialled_RFC7118_5(t *testing.T) {
	inBubble(t, wsOptions(WSOptions{}), func(t *testing.T, b *bench) {
		c := b.dialWS(b.net.Host("192.0.2.50"))
		mustWrite(t, c, text(message(1, "")))
		synctest.Wait()
		var got error
		b.Connect(flow.WS, b.last().Remote, func(_ flow.Flow, err error) { got = err })
		if !errors.Is(got, ErrNoListener) {
			t.Errorf("Connect = %v", got)
		}
	})
}
