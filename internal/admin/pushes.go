package admin

import (
	"context"
	"encoding/json"
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
	// AOR is the user: alice@example.com.
	AOR string `json:"aor,omitempty"`
	// Provider, Param and PRID are what a phone would register, unescaped.
	Provider string `json:"provider,omitempty"`
	Param    string `json:"param,omitempty"`
	PRID     string `json:"prid,omitempty"`
	// Kind is call, message or refresh.
	Kind string `json:"kind"`
	// Seconds is how long the push may take; 0 means 20.
	Seconds int `json:"seconds,omitempty"`
}

// A WakeOrder asks for the phones of a user to be woken.
type WakeOrder struct {
	AOR  string `json:"aor"`
	Kind string `json:"kind"`
	// Seconds is how long the phones may take to register; 0 means 30.
	Seconds int `json:"seconds,omitempty"`
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

// serve adds POST /v1/push, POST /v1/wake, which ends when ending is closed, and
// GET /v1/providers.
func (p *Pushes) serve(mux *http.ServeMux, ending <-chan struct{}) {
	mux.HandleFunc("POST /v1/push", func(w http.ResponseWriter, r *http.Request) {
		order(w, r, ending, func(ctx context.Context, t PushTest) (any, error) {
			rs, err := p.Test(ctx, t)
			return PushResults{rs}, err
		})
	})
	mux.HandleFunc("POST /v1/wake", func(w http.ResponseWriter, r *http.Request) {
		order(w, r, ending, func(ctx context.Context, o WakeOrder) (any, error) {
			rs, err := p.Wake(ctx, o)
			return WakeResults{rs}, err
		})
	})
	mux.HandleFunc("GET /v1/providers", func(w http.ResponseWriter, _ *http.Request) {
		// An empty list, not null, for programs that read it.
		answer(w, http.StatusOK, "application/json", Lanes{append([]Lane{}, p.Lanes()...)})
	})
}

// order reads a request for pushes, has it done and answers. What it takes longer
// than the bounds of the server is bounded by MaxWait.
func order[T interface{ Check() error }](w http.ResponseWriter, r *http.Request, ending <-chan struct{}, do func(context.Context, T) (any, error)) {
	const title = "nothing was pushed"
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxPushRequest))
	d.DisallowUnknownFields()
	var t T
	err := d.Decode(&t)
	if err == nil {
		err = t.Check()
	}
	if err != nil {
		problem(w, http.StatusBadRequest, title, err)
		return
	}
	c := http.NewResponseController(w)
	// A connection that cannot be told has the bounds that it had.
	_ = errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Now().Add(MaxWait+writeWait)))
	ctx, cancel := context.WithTimeout(r.Context(), MaxWait)
	defer cancel()
	go func() {
		// Ends with the request.
		select {
		case <-ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	done, err := do(ctx, t)
	switch {
	case errors.Is(err, ErrNoPhone):
		problem(w, http.StatusNotFound, title, err)
	case err != nil:
		problem(w, http.StatusInternalServerError, title, err)
	default:
		answer(w, http.StatusOK, "application/json", done)
	}
}
