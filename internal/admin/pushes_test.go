package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestPushes(t *testing.T) {
	var tested []PushTest
	var woken []WakeOrder
	p := &Pushes{
		Test: func(_ context.Context, o PushTest) ([]PushResult, error) {
			tested = append(tested, o)
			switch o.AOR {
			case "nobody":
				return nil, fmt.Errorf("%s: %w", o.AOR, ErrNoPhone)
			case "broken":
				return nil, errors.New("the store is away")
			}
			return []PushResult{{Class: "ok"}}, nil
		},
		Wake: func(_ context.Context, o WakeOrder) ([]WakeResult, error) {
			woken = append(woken, o)
			return []WakeResult{{Registered: true}}, nil
		},
		Lanes: func() []Lane { return nil },
	}
	socket := socketPath(t)
	control(t, Options{Socket: socket, Calls: Calls{Pushes: p}})
	const token = "very-secret-token"
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"a user", "POST", "/v1/push", `{"aor": "alice", "kind": "call", "seconds": 5}`, 200, `"class":"ok"`},
		{"a token", "POST", "/v1/push", `{"provider": "fcm", "param": "p", "prid": "` + token + `", "kind": "refresh"}`, 200, `"results"`},
		{"nobody", "POST", "/v1/push", `{"aor": "nobody", "kind": "call"}`, 404, "no phone"},
		{"no store", "POST", "/v1/push", `{"aor": "broken", "kind": "call"}`, 500, "away"},
		{"no kind", "POST", "/v1/push", `{"aor": "alice"}`, 422, "kind"},
		{"a kind that is not for tests", "POST", "/v1/push", `{"aor": "alice", "kind": "cancel"}`, 422, "kind"},
		{"both", "POST", "/v1/push", `{"aor": "alice", "provider": "fcm", "prid": "` + token + `", "kind": "call"}`, 422, "either"},
		{"no param", "POST", "/v1/push", `{"provider": "fcm", "prid": "` + token + `", "kind": "call"}`, 422, "pn-param"},
		{"a token that cannot be one", "POST", "/v1/push", `{"provider": "fcm", "param": "p", "prid": "` + token + ` x", "kind": "call"}`, 422, "pn-prid"},
		{"for too long", "POST", "/v1/push", `{"aor": "alice", "kind": "call", "seconds": 121}`, 422, "body.seconds"},
		{"misspelt", "POST", "/v1/push", `{"user": "alice", "kind": "call"}`, 422, "user"},
		{"too long", "POST", "/v1/push", `{"aor": "` + strings.Repeat("x", maxPushRequest) + `"}`, 413, "too large"},
		{"wake", "POST", "/v1/wake", `{"aor": "alice", "kind": "refresh"}`, 200, `"registered":true`},
		{"wake nobody", "POST", "/v1/wake", `{"kind": "refresh"}`, 422, "aor"},
		{"wake for ever", "POST", "/v1/wake", `{"aor": "alice", "kind": "refresh", "seconds": -1}`, 422, "body.seconds"},
		{"providers", "GET", "/v1/providers", "", 200, `{"lanes":[]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://localhost"+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := over(socket).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if answer := string(b); resp.StatusCode != tt.status || !strings.Contains(answer, tt.says) || strings.Contains(answer, token) {
				t.Errorf("%d %s, want %d and %q in it", resp.StatusCode, answer, tt.status, tt.says)
			}
		})
	}
	if len(tested) != 4 || tested[0].Seconds != 5 || tested[1].PRID != token || len(woken) != 1 {
		t.Errorf("tested %d, woken %d", len(tested), len(woken))
	}
}

// Those who wait keep no server from stopping.
func TestPushes_UntilItStops(t *testing.T) {
	begun := make(chan struct{})
	p := &Pushes{
		Wake: func(ctx context.Context, _ WakeOrder) ([]WakeResult, error) {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		},
	}
	socket := socketPath(t)
	s := control(t, Options{Socket: socket, Calls: Calls{Pushes: p}})
	done := make(chan string, 1)
	go func() {
		status, answer := post(t, over(socket), "http://localhost/v1/wake", `{"aor": "alice", "kind": "refresh"}`)
		done <- fmt.Sprint(status, " ", answer)
	}()
	select {
	case <-begun:
	case answer := <-done:
		t.Fatalf("answered at once: %s", answer)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if answer := <-done; !strings.Contains(answer, "canceled") {
		t.Errorf("who waited got %s", answer)
	}
}
