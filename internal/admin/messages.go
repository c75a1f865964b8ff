package admin

import (
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
	User     string `json:"user"`
	Messages int    `json:"messages"`
	Bytes    int64  `json:"bytes"`
	// Oldest is when the first of them came, Until when it is of no more use.
	Oldest time.Time `json:"oldest"`
	Until  time.Time `json:"until"`
}

// MessageList is the answer to GET /messages.
type MessageList struct {
	Users []MessageUser `json:"users"`
}

// serve adds GET /messages.
func (m *Messages) serve(mux *http.ServeMux) {
	mux.HandleFunc("GET /messages", func(w http.ResponseWriter, _ *http.Request) {
		// An empty list, not null, for programs that read it.
		answer(w, http.StatusOK, "application/json", MessageList{append([]MessageUser{}, m.List()...)})
	})
}
