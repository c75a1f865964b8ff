package event

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Log is the Sink that writes log lines: Info for what an operator asks about
// later (registrations created, changed, removed or refused, and how each call
// ended), Warn for what is degraded, Debug for the rest.
type Log struct {
	log *slog.Logger
}

// NewLog returns a Sink that writes to log.
func NewLog(log *slog.Logger) Log { return Log{log: log} }

// Emit implements Sink.
func (l Log) Emit(e Event) {
	level := e.level()
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	message, attrs := e.line()
	kept := attrs[:0]
	for _, a := range attrs {
		if !empty(a.Value) {
			kept = append(kept, a)
		}
	}
	l.log.LogAttrs(ctx, level, message, kept...) //nolint:sloglint // Each event has its own few.
}

// empty reports whether a value says nothing: lines name only what they know.
func empty(v slog.Value) bool {
	switch v.Kind() {
	case slog.KindString:
		return v.String() == "" || v.String() == "none"
	case slog.KindInt64:
		return v.Int64() == 0
	case slog.KindDuration:
		return v.Duration() == 0
	case slog.KindTime:
		return v.Time().IsZero()
	case slog.KindAny:
		return v.Any() == nil
	default:
		return false
	}
}

func (e Registration) level() slog.Level {
	if e.Action == "refreshed" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (e Registration) line() (string, []slog.Attr) {
	return "registration " + e.Action, []slog.Attr{
		slog.String("aor", e.AOR), slog.String("binding", e.Binding), slog.String("contact", e.Contact),
		slog.String("instance", e.Instance), slog.String("provider", e.Provider), slog.String("flow", e.Flow.String()),
		slog.Time("expires", e.Expires), slog.String("cause", e.Cause), slog.String("call_id", e.CallID),
		slog.Int("status", e.Status), slog.String("reason", e.Reason),
	}
}

func (RefreshDue) level() slog.Level { return slog.LevelDebug }

func (e RefreshDue) line() (string, []slog.Attr) {
	return "refresh due", []slog.Attr{
		slog.String("aor", e.AOR), slog.String("binding", e.Binding), slog.String("provider", e.Provider), slog.Time("expires", e.Expires),
	}
}

func (PushRequested) level() slog.Level { return slog.LevelDebug }

func (e PushRequested) line() (string, []slog.Attr) {
	return "push requested", []slog.Attr{
		slog.String("push_id", e.PushID), slog.String("aor", e.AOR), slog.String("binding", e.Binding), slog.String("provider", e.Provider),
		slog.String("kind", e.PushKind), slog.String("method", e.Method), slog.String("call_id", e.CallID),
	}
}

func (PushSend) level() slog.Level { return slog.LevelDebug }

func (e PushSend) line() (string, []slog.Attr) {
	return "push handed to events", []slog.Attr{
		slog.String("push_id", e.PushID), slog.String("aor", e.AOR), slog.String("binding", e.Binding), slog.String("app", e.App),
		slog.String("provider", e.Provider), slog.String("kind", e.PushKind), slog.String("call_id", e.CallID),
	}
}

func (e PushReported) level() slog.Level {
	if e.Result == "delivered" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (e PushReported) line() (string, []slog.Attr) {
	return "push reported", []slog.Attr{
		slog.String("result", e.Result), slog.String("push_id", e.PushID), slog.String("aor", e.AOR), slog.String("binding", e.Binding),
		slog.String("reason", e.Reason),
	}
}

func (e PushOutcome) level() slog.Level {
	if errors.Is(e.Err, context.Canceled) {
		// Nobody waits any more: the call ended before the push left.
		return slog.LevelDebug
	}
	switch e.Class {
	case "ok", "forbidden", "expired":
		return slog.LevelDebug
	case "gone":
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

func (e PushOutcome) line() (string, []slog.Attr) {
	return "push outcome", []slog.Attr{
		slog.String("class", e.Class), slog.String("push_id", e.PushID), slog.String("sent_as", e.SentAs), slog.String("aor", e.AOR), slog.String("binding", e.Binding),
		slog.String("provider", e.Provider), slog.String("kind", e.PushKind), slog.String("reason", e.Reason), slog.Int("status", e.Status),
		slog.Int("attempts", e.Attempts), slog.Duration("latency", e.Latency.Round(time.Microsecond)), slog.Any("err", e.Err),
	}
}

func (e Call) level() slog.Level {
	switch e.Step {
	case "answered", "failed", "timed_out", "cancelled", "refused":
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

func (e Call) line() (string, []slog.Attr) {
	return "request " + e.Step, []slog.Attr{
		slog.String("method", e.Method), slog.String("call_id", e.CallID), slog.String("from", e.From), slog.String("to", e.To),
		slog.String("aor", e.AOR), slog.String("binding", e.Binding), slog.String("push_id", e.PushID), slog.String("flow", e.Flow.String()),
		slog.Int("status", e.Status), slog.String("reason", e.Reason), slog.String("rule", e.Rule.String()), slog.Duration("elapsed", e.Elapsed.Round(time.Microsecond)),
	}
}

func (FlowClosed) level() slog.Level { return slog.LevelDebug }

func (e FlowClosed) line() (string, []slog.Attr) {
	return "flow closed", []slog.Attr{slog.String("flow", e.Flow.String()), slog.Any("err", e.Err)}
}

func (AuthFailed) level() slog.Level { return slog.LevelInfo }

// line's message, and the order of its attributes, are what fail2ban filters
// match: docs/operations.md shows the filter.
func (e AuthFailed) line() (string, []slog.Attr) {
	return "authentication failed", []slog.Attr{
		slog.String("source", e.Flow.Remote.Addr().String()), slog.String("method", e.Method), slog.String("user", e.User),
		slog.String("realm", e.Realm), slog.String("reason", e.Reason),
	}
}
