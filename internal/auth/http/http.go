package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"reveille/internal/auth"
	"reveille/internal/auth/source"
)

// maxAnswer bounds an answer in bytes.
const maxAnswer = 64 << 10

// Options configure a Source. URL and Proof are required.
type Options struct {
	// URL is where questions are posted, http or https.
	URL string
	// Bearer is sent as "Authorization: Bearer …" (RFC 6750 §2.1); empty sends
	// nothing.
	Bearer string
	// RootCAs are believed in besides nobody; nil: the system's.
	RootCAs *x509.CertPool
	// MaxConns bounds the connections; 0 means source.DefaultConcurrent.
	MaxConns int
	// Proof names what every answer has; it decides which algorithms can be
	// offered.
	Proof []source.Proof
}

// A Source asks another program. It is safe for concurrent use.
type Source struct {
	url        string
	bearer     string
	algorithms []auth.Algorithm
	base       *http.Transport
	client     *http.Client
}

var _ auth.Source = (*Source)(nil)

// New returns a Source. It connects when it is asked.
func New(o Options) (*Source, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		// The URL may hold a secret.
		return nil, errors.New("auth/http: the URL is none of http:// and https://")
	}
	algorithms := source.Algorithms(o.Proof)
	if len(algorithms) == 0 {
		return nil, errors.New("auth/http: Proof is required")
	}
	if o.MaxConns <= 0 {
		o.MaxConns = source.DefaultConcurrent
	}
	base := &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        o.MaxConns,
		MaxIdleConnsPerHost:    o.MaxConns,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxAnswer,
	}
	return &Source{url: u.String(), bearer: o.Bearer, algorithms: algorithms, base: base, client: &http.Client{
		Transport: base,
		// The question is secret enough, and the answer a password: neither goes
		// where an answer says.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close closes the idle connections.
func (s *Source) Close() error {
	s.base.CloseIdleConnections()
	return nil
}

// Algorithms implements auth.Source.
func (s *Source) Algorithms(string) []auth.Algorithm { return s.algorithms }

// question is what is posted.
type question struct {
	Realm string `json:"realm"`
	User  string `json:"user"`
}

// answer is what comes back. Other members are ignored.
type answer struct {
	Password     string   `json:"password"`
	HA1          string   `json:"ha1"`
	HA1SHA256    string   `json:"ha1_sha256"`
	HA1SHA512256 string   `json:"ha1_sha512_256"`
	AORs         []string `json:"aors"`
	MaxContacts  int      `json:"max_contacts"`
	DisplayName  string   `json:"display_name"`
}

// Lookup implements auth.Source.
func (s *Source) Lookup(ctx context.Context, realm, user string) (auth.Credentials, error) {
	a, err := s.ask(ctx, question{realm, user})
	if err != nil {
		if errors.Is(err, auth.ErrNoUser) {
			return auth.Credentials{}, auth.ErrNoUser
		}
		return auth.Credentials{}, fmt.Errorf("ask for a user by HTTP: %w", err)
	}
	r := source.Record{
		Password: a.Password, HA1MD5: a.HA1, HA1SHA256: a.HA1SHA256, HA1SHA512256: a.HA1SHA512256,
		AORs: a.AORs, MaxContacts: a.MaxContacts, DisplayName: a.DisplayName,
	}
	return r.Credentials(realm, user)
}

func (s *Source) ask(ctx context.Context, q question) (a answer, err error) {
	body, err := json.Marshal(q)
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return a, withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if s.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+s.bearer)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return a, withoutURL(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return a, withoutURL(err)
	case len(data) > maxAnswer:
		return a, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	case resp.StatusCode == http.StatusNotFound && (len(data) == 0 || isJSON(resp)):
		return a, auth.ErrNoUser
	case resp.StatusCode == http.StatusNotFound:
		// A web server says so of a page that it does not have: the URL is wrong,
		// and that must not look as if nobody existed.
		return a, errors.New("404 with a body that is no JSON: is the URL right?")
	case resp.StatusCode != http.StatusOK:
		return a, fmt.Errorf("the answer is %d", resp.StatusCode)
	}
	if err := json.Unmarshal(data, &a); err != nil {
		// The error may show a part of the answer, of which all is secret.
		return a, errors.New("the answer is not the JSON object of a user")
	}
	return a, nil
}

func isJSON(resp *http.Response) bool {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && (t == "application/json" || t == "application/problem+json")
}

// withoutURL takes the URL, which may hold a secret, out of an error.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
