// Package httpclient speaks HTTP with programs at addresses that an operator
// configured: sources of users, hooks, webhooks, servers of keys. What they have
// in common is here: whom to believe over TLS, no redirects, a bound for every
// answer and for the connections, and errors without the URL.
//
// It knows no meaning of what it carries, asks each question once, and remembers
// nothing. Push services, whose libraries bring clients of their own, have
// push/internal/exchange instead.
package httpclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// Defaults of Options.
const (
	DefaultTimeout   = 10 * time.Second
	DefaultMaxConns  = 8
	DefaultMaxAnswer = 64 << 10
)

// userAgent is what the programs see: a product, and no version for those who
// look for weak ones.
const userAgent = "reveille"

// handshakeTime bounds the TLS handshake where a question has more time.
const handshakeTime = 5 * time.Second

// Errors of New and of questions.
var (
	// ErrURL says that a URL is not http or https. It does not quote it, for URLs
	// may hold secrets.
	ErrURL = errors.New("the URL is none of http:// and https://")
	// ErrTooLarge says that an answer has more than MaxAnswer bytes.
	ErrTooLarge = errors.New("the answer is too large")
)

// Options configure a Client. URL is required.
type Options struct {
	// URL is the only one that is asked, http or https.
	URL string
	// Bearer is sent as "Authorization: Bearer …" (RFC 6750 §2.1); empty sends
	// nothing.
	Bearer string
	// RootCAs are believed in, and nobody else; nil: the system's.
	RootCAs *x509.CertPool
	// Timeout bounds one question from its begin to the last byte of the answer, as
	// its context does; 0 means DefaultTimeout.
	Timeout time.Duration
	// MaxConns bounds the connections, and over HTTP/1.1 the questions at one time:
	// others wait. 0 means DefaultMaxConns.
	MaxConns int
	// MaxAnswer bounds the body of an answer in bytes, and its header fields; 0
	// means DefaultMaxAnswer.
	MaxAnswer int
}

// A Client asks one URL. It is safe for concurrent use.
type Client struct {
	url, bearer string
	timeout     time.Duration
	max         int
	transport   *http.Transport
	client      http.Client
}

// New returns a Client. It connects when it is asked.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, ErrURL
	}
	o.setDefaults()
	c := &Client{url: u.String(), bearer: o.Bearer, timeout: o.Timeout, max: o.MaxAnswer, transport: o.transport()}
	c.client = http.Client{Transport: c.transport, CheckRedirect: stay}
	return c, nil
}

func (o *Options) setDefaults() {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxConns <= 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.MaxAnswer <= 0 {
		o.MaxAnswer = DefaultMaxAnswer
	}
}

func (o *Options) transport() *http.Transport {
	return &http.Transport{
		TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    handshakeTime,
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxConnsPerHost:        o.MaxConns,
		MaxIdleConnsPerHost:    o.MaxConns,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: int64(o.MaxAnswer),
	}
}

// stay is an http.Client's CheckRedirect. Questions and answers are secret, and answers
// decide who is let in: neither goes to, or comes from, where an answer says.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close closes the connections that are idle. Questions go on until their context
// ends.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// An Answer is a whole one, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// IsJSON reports whether the answer says that it is JSON.
func (a Answer) IsJSON() bool {
	t, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	return err == nil && (t == "application/json" || t == "application/problem+json")
}

// Post sends JSON with the header fields, of which nil has none, and returns the
// answer. Its errors hold neither the URL nor anything that came.
func (c *Client) Post(ctx context.Context, body []byte, header http.Header) (Answer, error) {
	return c.do(ctx, http.MethodPost, body, header)
}

// Get is Post without a body.
func (c *Client) Get(ctx context.Context, header http.Header) (Answer, error) {
	return c.do(ctx, http.MethodGet, nil, header)
}

func (c *Client) do(ctx context.Context, method string, body []byte, header http.Header) (a Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url, bytes.NewReader(body))
	if err != nil {
		return a, withoutURL(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return a, withoutURL(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.max)+1))
	switch {
	case err != nil:
		return a, withoutURL(err)
	case len(data) > c.max:
		return a, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.max)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: data}, nil
}

// withoutURL takes the URL out of an error.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
