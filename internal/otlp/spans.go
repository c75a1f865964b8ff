package otlp

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"reveille/internal/timeline"
)

// tell makes the spans of a Record: the request, from its arrival to its end, and below it
// the wait for each phone and each attempt to push.
func (e *Exporter) tell(ctx context.Context, r *timeline.Record) {
	end := latest(r)
	ctx, span := e.tracer.Start(ctx, r.Method, trace.WithNewRoot(), trace.WithTimestamp(r.Began), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(present(
			attribute.String("sip.method", r.Method), attribute.String("sip.call_id", r.CallID),
			attribute.String("sip.from", r.From), attribute.String("sip.to", r.To), attribute.String("reveille.aor", r.AOR),
			attribute.String("reveille.record", r.ID), attribute.String("reveille.outcome", r.Outcome), attribute.String("reveille.lookup", r.Lookup),
			attribute.Int("sip.status", r.Status), attribute.String("sip.reason", r.Reason), attribute.Int("reveille.phones", r.Phones),
		)...))
	defer span.End(trace.WithTimestamp(end))
	if !span.IsRecording() {
		return // It is not among those that are told of.
	}
	if v := r.Verdict; v != nil {
		span.SetAttributes(present(attribute.String("reveille.verdict", v.Code), attribute.String("reveille.verdict.said", v.Said), attribute.String("reveille.verdict.do", v.Do))...)
	}
	if r.Outcome == timeline.OutcomeFailed {
		said := r.Reason
		if r.Verdict != nil {
			said = r.Verdict.Said
		}
		span.SetStatus(codes.Error, said)
	}
	phones := map[string]context.Context{}
	for i := range r.Devices {
		d := &r.Devices[i]
		phones[d.Binding] = e.wait(ctx, d, end)
	}
	for i := range r.Steps {
		s := &r.Steps[i]
		if s.Kind == timeline.StepAttempt {
			if phone, ok := phones[s.Binding]; ok {
				e.attempt(phone, s)
			} else {
				e.attempt(ctx, s)
			}
			continue
		}
		span.AddEvent(s.Kind, trace.WithTimestamp(s.At), trace.WithAttributes(present(
			attribute.String("reveille.binding", s.Binding), attribute.Int("sip.status", s.Status), attribute.String("reveille.reason", s.Reason),
			attribute.String("reveille.class", s.Class), attribute.String("reveille.text", s.Text),
		)...))
	}
}

// wait makes the span of a phone that had to be woken and returns the context of what
// belongs to it.
func (e *Exporter) wait(ctx context.Context, d *timeline.Device, end time.Time) context.Context {
	begin := first(d.Parked, d.Asked)
	if begin.IsZero() {
		return ctx // Nobody waited for it.
	}
	ctx, span := e.tracer.Start(ctx, "wake", trace.WithTimestamp(begin), trace.WithAttributes(present(
		attribute.String("reveille.aor", d.AOR), attribute.String("reveille.binding", d.Binding), attribute.String("reveille.push.provider", d.Provider),
		attribute.String("reveille.push.id", d.PushID), attribute.String("reveille.push.class", d.Class), attribute.String("reveille.push.reason", d.Reason),
		attribute.Int("reveille.push.attempts", d.Attempts), attribute.Int("sip.status", d.Answer),
		attribute.Bool("reveille.woke", !d.Woke.IsZero() && !d.Late), attribute.Bool("reveille.late", d.Late), attribute.Bool("reveille.timed_out", d.TimedOut),
	)...))
	switch {
	case !d.Woke.IsZero():
		end = d.Woke
	case d.TimedOut && !d.Deadline.IsZero():
		end = d.Deadline
	}
	if d.Woke.IsZero() && (d.TimedOut || d.Class != "" && d.Taken.IsZero()) {
		span.SetStatus(codes.Error, first(d.Class, "timed_out"))
	}
	span.End(trace.WithTimestamp(latestOf(begin, end)))
	return ctx
}

// attempt makes the span of one question to a push service. A Step is of its end.
func (e *Exporter) attempt(ctx context.Context, s *timeline.Step) {
	took := time.Duration(s.TookMS * float64(time.Millisecond))
	_, span := e.tracer.Start(ctx, "push "+s.Provider, trace.WithTimestamp(s.At.Add(-took)), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(present(
		attribute.String("reveille.binding", s.Binding), attribute.String("reveille.push.provider", s.Provider), attribute.String("reveille.push.id", s.PushID),
		attribute.Int("reveille.push.attempt", s.Attempt), attribute.Int("http.response.status_code", s.Status),
		attribute.String("reveille.push.class", s.Class), attribute.String("reveille.push.reason", s.Reason),
	)...))
	if s.Status >= 400 {
		span.SetStatus(codes.Error, strconv.Itoa(s.Status)+" "+s.Reason)
	}
	span.End(trace.WithTimestamp(s.At))
}

// present returns the attributes that say something.
func present(list ...attribute.KeyValue) []attribute.KeyValue {
	kept := list[:0]
	for _, a := range list {
		switch a.Value.Type() {
		case attribute.STRING:
			if a.Value.AsString() == "" {
				continue
			}
		case attribute.INT64:
			if a.Value.AsInt64() == 0 {
				continue
			}
		default:
		}
		kept = append(kept, a)
	}
	return kept
}

// latest is when a request ended, or what came too late did.
func latest(r *timeline.Record) time.Time {
	end := latestOf(r.Began, r.Ended)
	for i := range r.Devices {
		end = latestOf(end, r.Devices[i].Woke)
	}
	return end
}

func latestOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// first returns the first value that is not zero.
func first[T comparable](list ...T) (v T) {
	for _, x := range list {
		if x != v {
			return x
		}
	}
	return v
}
