package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/internal/phone"
)

// A script is a program behind a hook: it remembers the questions, and answers
// what the test says.
type script struct {
	*httptest.Server
	mu     sync.Mutex // guards the fields below
	asked  []map[string]any
	answer string
	hangs  chan struct{} // closed when it answers again; nil: it answers
}

func newScript(t *testing.T, answer string) *script {
	s := &script{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q map[string]any
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.asked = append(s.asked, q)
		answer, hangs := s.answer, s.hangs
		s.mu.Unlock()
		if hangs != nil {
			<-hangs
		}
		io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *script) says(answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// questions returns what was asked so far.
func (s *script) questions() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// hang keeps the script from answering while the test runs.
func (s *script) hang(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hangs := make(chan struct{})
	s.hangs = hangs
	t.Cleanup(func() { close(hangs) })
}

func hooksYAML(name, url, more string) string {
	return fmt.Sprintf("hooks: {%s: {url: %q, bearer: hush%s}}", name, url, more)
}

// TestHook_Register: a phone that has authenticated registers if the script says
// so, within the limits that it sets, and the script learns no secret.
func TestHook_Register(t *testing.T) {
	s := newScript(t, `{"allow": false, "status": 480, "reason": "Not Paid"}`)
	r := newRig(t, hooksYAML("register", s.URL, ""))
	w := r.dial("udp")
	w.send(w.request("REGISTER", "sip:example.com", "From: <sip:alice@example.com>;tag=f"))
	w.expect(401)
	if n := len(s.questions()); n != 0 {
		t.Fatalf("%d questions about somebody who did not authenticate", n)
	}
	p := r.phone("alice", "udp", "device-token")
	if err := p.Register(r.within()); err == nil || !strings.Contains(err.Error(), "480") {
		t.Errorf("refused: %v", err)
	}
	s.says(`{"allow": true, "max_contacts": 1, "max_expires": 300}`)
	r.register(p)
	if err := r.phone("alice", "tcp", "").Register(r.within()); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("a second contact: %v", err)
	}
	rec, err := r.Store().Get(t.Context(), "sip:alice@example.com")
	if err != nil || len(rec.Bindings) != 1 {
		t.Fatalf("Get = %v, %v", rec, err)
	}
	if b := &rec.Bindings[0]; b.Expires.Sub(b.Updated) != 5*time.Minute {
		t.Errorf("granted %v", b.Expires.Sub(b.Updated))
	}
	asked := s.questions()
	text, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"device-token", "pn-", "secret", "hush", "nonce"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("asked with %q: %s", secret, text)
		}
	}
	if q := asked[0]; len(asked) != 3 || q["event"] != "register" || q["aor"] != "sip:alice@example.com" || q["user"] != "alice" || q["transport"] != "UDP" {
		t.Errorf("%d questions: %s", len(asked), text)
	}
	if c, ok := asked[0]["contacts"].([]any)[0].(map[string]any); !ok || c["push_provider"] != "fcm" || c["expires"] == nil {
		t.Errorf("asked about %v", c)
	}
	// Nobody is asked whether a phone may go.
	if err := p.Unregister(r.within()); err != nil || len(s.questions()) != 3 {
		t.Errorf("Unregister = %v, %d questions", err, len(s.questions()))
	}
	for result, want := range map[string]float64{"allowed": 2, "refused": 1} {
		if n := r.metric("reveille_hook_requests_total", "register", result); n != want {
			t.Errorf("%v questions %s, want %v", n, result, want)
		}
	}
}

// TestHook_Attributes: what a header field says the script is told, and what the
// script says stands in the binding.
func TestHook_Attributes(t *testing.T) {
	s := newScript(t, `{"allow": true, "attributes": {"plan": "gold"}}`)
	r := newRig(t, openYAML, hooksYAML("register", s.URL, ""), `registrar: {capture_headers: [X-Model]}`)
	w := r.dial("udp")
	attributes := func() string {
		t.Helper()
		if got := w.registers("Contact: <sip:alice@127.0.0.1>", "X-Model: 7"); got != "200" {
			t.Fatalf("REGISTER: %s", got)
		}
		rec, err := r.Store().Get(t.Context(), "sip:alice@example.com")
		if err != nil || len(rec.Bindings) != 1 {
			t.Fatalf("Get = %v, %v", rec, err)
		}
		return rec.Bindings[0].Attributes
	}
	if got := attributes(); got != `{"plan":"gold"}` {
		t.Errorf("attributes %s", got)
	}
	if q := s.questions()[0]; fmt.Sprint(q["attributes"]) != "map[x-model:7]" {
		t.Errorf("asked %v", q)
	}
	// A refresh is asked about too, for the header field may be another one.
	s.says(`{"allow": true}`)
	if got := attributes(); got != `{"x-model":"7"}` || len(s.questions()) != 2 {
		t.Errorf("attributes %s after %d questions", got, len(s.questions()))
	}
}

// TestHook_RegisterNoAnswer: what counts is on_failure, however the script fails.
func TestHook_RegisterNoAnswer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, answer, more, want string
		hang                     bool
	}{
		{"slow, refuse", "", "", "503", true},
		{"slow, allow", "", ", on_failure: allow", "200", true},
		{"garbage, refuse", "<html>", "", "503", false},
		{"garbage, allow", "<html>", ", on_failure: allow", "200", false},
		{"huge, refuse", `{"allow": true, "x": "` + strings.Repeat("x", 70_000) + `"}`, "", "503", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, tt.answer)
			if tt.hang {
				s.hang(t)
			}
			r := newRig(t, openYAML, hooksYAML("register", s.URL, ", timeout: 50ms"+tt.more))
			if got := r.dial("tcp").registers("Contact: <sip:a@192.0.2.1>"); got != tt.want {
				t.Errorf("REGISTER: %s, want %s", got, tt.want)
			}
		})
	}
}

// TestHook_RegisterMany: a thousand phones come while the script hangs. As many as
// configured wait for it, all are answered, and calls go on.
func TestHook_RegisterMany(t *testing.T) {
	t.Parallel()
	const phones, most = 1000, 16
	s := newScript(t, "")
	s.hang(t)
	r := newRig(t, openYAML, hooksYAML("register", s.URL, fmt.Sprintf(", timeout: 1s, max_pending: %d, on_failure: allow", most)))
	// A connection has room for the answers to so many, however late they are read.
	wires := make([]*wire, phones/50)
	for i := range wires {
		wires[i] = r.dial("tcp")
	}
	for i := range phones {
		w := wires[i%len(wires)]
		w.send(w.request("REGISTER", "sip:example.com", fmt.Sprintf("Call-ID: many-%d", i), fmt.Sprintf("To: <sip:u%d@example.com>", i), "Contact: <sip:a@192.0.2.1>"))
	}
	for i := range phones {
		w := wires[i%len(wires)]
		status := w.status()
		for strings.HasPrefix(status, "SIP/2.0 100 ") {
			status = w.status() // This one took long.
		}
		if !strings.HasPrefix(status, "SIP/2.0 200 ") {
			t.Fatalf("received %q, want 200", status)
		}
	}
	full, slow := r.metric("reveille_hook_requests_total", "full"), r.metric("reveille_hook_requests_total", "timeout")
	if full+slow != phones || full < phones/2 || len(s.questions()) > phones-int(full) {
		t.Errorf("%v questions were refused, %v timed out, %d came", full, slow, len(s.questions()))
	}
}

// TestHook_RegisterRefresh: a refresh in place is not asked about again, until the
// configuration is loaded anew.
func TestHook_RegisterRefresh(t *testing.T) {
	s := newScript(t, `{"allow": true}`)
	// Without the Sink of a rig, which wants to hear of every refresh.
	x := newRig(t)
	cfg := x.config(hooksYAML("register", s.URL, ""))
	a, err := New(Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	r := &rig{App: a, t: t}
	p := r.phone("alice", "udp", "", func(o *phone.Options) { o.Expires = time.Minute })
	inPlace := func() float64 { return r.metric("reveille_fastpath_answered_total") }
	refresh := func() {
		t.Helper()
		// What comes while the queue is at work takes the long way.
		for before := inPlace(); inPlace() == before; {
			r.register(p)
		}
	}
	refresh()
	asked := len(s.questions())
	r.register(p)
	if n := len(s.questions()); n > asked+1 || asked == 0 {
		t.Errorf("%d questions, then %d", asked, n)
	}
	s.says(`{"allow": false}`)
	if err := a.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if err := p.Register(r.within()); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("after a reload: %v", err)
	}
}

// TestHook_Route: calls and messages go where the script says, within what the
// sender may.
func TestHook_Route(t *testing.T) {
	t.Parallel()
	s := newScript(t, "")
	r := newRig(t, hooksYAML("route", s.URL, ""))
	alice := r.phone("alice", "tcp", "")
	r.register(alice)
	r.sleeper("bob", "udp", "bob-token")
	for _, tt := range []struct{ answer, want string }{
		{`{"action": "continue"}`, "404"},
		{`{"action": "targets", "targets": ["sip:bob@example.com"]}`, ""},
		{`{"action": "reject", "status": 603, "reason": "Not Now"}`, "603"},
		{`{"action": "route", "name": "gateway"}`, "500"},
		{`{"action": "targets", "targets": ["sip:bob@192.0.2.1"]}`, "500"},
		{`{"action": "targets", "targets": ["bob"]}`, "480"},
		{`<html>`, "480"},
	} {
		s.says(tt.answer)
		err := alice.Message(r.within(), "sip:dora:hush@example.com", "hello")
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("answer %s: %v, want %q", tt.answer, err, tt.want)
		}
	}
	if r.pushes("bob-token") != 1 {
		t.Errorf("%d pushes", r.pushes("bob-token"))
	}
	s.says(`{"action": "targets", "targets": ["sip:bob@example.com"]}`)
	call, err := alice.Call(r.within(), "sip:dora@example.com")
	if err != nil {
		t.Fatal(err)
	}
	asked := len(s.questions())
	// What belongs to the call is not asked about.
	if err := call.Bye(r.within()); err != nil || len(s.questions()) != asked {
		t.Errorf("Bye = %v, %d questions", err, len(s.questions())-asked)
	}
	q := s.questions()[0]
	if asked != 8 || q["event"] != "route" || q["method"] != "MESSAGE" || q["from"] != "sip:alice@example.com" || q["to"] != "sip:dora@example.com" || q["transport"] != "TCP" {
		t.Errorf("%d questions, the first %v", asked, q)
	}
	s.hang(t)
	a, err := New(Options{Config: r.config(openYAML, hooksYAML("route", s.URL, ", timeout: 50ms, on_failure: allow"))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	w := (&rig{App: a, t: t}).dial("udp")
	w.send(w.request("INVITE", "sip:nobody@example.com"))
	for line := w.status(); !strings.Contains(line, " 480 Not Registered"); line = w.status() {
		if !strings.Contains(line, " 100 ") {
			t.Fatalf("a slow script, allow: %s", line)
		}
	}
}

func TestWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"sip:alice:hush@192.0.2.1:5070;transport=tcp":         "sip:alice@192.0.2.1:5070;transport=tcp",
		"sip:a@h;pn-provider=apns;pn-param=p;PN-PRID=hush;ob": "sip:a@h;ob",
		"sips:a:b@[2001:db8::1];pn-purr=hush":                 "sips:a@[2001:db8::1]",
		"sip:a%20b@h?X=y":                                     "sip:a%20b@h",
		"hush":                                                "",
		"tel:+1;pn-prid=hush":                                 "tel:+1",
		"sip:a@h;push-tok=a-token:voip;ob":                    "sip:a@h;ob",
	} {
		if got := withoutSecrets(in, "a-token:voip"); got != want {
			t.Errorf("withoutSecrets(%q) = %q, want %q", in, got, want)
		}
	}
}
