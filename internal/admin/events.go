package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

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
}

// ErrUnknown says that a report is about a push or a phone that is not known.
var ErrUnknown = errors.New("no such push is under way, and no such phone is registered")

// A WakeReport says what became of a push that a program of the operator's sent.
// PushID names it, or AOR, with or without Binding, the phones.
type WakeReport struct {
	PushID  string `json:"push_id,omitempty" maxLength:"128" doc:"The push, as its event named it."`
	AOR     string `json:"aor,omitempty" maxLength:"1024" doc:"All phones of a user; instead of push_id."`
	Binding string `json:"binding,omitempty" maxLength:"64" doc:"With aor: only this phone, as events name it."`
	Result  string `json:"result" enum:"delivered,gone,failed" doc:"delivered: the push service took it. gone: the token is dead, is forgotten, and who waits for it is told. failed: this push came to nothing, and who waits for it is told."`
	Reason  string `json:"reason,omitempty" maxLength:"256" doc:"Why, for events and logs."`
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

type (
	eventsInput struct {
		Type   []string `query:"type,explode" maxItems:"64" doc:"Patterns of types, such as binding.*; a leading ! leaves out."`
		AOR    string   `query:"aor" maxLength:"1024" doc:"Only events about this user."`
		Tokens bool     `query:"tokens" doc:"Show push tokens, to those who may see them."`
		After  string   `header:"Last-Event-ID" maxLength:"64" doc:"Begin behind this event, as far as it is kept."`
	}
	wokenInput struct{ Body WakeReport }
)

func (i *wokenInput) target() string {
	if i.Body.PushID != "" {
		return i.Body.PushID
	}
	return i.Body.AOR
}

func (e *Events) register(a *api) {
	if e == nil {
		return
	}
	s := stream{subscribe: e.Subscribe, beat: heartbeat}
	streams(a, Read, call{
		id: "follow-events", method: http.MethodGet, path: "/events", tag: "events", summary: "Follow what happens, as server-sent events",
		doc:    "pn-param is left out for the role read. An event named missing says that some since Last-Event-ID are no longer kept, one named slow that events came faster than they were read.",
		errors: []int{http.StatusServiceUnavailable}, reporter: true, stream: a.eventStream(),
	}, "text/event-stream", s.open)
	change(a, Operate, call{
		id: "report-push", method: http.MethodPost, path: "/woken", tag: "events", summary: "Report what became of a push that a program of yours sent",
		errors: []int{http.StatusNotFound}, maxBody: maxReport, reporter: true,
	}, e.woken)
}

func (e *Events) woken(ctx context.Context, in *wokenInput) (*nothing, error) {
	if err := in.Body.Check(); err != nil {
		return nil, invalid("body", err)
	}
	err := e.Woken(ctx, in.Body)
	if errors.Is(err, ErrUnknown) {
		return nil, failure(http.StatusNotFound, err)
	}
	return nil, err
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
	beat      time.Duration
}

// open subscribes to what is asked for.
func (s stream) open(ctx context.Context, in *eventsInput) (func(context.Context, http.ResponseWriter), error) {
	filter, err := event.NewFilter(in.Type, in.AOR)
	if err == nil {
		err = s.known(in.Type)
	}
	if err != nil {
		return nil, invalid("query.type", err)
	}
	if in.Tokens && !exchangeOf(ctx).who.secrets() {
		return nil, failure(http.StatusForbidden, errors.New("tokens are shown to the role admin, and with events.tokens to whoever has events.bearer"))
	}
	detail := exchangeOf(ctx).who.detail()
	if in.Tokens {
		detail = event.Tokens
	}
	sub, err := s.subscribe(filter, in.After)
	if err != nil {
		return nil, huma.ErrorWithHeaders(failure(http.StatusServiceUnavailable, err), http.Header{"Retry-After": {"10"}})
	}
	return func(ctx context.Context, w http.ResponseWriter) {
		defer sub.Close()
		s.write(ctx, &writer{w: w, c: http.NewResponseController(w), detail: detail}, sub)
	}, nil
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
			w.text("event: " + eventsSlow + "\ndata: {}\n\n")
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
	detail event.Detail
	err    error
}

// begin sends the header, and has the server's bounds for whole requests not count from
// then on: before that it reads a body that nobody asked for.
func (w *writer) begin(missing bool) {
	first := ": \n\n"
	if missing {
		// What came while the reader was away, and is forgotten, it may look up elsewhere.
		first = "event: " + eventsMissing + "\ndata: {}\n\n"
	}
	w.text(first)
	if w.err == nil {
		w.err = w.c.SetReadDeadline(time.Time{})
	}
}

func (w *writer) events(rs []*feed.Record) {
	var b strings.Builder
	for _, r := range rs {
		data, err := r.JSON(w.detail)
		if err != nil {
			w.err = err
			return
		}
		// JSON of ours has no line ends.
		fmt.Fprintf(&b, "id: %s\nevent: %s\ndata: %s\n\n", r.ID(), r.Type, data)
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
