package signon

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const issuer = "https://login.example.com"

// metadata is what a provider says about itself.
const metadata = `{"issuer": "https://login.example.com", "authorization_endpoint": "https://login.example.com/auth", "token_endpoint": "https://login.example.com/token", "jwks_uri": "https://login.example.com/keys"}`

func newClient(t *testing.T, change func(*Options)) *Client {
	t.Helper()
	o := Options{Issuer: issuer, ClientID: "c", RedirectURL: "https://sip.example.com/back", NameClaim: "name", RoleClaim: "groups"}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// A wire answers in place of a network.
type wire func(*http.Request) (status int, body string)

func (f wire) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f(r)
	if status == 0 {
		return nil, errors.New("no answer")
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func TestNew_WhatIsMissing(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"Issuer": func(o *Options) { o.Issuer = "" }, "ClientID": func(o *Options) { o.ClientID = "" }, "RedirectURL": func(o *Options) { o.RedirectURL = "" },
		"NameClaim": func(o *Options) { o.NameClaim = "" }, "RoleClaim": func(o *Options) { o.RoleClaim = "" },
		"redirect URL": func(o *Options) { o.RedirectURL = "%zz" }, "issuer": func(o *Options) { o.Issuer = "%zz" },
	} {
		o := Options{Issuer: issuer, ClientID: "c", RedirectURL: "https://sip.example.com/back", NameClaim: "name", RoleClaim: "groups"}
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("New without %s = %v", name, err)
		}
	}
}

// The provider is asked when somebody wants to log in, and not again for a while; once
// it was found it stays known while it does not answer.
func TestProvider_AskedWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, up := 0, false
		c := newClient(t, nil)
		c.http.Transport = wire(func(*http.Request) (int, string) {
			asked++
			if !up {
				return 0, ""
			}
			return http.StatusOK, metadata
		})
		begin := func(wantAsked int, wantOK bool) {
			t.Helper()
			_, to, err := c.Begin(t.Context())
			if asked != wantAsked || (err == nil) != wantOK || !wantOK && !errors.Is(err, ErrUnavailable) || wantOK && !strings.HasPrefix(to, "https://login.example.com/auth?") {
				t.Errorf("asked %d times, want %d: %s, %v", asked, wantAsked, to, err)
			}
		}
		begin(1, false)
		up = true
		begin(1, false)
		time.Sleep(Pause)
		begin(2, true)
		time.Sleep(Fresh - time.Second)
		begin(2, true)
		up = false
		time.Sleep(time.Second)
		begin(3, true)
		begin(3, true)
		time.Sleep(Pause)
		up = true
		begin(4, true)
		time.Sleep(Fresh - time.Second)
		begin(4, true)
	})
}

// One asks for all who wait, also if that one goes away meanwhile.
func TestProvider_OneAsksForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		answer := make(chan struct{})
		c := newClient(t, nil)
		c.http.Transport = wire(func(*http.Request) (int, string) {
			asked++
			<-answer
			return http.StatusOK, metadata
		})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		begin := func(ctx context.Context) {
			all.Go(func() {
				if _, _, err := c.Begin(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		begin(ctx)
		synctest.Wait()
		for range 20 {
			begin(t.Context())
		}
		gone, leave := context.WithCancel(t.Context())
		all.Go(func() {
			if _, _, err := c.Begin(gone); !errors.Is(err, ErrUnavailable) {
				t.Errorf("somebody who went away: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		leave()
		synctest.Wait()
		close(answer)
		all.Wait()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}

// Who sends nonsense is no provider; nobody is sent where others can listen.
func TestProvider_Hostile(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		says   string
	}{
		{"an error", http.StatusInternalServerError, "oops", "oops"},
		{"not JSON", http.StatusOK, "<html>", "decode"},
		{"another issuer", http.StatusOK, strings.Replace(metadata, issuer, issuer+"/", 1), "did not match"},
		{"plain HTTP for codes", http.StatusOK, strings.Replace(metadata, "https://login.example.com/token", "http://login.example.com/token", 1), "token_endpoint is no https URL"},
		{"plain HTTP for keys", http.StatusOK, strings.Replace(metadata, "https://login.example.com/keys", "http://login.example.com/keys", 1), "jwks_uri is no https URL"},
		{"a script for people", http.StatusOK, strings.Replace(metadata, "https://login.example.com/auth", "javascript:alert(1)", 1), "authorization_endpoint is no https URL"},
		{"no endpoint", http.StatusOK, `{"issuer": "https://login.example.com"}`, "is no https URL"},
		{"plain HTTP for people's data", http.StatusOK, strings.Replace(metadata, "{", `{"userinfo_endpoint": "http://login.example.com/me", `, 1), "userinfo_endpoint is no https URL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, nil)
			c.http.Transport = wire(func(*http.Request) (int, string) { return tt.status, tt.body })
			if _, _, err := c.Begin(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Begin = %v", err)
			}
		})
	}
}

// Answers are bounded, and redirections not followed: neither with a code, nor for keys.
func TestProvider_BoundsOfAnswers(t *testing.T) {
	reached := false
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	at := server.URL
	said := strings.ReplaceAll(metadata, issuer, at)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, said) })
	mux.HandleFunc("/huge/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat(" ", maxAnswer+1))
	})
	mux.Handle("/moved/.well-known/openid-configuration", http.RedirectHandler("/elsewhere", http.StatusFound))
	mux.Handle("/token", http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect))
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { reached = true })
	for _, path := range []string{"/huge", "/moved"} {
		c := newClient(t, func(o *Options) { o.Issuer = at + path })
		if _, _, err := c.Begin(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", path, err)
		}
	}
	c := newClient(t, func(o *Options) { o.Issuer = at })
	a, _, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Finish(t.Context(), a, "a-code"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Finish = %v", err)
	}
	if reached {
		t.Error("a redirection was followed")
	}
}

// The client proves who it is in the way that the provider takes.
func TestProvider_ClientAuthentication_RFC6749_2_3_1(t *testing.T) {
	for _, tt := range []struct {
		name, secret, methods string
		header                bool
	}{
		{"nothing is said", "s", ``, true},
		{"both", "s", `"token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"], `, true},
		{"in the body", "s", `"token_endpoint_auth_methods_supported": ["client_secret_post"], `, false},
		{"a public client", "", ``, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, func(o *Options) { o.ClientSecret = tt.secret })
			asked := 0
			c.http.Transport = wire(func(r *http.Request) (int, string) {
				if r.Method != http.MethodPost {
					return http.StatusOK, strings.Replace(metadata, "{", "{"+tt.methods, 1)
				}
				asked++
				id, secret, header := r.BasicAuth()
				if !header {
					id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
				}
				if header != tt.header || id != "c" || secret != tt.secret || header && r.PostFormValue("client_secret") != "" {
					t.Errorf("header %t, body %v", header, r.PostForm)
				}
				return http.StatusUnauthorized, `{"error": "invalid_client"}`
			})
			if _, err := c.Finish(t.Context(), Attempt{}, "code"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "refuses client_id or client_secret") {
				t.Errorf("Finish = %v", err)
			}
			if asked != 1 {
				t.Errorf("the code was sent %d times", asked)
			}
		})
	}
}

// An empty attempt is nobody's.
func TestAttempt_StateIs(t *testing.T) {
	for _, tt := range []struct {
		has, got string
		want     bool
	}{{"a", "a", true}, {"a", "b", false}, {"a", "", false}, {"", "", false}} {
		if got := (Attempt{State: tt.has}).StateIs(tt.got); got != tt.want {
			t.Errorf("%q is %q: %t", tt.got, tt.has, got)
		}
	}
}

// Over TLS the provider must be who it says, by the authorities that are named.
func TestProvider_RootCAs(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.ReplaceAll(metadata, issuer, "https://"+r.Host))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	known := x509.NewCertPool()
	known.AddCert(server.Certificate())
	for name, tt := range map[string]struct {
		roots *x509.CertPool
		ok    bool
	}{"its own": {known, true}, "others": {x509.NewCertPool(), false}, "those of the machine": {nil, false}} {
		c := newClient(t, func(o *Options) { o.Issuer, o.RootCAs = server.URL, tt.roots })
		if _, _, err := c.Begin(t.Context()); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
