package httpclient

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestNew_URL(t *testing.T) {
	for url, ok := range map[string]bool{
		"http://127.0.0.1/x": true, "https://example.com": true, "": false, "hush": false, "ftp://hush": false,
		"https://": false, "https://hush\x7f": false, "file:///hush": false,
	} {
		if _, err := New(Options{URL: url}); (err == nil) != ok || err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("New(%q) = %v", url, err)
		}
	}
}

// TestClient_Sends: what the other side sees of a question.
func TestClient_Sends(t *testing.T) {
	var got *http.Request
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		got, body = r, string(data)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"a": 1}`)
	}))
	defer server.Close()
	c := newClient(t, Options{URL: server.URL + "/x", Bearer: "token"})

	a, err := c.Post(t.Context(), []byte("{}"), http.Header{"x-signature": {"v1,abc"}})
	if err != nil || a.Status != http.StatusAccepted || string(a.Body) != `{"a": 1}` || !a.IsJSON() {
		t.Errorf("Post = %+v, %v", a, err)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "reveille",
		"Authorization": "Bearer token", "X-Signature": "v1,abc",
	} {
		if v := got.Header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if got.Method != http.MethodPost || got.URL.Path != "/x" || body != "{}" {
		t.Errorf("%s %s %s", got.Method, got.URL, body)
	}

	if _, err := c.Get(t.Context(), http.Header{"Accept": {"text/plain"}}); err != nil || got.Method != http.MethodGet ||
		got.Header.Get("Accept") != "text/plain" || got.Header.Get("Content-Type") != "" {
		t.Errorf("Get sends %s %v, %v", got.Method, got.Header, err)
	}
}

// TestClient_Redirect: a redirection is an answer like others, and nothing goes to
// where it leads.
func TestClient_Redirect(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	a, err := newClient(t, Options{URL: server.URL}).Post(t.Context(), nil, nil)
	if err != nil || a.Status != http.StatusTemporaryRedirect || asked.Load() != 1 {
		t.Errorf("Post = %d, %v after %d requests", a.Status, err, asked.Load())
	}
}

func TestClient_MaxAnswer(t *testing.T) {
	tests := []struct {
		name  string
		write func(http.ResponseWriter)
		ok    bool
		too   bool
	}{
		{"just so", func(w http.ResponseWriter) { io.WriteString(w, strings.Repeat("x", 1000)) }, true, false},
		{"a byte more", func(w http.ResponseWriter) { io.WriteString(w, strings.Repeat("x", 1001)) }, false, true},
		{"without end", func(w http.ResponseWriter) {
			for range 1 << 20 {
				if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
					return
				}
			}
		}, false, true},
		{"large header", func(w http.ResponseWriter) { w.Header().Set("X", strings.Repeat("x", 10_000)) }, false, false},
		{"cut", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "half")
		}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { tt.write(w) }))
			defer server.Close()
			a, err := newClient(t, Options{URL: server.URL, MaxAnswer: 1000}).Post(t.Context(), nil, nil)
			if (err == nil) != tt.ok || errors.Is(err, ErrTooLarge) != tt.too || err != nil && a.Status != 0 {
				t.Errorf("Post = %d with %d bytes, %v", a.Status, len(a.Body), err)
			}
		})
	}
}

// TestClient_TLS: the secret goes only to whom we believe, and the URL into no
// error.
func TestClient_TLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	if _, err := newClient(t, Options{URL: server.URL, RootCAs: roots}).Post(t.Context(), nil, nil); err != nil {
		t.Errorf("Post = %v", err)
	}
	_, err := newClient(t, Options{URL: server.URL + "/hush", RootCAs: x509.NewCertPool()}).Post(t.Context(), nil, nil)
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("with a certificate of nobody: %v", err)
	}
}

// TestClient_Timeout: neither the options nor the context let an answer take
// longer.
func TestClient_Timeout(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-release
	}))
	defer server.Close()
	defer close(release)
	if _, err := newClient(t, Options{URL: server.URL, Timeout: 20 * time.Millisecond}).Post(t.Context(), nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Post = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := newClient(t, Options{URL: server.URL}).Post(ctx, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Post = %v", err)
	}
}

func TestAnswer_IsJSON(t *testing.T) {
	for kind, want := range map[string]bool{
		"application/json": true, "Application/JSON; charset=utf-8": true, "application/problem+json": true,
		"": false, "text/html": false, "application/jsonp": false, ";": false,
	} {
		if got := (Answer{Header: http.Header{"Content-Type": {kind}}}).IsJSON(); got != want {
			t.Errorf("IsJSON of %q = %t", kind, got)
		}
	}
}
