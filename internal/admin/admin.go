// Package admin is the HTTP server for operators.
//
// GET /healthz answers 200 as long as the process serves; an orchestrator
// restarts the process when it does not, so nothing outside the process may make
// it fail. GET /readyz answers 200 when the server takes traffic and 503, with
// the reason, while it starts or stops. GET /metrics is for Prometheus. These take no
// password: bind the address to one that only operators reach.
//
// All else is the API below /v1: each file here holds the calls about one subject,
// which app fills with functions. A call is registered with the role that it needs,
// and described in the document /v1/openapi.json, which is made of the code. Wrong
// requests are answered with problems (RFC 9457), and changes told to the audit log.
// On the address a token or a client certificate says who asks (Access). On the
// control socket everybody has the role admin: only the user that runs the server
// can open it. Web pages of other origins cannot post to either.
package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options configure a Server.
type Options struct {
	// Addr is the host:port to listen on; port 0 takes any, empty serves none.
	Addr string
	// TLS is for the address; nil: it speaks plain HTTP.
	TLS *tls.Config
	// Access says who may use the API on the address.
	Access Access
	// Socket is the path of the control socket, empty for none. What a process
	// that is gone has left there is removed.
	Socket string
	// Audit is told of every change. It must not block. Nil: nobody is.
	Audit func(Change)
	// Gatherer is where /metrics reads, Registerer where the Server's own are; nil:
	// nowhere.
	Gatherer   prometheus.Gatherer
	Registerer prometheus.Registerer
	// Ready returns nil when the server takes traffic, otherwise why not.
	Ready func() error
	// Overloaded reports whether new requests are refused at times; nil: never.
	// /readyz says so and goes on answering 200: whoever took the server out of use
	// would cut its calls.
	Overloaded func() bool
	Calls      Calls
	// Console makes what is served below ConsolePath on the address. Nil: nothing is.
	Console func(ConsoleDoor) (http.Handler, error)
	Logger  *slog.Logger
}

// Calls are what the API can do. Of what is nil there are no calls.
type Calls struct {
	Reload   Reload
	Backup   Backup
	Bans     *Bans
	Events   *Events
	Pushes   *Pushes
	Messages *Messages
	Trace    *Trace
	Timeline *Timeline
	Contacts Contacts
	Self     *Self
}

// register registers all calls there are.
func (c *Calls) register(a *api) {
	c.Reload.register(a)
	c.Backup.register(a)
	c.Bans.register(a)
	c.Events.register(a)
	c.Pushes.register(a)
	c.Messages.register(a)
	c.Trace.register(a)
	c.Timeline.register(a)
	registerContacts(a, c.Contacts)
	c.Self.register(a)
}

// Server is the HTTP server. Stop may be called more than once, SetAccess at any time.
type Server struct {
	addr    net.Addr // of the address, nil if there is none
	log     *slog.Logger
	api     *api
	access  atomic.Pointer[hashed]
	tries   *tries
	serving []serving
	done    sync.WaitGroup
	stop    context.CancelFunc // ends what goes on without end
}

// serving is a listener with what is served on it.
type serving struct {
	net.Listener
	http *http.Server
}

// New binds the address and the socket. Start serves.
func New(o Options) (_ *Server, err error) {
	if o.Gatherer == nil || o.Ready == nil {
		return nil, errors.New("admin: Gatherer and Ready are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{log: o.Logger, api: newAPI(o.Logger, newMetrics(o.Registerer), o.Audit)}
	s.api.ending, s.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.Background()))
		}
	}()
	if s.tries, err = newTries(); err != nil {
		return nil, err
	}
	if err := s.SetAccess(o.Access); err != nil {
		return nil, err
	}
	o.Calls.register(s.api)
	if err := s.api.finish(); err != nil {
		return nil, err
	}
	if o.Addr != "" {
		l, err := net.Listen("tcp", o.Addr)
		if err != nil {
			return nil, fmt.Errorf("listen for http: %w", err)
		}
		s.addr = l.Addr()
		l = newBounded(l, maxConns, maxSourceConns, s.api.metrics.refused.WithLabelValues(refusedFull))
		if o.TLS != nil {
			l = tls.NewListener(l, o.TLS)
		}
		mux := routes(o)
		if err := s.addConsole(mux, o.Console); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		s.serve(l, mux, s.guarded)
	}
	if o.Socket != "" {
		l, err := listenSocket(o.Socket)
		if err != nil {
			return nil, fmt.Errorf("listen on control socket: %w", err)
		}
		s.serve(l, routes(o), s.trusted)
	}
	return s, nil
}

// SetAccess replaces who may use the API on the address. Streams that are open go on.
func (s *Server) SetAccess(a Access) error {
	if err := a.validate(); err != nil {
		return err
	}
	s.access.Store(a.hash())
	return nil
}

// routes are what is served to everybody.
func routes(o Options) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Ready(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		if o.Overloaded != nil && o.Overloaded() {
			text(w, http.StatusOK, "ready, but overloaded")
			return
		}
		text(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelError)}))
	return mux
}

// serve adds a listener. The API stands before the mux, which would redirect paths
// that are not clean.
func (s *Server) serve(l net.Listener, mux *http.ServeMux, calls http.HandlerFunc) {
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, http.StatusForbidden, errors.New("a web page of another origin may not ask this"))
	}))
	h := origin.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == prefix || strings.HasPrefix(r.URL.Path, prefix+"/") {
			calls(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	s.serving = append(s.serving, serving{l, &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: withPeer,
	}})
}

type peerKey struct{}

// withPeer has requests over the control socket carry the user who sent them.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if _, ok := c.(*net.UnixConn); ok {
		return context.WithValue(ctx, peerKey{}, peer(c))
	}
	return ctx
}

// trusted serves the API to those who can open the control socket.
func (s *Server) trusted(w http.ResponseWriter, r *http.Request) {
	name, _ := r.Context().Value(peerKey{}).(string)
	s.api.serve(w, r, Principal{Kind: KindSocket, Name: name, Role: Admin})
}

// guarded serves the API to those whom Access names.
func (s *Server) guarded(w http.ResponseWriter, r *http.Request) {
	from, now := remoteAddr(r.RemoteAddr), time.Now()
	// Whoever tries too often is not listened to: a right guess would show nothing.
	if wait := s.tries.wait(from, now); wait > 0 {
		s.api.metrics.refused.WithLabelValues(refusedOften).Inc()
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		writeProblem(w, http.StatusTooManyRequests, errors.New("too many failed tries from this address"))
		return
	}
	who, err := s.access.Load().identify(r)
	switch {
	case err == nil:
		s.api.serve(w, r, who)
		return
	case errors.Is(err, errNoCredentials):
		s.api.metrics.refused.WithLabelValues(refusedNone).Inc()
		w.Header().Set("WWW-Authenticate", `Bearer realm="reveille"`)
	default:
		s.tries.failed(from, now)
		s.api.metrics.refused.WithLabelValues(refusedWrong).Inc()
		s.log.InfoContext(r.Context(), "admin access refused", "remote", r.RemoteAddr, "err", err)
		// RFC 6750 §3.1.
		w.Header().Set("WWW-Authenticate", `Bearer realm="reveille", error="invalid_token"`)
	}
	writeProblem(w, http.StatusUnauthorized, err)
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintln(w, s)
}

// Addr is the bound address, nil if only the control socket is served.
func (s *Server) Addr() net.Addr { return s.addr }

// Start serves until Stop, which also waits for it.
func (s *Server) Start() {
	for _, x := range s.serving {
		s.done.Go(func() {
			if err := x.http.Serve(x.Listener); !errors.Is(err, http.ErrServerClosed) {
				s.log.Error("serve http", "err", err)
			}
		})
	}
}

// Stop lets requests under way finish until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	s.stop()
	var errs []error
	for _, x := range s.serving {
		if err := x.http.Shutdown(ctx); err != nil {
			errs = append(errs, err, x.http.Close())
		}
		// Shutdown closes the listener only if Serve has seen it.
		if err := x.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.done.Wait()
	return errors.Join(errs...)
}
