package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reveille/internal/event"
	"reveille/internal/phone"
	"reveille/push/webhook"
	"reveille/usrloc"
)

const (
	eventsBearer = "a-token-for-programs"
	eventsSecret = "a-secret-for-webhooks"
)

// A listener is a program of the operator's that gets events.
type listener struct {
	t   *testing.T
	srv *httptest.Server
	// status is the answer if it is not 0.
	status atomic.Int32
	// on is called with each event that is new.
	on func(e event.Envelope)

	mu     sync.Mutex // guards the fields below
	seen   map[string]bool
	events []event.Envelope
	raw    bytes.Buffer
}

func newListener(t *testing.T, on func(event.Envelope)) *listener {
	l := &listener{t: t, on: on, seen: map[string]bool{}}
	l.srv = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(l.srv.Close)
	return l
}

func (l *listener) serve(w http.ResponseWriter, r *http.Request) {
	if s := l.status.Load(); s != 0 {
		w.WriteHeader(int(s))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = webhook.Verify([]byte(eventsSecret), r, body, time.Now(), time.Minute)
	}
	if err != nil {
		l.t.Errorf("events: %v", err)
	}
	for line := range bytes.Lines(body) {
		var e event.Envelope
		if err := json.Unmarshal(line, &e); err != nil {
			l.t.Errorf("event %s: %v", line, err)
		}
		l.mu.Lock()
		fresh := !l.seen[e.ID]
		if l.seen[e.ID] = true; fresh {
			l.events = append(l.events, e)
		}
		l.raw.Write(line)
		l.mu.Unlock()
		if fresh && l.on != nil {
			l.on(e)
		}
	}
}

// yaml is the configuration of webhooks and what else goes with events.
func eventsYAML(more string, webhooks ...string) string {
	return "events: {bearer: " + eventsBearer + ", webhooks: [" + strings.Join(webhooks, ", ") + "]" + more + "}"
}

func (l *listener) hook(name, more string) string {
	return fmt.Sprintf("{name: %s, url: %q, secret: %s%s}", name, l.srv.URL+"/events?from=here", eventsSecret, more)
}

// types counts the events of each type.
func (l *listener) types() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := map[string]int{}
	for _, e := range l.events {
		m[e.Type]++
	}
	return m
}

// report is what a push system says of a push.
func (r *rig) reportWoken(body string) (status int) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "http://"+r.HTTPAddr().String()+"/v1/woken", strings.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+eventsBearer)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Error(err)
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

const ownPushes = `push: {wait: {invite: {default: 20s}}, apps: [{name: own, event: {}}]}`

// TestEvents_OwnPushSystem: the operator sends the pushes, from events, and says what
// became of them. Nothing but these events tells a token.
func TestEvents_OwnPushSystem(t *testing.T) {
	const token = "token-of-alice"
	var r *rig
	var alice *phone.Phone
	ready := make(chan struct{})
	system := newListener(t, func(e event.Envelope) {
		<-ready
		var d event.PushRequestedData
		if err := json.Unmarshal(e.Data, &d); err != nil || e.Type != "push.send" || d.Token != token || d.Provider != "acme" || d.Reason != "ini-INVITE" || d.App != "own" {
			t.Errorf("%s %s, %v", e.Type, e.Data, err)
			return
		}
		if status := r.reportWoken(fmt.Sprintf(`{"push_id":%q,"result":"delivered"}`, d.PushID)); status != http.StatusNoContent {
			t.Errorf("the report is answered %d", status)
		}
		if err := alice.Wake(t.Context()); err != nil && t.Context().Err() == nil {
			t.Errorf("wake: %v", err)
		}
	})
	crm := newListener(t, nil)
	var lines, logged lockedBuffer
	dir := t.TempDir()
	r = newRigWith(t, func(o *Options) {
		o.EventLines = &lines
		o.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}, ownPushes, storeYAML(filepath.Join(dir, "store")),
		eventsYAML(", log: {format: json, file: "+filepath.Join(dir, "events.log")+"}", system.hook("push", ", types: [push.send], tokens: true, batch: 1"), crm.hook("crm", "")))
	alice = r.phone("alice", "tcp", token, func(o *phone.Options) { o.Push.Provider, o.Push.Param = "acme", "phone" })
	r.register(alice)
	alice.Sleep()
	close(ready)
	bob := r.phone("bob", "tcp", "")
	r.register(bob)
	if err := ring(r, bob); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"binding.registered": 2, "binding.updated": 1, "push.requested": 1, "push.send": 1, "push.outcome": 1, "push.reported": 1,
		// The INVITE and the BYE.
		"request.received": 2, "request.parked": 1, "request.woken": 1, "request.released": 1, "request.forwarded": 1, "request.answered": 2,
	}
	defer func() {
		if t.Failed() {
			t.Logf("told: %v", crm.types())
		}
	}()
	r.eventually("all is told", func() bool {
		got := crm.types()
		for name, n := range want {
			if got[name] != n {
				return false
			}
		}
		return true
	})
	if err := r.Stop(r.within()); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "events.log"))
	if err != nil {
		t.Fatal(err)
	}
	crm.mu.Lock()
	defer crm.mu.Unlock()
	for name, text := range map[string]string{"webhook": crm.raw.String(), "lines": lines.String(), "log": logged.String(), "file": string(file)} {
		if strings.Contains(text, token) {
			t.Errorf("%s: the token is told", name)
		}
		if name != "log" && !strings.Contains(text, `"type":"push.send"`) {
			t.Errorf("%s: the push is not told: %s", name, text)
		}
	}
	if strings.Contains(logged.String(), "registration created") {
		t.Error("events are in the log twice")
	}
}

// TestEvents_PushSystemReportsFailure: the caller hears at once that the phone will
// not come, and a dead token is forgotten.
func TestEvents_PushSystemReportsFailure(t *testing.T) {
	for _, result := range []string{"gone", "failed"} {
		t.Run(result, func(t *testing.T) {
			var r *rig
			// The caller may hear of the report before the push system is answered.
			ready, reported := make(chan struct{}), make(chan struct{})
			var once sync.Once
			system := newListener(t, func(e event.Envelope) {
				<-ready
				var d event.PushRequestedData
				if err := json.Unmarshal(e.Data, &d); err != nil {
					t.Error(err)
				}
				defer once.Do(func() { close(reported) })
				if status := r.reportWoken(fmt.Sprintf(`{"push_id":%q,"result":%q,"reason":"uninstalled"}`, d.PushID, result)); status != http.StatusNoContent {
					t.Errorf("the report is answered %d", status)
				}
			})
			r = newRig(t, ownPushes, storeYAML(filepath.Join(t.TempDir(), "store")), eventsYAML("", system.hook("push", ", types: [push.send]")))
			alice := r.phone("alice", "tcp", "token-of-alice")
			r.register(alice)
			alice.Sleep()
			close(ready)
			bob := r.phone("bob", "tcp", "")
			r.register(bob)
			began := time.Now()
			if _, err := bob.Call(r.within(), "sip:alice@example.com"); status(err) != 480 || time.Since(began) > 10*time.Second {
				t.Errorf("the caller hears %v after %v", err, time.Since(began))
			}
			<-reported
			prid := func() string {
				rec, err := r.Store().Get(t.Context(), usrloc.AOR("sip:alice@example.com"))
				if err != nil || len(rec.Bindings) != 1 {
					t.Fatalf("%+v, %v", rec, err)
				}
				return rec.Bindings[0].Push.PRID
			}
			r.eventually("the token is as reported", func() bool { return (prid() == "") == (result == "gone") })
			for body, want := range map[string]int{
				`{"push_id":"unknown","result":"gone"}`: 404, `{"aor":"nobody","result":"gone"}`: 404,
				`{"aor":"sip:alice@example.com","binding":"00","result":"gone"}`:  404,
				`{"aor":"sip:alice@EXAMPLE.com;user=phone","result":"delivered"}`: map[string]int{"gone": 404, "failed": 204}[result],
			} {
				if got := r.reportWoken(body); got != want {
					t.Errorf("%s is answered %d, want %d", body, got, want)
				}
			}
		})
	}
}

// TestEvents_SurviveAKill: what a webhook did not take is there for the next process.
func TestEvents_SurviveAKill(t *testing.T) {
	crm := newListener(t, nil)
	crm.status.Store(503)
	dir := filepath.Join(t.TempDir(), "store")
	r := newRig(t, storeYAML(dir), eventsYAML("", crm.hook("crm", "")))
	r.register(r.phone("alice", "tcp", ""))
	r.eventually("the event waits", func() bool { return r.metric("reveille_outbox_waiting", "crm") == 1 })
	left := filepath.Join(t.TempDir(), "left")
	if err := os.CopyFS(left, os.DirFS(filepath.Join(dir, "events"))); err != nil {
		t.Fatal(err)
	}
	crm.status.Store(0)
	again := newRig(t, storeYAML(filepath.Join(t.TempDir(), "store")), eventsYAML(", spool: {dir: "+left+"}", crm.hook("crm", "")))
	again.eventually("the event arrives", func() bool { return crm.types()["binding.registered"] == 1 })
}

func TestEvents_Reload(t *testing.T) {
	crm, log := newListener(t, nil), filepath.Join(t.TempDir(), "events.log")
	store := storeYAML(filepath.Join(t.TempDir(), "store"))
	r := newRig(t, store, eventsYAML(", log: {file: "+log+"}"))
	alice := r.phone("alice", "tcp", "")
	r.register(alice)
	r.eventually("the file has the event", func() bool { b, err := os.ReadFile(log); return err == nil && bytes.Count(b, []byte("\n")) == 1 })
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	r.reload(store, eventsYAML(", log: {file: "+log+"}", crm.hook("crm", ", types: [binding.removed, binding.refreshed]")))
	r.register(alice)
	if err := alice.Unregister(r.within()); err != nil {
		t.Fatal(err)
	}
	r.eventually("the webhook has what it asked for", func() bool {
		got := crm.types()
		return got["binding.removed"] == 1 && got["binding.refreshed"] == 1 && len(got) == 2
	})
	r.eventually("the new file has the event", func() bool {
		b, err := os.ReadFile(log)
		return err == nil && bytes.Contains(b, []byte("binding.removed"))
	})
	// A type that there is not is misspelt: nothing changes.
	misspelt := r.config(store, eventsYAML(", log: {file: "+log+"}", crm.hook("crm", ", types: [binding.gone]")))
	if err := r.Reload(misspelt); err == nil || !strings.Contains(err.Error(), `"binding.gone"`) {
		t.Errorf("Reload = %v", err)
	}
	if err := Check(r.config(eventsYAML("", crm.hook("crm", "")))); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("webhooks without a folder: %v", err)
	}
}

// TestEvents_RefreshesStayCheap: a refresh is answered in place as long as nobody asks
// for its event.
func TestEvents_RefreshesStayCheap(t *testing.T) {
	r := newRigWith(t, func(o *Options) { o.Sink = nil })
	alice := r.phone("alice", "udp", "")
	answered := func() float64 { return r.metric("reveille_fastpath_answered_total") }
	// A refresh that meets the REGISTER before it on its way out takes the long way.
	r.eventually("a refresh is answered in place", func() bool { r.register(alice); return answered() > 0 })
	before := answered()
	refreshed, err := event.NewFilter([]string{event.TypeRefreshed}, "")
	if err != nil {
		t.Fatal(err)
	}
	sub, err := r.App.events.feed.Subscribe(refreshed, "")
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	r.register(alice)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if rs, err := sub.Next(ctx); err != nil || answered() != before {
		t.Errorf("%v, %v, %v answered in place, %v before anybody asked", rs, err, answered(), before)
	}
}
