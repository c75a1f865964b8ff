package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"reveille/push"
)

// Pushes are the tools for pushes: to try one, to wake a user's phones, and to see
// how the push services are.
type Pushes struct {
	// Test sends pushes and returns what became of each. The error is ErrNoPhone if
	// there is nobody to push to.
	Test func(context.Context, PushTest) ([]PushResult, error)
	// Wake sends pushes to a user's phones and waits until they have registered.
	// The error is ErrNoPhone if there are none.
	Wake func(context.Context, WakeOrder) ([]WakeResult, error)
	// Lanes returns the queues to the push services.
	Lanes func() []Lane
}

// ErrNoPhone says that a user has no phone that can be woken by a push.
var ErrNoPhone = errors.New("no phone that a push wakes is registered")

// MaxWait bounds what PushTest.Seconds and WakeOrder.Seconds ask for.
const MaxWait = 2 * time.Minute

// A PushTest asks for one push to each phone of a user, or to a token.
type PushTest struct {
	AOR string `json:"aor,omitempty" maxLength:"1024" doc:"The user, such as alice@example.com."`
	// Provider, Param and PRID are what a phone would register, unescaped.
	Provider string `json:"provider,omitempty" maxLength:"64" doc:"The pn-provider of a token."`
	Param    string `json:"param,omitempty" maxLength:"4096" doc:"Its pn-param, unescaped."`
	PRID     string `json:"prid,omitempty" maxLength:"8192" doc:"The token, unescaped."`
	Kind     string `json:"kind" enum:"call,message,refresh" doc:"What the push is for."`
	Seconds  int    `json:"seconds,omitempty" minimum:"0" maximum:"120" doc:"How long it may take; 0 means 20."`
}

// A WakeOrder asks for the phones of a user to be woken.
type WakeOrder struct {
	AOR     string `json:"aor" minLength:"1" maxLength:"1024" doc:"The user, such as alice@example.com."`
	Kind    string `json:"kind" enum:"call,message,refresh" doc:"What the pushes are for."`
	Seconds int    `json:"seconds,omitempty" minimum:"0" maximum:"120" doc:"How long the phones may take to register; 0 means 30."`
}

// A PushResult is what became of one push.
type PushResult struct {
	// AOR, Binding and UserAgent say whose it was, unless it was to a token.
	AOR       string `json:"aor,omitempty"`
	Binding   string `json:"binding,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	Provider  string `json:"provider"`
	Param     string `json:"param,omitempty"`
	Kind      string `json:"kind"`
	// Class is that of a push.Outcome, or NotSent; Reason the push service's word, or
	// ours; Status that of HTTP.
	Class  string `json:"class"`
	Reason string `json:"reason,omitempty"`
	Status int    `json:"status,omitempty"`
	// Attempts is how many requests were sent, ElapsedMS how long all took.
	Attempts  int   `json:"attempts"`
	ElapsedMS int64 `json:"elapsed_ms"`
	// RetryAfterMS is how long the push service wants to be left alone.
	RetryAfterMS int64 `json:"retry_after_ms,omitempty"`
	// PushID is in the payload and in the events, ID what the push service calls it.
	PushID string `json:"push_id,omitempty"`
	ID     string `json:"id,omitempty"`
	// Cause is the error below, for a push that did not get through.
	Cause string `json:"cause,omitempty"`
	// Said is what it means, Do what to do about it, both for people.
	Said string `json:"said"`
	Do   string `json:"do,omitempty"`
}

// NotSent is the class of a push that was not even tried.
const NotSent = "not_sent"

// OK reports whether the push service took the push.
func (r *PushResult) OK() bool { return r.Class == push.OK.String() }

// A WakeResult is what became of the wake of one phone.
type WakeResult struct {
	PushResult
	// Registered: the phone has, RegisteredMS after the push was asked for.
	Registered   bool  `json:"registered"`
	RegisteredMS int64 `json:"registered_ms,omitempty"`
	// Awake: the phone had a live connection before.
	Awake bool `json:"awake"`
	// Then says what came of a push that was taken, for people.
	Then string `json:"then,omitempty"`
}

// PushResults is the answer to POST /v1/push.
type PushResults struct {
	Results []PushResult `json:"results"`
}

// WakeResults is the answer to POST /v1/wake.
type WakeResults struct {
	Results []WakeResult `json:"results"`
}

// A Lane is a queue to one push service by one credential.
type Lane struct {
	App      string `json:"app"`
	Provider string `json:"provider"`
	// Part is the part of the push service, such as the host of a browser's.
	Part     string `json:"part,omitempty"`
	Queued   int    `json:"queued"`
	InFlight int    `json:"in_flight"`
	Limit    int    `json:"limit"`
	// PausedUntil is set while nothing is sent, PausedFor the class of the answer
	// that is the reason.
	PausedUntil time.Time `json:"paused_until,omitzero"`
	PausedFor   string    `json:"paused_for,omitempty"`
	LastOK      time.Time `json:"last_ok,omitzero"`
	LastFailure time.Time `json:"last_failure,omitzero"`
	LastReason  string    `json:"last_reason,omitempty"`
	Failures    int       `json:"failures"`
	// Said and Do are words for the last failure, if nothing got through since.
	Said string `json:"said,omitempty"`
	Do   string `json:"do,omitempty"`
}

// Lanes is the answer to GET /v1/providers.
type Lanes struct {
	Lanes []Lane `json:"lanes"`
}

// ParseKind reads the kinds that can be asked for.
func ParseKind(s string) (push.Kind, error) {
	for _, k := range []push.Kind{push.Call, push.Message, push.Refresh} {
		if k.String() == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("kind is %q: write call, message or refresh", s)
}

// Check reports what is wrong with t. It never names the token.
func (t PushTest) Check() error {
	if _, err := ParseKind(t.Kind); err != nil {
		return err
	}
	if (t.AOR == "") == (t.Provider == "" && t.PRID == "") {
		return errors.New("name either a user, or provider, param and token")
	}
	if t.AOR == "" {
		if _, _, err := push.Parse(t.Provider, t.Param, t.PRID); err != nil {
			return err
		}
	}
	return checkSeconds(t.Seconds)
}

// Check reports what is wrong with o.
func (o WakeOrder) Check() error {
	if _, err := ParseKind(o.Kind); err != nil {
		return err
	}
	if o.AOR == "" {
		return errors.New("name a user")
	}
	return checkSeconds(o.Seconds)
}

func checkSeconds(n int) error {
	if limit := int(MaxWait / time.Second); n < 0 || n > limit {
		return fmt.Errorf("%d seconds are not 0 to %d", n, limit)
	}
	return nil
}

// maxPushRequest bounds a request for pushes in bytes: a token has up to 2 KiB.
const maxPushRequest = 16 << 10

type (
	pushInput struct{ Body PushTest }
	pushReply struct{ Body PushResults }
	wakeInput struct{ Body WakeOrder }
	wakeReply struct{ Body WakeResults }
	laneReply struct{ Body Lanes }
)

// target leaves the token out.
func (i *pushInput) target() string {
	if i.Body.AOR != "" {
		return i.Body.AOR
	}
	return "a token of " + i.Body.Provider
}

func (i *wakeInput) target() string { return i.Body.AOR }

func (p *Pushes) register(a *api) {
	if p == nil {
		return
	}
	change(a, Operate, call{
		id: "test-push", method: http.MethodPost, path: "/push", tag: "pushes", summary: "Send a push to the phones of a user, or to a token",
		doc: "Name either a user, or provider, param and prid.", errors: []int{http.StatusNotFound}, maxBody: maxPushRequest, takes: MaxWait,
	}, func(ctx context.Context, in *pushInput) (*pushReply, error) {
		rs, err := order(ctx, in.Body, p.Test)
		return &pushReply{PushResults{list(rs)}}, err
	})
	change(a, Operate, call{
		id: "wake", method: http.MethodPost, path: "/wake", tag: "pushes", summary: "Wake the phones of a user, and wait until they have registered",
		errors: []int{http.StatusNotFound}, maxBody: maxPushRequest, takes: MaxWait,
	}, func(ctx context.Context, in *wakeInput) (*wakeReply, error) {
		rs, err := order(ctx, in.Body, p.Wake)
		return &wakeReply{WakeResults{list(rs)}}, err
	})
	query(a, Read, call{
		id: "list-providers", method: http.MethodGet, path: "/providers", tag: "pushes", summary: "The queues to the push services, and how those are",
	}, func(context.Context, *nothing) (*laneReply, error) {
		return &laneReply{Lanes{list(p.Lanes())}}, nil
	})
}

// order has a request for pushes done. What it takes longer than the bounds of the
// server is bounded by MaxWait.
func order[T interface{ Check() error }, R any](ctx context.Context, t T, do func(context.Context, T) ([]R, error)) ([]R, error) {
	if err := t.Check(); err != nil {
		return nil, invalid("body", err)
	}
	ctx, cancel := context.WithTimeout(ctx, MaxWait)
	defer cancel()
	rs, err := do(ctx, t)
	if errors.Is(err, ErrNoPhone) {
		return nil, failure(http.StatusNotFound, err)
	}
	return rs, err
}

// list is s, but never nil: programs that read it want an empty list, not null.
func list[T any](s []T) []T { return append([]T{}, s...) }
