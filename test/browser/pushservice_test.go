//go:build firefox && !browser

package browser

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"reveille/push/pushsim"
)

// A pushService is the half of a push service that the browser talks to, in the
// protocol of Mozilla's: a subscription is a channel of the browser's only
// connection. Its other half, which takes pushes, is push/pushsim.
type pushService struct {
	r   *rig
	url string // for the browser

	mu       sync.Mutex        // guards what follows
	conn     *websocket.Conn   // nil while the browser is not connected
	channels map[string]string // the channels by the URL of their subscription
	pushes   int
}

// A pushMessage is one of either side.
type pushMessage struct {
	Type      string `json:"messageType"`
	UAID      string `json:"uaid,omitempty"` // the browser's name
	WebPush   bool   `json:"use_webpush,omitempty"`
	Status    int    `json:"status,omitempty"`
	ChannelID string `json:"channelID,omitempty"`
	Endpoint  string `json:"pushEndpoint,omitempty"`
	Version   string `json:"version,omitempty"` // of a push: its name
	TTL       int    `json:"ttl,omitempty"`
	Code      int    `json:"code,omitempty"` // of a nack: why the service worker failed
	// Data is a payload as it was encrypted, in base64url; Headers say how.
	Data    string            `json:"data,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

func (r *rig) pushService() *pushService {
	s := &pushService{r: r, channels: map[string]string{}}
	web := httptest.NewServer(http.HandlerFunc(s.serve))
	r.t.Cleanup(web.Close)
	s.url = "ws" + strings.TrimPrefix(web.URL, "http") + "/"
	return s
}

// serve answers the browser until it leaves.
func (s *pushService) serve(w http.ResponseWriter, req *http.Request) {
	conn, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: []string{"push-notification"}})
	if err != nil {
		return
	}
	defer conn.CloseNow()
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
	for {
		var m pushMessage
		if err := wsjson.Read(context.Background(), conn, &m); err != nil {
			return
		}
		fmt.Fprintln(s.r.log, "push service:", m.Type, m.ChannelID, m.Code)
		switch m.Type {
		case "hello":
			m.UAID = strings.Repeat("0", 32)
		case "register":
			m.Endpoint = s.r.sim.SubscriptionURL(m.ChannelID)
			s.mu.Lock()
			s.channels[m.Endpoint] = m.ChannelID
			s.mu.Unlock()
		case "unregister":
		default:
			continue // it wants no answer
		}
		m.Status = http.StatusOK
		if err := wsjson.Write(context.Background(), conn, m); err != nil {
			return
		}
	}
}

// deliver sends the browser a push.
func (s *pushService) deliver(p pushsim.Push) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	channel := s.channels[p.Token]
	if s.conn == nil || channel == "" {
		return errors.New("a push without a subscription")
	}
	s.pushes++
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m := pushMessage{Type: "notification", ChannelID: channel, Version: strconv.Itoa(s.pushes), TTL: 30}
	if p.Payload != "" {
		m.Data, m.Headers = base64.RawURLEncoding.EncodeToString([]byte(p.Payload)), map[string]string{"encoding": "aes128gcm"}
	}
	return wsjson.Write(ctx, s.conn, m)
}
