// Package exchange records the HTTP exchange that a push library makes.
//
// The libraries hide what a Sender must know: apns2 drops the headers and the
// status of an answer that is no JSON, firebase retries by itself, and their
// errors quote URLs, which hold tokens. A Transport under them writes down what
// really happened.
package exchange

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"reveille/push"
)

// MaxBody bounds how much of an answer is read, in bytes. Answers of push
// services have a few hundred.
const MaxBody = 16 << 10

// MaxHeader bounds the headers of an answer in bytes, for the transports below.
const MaxHeader = 32 << 10

// MaxRetryAfter bounds what a push service can make us wait.
const MaxRetryAfter = time.Hour

// A Record is what happened to one request. It is written by the Transport and
// may be read once the library has returned.
type Record struct {
	// Status is 0 if there was no answer.
	Status int
	// Header and Body are of the answer. Body has at most MaxBody bytes.
	Header http.Header
	Body   []byte
	// Authorization is what the request carried.
	Authorization string
	// Err is why there was no answer, without the URL.
	Err error
}

type recordKey struct{}

// With returns a context whose request is written to the Record.
func With(ctx context.Context) (context.Context, *Record) {
	x := new(Record)
	return context.WithValue(ctx, recordKey{}, x), x
}

// A Transport records and bounds the exchanges of Base.
type Transport struct {
	Base http.RoundTripper
	// NoRetry shows the library no 503 and no transport error, both of which
	// firebase would retry for up to 7 s: it sees 598 and 599 instead. The
	// Record tells the truth.
	NoRetry bool
}

// Statuses that no library retries, in place of those that firebase does.
const (
	hiddenUnavailable = 598
	hiddenError       = 599
)

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x, _ := req.Context().Value(recordKey{}).(*Record)
	if x == nil {
		x = new(Record)
	}
	x.Authorization = req.Header.Get("Authorization")
	resp, err := t.Base.RoundTrip(req)
	if err == nil {
		x.Status, x.Header = resp.StatusCode, resp.Header
		if resp.Request != nil { // Base may have added the header
			x.Authorization = resp.Request.Header.Get("Authorization")
		}
		x.Body, err = read(resp)
		resp.Body.Close() // what is beyond the bound is not read
		if resp.StatusCode >= 200 && resp.StatusCode < 300 {
			// The push was taken; that the rest did not come is no reason to send it
			// again.
			err = nil
		}
	}
	if err != nil {
		// A refusal that breaks off does not say enough to give up a token.
		x.Status, x.Header, x.Body, x.Err = 0, nil, nil, Redact(err)
		if !t.NoRetry {
			return nil, err
		}
		resp = &http.Response{
			StatusCode: hiddenError, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: make(http.Header), Request: req,
		}
	}
	if t.NoRetry && x.Status == http.StatusServiceUnavailable {
		resp.StatusCode = hiddenUnavailable
	}
	resp.Body = io.NopCloser(bytes.NewReader(x.Body))
	resp.ContentLength = int64(len(x.Body))
	return resp, nil
}

// read returns the body of an answer, or as much of it as is read.
func read(resp *http.Response) ([]byte, error) {
	switch n := resp.ContentLength; {
	case n == 0:
		return nil, nil
	case n > 0 && n <= MaxBody:
		b := make([]byte, n)
		got, err := io.ReadFull(resp.Body, b)
		return b[:got], err
	default:
		return io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	}
}

// NewClient returns a client over t. It follows no redirect: no push service
// sends one, and it would take the token to where nobody checked the URL.
func NewClient(t *Transport) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CloseIdleConnections closes those of Base. apns2 panics without it.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.Base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RetryAfter reads the Retry-After of the answer: seconds or a date (RFC 9110
// §10.2.3), at most MaxRetryAfter; 0 if there is none.
func (x *Record) RetryAfter(now time.Time) time.Duration {
	v := strings.TrimSpace(x.Header.Get("Retry-After"))
	if v == "" {
		return 0
	}
	var d time.Duration
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), MaxRetryAfter)
}

// Outcome starts the outcome of the exchange: status, wait and cause. ok is
// false if there was no answer, and the outcome complete.
func (x *Record) Outcome(now time.Time, libErr error) (o push.Outcome, ok bool) {
	o = push.Outcome{Status: x.Status, RetryAfter: x.RetryAfter(now), Attempts: 1}
	if x.Status != 0 {
		return o, true
	}
	o.Class, o.Reason, o.Err = push.Network, "NoAnswer", x.Err
	if o.Err == nil {
		o.Err = Redact(libErr)
	}
	if errors.Is(o.Err, context.DeadlineExceeded) {
		o.Reason = "Timeout"
	}
	return o, false
}

// Redact removes the URL from an error of net/http, for it holds the token.
func Redact(err error) error {
	var ue *url.Error
	for errors.As(err, &ue) {
		err = ue.Err
	}
	return err
}

// Reason makes s fit for Outcome.Reason: the word of a push service is letters
// and underscores. Anything else, which may be an echo of a token, is replaced.
func Reason(s string) string {
	const maxReason = 48
	if s == "" {
		return "NoReason"
	}
	if len(s) > maxReason {
		return "Unreadable"
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '_' {
			return "Unreadable"
		}
	}
	return s
}

// ID makes s, the push service's name for a push, fit for Outcome.ID: what is
// longer than any of theirs is left out.
func ID(s string) string {
	const maxID = 256
	if len(s) > maxID {
		return ""
	}
	return s
}
