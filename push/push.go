// Package push wakes devices: it takes a Request, finds the credential that may
// push to that app, sends it through a Sender and says what became of it.
//
// A Sender (push/apns, push/fcm, push/webpush, push/webhook) makes one attempt
// at one push service. The Dispatcher owns everything that spans attempts:
// which app, queues, limits, retries, coalescing, deadlines. The package knows
// nothing of SIP messages or of where devices are registered.
package push

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Params are the two push parameters that choose the app (RFC 8599 §8.6),
// percent-decoded once.
type Params struct {
	// Provider is pn-provider: "apns", "fcm", "webpush" or a private name.
	Provider string
	// Param is pn-param: "TEAMID.bundle.id.voip" for APNs, the project for FCM,
	// empty for Web Push.
	Param string
}

// Use says what a token may be used for.
type Use uint8

const (
	// Any is the one token that the device gave for everything.
	Any Use = iota
	// VoIP is a PushKit token; only calls may use it (iOS ends the app otherwise).
	VoIP
	// Remote is a token for everything that is not a call.
	Remote
)

func (u Use) String() string { return [...]string{"any", "voip", "remote"}[u] }

// A Token is a PRID with its use. The PRID is a secret: it is never logged.
type Token struct {
	PRID string
	Use  Use
}

// LogValue keeps the PRID out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue("<redacted " + t.Use.String() + ">") }

// SubscriptionKeys are those of a Web Push subscription, in base64url: the
// browser's public key and the secret that it shares with whom it gave them to
// (RFC 8291 §3.1, §3.2). They are never logged.
type SubscriptionKeys struct {
	P256DH, Auth string
}

// IsZero reports whether a phone gave no keys.
func (k SubscriptionKeys) IsZero() bool { return k == SubscriptionKeys{} }

// LogValue keeps the secret out of logs.
func (SubscriptionKeys) LogValue() slog.Value { return slog.StringValue("<redacted>") }

// Kind says why a device is woken. It decides on priority, push type and token.
type Kind uint8

// The kinds of push.
const (
	Call Kind = iota + 1
	Message
	MidDialog
	Refresh
	Cancel
)

var kindNames = [...]string{Call: "call", Message: "message", MidDialog: "mid_dialog", Refresh: "refresh", Cancel: "cancel"}

func (k Kind) String() string {
	if k >= Call && k <= Cancel {
		return kindNames[k]
	}
	return "unknown"
}

// A Request asks one device to wake. It must not be changed after Submit.
type Request struct {
	// Binding and AOR say whose device it is, for feedback and coalescing.
	Binding [16]byte
	AOR     string
	// Params choose the app, Tokens the device.
	Params Params
	Tokens []Token
	// Keys encrypt the payload of a Web Push; zero if the phone gave none.
	Keys SubscriptionKeys
	Kind Kind
	// Method is the SIP method that waits ("" for Refresh); CallID its Call-ID.
	Method string
	CallID string
	// PushID names this wake in payloads, logs and the forwarded request.
	PushID string
	// SentAs is set by Submit, before it returns: the PushID of the push that r joins,
	// which is the one that the app gets; empty if r is a push of its own.
	SentAs string
	// Deadline is when the wake is of no more use; the push service is told to
	// drop the push by then.
	Deadline time.Time
	// BoundAt is when the device last registered: a "gone since" earlier than
	// that speaks of a token before it was renewed.
	BoundAt time.Time
	// Data are further fields for payload templates. Nil unless configured:
	// by default a payload says nothing about the caller.
	Data map[string]string
}

// Token returns the token for r's kind: VoIP or Any for calls, Remote or Any for
// the rest. ok is false if the device gave none that may be used.
func (r *Request) Token() (t Token, ok bool) {
	want := Remote
	if r.Kind == Call {
		want = VoIP
	}
	for _, t := range r.Tokens {
		if t.Use == want {
			return t, true
		}
	}
	for _, t := range r.Tokens {
		if t.Use == Any {
			return t, true
		}
	}
	return Token{}, false
}

// Class is what an outcome means for the token, the call and the lane.
type Class uint8

// The classes, as docs/push.md explains them.
const (
	// OK: the push service took it. Whether the device wakes is another matter.
	OK Class = iota + 1
	// Gone: the push service says that the token is dead; forget it.
	Gone
	// Suspect: the token does not fit this credential: dead, or the credential
	// is for another environment.
	Suspect
	// Credential: the push service refuses our credential.
	Credential
	// Rejected: our request was wrong; do not retry.
	Rejected
	// Throttled: too many; RetryAfter says how long to hold back.
	Throttled
	// Unavailable: the push service has trouble of its own.
	Unavailable
	// Network: it could not be reached or did not answer in time.
	Network
	// Expired: the deadline passed before it could be sent.
	Expired
	// Shed: our own queue was full or the lane closed.
	Shed
	// Forbidden: policy allows no push of this kind with the tokens at hand.
	// Not a failure of the device: whoever waits may go on waiting.
	Forbidden
)

var classNames = [...]string{
	OK: "ok", Gone: "gone", Suspect: "suspect", Credential: "credential", Rejected: "rejected", Throttled: "throttled",
	Unavailable: "unavailable", Network: "network", Expired: "expired", Shed: "shed", Forbidden: "forbidden",
}

func (c Class) String() string {
	if c >= OK && c <= Forbidden {
		return classNames[c]
	}
	return "unknown"
}

// Scope says what a Throttled outcome is about.
type Scope uint8

const (
	// ScopeLane is everything that uses the credential (for Web Push: the origin).
	ScopeLane Scope = iota
	// ScopeToken is this device alone.
	ScopeToken
)

// An Outcome is the result of one attempt (from a Sender) or of the whole
// Request (from the Dispatcher).
type Outcome struct {
	Class Class
	Scope Scope
	// Reason is the push service's own word, e.g. "Unregistered"; bounded, and
	// free of tokens.
	Reason string
	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// RetryAfter is how long the push service wants us to wait; 0 if unsaid.
	RetryAfter time.Duration
	// GoneSince is when the token died, if the push service says so.
	GoneSince time.Time
	// Attempts is how many requests were sent.
	Attempts int
	// Tries are set by the Dispatcher: the requests that were sent, the first of them
	// first, but for those after the MaxTries-th. Shared, not to be changed.
	Tries []Try
	// Proven is set by the Dispatcher: the push service took a push with the same
	// credential (for Web Push: at the same origin) within ProvenFor. A Suspect
	// outcome of a proven credential speaks of the token; one of a credential
	// that was never good may speak of the credential, and tokens are kept.
	Proven bool
	// Expired is set by the Dispatcher if the credential has ended, and the Class may
	// come of that.
	Expired Expiry
	// PushID is set by the Dispatcher: the PushID of the push that was sent for
	// this Request, which is another's if the two were one wake.
	PushID string
	// ID is the push service's identifier of the push, if it gave one.
	ID string
	// Err is the cause for the log.
	Err error
}

// MaxTries bounds Outcome.Tries.
const MaxTries = 8

// A Try is one request to the push service, and its answer.
type Try struct {
	Began  time.Time
	Took   time.Duration
	Class  Class
	Reason string
	Status int
}

// ProvenFor is how long a success speaks for a credential: an hour has pushes on
// any server with more than a handful of phones, and is too short for a key that
// was revoked, or a build that went to the other environment, to be overlooked.
const ProvenFor = time.Hour

// Failed reports whether the device cannot be woken by this request: whoever
// waits for it should be told now. Forbidden is no failure.
func (o Outcome) Failed() bool { return o.Class != OK && o.Class != Forbidden }

// A Sender makes attempts at one push service with one credential. Every
// implementation passes pushtest.Run.
type Sender interface {
	// Send makes one attempt, without retries, and returns when the push service
	// answered or ctx ended. It is safe for concurrent use and never panics on
	// what the network says.
	Send(ctx context.Context, r *Request) Outcome
	// Close ends idle connections. Attempts under way may still finish.
	Close() error
}

// Errors of Submit: the request was not taken and done will not run.
var (
	// ErrNoApp: no configured app takes this provider and pn-param.
	ErrNoApp = errors.New("push: no app for these parameters")
	// ErrQueueFull: the app's queue is full.
	ErrQueueFull = errors.New("push: queue full")
	// ErrClosed: the Dispatcher was closed.
	ErrClosed = errors.New("push: dispatcher closed")
)
