// Package admin is the HTTP server for operators: health, metrics, reload, and
// on the control socket the backup, the registrations of a user (GET /bindings) and
// the ban list, and for whom messages wait (GET /messages).
//
// GET /healthz answers 200 as long as the process serves; an orchestrator
// restarts the process when it does not, so nothing outside the process may make
// it fail. GET /readyz answers 200 when the server takes traffic and 503, with
// the reason, while it starts or stops. GET /metrics is for Prometheus. POST
// /reload reads the configuration again and answers with the keys that changed
// and those that need a restart.
//
// On an address it has no authentication: bind it to one that only operators
// reach. Web pages of other origins cannot post to it. The control socket serves
// the same, and what would be too much for anyone who reaches a port: POST
// /backup, which writes files with the rights of the server, and GET and DELETE
// /bans, POST /v1/push and /v1/wake, and GET /v1/providers. Only the user that runs
// the server can open it. GET /v1/events and POST /v1/woken are on the socket too,
// and on the address for those who have a token.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options configure a Server.
type Options struct {
	// Addr is the host:port to listen on; port 0 takes any, empty serves none.
	Addr string
	// Socket is the path of the control socket, empty for none. What a process
	// that is gone has left there is removed.
	Socket string
	// Gatherer is where /metrics reads.
	Gatherer prometheus.Gatherer
	// Ready returns nil when the server takes traffic, otherwise why not.
	Ready func() error
	// Overloaded reports whether new requests are refused at times; nil: never.
	// /readyz says so and goes on answering 200: whoever took the server out of use
	// would cut its calls.
	Overloaded func() bool
	// Reload reads the configuration again; an error says why it was not taken
	// over. Nil: there is nothing to reload, and POST /reload is not found.
	Reload func(context.Context) (Reloaded, error)
	// Backup copies the registrations into a folder, an absolute path; an error
	// says why nothing was written. Nil: POST /backup is not found.
	Backup func(ctx context.Context, dir string) error
	// Bindings shows registrations. Nil: /bindings is not found.
	Bindings *Bindings
	// Bans are who is not listened to. Nil: /bans is not found.
	Bans *Bans
	// Events are the stream of events and reports of pushes. Nil: /v1/events and
	// /v1/woken are not found.
	Events *Events
	// Pushes are tools for pushes. Nil: /v1/push, /v1/wake and /v1/providers are not
	// found.
	Pushes *Pushes
	// Messages tells for whom messages wait. Nil: /messages is not found.
	Messages *Messages
	Logger   *slog.Logger
}

// Reloaded is what a reload did, and the answer to POST /reload.
type Reloaded struct {
	// Changed keys are in force, Restart keys need a restart and are as before.
	Changed []string `json:"changed"`
	Restart []string `json:"restart"`
}

// Server is the HTTP server. Stop may be called more than once.
type Server struct {
	addr    net.Addr // of the address, nil if there is none
	log     *slog.Logger
	serving []serving
	done    sync.WaitGroup
	// ending is closed when the Server stops: what goes on without end must end.
	ending chan struct{}
	stop   sync.Once
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
	s := &Server{log: o.Logger, ending: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop(context.Background()))
		}
	}()
	if o.Addr != "" {
		l, err := net.Listen("tcp", o.Addr)
		if err != nil {
			return nil, fmt.Errorf("listen for http: %w", err)
		}
		s.addr = l.Addr()
		mux := routes(o)
		if o.Events != nil && o.Events.Bearer != "" {
			o.Events.serveGuarded(mux, s.ending)
		}
		s.serve(l, mux)
	}
	if o.Socket != "" {
		l, err := listenSocket(o.Socket)
		if err != nil {
			return nil, fmt.Errorf("listen on control socket: %w", err)
		}
		mux := routes(o)
		if o.Backup != nil {
			mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) { backup(w, r, o.Backup) })
		}
		if o.Bindings != nil {
			o.Bindings.serve(mux)
		}
		if o.Bans != nil {
			o.Bans.serve(mux)
		}
		if o.Events != nil {
			o.Events.serve(mux, s.ending)
		}
		if o.Pushes != nil {
			o.Pushes.serve(mux, s.ending)
		}
		if o.Messages != nil {
			o.Messages.serve(mux)
		}
		s.serve(l, mux)
	}
	return s, nil
}

// routes are what is served everywhere.
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
	if o.Reload != nil {
		mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) { reload(w, r, o.Reload) })
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelError)}))
	return mux
}

func (s *Server) serve(l net.Listener, mux *http.ServeMux) {
	s.serving = append(s.serving, serving{l, &http.Server{
		Handler: http.NewCrossOriginProtection().Handler(mux), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}})
}

// reload answers POST /reload: 200 with what changed, or why nothing did.
func reload(w http.ResponseWriter, r *http.Request, do func(context.Context) (Reloaded, error)) {
	done, err := do(r.Context())
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, "configuration not reloaded", err)
		return
	}
	answer(w, http.StatusOK, "application/json", done)
}

// problem answers with an error (RFC 9457).
func problem(w http.ResponseWriter, status int, title string, err error) {
	answer(w, status, "application/problem+json", Problem{Title: title, Status: status, Detail: err.Error()})
}

// Problem is the answer to a request that failed, of type
// application/problem+json.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func answer(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	// The peer may be gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
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
	s.stop.Do(func() { close(s.ending) })
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
