package webpush

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reveille/push"
	"reveille/push/pushtest"
)

// trap is a push service with words and ways of the test's own.
type trap struct {
	*httptest.Server
	hits atomic.Int64
}

// newTrap starts one that answers with h, and a Sender that may push to it.
func newTrap(t *testing.T, h http.HandlerFunc) (*trap, *Sender) {
	t.Helper()
	p := new(trap)
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.hits.Add(1)
		h(w, r)
	}))
	p.EnableHTTP2 = true
	p.StartTLS()
	t.Cleanup(p.Close)
	return p, trapSender(t, p)
}

func trapSender(t *testing.T, traps ...*trap) *Sender {
	t.Helper()
	public, private, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	for _, p := range traps {
		roots.AddCert(p.Certificate())
	}
	return newSender(t, Options{
		VAPIDPublic: public, VAPIDPrivate: private, Subscriber: "ops@example.com",
		AllowedHosts: []string{"127.0.0.1"}, AllowPrivate: true, RootCAs: roots,
	})
}

func TestSend_EachAnswer_RFC8030_5(t *testing.T) {
	in30s := time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		name   string
		status int
		retry  string
		class  push.Class
		scope  push.Scope
		wait   time.Duration
	}{
		{name: "created", status: 201, class: push.OK},
		{name: "with receipts", status: 202, class: push.OK},
		{name: "expired, RFC 8030 §7.3", status: 404, class: push.Gone},
		{name: "unsubscribed", status: 410, class: push.Gone},
		{name: "bad request", status: 400, class: push.Rejected},
		{name: "unauthorized", status: 401, class: push.Suspect},
		{name: "forbidden", status: 403, class: push.Suspect},
		{name: "too large, with nothing to leave out", status: 413, class: push.Rejected},
		{name: "too many, in seconds", status: 429, retry: "9", class: push.Throttled, wait: 9 * time.Second},
		{name: "too many, by date", status: 429, retry: in30s, class: push.Throttled, wait: 30 * time.Second},
		{name: "too many", status: 429, class: push.Throttled},
		{name: "trouble", status: 500, class: push.Unavailable},
		{name: "trouble for a while", status: 503, retry: "3", class: push.Unavailable, wait: 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, s := newTrap(t, func(w http.ResponseWriter, r *http.Request) {
				if c.retry != "" {
					w.Header().Set("Retry-After", c.retry)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, "<html>"+r.URL.Path+"</html>")
			})
			r := request(p.URL + "/secret-subscription")
			o := s.Send(t.Context(), r)
			if o.Class != c.class || o.Scope != c.scope || o.Status != c.status || p.hits.Load() != 1 {
				t.Errorf("outcome = %+v after %d requests, want %v after one", o, p.hits.Load(), c.class)
			}
			if d := c.wait - o.RetryAfter; d < 0 || d > 5*time.Second {
				t.Errorf("retry after = %v, want %v", o.RetryAfter, c.wait)
			}
			if o.Err != nil && strings.Contains(o.Reason+o.Err.Error(), "secret") {
				t.Errorf("outcome tells the subscription: %+v", o)
			}
		})
	}
}

// RFC 8599 §13: an endpoint that was allowed must not lead elsewhere.
func TestSend_RedirectsAreNotFollowed(t *testing.T) {
	elsewhere, _ := newTrap(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		p, _ := newTrap(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL+"/inner")
			w.WriteHeader(status)
		})
		s := trapSender(t, p, elsewhere)
		if o := s.Send(t.Context(), request(p.URL+"/a")); o.Class != push.Rejected || o.Status != status {
			t.Errorf("%d: outcome = %+v, want rejected", status, o)
		}
	}
	if n := elsewhere.hits.Load(); n != 0 {
		t.Errorf("%d requests went where the redirect led", n)
	}
}

// A body is read up to a bound and no longer than the attempt; what was taken
// stays taken.
func TestSend_SlowAndEndlessBodies(t *testing.T) {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	drip := func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := io.WriteString(w, "x"); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-time.After(time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
	}
	flood := func(w http.ResponseWriter, r *http.Request) {
		for chunk := strings.Repeat("x", 1<<16); r.Context().Err() == nil; {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		name   string
		status int
		body   http.HandlerFunc
		class  push.Class
	}{
		{"taken, endless", 201, flood, push.OK},
		{"taken, slow", 201, drip, push.OK},
		{"gone, endless", 410, flood, push.Gone},
		{"gone, slow", 410, drip, push.Network},
		{"no answer", 0, nil, push.Network},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, s := newTrap(t, func(w http.ResponseWriter, r *http.Request) {
				if c.status == 0 {
					select {
					case <-r.Context().Done():
					case <-end:
					}
					return
				}
				w.WriteHeader(c.status)
				c.body(w, r)
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if o := s.Send(ctx, request(p.URL+"/a")); o.Class != c.class {
				t.Errorf("outcome = %+v, want %v", o, c.class)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v with a second to go", took)
			}
		})
	}
}

// Headers are bounded, too.
func TestSend_HugeHeaderIsNoAnswer(t *testing.T) {
	p, s := newTrap(t, func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set("X-"+strconv.Itoa(i), strings.Repeat("x", 4000))
		}
		w.WriteHeader(http.StatusGone)
	})
	if o := s.Send(t.Context(), request(p.URL+"/a")); o.Class != push.Network || o.Status != 0 {
		t.Errorf("outcome = %+v, want network: it is no answer", o)
	}
}

// A push service that has enough of us holds back its own pushes alone.
func TestDispatcher_ThrottledOriginHoldsNoOther(t *testing.T) {
	busy, _ := newTrap(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	fine, _ := newTrap(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	d, err := push.NewDispatcher(push.Options{Apps: []push.App{{Name: "web", Provider: "webpush", Sender: trapSender(t, busy, fine)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	send := func(endpoint string) push.Outcome {
		t.Helper()
		done := make(chan push.Outcome, 1)
		if _, err := d.Submit(request(endpoint), func(o push.Outcome) { done <- o }); err != nil {
			t.Fatal(err)
		}
		return <-done
	}
	for i := range 5 {
		// The first is told, and the others without asking: their calls cannot wait
		// for a minute.
		if o := send(busy.URL + "/" + strconv.Itoa(i)); o.Class != push.Throttled || o.RetryAfter < 50*time.Second {
			t.Errorf("busy: outcome = %+v, want throttled for a minute", o)
		}
		if o := send(fine.URL + "/" + strconv.Itoa(i)); o.Class != push.OK {
			t.Errorf("other origin: outcome = %+v, want ok", o)
		}
	}
	if n := busy.hits.Load(); n != 1 {
		t.Errorf("%d requests to the busy origin, want 1", n)
	}
}

// A user with ten calls is one subscription; ten users are our key.
func TestSend_RefusalsAreCountedBySubscription(t *testing.T) {
	p, s := newTrap(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	for range 3 * widespread {
		if o := s.Send(t.Context(), request(p.URL+"/same")); o.Class != push.Suspect {
			t.Fatalf("outcome = %+v, want suspect: it is one subscription", o)
		}
	}
	for i := range widespread {
		want := push.Suspect
		if i+2 >= widespread { // with the one before
			want = push.Credential
		}
		if o := s.Send(t.Context(), request(p.URL+"/"+strconv.Itoa(i))); o.Class != want {
			t.Errorf("subscription %d: class = %v, want %v", i+2, o.Class, want)
		}
	}
}

// Whatever comes as an answer has a class, is bounded, and tells nobody the
// subscription.
func FuzzAnswer(f *testing.F) {
	public, private, err := GenerateKeys()
	if err != nil {
		f.Fatal(err)
	}
	s, err := New(Options{VAPIDPublic: public, VAPIDPrivate: private, Subscriber: "ops@example.com"})
	if err != nil {
		f.Fatal(err)
	}
	const prid = "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABkSecret"
	for _, seed := range []struct {
		status      int
		body, retry string
	}{
		{201, "", ""},
		{202, "x", "x"},
		{404, prid, ""},
		{410, "", "-1"},
		{413, "", ""},
		{429, "", "9"},
		{401, "", ""},
		{403, `{"reason":"BadJwtToken"}`, ""},
		{400, `{"reason":"VapidPkHashMismatch"}`, ""},
		{307, "", ""},
		{503, prid, "Sun, 06 Nov 2094 08:49:37 GMT"},
		{999, "", "99999999999"},
	} {
		f.Add(seed.status-100, []byte(seed.body), seed.retry)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte, retry string) {
		a := pushtest.Answer{Status: 100 + (status%900+900)%900, Body: body, RetryAfter: retry}
		s.client = a.Client(false)
		o := s.Send(t.Context(), request(prid))
		pushtest.CheckOutcome(t, a, o, "gAAAAABkSecret")
		if (o.Class == push.Gone) != (a.Status == 404 || a.Status == 410) {
			t.Errorf("status %d: class = %v", a.Status, o.Class)
		}
	})
}
