//go:build firefox && !browser

package browser

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// A bidi is a session of WebDriver BiDi, by which a test drives a browser. One
// goroutine uses it.
type bidi struct {
	conn *websocket.Conn
	last int // the number of the last command
	log  func(line string)
}

// A bidiMessage is an event, or the answer to the command with its number.
type bidiMessage struct {
	Type           string
	ID             int
	Result         json.RawMessage
	Error, Message string
	Method         string // of an event
	Params         struct{ Level, Text string }
}

// dialBiDi starts a session in which the server's certificate is taken as it is.
// log gets what pages write to their console.
func dialBiDi(ctx context.Context, url string, log func(line string)) (*bidi, error) {
	conn, _, err := websocket.Dial(ctx, url+"/session", nil)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	b := &bidi{conn: conn, log: log}
	capabilities := map[string]any{"alwaysMatch": map[string]any{"acceptInsecureCerts": true}}
	if err := b.do(ctx, "session.new", map[string]any{"capabilities": capabilities}, nil); err != nil {
		return nil, err
	}
	return b, b.do(ctx, "session.subscribe", map[string]any{"events": []string{"log.entryAdded"}}, nil)
}

// do gives a command and waits for its answer; result may be nil.
func (b *bidi) do(ctx context.Context, method string, params, result any) error {
	b.last++
	if err := wsjson.Write(ctx, b.conn, map[string]any{"id": b.last, "method": method, "params": params}); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		var m bidiMessage
		if err := wsjson.Read(ctx, b.conn, &m); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case m.Type == "event":
			b.log(m.Params.Level + ": " + m.Params.Text)
		case m.ID != b.last:
			// The answer to a command that nobody waits for any more.
		case m.Type == "error":
			return fmt.Errorf("%s: %s: %s", method, m.Error, m.Message)
		case result != nil:
			return json.Unmarshal(m.Result, result)
		default:
			return nil
		}
	}
}

// quit ends the browser.
func (b *bidi) quit() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	defer b.conn.CloseNow()
	return b.do(ctx, "browser.close", map[string]any{}, nil)
}
