// Package admin is the HTTP listener for operators: health, metrics and reload.
//
// GET /healthz answers 200 as long as the process serves; an orchestrator
// restarts the process when it does not, so nothing outside the process may make
// it fail. GET /readyz answers 200 when the server takes traffic and 503, with
// the reason, while it starts or stops. GET /metrics is for Prometheus. POST
// /reload reads the configuration again and answers with the keys that changed
// and those that need a restart.
//
// It has no authentication: bind it to an address that only operators reach. Web
// pages of other origins cannot post to it.
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
	// Addr is the host:port to listen on; port 0 takes any.
	Addr string
	// Gatherer is where /metrics reads.
	Gatherer prometheus.Gatherer
	// Ready returns nil when the server takes traffic, otherwise why not.
	Ready func() error
	// Reload reads the configuration again; an error says why it was not taken
	// over. Nil: there is nothing to reload, and POST /reload is not found.
	Reload func(context.Context) (Reloaded, error)
	Logger *slog.Logger
}

// Reloaded is what a reload did, and the answer to POST /reload.
type Reloaded struct {
	// Changed keys are in force, Restart keys need a restart and are as before.
	Changed []string `json:"changed"`
	Restart []string `json:"restart"`
}

// Server is the HTTP server. Stop may be called more than once.
type Server struct {
	listener net.Listener
	http     *http.Server
	log      *slog.Logger
	done     sync.WaitGroup
}

// New binds the address. Start serves.
func New(o Options) (*Server, error) {
	if o.Gatherer == nil || o.Ready == nil {
		return nil, errors.New("admin: Gatherer and Ready are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for http: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Ready(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		text(w, http.StatusOK, "ready")
	})
	if o.Reload != nil {
		mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) { reload(w, r, o.Reload) })
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelError)}))
	return &Server{
		listener: l,
		log:      o.Logger,
		http: &http.Server{
			Handler: http.NewCrossOriginProtection().Handler(mux), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
			IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		},
	}, nil
}

// reload answers POST /reload: 200 with what changed, or a problem (RFC 9457)
// that says why nothing did.
func reload(w http.ResponseWriter, r *http.Request, do func(context.Context) (Reloaded, error)) {
	done, err := do(r.Context())
	status, kind := http.StatusOK, "application/json"
	var body any = done
	if err != nil {
		status, kind = http.StatusUnprocessableEntity, "application/problem+json"
		body = map[string]any{"title": "configuration not reloaded", "status": status, "detail": err.Error()}
	}
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

// Addr is the bound address.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Start serves until Stop, which also waits for it.
func (s *Server) Start() {
	s.done.Go(func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serve http", "err", err)
		}
	})
}

// Stop lets requests under way finish until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	// Shutdown closes the listener only if Serve has seen it.
	if cerr := s.listener.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	s.done.Wait()
	return err
}
