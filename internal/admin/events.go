package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"reveille/internal/event"
	"reveille/internal/feed"
)

// Events are the stream of events, and what push systems of the operator's own
// report of theirs.
type Events struct {
	// Subscribe is that of a feed.Feed.
	Subscribe func(filter event.Filter, after string) (*feed.Subscription, error)
	// Woken takes a report. It returns ErrUnknown if there is nothing that the report
	// could be about.
	Woken func(context.Context, WakeReport) error
	// Bearer is the token (RFC 6750) of those who may do both on the address; empty:
	// nobody may. On the control socket none is asked for.
	Bearer string
	// Tokens has the address show push tokens to those who want them, as the control
	// socket does.
	Tokens bool
}

// ErrUnknown says that a report is about a push or a phone that is not known.
var ErrUnknown = errors.New("no such push is under way, and no such phone is registered")

// A WakeReport says what became of a push that a program of the operator's sent.
// PushID names it, or AOR, with or without Binding, the phones.
type WakeReport struct {
	PushID  string `json:"push_id,omitempty"`
	AOR     string `json:"aor,omitempty"`
	Binding string `json:"binding,omitempty"`
	// Result is Delivered, Gone or Failed; Reason is for events and logs.
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"`
}

// Results of a WakeReport.
const (
	// Delivered: the push service took it.
	Delivered = "delivered"
	// Gone: the token is dead. It is forgotten, and who waits for it is told.
	Gone = "gone"
	// Failed: this push came to nothing. Who waits for it is told.
	Failed = "failed"
)

// Bounds of a report.
const (
	maxReport = 16 << 10
	maxReason = 256
)

// Check reports what is wrong with r.
func (r WakeReport) Check() error {
	switch {
	case !slices.Contains([]string{Delivered, Gone, Failed}, r.Result):
		return fmt.Errorf("result is %q: write %s, %s or %s", r.Result, Delivered, Gone, Failed)
	case (r.PushID == "") == (r.AOR == ""):
		return errors.New("write either push_id or aor")
	case r.Binding != "" && r.AOR == "":
		return errors.New("binding goes with aor")
	case len(r.Reason) > maxReason || strings.ContainsFunc(r.Reason, unicode.IsControl):
		return fmt.Errorf("reason has more than %d bytes or control characters", maxReason)
	}
	return nil
}

// serve adds GET /v1/events and POST /v1/woken, which end when ending is closed.
func (e *Events) serve(mux *http.ServeMux, ending <-chan struct{}) {
	s := stream{subscribe: e.Subscribe, tokens: true, ending: ending, beat: heartbeat}
	mux.Handle("GET /v1/events", s)
	mux.HandleFunc("POST /v1/woken", e.woken)
}

// serveGuarded is serve for those who have the token.
func (e *Events) serveGuarded(mux *http.ServeMux, ending <-chan struct{}) {
	s := stream{subscribe: e.Subscribe, tokens: e.Tokens, ending: ending, beat: heartbeat}
	mux.Handle("GET /v1/events", e.guarded(s.ServeHTTP))
	mux.Handle("POST /v1/woken", e.guarded(e.woken))
}

func (e *Events) guarded(next http.HandlerFunc) http.Handler {
	want := sha256.Sum256([]byte(e.Bearer))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(token))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			// RFC 6750 §3.
			w.Header().Set("WWW-Authenticate", `Bearer realm="reveille"`)
			problem(w, http.StatusUnauthorized, "not authorized", errors.New("the token of events.bearer is missing or wrong"))
			return
		}
		next(w, r)
	})
}

func (e *Events) woken(w http.ResponseWriter, r *http.Request) {
	const title = "report not taken"
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReport))
	d.DisallowUnknownFields()
	var report WakeReport
	err := d.Decode(&report)
	if err == nil {
		err = report.Check()
	}
	if err != nil {
		problem(w, http.StatusBadRequest, title, err)
		return
	}
	switch err := e.Woken(r.Context(), report); {
	case errors.Is(err, ErrUnknown):
		problem(w, http.StatusNotFound, title, err)
	case err != nil:
		problem(w, http.StatusInternalServerError, title, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// heartbeat is the pause between signs of life on a stream without events: what
// stands between ends quiet connections after a minute or so.
const heartbeat = 15 * time.Second

// writeWait is how long a write to a stream may take. Who reads so slowly is left
// behind.
const writeWait = 10 * time.Second

// A stream serves events as server-sent events (WHATWG HTML §9.2).
type stream struct {
	subscribe func(event.Filter, string) (*feed.Subscription, error)
	tokens    bool
	ending    <-chan struct{}
	beat      time.Duration
}

// ServeHTTP implements http.Handler.
func (s stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	filter, err := event.NewFilter(q["type"], q.Get("aor"))
	if err == nil {
		err = s.known(q["type"])
	}
	if err != nil {
		problem(w, http.StatusBadRequest, "no stream", err)
		return
	}
	tokens := q.Get("tokens") == "true"
	if tokens && !s.tokens {
		problem(w, http.StatusForbidden, "no stream", errors.New("tokens are not shown here (events.tokens)"))
		return
	}
	sub, err := s.subscribe(filter, r.Header.Get("Last-Event-ID"))
	if err != nil {
		w.Header().Set("Retry-After", "10")
		problem(w, http.StatusServiceUnavailable, "no stream", err)
		return
	}
	defer sub.Close()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		// Ends with the request.
		select {
		case <-s.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back.
	s.write(ctx, &writer{w: w, c: http.NewResponseController(w), tokens: tokens}, sub)
}

// known reports a pattern that no type matches: it is misspelt.
func (stream) known(patterns []string) error {
	for _, p := range patterns {
		if !event.Known(p) {
			return fmt.Errorf("no type of event matches %q", p)
		}
	}
	return nil
}

// write writes until the reader goes, falls behind, or the server stops.
func (s stream) write(ctx context.Context, w *writer, sub *feed.Subscription) {
	w.begin(sub.Missing())
	for w.err == nil {
		next, cancel := context.WithTimeout(ctx, s.beat)
		rs, err := sub.Next(next)
		cancel()
		switch {
		case err == nil:
			w.events(rs)
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			w.text(": \n\n")
		case errors.Is(err, feed.ErrSlow):
			w.text("event: slow\ndata: {}\n\n")
			return
		default:
			return
		}
	}
}

// A writer writes to one reader. After the first error it does nothing.
type writer struct {
	w      http.ResponseWriter
	c      *http.ResponseController
	tokens bool
	err    error
}

// begin has the server's bounds for whole requests not count, and sends the header.
func (w *writer) begin(missing bool) {
	w.err = w.c.SetReadDeadline(time.Time{})
	// What came while the reader was away, and is forgotten, it may look up elsewhere.
	if missing {
		w.text("event: missing\ndata: {}\n\n")
		return
	}
	w.text(": \n\n")
}

func (w *writer) events(rs []*feed.Record) {
	var b strings.Builder
	for _, r := range rs {
		data, err := r.JSON(w.tokens)
		if err != nil {
			w.err = err
			return
		}
		// JSON of ours has no line ends.
		fmt.Fprintf(&b, "id: %s\nevent: %s\ndata: %s\n\n", r.ID, r.Type, data)
	}
	w.text(b.String())
}

func (w *writer) text(s string) {
	if w.err != nil {
		return
	}
	if w.err = w.c.SetWriteDeadline(time.Now().Add(writeWait)); w.err != nil {
		return
	}
	if _, w.err = w.w.Write([]byte(s)); w.err == nil {
		w.err = w.c.Flush()
	}
}
