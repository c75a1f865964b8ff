package pushtest

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"reveille/push"
	"reveille/push/internal/exchange"
)

// An Answer answers all requests alike, without a network: it is what a Sender
// makes of a push service's words that fuzzers look at.
type Answer struct {
	Status     int
	Body       []byte
	RetryAfter string
}

// Client is the HTTP client of a Sender that hears nothing but a.
func (a Answer) Client(noRetry bool) *http.Client {
	return exchange.NewClient(&exchange.Transport{Base: a, NoRetry: noRetry})
}

// RoundTrip implements http.RoundTripper.
func (a Answer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		req.Body.Close()
	}
	return &http.Response{
		StatusCode: a.Status, Proto: "HTTP/2.0", ProtoMajor: 2, Request: req,
		Header: http.Header{"Retry-After": {a.RetryAfter}}, Body: io.NopCloser(bytes.NewReader(a.Body)), ContentLength: -1,
	}, nil
}

// CheckOutcome fails if o, of a push that got a, is not as every Sender's must
// be: of a class that an answer can have, bounded, and without the token prid.
func CheckOutcome(t *testing.T, a Answer, o push.Outcome, prid string) {
	t.Helper()
	classes := []push.Class{push.OK, push.Gone, push.Suspect, push.Credential, push.Rejected, push.Throttled, push.Unavailable}
	if !slices.Contains(classes, o.Class) {
		t.Errorf("status %d: class = %v (%v), but there was an answer", a.Status, o.Class, o.Err)
	}
	if ok := o.Class == push.OK; ok && (a.Status < 200 || a.Status > 299) || !ok && a.Status == http.StatusOK {
		t.Errorf("status %d: class = %v", a.Status, o.Class)
	}
	if (o.Class == push.OK) != (o.Err == nil) {
		t.Errorf("%v: err = %v", o.Class, o.Err)
	}
	if o.RetryAfter < 0 || o.RetryAfter > exchange.MaxRetryAfter {
		t.Errorf("retry after %q: wait = %v", a.RetryAfter, o.RetryAfter)
	}
	if len(o.Reason) > 64 || len(o.ID) > 256 {
		t.Errorf("reason has %d bytes, ID %d", len(o.Reason), len(o.ID))
	}
	text := o.Reason
	if o.Err != nil {
		text += o.Err.Error()
	}
	if strings.Contains(text, prid) {
		t.Errorf("outcome tells the token: %q", text)
	}
	if len(text) > 512 {
		t.Errorf("outcome has %d bytes of text", len(text))
	}
}
