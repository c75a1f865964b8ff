package admin

import (
	"context"
	"net/http"
	"time"
)

// Messages tells for whom messages wait (messages.policy). What is in them it does not
// tell.
type Messages struct {
	// List returns the users, in order of their names.
	List func() []MessageUser
}

// MessageUser is a user for whom messages wait.
type MessageUser struct {
	User     string    `json:"user"`
	Messages int       `json:"messages"`
	Bytes    int64     `json:"bytes"`
	Oldest   time.Time `json:"oldest" doc:"When the first of them came."`
	Until    time.Time `json:"until" doc:"When the first of them is of no more use."`
}

// MessageList is the answer to GET /v1/messages.
type MessageList struct {
	Users []MessageUser `json:"users"`
}

type messageReply struct{ Body MessageList }

func (m *Messages) register(a *api) {
	if m == nil {
		return
	}
	query(a, Read, call{
		id: "list-messages", method: http.MethodGet, path: "/messages", tag: "users", summary: "Users for whom messages wait",
	}, func(context.Context, *nothing) (*messageReply, error) {
		return &messageReply{MessageList{list(m.List())}}, nil
	})
}
