package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"reveille/flow"
)

// These tests meet another implementation of RFC 6455 on real sockets.

// realWS starts a Transport with one WebSocket listener and returns its URL.
func realWS(t *testing.T, o Options, policy WSOptions) (*Transport, *recorder, string) {
	t.Helper()
	r := newRecorder(t)
	o.Handler = r
	o.Listeners = []ListenerOptions{{Name: "ws", Transport: flow.WS, Addr: "127.0.0.1:0", WS: policy}}
	tr, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	tr.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tr.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return tr, r, "ws://" + tr.Addr("ws").String() + "/"
}

func dialCoder(t *testing.T, url string, o websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, url, &o)
	if err == nil {
		t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, resp, err
}

func TestWSClient_MessagesBothWays(t *testing.T) {
	tr, r, url := realWS(t, Options{}, WSOptions{})
	// The client offers compression, which is passed over.
	c, _, err := dialCoder(t, url, websocket.DialOptions{Subprotocols: []string{"sip"}, CompressionMode: websocket.CompressionContextTakeover})
	if err != nil || c.Subprotocol() != "sip" {
		t.Fatalf("Dial = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	long := message(2, strings.Repeat("x", 40_000))
	if err := c.Write(ctx, websocket.MessageText, []byte(message(1, ""))); err != nil {
		t.Fatal(err)
	}
	w, err := c.Writer(ctx, websocket.MessageBinary) // Each Write is a fragment.
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitAfterSeq(long, "\n") {
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r.until("both messages", func() bool { return len(r.messages) == 2 })
	if got := r.take(); got[0] != message(1, "") || got[1] != long {
		t.Errorf("received %q", got)
	}
	f := r.last()
	for _, out := range []string{message(3, "grüße"), message(4, "gr\xfc\xdfe"), long} {
		if err := tr.Send(f, []byte(out)); err != nil {
			t.Fatal(err)
		}
		kind, got, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(1 << 20)
		if want := map[bool]websocket.MessageType{true: websocket.MessageBinary, false: websocket.MessageText}[strings.Contains(out, "\xfc")]; kind != want || string(got) != out {
			t.Errorf("read %v %.100q, want %v %.100q", kind, got, want, out)
		}
	}
	reading := c.CloseRead(ctx) // Reads the Pong.
	if err := c.Ping(ctx); err != nil {
		t.Errorf("Ping: %v", err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Errorf("Close: %v", err)
	}
	<-reading.Done()
	r.until("the end", func() bool { return r.closed[f] != nil })
	if err := r.cause(f); !errors.Is(err, io.EOF) {
		t.Errorf("closed with %v", err)
	}
}

func TestWSClient_HandshakeRefused(t *testing.T) {
	_, _, url := realWS(t, Options{}, WSOptions{Path: "/sip", Origins: []string{"https://*.example.com"}})
	for _, tc := range []struct {
		name, path, origin, protocol string
		status                       int
	}{
		{"accepted", "sip", "https://phone.example.com", "sip", 101},
		{"another path", "", "https://phone.example.com", "sip", 404},
		{"another origin", "sip", "https://example.org", "sip", 403},
		{"another subprotocol", "sip", "https://phone.example.com", "mqtt", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, resp, err := dialCoder(t, url+tc.path, websocket.DialOptions{Subprotocols: []string{tc.protocol}, HTTPHeader: http.Header{"Origin": {tc.origin}}})
			if resp == nil || resp.StatusCode != tc.status || (err == nil) != (tc.status == 101) {
				t.Errorf("Dial = %v, %v", resp, err)
			}
		})
	}
	// A plain HTTP client understands the refusal, too.
	resp, err := http.Get("http" + strings.TrimPrefix(url, "ws") + "sip")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusUpgradeRequired || !strings.Contains(string(body), "WebSocket") || err != nil {
		t.Errorf("GET = %s, %q, %v", resp.Status, body, err)
	}
}

func TestWSClient_SeesWhyItEnds(t *testing.T) {
	tr, r, url := realWS(t, Options{MaxMessage: 4096}, WSOptions{})
	dial := func() *websocket.Conn {
		c, _, err := dialCoder(t, url, websocket.DialOptions{Subprotocols: []string{"sip"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Write(t.Context(), websocket.MessageText, []byte(message(1, ""))); err != nil {
			t.Fatal(err)
		}
		return c
	}
	big, idle := dial(), dial()
	r.until("both messages", func() bool { return len(r.messages) == 2 })
	if err := big.Write(t.Context(), websocket.MessageText, make([]byte, 20_000)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := big.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a message too long: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stopped := make(chan error)
	go func() { stopped <- tr.Stop(ctx) }()
	if _, _, err := idle.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("Stop: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// FuzzWS_OtherLibraryAgrees hands the same frames to wsFraming and to another
// implementation: the same messages must come out before the same end.
func FuzzWS_OtherLibraryAgrees(f *testing.F) {
	whole := text(message(1, ""))
	f.Add([]byte(whole+frame(2, true, "binary")+frame(9, true, "ping")+frame(10, true, "")), uint16(20))
	f.Add([]byte(frame(1, false, "a")+frame(9, true, "")+frame(0, false, "b")+frame(0, true, "")+text("")), uint16(9))
	f.Add([]byte(frame(8, true, "\x03\xe8")+whole), uint16(1))
	f.Add([]byte(frame(1, false, "a")+whole), uint16(8))
	f.Add([]byte(frame(2, true, strings.Repeat("x", 200))+"\x81\xfe\x00\x01\x00\x00\x00\x00a"), uint16(2))
	f.Add([]byte("\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00abcd"+strings.Repeat("x", 65536)), uint16(3))
	f.Fuzz(func(t *testing.T, stream []byte, at uint16) {
		ours, ended := drainFraming(stream, int(at))
		one, _ := drainFraming(stream, len(stream))
		if strings.Join(one, "|") != strings.Join(ours, "|") {
			t.Errorf("split after %d bytes: %q, whole: %q", at, ours, one)
		}
		theirs := coderReads(t, stream)
		// We are stricter: text must be UTF-8, lengths minimal and messages short.
		if len(ours) > len(theirs) || !ended && len(ours) != len(theirs) {
			t.Fatalf("we read %q, they %q", ours, theirs)
		}
		for i := range ours {
			if ours[i] != theirs[i] {
				t.Errorf("message %d: we read %q, they %q", i, ours[i], theirs[i])
			}
		}
	})
}

// drainFraming returns the messages of a stream that comes in two parts, and
// whether it ended before its last byte.
func drainFraming(stream []byte, at int) (messages []string, ended bool) {
	f := &wsFraming{limit: 32 << 10, buffered: &budget{max: 1 << 30}}
	in, off := bytes.Clone(stream), 0
	for _, end := range []int{min(at, len(in)), len(in)} {
		for {
			op, n, msg, err := f.read(in[off:end])
			if err != nil || op == ws.OpClose {
				return messages, true
			}
			if n == 0 {
				break
			}
			off += n
			if op == ws.OpText || op == ws.OpBinary {
				messages = append(messages, string(msg))
			}
		}
	}
	return messages, false
}

// coderReads returns what the other implementation, as a server, reads from the
// stream.
func coderReads(t *testing.T, stream []byte) (messages []string) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wsHandshake)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := websocket.Accept(&hijacked{httptest.NewRecorder(), bytes.NewReader(stream)}, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(32 << 10)
	for {
		_, b, err := c.Read(t.Context())
		if err != nil {
			return messages
		}
		messages = append(messages, string(b))
	}
}

// A hijacked is an HTTP request whose connection has a given end and takes
// whatever is written.
type hijacked struct {
	*httptest.ResponseRecorder
	in io.Reader
}

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := scripted{Reader: h.in}
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

type scripted struct {
	net.Conn
	io.Reader
}

// Read ends with an error that is no io.EOF, for at that the other implementation
// hands on half a message.
func (c scripted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	if err != nil {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (scripted) Write(b []byte) (int, error)      { return len(b), nil }
func (scripted) Close() error                     { return nil }
func (scripted) SetDeadline(time.Time) error      { return nil }
func (scripted) SetReadDeadline(time.Time) error  { return nil }
func (scripted) SetWriteDeadline(time.Time) error { return nil }

// FuzzWSPolicy_OtherLibraryAgrees: what is accepted as a handshake is one to
// another implementation too, and a refusal is an HTTP response.
func FuzzWSPolicy_OtherLibraryAgrees(f *testing.F) {
	f.Add([]byte(wsHandshake))
	f.Add([]byte(strings.Replace(wsHandshake, "Origin", "Cookie: a=b\r\nSec-WebSocket-Extensions: permessage-deflate\r\nOrigin", 1)))
	f.Add([]byte(strings.Replace(wsHandshake, "Connection: Upgrade", "Connection: keep-alive\r\nconnection:close, upgrade", 1)))
	f.Add([]byte(strings.Replace(wsHandshake, "GET / ", "GET //example.com/sip?a#b ", 1)))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		end := emptyLine(in)
		if end < 0 {
			return
		}
		key, err := new(wsPolicy).check(in[:end], in[end:])
		if no, ok := errors.AsType[*refusal](err); ok {
			resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(no.response())), nil)
			if err != nil || resp.StatusCode != no.status {
				t.Errorf("%q is no response: %v", no.response(), err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%v is no refusal", err)
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			t.Fatalf("accepted what is no request: %v", err)
		}
		w := &hijacked{httptest.NewRecorder(), bytes.NewReader(nil)}
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true, Subprotocols: []string{"sip"}})
		if err != nil {
			t.Fatalf("accepted what another does not: %v", err)
		}
		defer func() { _ = c.CloseNow() }()
		want := "Sec-WebSocket-Accept: " + w.Header().Get("Sec-WebSocket-Accept") + "\r\nSec-WebSocket-Protocol: " + c.Subprotocol() + "\r\n"
		if got := string(acceptance(key)); !strings.Contains(got, want) {
			t.Errorf("answered %q, another with %q", got, want)
		}
	})
}
