package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"reveille/internal/contacts"
)

// Bindings shows the registrations of users.
type Bindings struct {
	// Show returns those of a user, in the order in which the phones first
	// registered; the error is contacts.ErrNoUser, or why it cannot be said.
	Show func(ctx context.Context, user string) (BindingList, error)
}

// The states of a Binding.
const (
	// Registered: it has not ended.
	StateRegistered = "registered"
	// Dormant: it has ended, and its phone is woken all the same (push.dormant).
	StateDormant = "dormant"
)

// A Binding is the registration of one phone. It holds no token.
type Binding struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Contact string `json:"contact"`
	// Awake says that a request would be sent to the phone without a push.
	Awake     bool   `json:"awake"`
	Flow      string `json:"flow"`
	Instance  string `json:"instance,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	// Provider is its push service, empty if it cannot be woken.
	Provider string `json:"provider,omitempty"`
	// Created is when the phone first registered, Updated when it last did.
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	Expires time.Time `json:"expires"`
	// RetainUntil is when a registration that has ended is forgotten, RefreshAt when
	// the phone is woken next without a call.
	RetainUntil time.Time `json:"retain_until,omitzero"`
	RefreshAt   time.Time `json:"refresh_at,omitzero"`
	// Wake is how the phone woke until now; nil if that is not known.
	Wake *Wake `json:"wake,omitempty"`
}

// A Wake is what was learned of how a phone wakes, since the server started.
type Wake struct {
	// Last is when it last woke, Average how many seconds after a push it comes.
	Last    time.Time `json:"last,omitzero"`
	Average float64   `json:"average_seconds"`
	// Successes and Failures count pushes by whether it came in time. FailingSince is
	// set while it does not.
	Successes    int       `json:"successes"`
	Failures     int       `json:"failures"`
	FailingSince time.Time `json:"failing_since,omitzero"`
}

// BindingList is the answer to GET /v1/bindings.
type BindingList struct {
	User     string    `json:"user"`
	Bindings []Binding `json:"bindings"`
}

type (
	bindingsInput struct {
		User string `query:"user" required:"true" maxLength:"1024" doc:"The user, such as sip:alice@example.com or alice."`
	}
	bindingsReply struct{ Body BindingList }
)

func (b *Bindings) register(a *api) {
	if b == nil {
		return
	}
	query(a, Read, call{
		id: "show-user", method: http.MethodGet, path: "/bindings", tag: "users", summary: "The phones of a user",
		errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *bindingsInput) (*bindingsReply, error) {
		switch list, err := b.Show(ctx, in.User); {
		case errors.Is(err, contacts.ErrNoUser):
			return nil, failure(http.StatusNotFound, err)
		case err != nil:
			return nil, failure(http.StatusServiceUnavailable, err)
		default:
			return &bindingsReply{list}, nil
		}
	})
}
