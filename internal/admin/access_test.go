package admin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// bearer sends a request with a token, unless that is empty.
func bearer(t *testing.T, s *Server, method, path, token string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr().String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestAccess_EveryCallTakesItsRole asks for every call there is with each role and
// without one. A call that was registered in another way would be missing in calls
// and is found in the document.
func TestAccess_EveryCallTakesItsRole(t *testing.T) {
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: everything(t)})
	listed := 0
	for _, item := range s.api.huma.OpenAPI().Paths {
		for _, op := range []any{item.Get, item.Post, item.Delete, item.Put, item.Patch} {
			if fmt.Sprint(op) != "<nil>" {
				listed++
			}
		}
	}
	if listed != len(s.api.calls) {
		t.Errorf("%d calls are in the document, %d were registered with a role", listed, len(s.api.calls))
	}
	for _, c := range s.api.calls {
		for _, who := range append(everybody().Tokens, Token{Name: "nobody"}, Token{Name: "reporter", Secret: everybody().Reporter}) {
			// What is allowed fails for want of input, or for this method.
			resp, body := bearer(t, s, c.method, prefix+c.path+"?no-such-parameter=1", who.Secret)
			want := http.StatusUnprocessableEntity
			switch {
			case who.Name == "nobody":
				want = http.StatusUnauthorized
			case who.Role < c.role && !(who.Name == "reporter" && c.reporter):
				want = http.StatusForbidden
			}
			if resp.StatusCode != want {
				t.Errorf("%s: %s %s = %d %s, want %d", who.Name, c.method, c.path, resp.StatusCode, body, want)
			}
			if auth := resp.Header.Get("WWW-Authenticate"); (auth != "") != (want != http.StatusUnprocessableEntity) {
				t.Errorf("%s: %s %s: WWW-Authenticate %q", who.Name, c.method, c.path, auth)
			}
		}
	}
}

func TestAccess_NoCallWithoutRole(t *testing.T) {
	a := newAPI(nil, newMetrics(nil), nil)
	query(a, 0, call{id: "x", method: http.MethodGet, path: "/x", tag: "x", summary: "x"}, func(context.Context, *nothing) (*nothing, error) { return nil, nil })
	if err := a.finish(); err == nil || !strings.Contains(err.Error(), `"x" lacks a role`) {
		t.Errorf("finish: %v", err)
	}
}

// TestAccess_NothingWithoutCredentials: below /v1 there is not even a 404.
func TestAccess_NothingWithoutCredentials(t *testing.T) {
	s := control(t, Options{Addr: "127.0.0.1:0", Calls: everything(t)})
	for _, path := range []string{"/v1", "/v1/", "/v1/none", "/v1/bans", "/v1//bans", "/v1/../v1/bans", "/v1/openapi.json", "/v1/%2e%2e/metrics"} {
		if resp, body := bearer(t, s, http.MethodGet, path, ""); resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") != `Bearer realm="reveille"` {
			t.Errorf("GET %s = %d %s %v", path, resp.StatusCode, body, resp.Header)
		}
	}
}

// TestAccess_TriesAreFew: who guesses tokens is soon not listened to, not even with
// the right one.
func TestAccess_TriesAreFew(t *testing.T) {
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: everything(t)})
	for i := range tryBurst {
		if resp, _ := bearer(t, s, http.MethodGet, "/v1/bans", fmt.Sprint("guess", i)); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(resp.Header.Get("WWW-Authenticate"), "invalid_token") {
			t.Fatalf("try %d: %d", i, resp.StatusCode)
		}
	}
	for _, token := range []string{"guess", rootToken, ""} {
		resp, body := bearer(t, s, http.MethodGet, "/v1/bans", token)
		if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: %d %s %v", token, resp.StatusCode, body, resp.Header)
		}
	}
	if resp, _ := bearer(t, s, http.MethodGet, "/healthz", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("GET /healthz = %d", resp.StatusCode)
	}
}
