// Package pushsim pretends to be Apple's, Google's and the browsers' push
// services: one HTTP/2 server over TLS that checks requests as the real ones do
// and answers with their words. Tests, the demo and cmd/pnsim use it; it makes
// the credentials to use it with.
//
// Paths: /3/device/<token> is APNs, /token Google's token server,
// /v1/projects/<project>/messages:send FCM, /wp/<id> Web Push, and /hook/ takes
// webhooks.
package pushsim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Server.
type Options struct {
	// Addr to listen on; default "127.0.0.1:0".
	Addr string
	// Credentials that pushes are checked against; nil for new ones.
	Credentials *Credentials
	// OnPush is called for each push that was taken, after the answer, on a
	// goroutine of its request.
	OnPush func(Push)
	// OnReceive is called for each push, taken or not, before OnPush.
	OnReceive func(Push)
	// MaxPushes bounds the log; the oldest are forgotten. Default 1000.
	MaxPushes int
	// OneStreamFirst aborts what is more than one stream on an APNs connection
	// that has not brought a valid push yet, as Apple does.
	OneStreamFirst bool
	// Logger, or nil to discard.
	Logger *slog.Logger
}

// A Push is what the server received.
type Push struct {
	Time     time.Time
	Provider string // "apns", "fcm", "webpush", "webhook"
	// Token is what the service knows the device by: the whole PRID.
	Token string
	// App is the topic or the project.
	App string
	// Kind and PushID are what the payload says, "" without one.
	Kind, PushID string
	// PushType is APNs' type, Priority the number or word as sent.
	PushType, Priority string
	// Expiration is when the service would drop it.
	Expiration time.Time
	// CollapseID is the apns-collapse-id, collapse_key or Topic.
	CollapseID string
	// Payload is the body as sent, "" if empty.
	Payload string
	// Status is the answer, 0 if there was none; Reason its word.
	Status int
	Reason string
	// Conn counts connections, from 1.
	Conn int64
}

// Server is a pretend push service. It is safe for concurrent use.
type Server struct {
	creds   *Credentials
	onPush  func(Push)
	onRecv  func(Push)
	max     int
	strict  bool
	log     *slog.Logger
	ln      net.Listener
	srv     *http.Server
	done    chan struct{} // closed by Close: ends black holes
	serving sync.WaitGroup
	conns   atomic.Int64
	aborted atomic.Int64

	// mu guards what follows.
	mu      sync.Mutex
	pushes  []Push
	faults  map[string]*Fault
	bearers map[string]time.Time // FCM access tokens and their end
	closed  bool
}

// Start listens and serves until Close.
func Start(o Options) (*Server, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.MaxPushes <= 0 {
		o.MaxPushes = 1000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Credentials == nil {
		c, err := NewCredentials()
		if err != nil {
			return nil, err
		}
		o.Credentials = c
	}
	ln, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for pushes: %w", err)
	}
	leaf, err := o.Credentials.leaf(ln.Addr())
	if err != nil {
		ln.Close()
		return nil, err
	}
	s := &Server{
		creds: o.Credentials, onPush: o.OnPush, onRecv: o.OnReceive, max: o.MaxPushes, strict: o.OneStreamFirst, log: o.Logger, ln: ln,
		done: make(chan struct{}), faults: make(map[string]*Fault), bearers: make(map[string]time.Time),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /3/device/{token}", s.apns)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /v1/projects/{project}/{method}", s.fcm)
	mux.HandleFunc("POST /wp/{id}", s.webpush)
	mux.HandleFunc("POST /hook/{id}", s.webhook)
	mux.HandleFunc("PUT /hook/{id}", s.webhook)
	s.srv = &http.Server{
		Handler:           mux,
		TLSConfig:         s.tlsConfig(leaf),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, &conn{Conn: c, id: s.conns.Add(1)})
		},
	}
	// Ends when Close closes the listener.
	s.serving.Go(func() {
		if err := s.srv.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serve pushes", "err", err)
		}
	})
	return s, nil
}

func (s *Server) tlsConfig(leaf tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{leaf},
		MinVersion:   tls.VersionTLS12,
		// For the older way to authenticate to APNs.
		ClientAuth: tls.VerifyClientCertIfGiven,
		ClientCAs:  s.creds.RootCAs(),
	}
}

// connKey is for the conn of a request.
type connKey struct{}

// conn is a connection and what a push service remembers of it.
type conn struct {
	net.Conn
	id     int64
	active atomic.Int64 // APNs streams
	valid  atomic.Bool  // APNs took a push
}

// abort ends the connection without a word of TLS.
func (c *conn) abort() {
	if t, ok := c.Conn.(*tls.Conn); ok {
		t.NetConn().Close()
	}
}

func connOf(r *http.Request) *conn {
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		return c
	}
	return new(conn)
}

// Addr is the bound address.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// URL is the root of the server: Host of push/apns, and Endpoint of push/fcm
// with "/v1" behind it.
func (s *Server) URL() string { return "https://" + s.ln.Addr().String() }

// FCMEndpoint is the Endpoint of push/fcm.
func (s *Server) FCMEndpoint() string { return s.URL() + "/v1" }

// TokenURL is Google's token server, as the service account names it.
func (s *Server) TokenURL() string { return s.URL() + "/token" }

// SubscriptionURL is a Web Push endpoint: the PRID of a browser.
func (s *Server) SubscriptionURL(id string) string { return s.URL() + "/wp/" + id }

// HookURL is a URL for push/webhook; id is free.
func (s *Server) HookURL(id string) string { return s.URL() + "/hook/" + id }

// Credentials are what pushes are checked against.
func (s *Server) Credentials() *Credentials { return s.creds }

// RootCAs verify the server.
func (s *Server) RootCAs() *x509.CertPool { return s.creds.RootCAs() }

// ServiceAccountJSON is a key file for push/fcm that names this server.
func (s *Server) ServiceAccountJSON() []byte { return s.creds.serviceAccountJSON(s.TokenURL()) }

// Conns counts the connections so far.
func (s *Server) Conns() int64 { return s.conns.Load() }

// Aborted counts the streams that OneStreamFirst ended.
func (s *Server) Aborted() int64 { return s.aborted.Load() }

// Pushes returns what was received, oldest first.
func (s *Server) Pushes() []Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pushes)
}

// Forget empties the log.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushes = nil
}

// Close ends the server and its connections.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.done)
	err := s.srv.Close()
	s.serving.Wait()
	return err
}

// received writes p to the log and tells OnPush.
func (s *Server) received(p Push) {
	s.mu.Lock()
	if len(s.pushes) >= s.max {
		s.pushes = slices.Delete(s.pushes, 0, 1)
	}
	s.pushes = append(s.pushes, p)
	s.mu.Unlock()
	if s.onRecv != nil {
		s.onRecv(p)
	}
	if s.onPush != nil && p.Status >= 200 && p.Status < 300 {
		s.onPush(p)
	}
}
