package phone

import (
	"context"
	"net"
	"net/http"

	"github.com/coder/websocket"
)

// webSocket opens WebSockets to a server (RFC 7118 §4). sipgo reads and writes one
// as if it were TCP: it writes whole messages, and each is a frame.
type webSocket struct{}

// DialContext implements dialer.
func (webSocket) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	// The connection is the WebSocket's from the handshake on.
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return raw, nil },
	}}
	c, _, err := websocket.Dial(ctx, "ws://"+addr+"/", &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{"sip"}}) //nolint:bodyclose // It is the connection.
	if err != nil {
		raw.Close()
		return nil, err
	}
	c.SetReadLimit(-1)
	return &frames{websocket.NetConn(context.WithoutCancel(ctx), c, websocket.MessageText), c, raw}, nil
}

// frames is a WebSocket with the addresses of its connection.
type frames struct {
	net.Conn
	c   *websocket.Conn
	raw net.Conn
}

func (f *frames) LocalAddr() net.Addr  { return f.raw.LocalAddr() }
func (f *frames) RemoteAddr() net.Addr { return f.raw.RemoteAddr() }

// Close breaks the connection without a word, as a suspended app does.
func (f *frames) Close() error { return f.c.CloseNow() }
