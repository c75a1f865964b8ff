package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"reveille/internal/contacts"
	"reveille/internal/timeline"
	"reveille/internal/why"
)

// Timeline tells what became of requests that met a sleeping phone, or failed.
type Timeline struct {
	// Calls returns Records without their steps, the latest first, and whether there are
	// more. The error is contacts.ErrNoUser.
	Calls func(timeline.Query) (list []timeline.Summary, more bool, err error)
	// Call returns the Record with an ID, or the latest with a Call-ID.
	Call func(id string) (timeline.Record, bool)
	// Parked returns the phones that are being woken while somebody waits, and how many
	// there are of them.
	Parked func(limit int) (list []timeline.Waiting, total int)
	// Why says why a user's phone did not ring, with at most so many calls. The error is
	// contacts.ErrNoUser, or why it cannot be said.
	Why func(ctx context.Context, aor string, calls int) (why.Report, error)
	// Hour counts the wakes of the last sixty minutes.
	Hour func() timeline.Hour
}

// CallList is the answer to GET /v1/calls.
type CallList struct {
	Calls []timeline.Summary `json:"calls" doc:"The latest first."`
	// Next asks for those before.
	Next string `json:"next,omitempty" doc:"What before has to be for those that follow; absent at the end."`
}

// ParkedList is the answer to GET /v1/parked.
type ParkedList struct {
	Parked []timeline.Waiting `json:"parked" doc:"Who waited longest first."`
	Total  int                `json:"total" doc:"How many there are."`
}

type (
	callsInput struct {
		AOR     string `query:"aor" maxLength:"1024" doc:"The user who was called, such as sip:alice@example.com."`
		CallID  string `query:"call_id" maxLength:"512" doc:"The Call-ID."`
		Outcome string `query:"outcome" maxLength:"64" doc:"answered, kept, diverted, cancelled or failed; waiting, delivered or ended; or the code of a verdict."`
		Before  string `query:"before" maxLength:"16" doc:"The id of a call: those that came earlier are meant."`
		Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	callsReply struct{ Body CallList }
	callInput  struct {
		ID string `path:"id" maxLength:"512" doc:"The id of a call, or a Call-ID, of which the latest is meant."`
	}
	callReply   struct{ Body timeline.Record }
	parkedInput struct {
		Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	parkedReply struct{ Body ParkedList }
	whyInput    struct {
		AOR   string `query:"aor" required:"true" minLength:"1" maxLength:"1024" doc:"The user, such as sip:alice@example.com."`
		Calls int    `query:"calls" minimum:"1" maximum:"50" default:"5" doc:"How many of the last calls are told."`
	}
	whyReply  struct{ Body why.Report }
	hourReply struct{ Body timeline.Hour }
)

func (t *Timeline) register(a *api) {
	if t == nil {
		return
	}
	query(a, Read, call{
		id: "list-calls", method: http.MethodGet, path: "/calls", tag: "calls", summary: "Requests that met a sleeping phone, or failed",
		doc: "The latest first, in memory (calls.keep). Calls to phones that were awake are among them if they failed.", errors: []int{http.StatusNotFound},
	}, func(_ context.Context, in *callsInput) (*callsReply, error) {
		all, more, err := t.Calls(timeline.Query{AOR: in.AOR, CallID: in.CallID, Outcome: in.Outcome, Before: in.Before, Limit: in.Limit})
		if err != nil {
			return nil, failure(http.StatusNotFound, err)
		}
		r := callsReply{CallList{Calls: list(all)}}
		if more {
			r.Body.Next = all[len(all)-1].ID
		}
		return &r, nil
	})
	query(a, Read, call{
		id: "show-call", method: http.MethodGet, path: "/calls/{id}", tag: "calls", summary: "What happened to one of them, step by step",
		errors: []int{http.StatusNotFound},
	}, func(_ context.Context, in *callInput) (*callReply, error) {
		r, ok := t.Call(in.ID)
		if !ok {
			return nil, failure(http.StatusNotFound, fmt.Errorf("nothing is known of a call %q: it was forgotten (calls.keep), or met no sleeping phone", in.ID))
		}
		return &callReply{r}, nil
	})
	query(a, Read, call{
		id: "list-parked", method: http.MethodGet, path: "/parked", tag: "calls", summary: "Phones that are being woken while a request waits",
	}, func(_ context.Context, in *parkedInput) (*parkedReply, error) {
		all, total := t.Parked(in.Limit)
		return &parkedReply{ParkedList{list(all), total}}, nil
	})
	query(a, Read, call{
		id: "why", method: http.MethodGet, path: "/why", tag: "calls", summary: "Why did this phone not ring?",
		doc:    "A verdict in words, and the facts: the last calls, the phones that are registered, registrations that ended, and the push services.",
		errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *whyInput) (*whyReply, error) {
		switch r, err := t.Why(ctx, in.AOR, in.Calls); {
		case errors.Is(err, contacts.ErrNoUser):
			return nil, failure(http.StatusNotFound, err)
		case err != nil:
			return nil, failure(http.StatusServiceUnavailable, err)
		default:
			return &whyReply{r}, nil
		}
	})
	query(a, Read, call{
		id: "hour", method: http.MethodGet, path: "/hour", tag: "calls", summary: "How phones woke in the last sixty minutes",
	}, func(context.Context, *nothing) (*hourReply, error) {
		return &hourReply{t.Hour()}, nil
	})
}
