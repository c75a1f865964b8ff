// Package event holds the typed events of the server and the Sink that takes
// them. The log line of an outcome is one Sink; webhooks and the wake timeline
// are others. Events carry plain values, so that the package stands on the
// lowest floor. No event carries a push token or a secret.
package event

import (
	"log/slog"
	"time"

	"reveille/flow"
)

// An Event is one of the structs of this package.
type Event interface {
	// Kind is the event's stable name in logs, webhooks and metrics.
	Kind() string
	// level and line are the event's log line; an attribute without a value is
	// left out.
	level() slog.Level
	line() (string, []slog.Attr)
}

// A Sink takes events. Emit must not block and may be called from any
// goroutine; it may be called under no lock of the caller's.
type Sink interface {
	Emit(Event)
}

// Fan is a Sink that hands each event to several.
type Fan []Sink

// Emit implements Sink.
func (f Fan) Emit(e Event) {
	for _, s := range f {
		s.Emit(e)
	}
}

// Discard is a Sink that drops everything.
type Discard struct{}

// Emit implements Sink.
func (Discard) Emit(Event) {}

// Registration is a change of a binding, or a REGISTER that was refused.
type Registration struct {
	// Action is "created", "updated", "refreshed", "removed", "expired" or "refused".
	Action string
	// Cause is usrloc's name of the cause: "register", "expiry", "operator", "dead_token", …
	Cause string
	AOR   string
	// Binding is the binding's identity in hexadecimal; empty if refused.
	Binding  string
	Contact  string // without pn-* parameters
	Instance string
	Provider string // pn-provider, empty without push
	CallID   string
	Flow     flow.Flow
	Expires  time.Time
	// Status and Reason are the answer if the REGISTER was refused.
	Status int
	Reason string
}

// Kind implements Event.
func (Registration) Kind() string { return "registration" }

// RefreshDue says that a device must be woken to refresh its binding.
type RefreshDue struct {
	AOR, Binding, Provider string
	Expires                time.Time
}

// Kind implements Event.
func (RefreshDue) Kind() string { return "refresh_due" }

// PushRequested says that a push was handed to the dispatcher.
type PushRequested struct {
	PushID, AOR, Binding, Provider, PushKind string
	Method, CallID                           string
	Deadline                                 time.Time
}

// Kind implements Event.
func (PushRequested) Kind() string { return "push_requested" }

// PushOutcome says what became of a push.
type PushOutcome struct {
	PushID, AOR, Binding, Provider, PushKind string
	Class, Reason                            string
	Status, Attempts                         int
	Latency                                  time.Duration
	Err                                      error
}

// Kind implements Event.
func (PushOutcome) Kind() string { return "push_outcome" }

// Call is a step in the life of a request that the proxy handles.
type Call struct {
	// Step is "received", "parked", "woken", "forwarded", "ringing", "answered",
	// "timed_out", "cancelled" or "failed".
	Step           string
	Method, CallID string
	From, To       string // AORs or URIs without parameters
	AOR, Binding   string // the device concerned, if one is
	PushID         string
	Flow           flow.Flow
	// Status is the SIP status of the step, 0 if none.
	Status int
	Reason string
	// Elapsed is the time since the request arrived; for "woken" the time since
	// the push was requested.
	Elapsed time.Duration
}

// Kind implements Event.
func (Call) Kind() string { return "call" }

// FlowClosed says that a connection ended.
type FlowClosed struct {
	Flow flow.Flow
	Err  error
}

// Kind implements Event.
func (FlowClosed) Kind() string { return "flow_closed" }

// AuthFailed is a failed authentication, in the one stable form that fail2ban
// reads.
type AuthFailed struct {
	Method, User, Realm string
	Flow                flow.Flow
	Reason              string
}

// Kind implements Event.
func (AuthFailed) Kind() string { return "auth_failed" }
