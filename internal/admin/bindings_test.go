package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/contacts"
)

func TestBindings_Show(t *testing.T) {
	socket := socketPath(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	list := BindingList{User: "sip:alice@example.com", Bindings: []Binding{
		{ID: "aa", State: StateDormant, Contact: "sip:alice@192.0.2.1", Created: at, Updated: at, Expires: at, RetainUntil: at, Wake: &Wake{Last: at, Average: 2.5, Successes: 3}},
	}}
	control(t, Options{Socket: socket, Calls: Calls{Bindings: &Bindings{Show: func(_ context.Context, user string) (BindingList, error) {
		switch user {
		case "alice@example.com":
			return list, nil
		case "nobody":
			return BindingList{}, contacts.ErrNoUser
		}
		return BindingList{}, errors.New("store unavailable")
	}}}})
	for _, tt := range []struct {
		user   string
		status int
	}{{"alice@example.com", http.StatusOK}, {"", http.StatusUnprocessableEntity}, {"nobody", http.StatusNotFound}, {"bob", http.StatusServiceUnavailable}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/v1/bindings?user="+tt.user, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := over(socket).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tt.status {
			t.Fatalf("%q: %d %s, %v, want %d", tt.user, resp.StatusCode, body, err, tt.status)
		}
		if tt.status != http.StatusOK {
			continue
		}
		var got BindingList
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(list, got); d != "" {
			t.Errorf("list (-want +got):\n%s", d)
		}
	}
}
