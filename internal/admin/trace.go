package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"reveille/internal/trace"
)

// Trace shows the SIP messages of a user while they come and go.
type Trace struct {
	// Watch begins to look at those of the user that aor names. The errors are
	// trace.ErrFull, and that of an address that is none.
	Watch func(aor string, bodies bool) (*trace.Watcher, error)
}

// The kinds of events of a trace.
const (
	// TraceMessage is a message: a trace.Shown.
	TraceMessage = "message"
	// TraceLost says how many were lost: a TraceGap.
	TraceLost = "lost"
)

// A TraceGap says how many messages were lost, because they came faster than they were
// read or looked at. Some of them may have been about others.
type TraceGap struct {
	Messages int `json:"messages"`
}

type traceInput struct {
	AOR    string `query:"aor" required:"true" minLength:"1" maxLength:"1024" doc:"The user, such as sip:alice@example.com; of other domains, too."`
	Bodies bool   `query:"bodies" doc:"Show bodies that are no session descriptions, such as the text of a MESSAGE."`
}

func (t *Trace) register(a *api) {
	if t == nil {
		return
	}
	streams(a, Admin, call{
		id: "trace", method: http.MethodGet, path: "/trace", tag: "trace", summary: "Follow the SIP messages of a user, as server-sent events",
		doc: "An event named message is a message that arrived or left, without its secrets: one that names the user in From, To, Contact, P-Asserted-Identity " +
			"or the Request-URI, or that has the Call-ID of one that did. One named lost says how many are missing.",
		errors: []int{http.StatusServiceUnavailable},
	}, "text/event-stream", func(ctx context.Context, in *traceInput) (func(context.Context, http.ResponseWriter), error) {
		watcher, err := t.Watch(in.AOR, in.Bodies)
		switch {
		case errors.Is(err, trace.ErrFull):
			return nil, huma.ErrorWithHeaders(failure(http.StatusServiceUnavailable, err), http.Header{"Retry-After": {"10"}})
		case err != nil:
			return nil, invalid("query.aor", err)
		}
		// Whose messages somebody looked at is for others to know.
		who := exchangeOf(ctx).who
		a.log.InfoContext(ctx, "trace begins", "aor", in.AOR, "bodies", in.Bodies, "by", who.Kind+" "+who.Name)
		return func(ctx context.Context, w http.ResponseWriter) {
			defer watcher.Close()
			writeTrace(ctx, &writer{w: w, c: http.NewResponseController(w)}, watcher)
		}, nil
	})
}

// writeTrace writes until the reader goes or the server stops.
func writeTrace(ctx context.Context, w *writer, watcher *trace.Watcher) {
	w.begin(false)
	for w.err == nil {
		next, cancel := context.WithTimeout(ctx, heartbeat)
		list, lost, err := watcher.Next(next)
		cancel()
		switch {
		case err == nil:
			w.trace(list, lost)
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			w.text(": \n\n")
		default:
			return
		}
	}
}

func (w *writer) trace(list []trace.Shown, lost int) {
	var b strings.Builder
	if lost > 0 {
		fmt.Fprintf(&b, "event: %s\ndata: {\"messages\":%d}\n\n", TraceLost, lost)
	}
	for i := range list {
		data, err := json.Marshal(&list[i])
		if err != nil {
			w.err = err
			return
		}
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", TraceMessage, data)
	}
	w.text(b.String())
}
