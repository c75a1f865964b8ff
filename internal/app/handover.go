package app

import (
	"context"
	"errors"

	"reveille/internal/event"
	"reveille/push"
)

// A handover is the Sender of an app whose pushes a program of the operator's sends:
// it hands them to the events. What became of one is reported later, if ever (see
// wake.Report).
type handover struct {
	app string
	// sink is set before the first push; nil where no server runs.
	sink event.Sink
}

var _ push.Sender = (*handover)(nil)

var errNoServer = errors.New("no server runs whose events a program could hear")

// Send implements push.Sender.
func (h *handover) Send(_ context.Context, r *push.Request) push.Outcome {
	t, ok := r.Token()
	if !ok {
		return push.Outcome{Class: push.Forbidden, Reason: "NoTokenForKind"}
	}
	if h.sink == nil {
		return push.Outcome{Class: push.Rejected, Reason: "NoServer", Err: errNoServer}
	}
	h.sink.Emit(event.PushSend{
		PushID: r.PushID, AOR: r.AOR, Binding: hexadecimal(r.Binding), App: h.app, Provider: r.Params.Provider, Param: r.Params.Param,
		PushKind: r.Kind.String(), Method: r.Method, CallID: r.CallID, Token: event.Secret(t.PRID),
		P256DH: event.Secret(r.Keys.P256DH), Auth: event.Secret(r.Keys.Auth), Extra: r.Data, Deadline: r.Deadline,
	})
	return push.Outcome{Class: push.OK, Reason: "HandedOver"}
}

// Close implements push.Sender.
func (*handover) Close() error { return nil }

// handTo has the apps whose pushes are handed over hand them to sink.
func (s *senders) handTo(sink event.Sink) {
	for _, x := range s.list {
		if h, ok := x.app.Sender.(*handover); ok && h.sink == nil {
			h.sink = sink
		}
	}
}
