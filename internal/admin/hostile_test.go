package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"reveille/internal/event"
	"reveille/internal/feed"
)

// TestHostile_Requests: what no client of good will sends is refused, with a problem
// if it is below /v1, and reaches no call.
func TestHostile_Requests(t *testing.T) {
	reached := 0
	calls := everything(t)
	calls.Reload = func(context.Context) (Reloaded, error) { reached++; return Reloaded{}, nil }
	s := control(t, Options{Addr: "127.0.0.1:0", Access: everybody(), Calls: calls})
	for _, tt := range []struct {
		name, method, path, header, value string
		status                            int
	}{
		{"a large header", "POST", "/v1/reload", "X-Large", strings.Repeat("x", 64<<10), 431},
		{"a page of another origin", "POST", "/v1/reload", "Sec-Fetch-Site", "cross-site", 403},
		{"a form of such a page", "POST", "/v1/reload", "Origin", "https://evil.example", 403},
		{"two tokens", "POST", "/v1/reload", "Authorization", "Bearer x", 401},
		{"empty parts", "POST", "/v1//reload", "", "", 404},
		{"dots", "POST", "/v1/bans/../reload", "", "", 404},
		{"dots that are escaped", "POST", "/v1/%2e%2e/v1/reload", "", "", 404},
		{"a slash behind", "POST", "/v1/reload/", "", "", 404},
		{"capitals", "POST", "/v1/RELOAD", "", "", 404},
		{"another method", "PUT", "/v1/reload", "", "", 405},
		{"a user with dots", "GET", "/v1/aors/..%2f..%2fmetrics", "", "", 404},
		{"a user with a NUL", "GET", "/v1/aors/a%00b@example.com", "", "", 404},
		{"a user with a line end", "GET", "/v1/aors/a%0d%0aX:%20y@example.com", "", "", 404},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+s.Addr().String()+tt.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+rootToken)
		if tt.header != "" {
			req.Header.Add(tt.header, tt.value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status || resp.Header.Get("X") != "" || tt.status != 431 && resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %v, want %d and a problem", tt.name, resp.StatusCode, resp.Header, tt.status)
		}
	}
	if reached > 0 {
		t.Errorf("a call was reached %d times", reached)
	}
}

// FuzzCalls asks for anything there is with any query and body: an answer that is no
// success is a problem, and nothing is a failure of the server.
func FuzzCalls(f *testing.F) {
	for i := range 40 {
		f.Add(uint8(i), "alice@example.com", "aor=alice&limit=1", `{"aor":"alice","kind":"call"}`)
	}
	f.Add(uint8(0), "%", "type=%zz&;&&limit=99999999999999999999&ip=::1&port=x", `[{"a":1}]`)
	f.Add(uint8(1), "..", "a=b&a=c&tokens=maybe", "\xff\x00")
	a := newAPI(slog.New(slog.DiscardHandler), newMetrics(nil), nil)
	a.ending = f.Context()
	calls := Calls{
		Reload: func(context.Context) (Reloaded, error) { return Reloaded{}, nil },
		Backup: func(context.Context, string) error { return nil },
		Bans:   &Bans{List: func() []Ban { return nil }, Lift: func(netip.Addr) bool { return true }},
		Events: &Events{Subscribe: func(event.Filter, string) (*feed.Subscription, error) { return nil, errors.New("full") }, Woken: func(context.Context, WakeReport) error { return nil }},
		Pushes: &Pushes{
			Test: func(context.Context, PushTest) ([]PushResult, error) { return nil, nil },
			Wake: func(context.Context, WakeOrder) ([]WakeResult, error) { return nil, nil }, Lanes: func() []Lane { return nil },
		},
		Timeline: someTimeline(),
	}
	calls.register(a)
	if err := a.finish(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which uint8, part, query, body string) {
		c := a.calls[int(which)%len(a.calls)]
		path := strings.NewReplacer("{aor}", url.PathEscape(part), "{id}", url.PathEscape(part)).Replace(prefix + c.path)
		r := httptest.NewRequest(c.method, "http://localhost/", strings.NewReader(body))
		u, err := url.Parse("http://localhost" + path)
		if err != nil {
			return
		}
		u.RawQuery = query
		r.URL = u
		w := httptest.NewRecorder()
		a.serve(w, r, Principal{Kind: KindSocket, Role: Admin})
		if w.Code < 400 {
			return
		}
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Detail == "" || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s = %d %s is no problem, %v", c.method, u, w.Code, w.Body, err)
		}
		// The stream of events is full here, which is said by 503.
		if w.Code >= 500 && !(w.Code == 503 && c.id == "follow-events") {
			t.Errorf("%s %s %q = %d %s", c.method, u, body, w.Code, w.Body)
		}
	})
}
