package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"reveille/push"
)

func TestTransport_Records(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/huge":
			w.WriteHeader(500)
			_, _ = io.WriteString(w, strings.Repeat("x", 4*MaxBody))
		case "/cut":
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "half")
			panic(http.ErrAbortHandler)
		case "/taken":
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(201)
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/503":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(503)
			_, _ = io.WriteString(w, "busy")
		}
	}))
	defer srv.Close()
	for _, c := range []struct {
		name, url string
		noRetry   bool
		status    int // recorded
		seen      int // by the library; 0 for an error
		body      int // bytes
	}{
		{name: "ok", url: srv.URL + "/", status: 200, seen: 200},
		{name: "huge", url: srv.URL + "/huge", status: 500, seen: 500, body: MaxBody},
		{name: "cut off", url: srv.URL + "/cut"},
		{name: "cut off, hidden", url: srv.URL + "/cut", noRetry: true, seen: hiddenError},
		{name: "taken, and cut off", url: srv.URL + "/taken", status: 201, seen: 201, body: 4},
		{name: "503", url: srv.URL + "/503", status: 503, seen: 503, body: 4},
		{name: "503, hidden", url: srv.URL + "/503", noRetry: true, status: 503, seen: hiddenUnavailable, body: 4},
		{name: "unreachable", url: "http://127.0.0.1:1/"},
		{name: "unreachable, hidden", url: "http://127.0.0.1:1/", noRetry: true, seen: hiddenError},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := &http.Client{Transport: &Transport{Base: http.DefaultTransport, NoRetry: c.noRetry}}
			ctx, x := With(t.Context())
			req, err := http.NewRequestWithContext(ctx, "POST", c.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "bearer x")
			resp, err := client.Do(req)
			seen := 0
			if err == nil {
				seen = resp.StatusCode
				b, err := io.ReadAll(resp.Body)
				if err != nil || len(b) != c.body {
					t.Errorf("body has %d bytes, err %v; want %d", len(b), err, c.body)
				}
				resp.Body.Close()
			}
			if x.Status != c.status || seen != c.seen || len(x.Body) != c.body {
				t.Errorf("recorded %d with %d bytes, library saw %d; want %d with %d, %d", x.Status, len(x.Body), seen, c.status, c.body, c.seen)
			}
			if (x.Err != nil) != (c.status == 0) || x.Authorization != "bearer x" {
				t.Errorf("err %v, authorization %q", x.Err, x.Authorization)
			}
			o, answered := x.Outcome(time.Now(), err)
			if answered != (c.status != 0) || (!answered && (o.Class != push.Network || o.Err == nil)) {
				t.Errorf("outcome = %+v, answered %t", o, answered)
			}
			if c.status == 503 && o.RetryAfter != 7*time.Second {
				t.Errorf("retry after = %v, want 7 s", o.RetryAfter)
			}
		})
	}
}

func TestTransport_WithoutRecord(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	tr := &Transport{Base: http.DefaultTransport}
	resp, err := (&http.Client{Transport: tr}).Get(srv.URL)
	if err != nil || resp.StatusCode != 404 {
		t.Fatalf("Get = %v, want 404", err)
	}
	resp.Body.Close()
	tr.CloseIdleConnections()
	(&Transport{Base: roundTripper(nil)}).CloseIdleConnections() // has no such method
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRetryAfter_RFC9110_10_2_3(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "0": 0, "-1": 0, "x": 0, "1.5": 0,
		"999999": MaxRetryAfter, "99999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat):  time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat): 0,
		now.AddDate(9, 0, 0).Format(http.TimeFormat):  MaxRetryAfter,
	} {
		x := &Record{Header: http.Header{"Retry-After": {value}}}
		if got := x.RetryAfter(now); got != want {
			t.Errorf("RetryAfter(%q) = %v, want %v", value, got, want)
		}
	}
	if got := new(Record).RetryAfter(now); got != 0 {
		t.Errorf("without answer = %v, want 0", got)
	}
}

func TestOutcome_Timeout(t *testing.T) {
	x := &Record{Err: fmt.Errorf("read: %w", context.DeadlineExceeded)}
	if o, ok := x.Outcome(time.Now(), nil); ok || o.Reason != "Timeout" || o.Class != push.Network {
		t.Errorf("outcome = %+v, want network, Timeout", o)
	}
}

func TestRedact(t *testing.T) {
	cause := errors.New("refused")
	err := error(&url.Error{Op: "Post", URL: "https://push.example.net/secret", Err: &url.Error{Op: "Post", URL: "https://x/secret", Err: cause}})
	if got := Redact(fmt.Errorf("send: %w", err)); !errors.Is(got, cause) || strings.Contains(got.Error(), "secret") {
		t.Errorf("Redact = %v, want the cause alone", got)
	}
	if Redact(nil) != nil || Redact(cause) != cause {
		t.Error("Redact changes what has no URL")
	}
}

func TestReason_IsAWordOrNothing(t *testing.T) {
	for in, want := range map[string]string{
		"BadDeviceToken": "BadDeviceToken", "QUOTA_EXCEEDED": "QUOTA_EXCEEDED", "": "NoReason",
		"00fc13adff78512": "Unreadable", "a b": "Unreadable", "https://x": "Unreadable", "é": "Unreadable",
		strings.Repeat("a", 49): "Unreadable",
	} {
		if got := Reason(in); got != want {
			t.Errorf("Reason(%q) = %q, want %q", in, got, want)
		}
	}
}

// endless is a body without end.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	e.read += len(b)
	return len(b), nil
}

func (*endless) Close() error { return nil }

// Whatever a push service sends, no more than the bound is read or kept.
func TestTransport_AnswersCostABoundedAmount(t *testing.T) {
	for _, length := range []int64{-1, 0, 100, MaxBody, MaxBody + 1, 1 << 40} {
		body := new(endless)
		tr := &Transport{Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 500, Header: make(http.Header), Body: body, ContentLength: length, Request: req}, nil
		})}
		ctx, x := With(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://push.example.net/", nil)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, err := tr.RoundTrip(req)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if len(x.Body) > MaxBody || body.read > 4*MaxBody {
			t.Errorf("length %d: %d bytes kept, %d read; want at most %d", length, len(x.Body), body.read, MaxBody)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 16*MaxBody {
			t.Errorf("length %d: %d bytes allocated", length, got)
		}
	}
}
