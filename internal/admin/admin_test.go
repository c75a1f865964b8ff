package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// rootToken is that of everybody.
const rootToken = "token-of-the-role-admin"

// everybody lets in whoever has a token of one of the roles, or that of reporters.
func everybody() Access {
	return Access{Tokens: []Token{
		{Name: "reader", Role: Read, Secret: "token-of-the-role-read"},
		{Name: "operator", Role: Operate, Secret: "token-of-the-role-operate"},
		{Name: "root", Role: Admin, Secret: rootToken},
	}, Reporter: "token-of-reporters"}
}

// ask sends a request, with an Origin as a web page would if there is one, and
// rootToken.
func ask(t *testing.T, s *Server, method, path, origin string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+rootToken)
	if origin != "" {
		req.Header.Set("Origin", origin)
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
	return resp.StatusCode, string(b)
}

func TestServer_Endpoints(t *testing.T) {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "reveille_test_total", Help: "A counter."})
	r.MustRegister(c)
	c.Inc()
	var ready atomic.Bool
	s, err := New(Options{Addr: "127.0.0.1:0", Gatherer: r, Ready: func() error {
		if ready.Load() {
			return nil
		}
		return errors.New("starting")
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	tests := []struct {
		name, method, path string
		ready              bool
		status             int
		body               string
	}{
		{"alive while starting", "GET", "/healthz", false, 200, "ok\n"},
		{"not ready yet", "GET", "/readyz", false, 503, "starting\n"},
		{"ready", "GET", "/readyz", true, 200, "ready\n"},
		{"metrics", "GET", "/metrics", true, 200, "reveille_test_total 1\n"},
		{"no writing", "POST", "/healthz", true, 405, ""},
		{"nothing else", "GET", "/debug/pprof/", true, 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ready.Store(tt.ready)
			status, body := ask(t, s, tt.method, tt.path, "")
			if status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("%s %s = %d %q, want %d and %q", tt.method, tt.path, status, body, tt.status, tt.body)
			}
		})
	}
	for range 2 {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	}
	if _, err := http.Get("http://" + s.Addr().String() + "/healthz"); err == nil {
		t.Error("still serving after Stop")
	}
}

func TestServer_Reload(t *testing.T) {
	var fail error
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: Calls{
		Reload: func(context.Context) (Reloaded, error) {
			return Reloaded{Changed: []string{"domains"}, Restart: []string{"listen"}}, fail
		},
	}})
	tests := []struct {
		name, method, origin string
		fail                 error
		status               int
		body                 string
	}{
		{"taken over", "POST", "", nil, 200, `{"changed":["domains"],"restart":["listen"]}`},
		{"refused", "POST", "", errors.New("a.yaml:1:1: wat: unknown key"), 422, `"detail":"a.yaml:1:1: wat: unknown key"`},
		{"reading does not reload", "GET", "", nil, 405, `"status":405`},
		{"not from a web page", "POST", "https://evil.example", nil, 403, "another origin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fail = tt.fail
			status, body := ask(t, s, tt.method, "/v1/reload", tt.origin)
			if status != tt.status || !strings.Contains(body, tt.body) {
				t.Errorf("%s /v1/reload = %d %s, want %d and %s", tt.method, status, body, tt.status, tt.body)
			}
		})
	}
}

func TestServer_StopWithoutStart(t *testing.T) {
	s, err := New(Options{Addr: "127.0.0.1:0", Gatherer: prometheus.NewRegistry(), Ready: func() error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Errorf("Stop: %v", err)
	}
}
