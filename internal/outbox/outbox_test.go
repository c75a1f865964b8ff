package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/event"
	"reveille/internal/feed"
	"reveille/internal/httpclient"
	"reveille/push/webhook"
)

// A receiver is a webhook in memory.
type receiver struct {
	mu sync.Mutex
	// answers are given in turn; afterwards, and where one is 0, it is 200.
	answers []httpclient.Answer
	err     error
	bodies  []string
	times   []time.Time
	// refuse says which events are answered 400.
	refuse string
	hang   bool
}

func (r *receiver) Post(ctx context.Context, body []byte, _ http.Header) (httpclient.Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies, r.times = append(r.bodies, string(body)), append(r.times, time.Now())
	a := httpclient.Answer{Status: 200}
	if len(r.answers) > 0 {
		a, r.answers = r.answers[0], r.answers[1:]
	}
	if r.hang {
		<-ctx.Done()
		return a, ctx.Err()
	}
	if r.refuse != "" && strings.Contains(string(body), r.refuse) {
		a.Status = 400
	}
	return a, r.err
}

func (*receiver) Close() {}

// got are the names in the events that came, a request each.
func (r *receiver) got() (requests []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bodies {
		var names []string
		for line := range strings.Lines(b) {
			_, after, _ := strings.Cut(line, `"aor":"`)
			name, _, _ := strings.Cut(after, `"`)
			names = append(names, name)
		}
		requests = append(requests, strings.Join(names, " "))
	}
	return requests
}

func (r *receiver) pauses() (ds []time.Duration) {
	for i := 1; i < len(r.times); i++ {
		ds = append(ds, r.times[i].Sub(r.times[i-1]))
	}
	return ds
}

// A lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A rig is an Outbox behind a Feed.
type rig struct {
	t    *testing.T
	dir  string
	feed *feed.Feed
	box  *Outbox
	log  lockedBuffer
	reg  *prometheus.Registry
}

func newRig(t *testing.T, dir string, o Options) *rig {
	t.Helper()
	r := &rig{t: t, dir: dir, reg: prometheus.NewRegistry()}
	o.Dir, o.Registerer = dir, r.reg
	o.Logger = slog.New(slog.NewTextHandler(&r.log, nil))
	var err error
	if r.box, err = New(o); err != nil {
		t.Fatal(err)
	}
	r.feed = feed.New(feed.Options{Takers: []feed.Taker{r.box}})
	return r
}

func (r *rig) stop() {
	r.t.Helper()
	if err := errors.Join(r.feed.Stop(r.t.Context()), r.box.Stop(r.t.Context()), r.box.Stop(r.t.Context())); err != nil {
		r.t.Error(err)
	}
}

// set has the receivers get all events.
func (r *rig) set(webhooks map[string]*receiver, batch int) {
	var p Prepared
	for name, to := range webhooks {
		w := Webhook{Name: name, URL: "http://127.0.0.1/" + name, Batch: batch}
		p.list = append(p.list, &delivery{Webhook: w, client: to})
	}
	r.box.Set(p)
}

func (r *rig) emit(names ...string) {
	for _, name := range names {
		r.feed.Emit(event.RefreshDue{AOR: name})
	}
	synctest.Wait()
}

func (r *rig) metric(name string, want string) {
	r.t.Helper()
	if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want), name); err != nil {
		r.t.Error(err)
	}
}

func TestOutbox_SignedAndInOrder(t *testing.T) {
	type request struct {
		body   string
		header http.Header
		err    error
	}
	came := make(chan request, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = webhook.Verify([]byte("s3cret"), r, b, time.Now(), time.Minute)
		}
		came <- request{string(b), r.Header, err}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	r := newRig(t, t.TempDir(), Options{})
	defer r.stop()
	var hooks []Webhook
	for _, tokens := range []bool{true, false} {
		f, err := event.NewFilter([]string{"push.*"}, "")
		if err != nil {
			t.Fatal(err)
		}
		hooks = append(hooks, Webhook{Name: fmt.Sprint(tokens), URL: srv.URL + "/events?tokens=" + fmt.Sprint(tokens), Secret: []byte("s3cret"), Filter: f, Tokens: tokens})
	}
	p, err := Prepare(hooks)
	if err != nil {
		t.Fatal(err)
	}
	r.box.Set(p)
	for n := range 20 {
		r.feed.Emit(event.RefreshDue{})
		r.feed.Emit(event.PushSend{AOR: fmt.Sprint(n), Token: "planted"})
	}
	next := map[bool]int{}
	for next[true] < 20 || next[false] < 20 {
		q := <-came
		if q.err != nil || q.header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("%v, %v", q.err, q.header)
		}
		for line := range strings.Lines(q.body) {
			tokens := strings.Contains(line, `"token":"planted"`)
			if want := fmt.Sprintf(`"aor":"%d"`, next[tokens]); !strings.Contains(line, want) {
				t.Fatalf("event %s, want %s", line, want)
			}
			next[tokens]++
		}
	}
}

func TestPrepare_Problems(t *testing.T) {
	for name, w := range map[string]Webhook{
		"without a name": {URL: "http://127.0.0.1/"},
		"the URL is":     {Name: "a", URL: "ftp://127.0.0.1/"},
		"no certificate": {Name: "a", URL: "https://127.0.0.1/", RootCAs: []byte("x")},
	} {
		if _, err := Prepare([]Webhook{w}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOutbox_DoesNotFollow: events go where the operator said, and nowhere else.
func TestOutbox_DoesNotFollow(t *testing.T) {
	asked := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	p, err := Prepare([]Webhook{{Name: "a", URL: srv.URL + "/here"}})
	if err != nil {
		t.Fatal(err)
	}
	d := p.list[0]
	d.post = t.Context()
	v := d.send([]entry{{body: []byte("{}")}})
	if v.kind != failed || v.status != http.StatusTemporaryRedirect || len(asked) != 1 {
		t.Errorf("%+v, %d requests", v, len(asked))
	}
}

func TestOutbox_Retries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		to := &receiver{answers: []httpclient.Answer{
			{Status: 500}, {Status: 404}, {Status: 503, Header: http.Header{"Retry-After": {"120"}}}, {Status: 302}, {Status: 200},
		}}
		r.set(map[string]*receiver{"a": to}, 10)
		r.emit("1")
		r.emit("2", "3")
		time.Sleep(10 * time.Minute)
		want := []string{"1", "1 2 3", "1 2 3", "1 2 3", "1 2 3"}
		if d := cmp.Diff(want, to.got()); d != "" {
			t.Errorf("requests (-want +got):\n%s", d)
		}
		for i, between := range [][2]time.Duration{{500 * time.Millisecond, 1500 * time.Millisecond}, {time.Second, 3 * time.Second}, {2 * time.Minute, 2 * time.Minute}, {4 * time.Second, 12 * time.Second}} {
			if p := to.pauses()[i]; p < between[0] || p > between[1] {
				t.Errorf("pause %d is %v, want %v", i, p, between)
			}
		}
		if n := strings.Count(r.log.String(), "takes no events"); n != 1 || !strings.Contains(r.log.String(), "takes events again") {
			t.Errorf("the log has %s", r.log.String())
		}
		r.metric("reveille_outbox_requests_total", `
# HELP reveille_outbox_requests_total Requests to webhooks for events, by what came of them: taken, refused, failed.
# TYPE reveille_outbox_requests_total counter
reveille_outbox_requests_total{result="failed",webhook="a"} 4
reveille_outbox_requests_total{result="taken",webhook="a"} 1
`)
		r.stop()
	})
}

func TestPauseAfter(t *testing.T) {
	for _, tt := range []struct {
		failures int
		random   float64
		want     time.Duration
	}{{1, 0, 500 * time.Millisecond}, {1, 0.5, time.Second}, {3, 0.5, 4 * time.Second}, {7, 0.5, time.Minute}, {1 << 40, 0.75, 75 * time.Second}} {
		if got := pauseAfter(tt.failures, tt.random); got != tt.want {
			t.Errorf("pauseAfter(%d, %v) = %v, want %v", tt.failures, tt.random, got, tt.want)
		}
	}
}

func TestRetryAfter_RFC9110_10_2_3(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "30": 30 * time.Second, "99999": time.Hour, "99999999999999999999": 0,
		"Sun, 22 Nov 2026 08:01:00 GMT": time.Minute, "Sun, 22 Nov 2026 07:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}

// TestOutbox_RefusedEvent: one event that a webhook cannot take does not hold up the
// others.
func TestOutbox_RefusedEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		to := &receiver{answers: []httpclient.Answer{{Status: 500}}, refuse: `"bad"`}
		r.set(map[string]*receiver{"a": to}, 4)
		r.emit("1")
		r.emit("2", "bad", "3", "4", "5")
		time.Sleep(time.Minute)
		if d := cmp.Diff([]string{"1", "1 2 bad 3", "1", "2 bad", "2", "bad 3", "bad", "3", "4 5"}, to.got()); d != "" {
			t.Errorf("requests (-want +got):\n%s", d)
		}
		r.metric("reveille_outbox_lost_total", `
# HELP reveille_outbox_lost_total Events that webhooks did not get: too old, spool full, disk failed, refused.
# TYPE reveille_outbox_lost_total counter
reveille_outbox_lost_total{reason="refused",webhook="a"} 1
`)
		r.stop()
		if problems, err := testutil.GatherAndLint(r.reg); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
	})
}

func TestOutbox_Set(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		away := &receiver{err: errors.New("connection refused")}
		a := &receiver{}
		r.set(map[string]*receiver{"a": a, "b": away}, 10)
		r.emit("1")
		// A new URL for b, and nothing changed for a: what waits goes on waiting.
		again, other := &receiver{}, &receiver{}
		r.box.Set(Prepared{list: []*delivery{
			{Webhook: Webhook{Name: "a", URL: "http://127.0.0.1/a", Batch: 10}, client: again},
			{Webhook: Webhook{Name: "b", URL: "http://127.0.0.1/other", Batch: 10}, client: other},
		}})
		r.emit("2")
		if d := cmp.Diff([]string{"1", "2"}, a.got()); d != "" || len(again.got()) != 0 {
			t.Errorf("a, which did not change (-want +got):\n%s", d)
		}
		if d := cmp.Diff("1 2", strings.Join(other.got(), " ")); d != "" {
			t.Errorf("b (-want +got):\n%s", d)
		}
		// None: nothing is kept.
		r.set(nil, 0)
		r.emit("3")
		if err := r.box.spool.keep(nil); err != nil || len(r.box.deliveries) != 0 {
			t.Error(err)
		}
		if r.box.Refreshes() {
			t.Error("nobody wants refreshes, and yet")
		}
		r.set(map[string]*receiver{"c": {}}, 10)
		if !r.box.Refreshes() {
			t.Error("a filter that takes all does not take refreshes")
		}
		r.stop()
		r.set(map[string]*receiver{"d": {}}, 10)
		r.box.Take(nil)
	})
}

// TestOutbox_StopEndsWhatHangs: a webhook that does not answer does not keep the
// server from ending, and gets its events next time.
func TestOutbox_StopEndsWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.TempDir(), Options{})
		r.set(map[string]*receiver{"a": {hang: true}}, 10)
		r.emit("1")
		if err := r.feed.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := r.box.Stop(ctx); err != nil || time.Since(began) > time.Second {
			t.Errorf("Stop() = %v after %v", err, time.Since(began))
		}
		again := newRig(t, r.dir, Options{})
		if n := again.box.spool.waiting("a"); n.events != 1 {
			t.Errorf("%+v waits", n)
		}
		again.stop()
	})
}
