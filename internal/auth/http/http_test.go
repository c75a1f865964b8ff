package http_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"reveille/internal/auth"
	"reveille/internal/auth/authtest"
	authhttp "reveille/internal/auth/http"
	"reveille/internal/auth/source"
)

// TestSource_Contract_HTTP runs the suite against a program that knows the
// accounts.
func TestSource_Contract_HTTP(t *testing.T) {
	authtest.Run(t, func(t *testing.T, accounts []auth.Account) (auth.Source, func()) {
		server := httptest.NewServer(directory(t, accounts))
		t.Cleanup(server.Close)
		proof := source.HA1
		if accounts[0].Password != "" {
			proof = source.Password
		}
		return authtest.Remember(t, newSource(t, authhttp.Options{URL: server.URL, Proof: []source.Proof{proof}})), server.Close
	})
}

// directory answers for accounts.
func directory(t *testing.T, accounts []auth.Account) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Realm, User string }
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&q); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s of %s: %v", r.Method, r.Header.Get("Content-Type"), err)
		}
		for _, a := range accounts {
			if a.Name != q.User || a.Realm != q.Realm {
				continue
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{
				"password": a.Password, "ha1": a.HA1MD5, "aors": a.AORs, "max_contacts": a.MaxContacts, "display_name": a.DisplayName,
				"else": []int{1},
			})
			return
		}
		w.WriteHeader(http.StatusNotFound)
	})
}

func newSource(t *testing.T, o authhttp.Options) *authhttp.Source {
	t.Helper()
	s, err := authhttp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestSource_Answers: only 404 denies a user, and nothing that came is told in
// an error.
func TestSource_Answers(t *testing.T) {
	tests := []struct {
		name, kind, body string
		status           int
		none             bool
		says             string
	}{
		{"not found", "", "", 404, true, ""},
		{"not found, JSON", "application/json; charset=utf-8", `{"error":"hush"}`, 404, true, ""},
		{"no such page", "text/html", "<h1>hush", 404, false, "is the URL right?"},
		{"forbidden", "application/json", `{"password":"hush"}`, 403, false, "the answer is 403"},
		{"away", "text/plain", "hush", 503, false, "the answer is 503"},
		{"created", "application/json", `{"password":"hush"}`, 201, false, "the answer is 201"},
		{"moved", "application/json", `{"password":"hush"}`, 302, false, "the answer is 302"},
		{"no JSON", "application/json", `{"password":"hush"`, 200, false, "not the JSON object"},
		{"a list", "application/json", `["hush"]`, 200, false, "not the JSON object"},
		{"other type", "application/json", `{"password":{"hush":1}}`, 200, false, "not the JSON object"},
		{"empty", "application/json", "", 200, false, "not the JSON object"},
		{"large", "application/json", `{"password":"hush` + strings.Repeat("x", 70_000) + `"}`, 200, false, "more than 65536 bytes"},
		{"bad hash", "application/json", `{"ha1":"hush"}`, 200, false, "not 32 hexadecimal digits"},
		{"bad aor", "application/json", `{"password":"hush","aors":["tel:1"]}`, 200, false, "not a SIP URI"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			}))
			defer server.Close()
			_, err := newSource(t, authhttp.Options{URL: server.URL, Proof: []source.Proof{source.Password}}).Lookup(t.Context(), "r", "alice")
			switch {
			case tt.none != errors.Is(err, auth.ErrNoUser) || err == nil:
				t.Errorf("Lookup = %v", err)
			case !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hush"):
				t.Errorf("Lookup = %v, want an error that says %q", err, tt.says)
			}
		})
	}
}

// TestSource_TLS: the secret goes only to whom we believe, and the URL, which may
// hold one, into no error.
func TestSource_TLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hush" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		io.WriteString(w, `{"password":"secret"}`)
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	o := authhttp.Options{URL: server.URL + "/hush", Proof: []source.Proof{source.Password}, Bearer: "hush", RootCAs: roots}
	if got, err := newSource(t, o).Lookup(t.Context(), "r", "alice"); err != nil || got.MD5 != auth.MD5.HA1("alice", "r", "secret") {
		t.Errorf("Lookup = %v", err)
	}
	o.RootCAs = nil
	if _, err := newSource(t, o).Lookup(t.Context(), "r", "alice"); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("with a certificate of nobody: %v", err)
	}
}

// TestSource_Hangs: a program that does not answer costs no more time than the
// context has.
func TestSource_Hangs(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	s := newSource(t, authhttp.Options{URL: server.URL, Proof: []source.Proof{source.Password}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Lookup(ctx, "r", "alice"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lookup = %v", err)
	}
}

func TestNew_Refuses(t *testing.T) {
	for _, o := range []authhttp.Options{
		{URL: "", Proof: []source.Proof{source.Password}},
		{URL: "ftp://hush@example.com", Proof: []source.Proof{source.Password}},
		{URL: "http://%zz", Proof: []source.Proof{source.Password}},
		{URL: "https://example.com"},
	} {
		if _, err := authhttp.New(o); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("New(%+v) = %v", o, err)
		}
	}
}
