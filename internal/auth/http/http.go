package http

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"reveille/internal/auth"
	"reveille/internal/auth/source"
	"reveille/internal/httpclient"
)

// Options configure a Source. URL and Proof are required.
type Options struct {
	// URL is where questions are posted, http or https.
	URL string
	// Bearer is sent as "Authorization: Bearer …" (RFC 6750 §2.1); empty sends
	// nothing.
	Bearer string
	// RootCAs are believed in, and nobody else; nil: the system's.
	RootCAs *x509.CertPool
	// Timeout bounds one question; 0 means httpclient.DefaultTimeout.
	Timeout time.Duration
	// MaxConns bounds the connections; 0 means source.DefaultConcurrent.
	MaxConns int
	// Proof names what every answer has; it decides which algorithms can be
	// offered.
	Proof []source.Proof
}

// A Source asks another program. It is safe for concurrent use.
type Source struct {
	algorithms []auth.Algorithm
	client     *httpclient.Client
}

var _ auth.Source = (*Source)(nil)

// New returns a Source. It connects when it is asked.
func New(o Options) (*Source, error) {
	algorithms := source.Algorithms(o.Proof)
	if len(algorithms) == 0 {
		return nil, errors.New("auth/http: Proof is required")
	}
	if o.MaxConns <= 0 {
		o.MaxConns = source.DefaultConcurrent
	}
	client, err := httpclient.New(httpclient.Options{
		URL: o.URL, Bearer: o.Bearer, RootCAs: o.RootCAs, Timeout: o.Timeout, MaxConns: o.MaxConns,
	})
	if err != nil {
		return nil, fmt.Errorf("auth/http: %w", err)
	}
	return &Source{algorithms: algorithms, client: client}, nil
}

// Close closes the idle connections.
func (s *Source) Close() error {
	s.client.Close()
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
	reply, err := s.client.Post(ctx, body, nil)
	switch {
	case err != nil:
		return a, err
	case reply.Status == http.StatusNotFound && (len(reply.Body) == 0 || reply.IsJSON()):
		return a, auth.ErrNoUser
	case reply.Status == http.StatusNotFound:
		// A web server says so of a page that it does not have: the URL is wrong,
		// and that must not look as if nobody existed.
		return a, errors.New("404 with a body that is no JSON: is the URL right?")
	case reply.Status != http.StatusOK:
		return a, fmt.Errorf("the answer is %d", reply.Status)
	}
	if err := json.Unmarshal(reply.Body, &a); err != nil {
		// The error may show a part of the answer, of which all is secret.
		return a, errors.New("the answer is not the JSON object of a user")
	}
	return a, nil
}
