package transport

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/memnet"
)

// streamSample is the stream that the framing tests cut up: noise and keep-alives
// around messages with and without bodies, one of which looks like a keep-alive.
func streamSample() (stream string, messages []string, pongs string) {
	a, b, c := message(1, ""), message(2, "hello\r\n\r\n\r\n\r\nworld"), message(3, strings.Repeat("x", 3000))
	return "\r\n" + a + "\r\n\r\n" + b + c + "\r\n\r\n\r\n\r\n" + a, []string{a, b, c, a}, "\r\n\r\n\r\n"
}

func TestStream_MessagesSplitAtEveryByte_RFC3261_18_3(t *testing.T) {
	stream, want, pongs := streamSample()
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		b.net.SetLink(memnet.Link{Delay: time.Millisecond})
		phone := b.net.Host("192.0.2.50")
		for at := range len(stream) {
			c := b.dial(phone)
			mustWrite(t, c, stream[:at])
			time.Sleep(10 * time.Millisecond)
			mustWrite(t, c, stream[at:])
			time.Sleep(10 * time.Millisecond)
			if diff := cmp.Diff(want, b.take()); diff != "" {
				t.Fatalf("split after %d bytes:\n%s", at, diff)
			}
			if got, err := readAvailable(t, c); got != pongs || err != nil {
				t.Fatalf("split after %d bytes: answered %q, %v, want %q", at, got, err, pongs)
			}
			c.Close()
		}
	})
}

func TestStream_MessagesByteByByte(t *testing.T) {
	stream, want, pongs := streamSample()
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host("192.0.2.50"))
		for i := range len(stream) {
			mustWrite(t, c, stream[i:i+1])
			synctest.Wait()
		}
		if diff := cmp.Diff(want, b.take()); diff != "" {
			t.Error(diff)
		}
		if got, err := readAvailable(t, c); got != pongs || err != nil {
			t.Errorf("answered %q, %v", got, err)
		}
	})
}

func TestStream_LongestMessage(t *testing.T) {
	inBubble(t, Options{MaxMessage: 10_000}, func(t *testing.T, b *bench) {
		head := len(message(1, strings.Repeat("x", 5000))) - 5000
		longest := message(1, strings.Repeat("x", 10_000-head))
		c := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, c, longest+longest)
		synctest.Wait()
		if diff := cmp.Diff([]string{longest, longest}, b.take()); diff != "" {
			t.Error(diff)
		}
		if used := b.buffered.used.Load(); used != 0 {
			t.Errorf("%d bytes stay reserved for an idle connection", used)
		}
	})
}

// A stream on which no further message can be found is closed. Its sender
// learns why if what it sent was a request.
func TestStream_GarbledIsAnsweredAndClosed(t *testing.T) {
	huge := withHeader("Content-Length: 0", "Content-Length: 70000")
	for _, tc := range []struct {
		name, in string
		answer   string // start of the answer; "" for none
	}{
		{name: "no Content-Length", in: withHeader("Content-Length: 0", ""), answer: "SIP/2.0 400 "},
		{name: "negative Content-Length", in: withHeader("Content-Length: 0", "Content-Length: -1"), answer: "SIP/2.0 400 "},
		{name: "conflicting Content-Length", in: withHeader("Content-Length: 0", "Content-Length: 0\r\nl: 5"), answer: "SIP/2.0 400 "},
		{name: "Content-Length over 2^32", in: withHeader("Content-Length: 0", "Content-Length: 42949672960"), answer: "SIP/2.0 400 "},
		{name: "huge Content-Length", in: huge, answer: "SIP/2.0 513 "},
		{name: "huge Content-Length and body", in: huge + strings.Repeat("x", 50_000), answer: "SIP/2.0 513 "},
		{name: "ACK", in: strings.ReplaceAll(huge, "MESSAGE", "ACK")},
		{name: "response", in: strings.Replace(huge, "MESSAGE sip:bob@example.com SIP/2.0", "SIP/2.0 200 OK", 1)},
		{name: "not SIP", in: "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"},
		{name: "TLS", in: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
		{name: "lone CR", in: "\rX"},
		{name: "header section without end", in: "MESSAGE sip:bob@example.com SIP/2.0\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 70)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, b *bench) {
				c := b.dial(b.net.Host("192.0.2.50"))
				other := b.dial(b.net.Host("192.0.2.51"))
				// What is written after the end is of no interest.
				_, _ = io.WriteString(c, message(7, "")+tc.in)
				time.Sleep(2 * lingerTime)
				if diff := cmp.Diff([]string{message(7, "")}, b.take()); diff != "" {
					t.Error(diff)
				}
				f := b.last()
				if err := b.cause(f); !errors.Is(err, ErrGarbled) {
					t.Errorf("closed with %v", err)
				}
				got, err := readAvailable(t, c)
				if tc.answer == "" && got != "" || !strings.HasPrefix(got, tc.answer) {
					t.Errorf("answered %q, want %q", got, tc.answer)
				}
				if tc.answer != "" && !(strings.Contains(got, "call-1\r\n") && strings.Contains(got, ";received=192.0.2.50") && err == io.EOF) {
					t.Errorf("answered %q, %v", got, err)
				}
				if err := b.Send(f, []byte("x")); !errors.Is(err, ErrFlowDead) {
					t.Errorf("Send = %v", err)
				}
				if used := b.buffered.used.Load(); used != 0 {
					t.Errorf("%d bytes stay reserved", used)
				}
				mustWrite(t, other, message(8, ""))
				synctest.Wait()
				if got := b.take(); len(got) != 1 {
					t.Errorf("another connection's message came %d times", len(got))
				}
			})
		})
	}
}

// The peer goes on sending while it is told off: it must be able to read the
// answer before the connection is reset, and cannot send for ever.
func TestStream_AnswerIsNotLostToAReset(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		b.net.SetLink(memnet.Link{Delay: 50 * time.Millisecond})
		c := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, c, withHeader("Content-Length: 0", ""))
		wrote := 0
		var err error
		for err == nil && wrote < 10<<20 {
			var n int
			if err = c.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err = c.Write(make([]byte, 1000))
			wrote += n
			if wrote == 5000 {
				time.Sleep(200 * time.Millisecond)
				if got, _ := readAvailable(t, c); !strings.HasPrefix(got, "SIP/2.0 400 ") {
					t.Errorf("answered %q", got)
				}
			}
		}
		var timeout net.Error
		if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("wrote %d bytes after the answer, %v", wrote, err)
		}
	})
}

// How a stream is cut into segments changes nothing: neither the messages nor
// the answers nor its end.
func FuzzStream_SplitDoesNotMatter(f *testing.F) {
	stream, _, _ := streamSample()
	for _, at := range []uint16{0, 1, 3, 100, 3000} {
		f.Add(stream, at)
		f.Add(message(1, "")+withHeader("Content-Length: 0", ""), at)
	}
	f.Add("\r\n\r\n\r\n\rX", uint16(6))
	type result struct {
		Messages []string
		Answers  string
		Ended    bool
	}
	f.Fuzz(func(t *testing.T, stream string, at uint16) {
		if len(stream) > 20_000 {
			return
		}
		run := func(parts ...string) (out result) {
			inBubble(t, Options{MaxMessage: 4000}, func(t *testing.T, b *bench) {
				b.net.SetLink(memnet.Link{Delay: time.Millisecond})
				c := b.dial(b.net.Host("192.0.2.50"))
				for _, p := range parts {
					_, _ = io.WriteString(c, p) // It may have ended already.
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(2 * lingerTime)
				out.Ended = len(b.conns.all()) == 0
				out.Messages = b.take()
				out.Answers, _ = readAvailable(t, c)
			})
			return out
		}
		k := min(int(at), len(stream))
		whole, split := run(stream), run(stream[:k], stream[k:])
		if whole.Ended { // What follows the end may cost the answer, by a reset.
			whole.Answers, split.Answers = "", ""
		}
		if diff := cmp.Diff(whole, split); diff != "" {
			t.Errorf("%q split after %d bytes (-whole +split):\n%s", stream, k, diff)
		}
	})
}
