package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/internal/tlscert/certtest"
	"reveille/push"
	"reveille/push/pushsim"
)

// looking returns a function that looks at the files once, and the log.
func (r *rig) looking() (again func(), log *bytes.Buffer) {
	log = new(bytes.Buffer)
	w := &fileWatch{log: slog.New(slog.NewTextHandler(log, nil)), seen: map[string]look{}}
	return func() { r.lookAtFiles(r.t.Context(), w) }, log
}

// TestWatch_ChangedCredential: it is in force without a reload, once it stays
// the same.
func TestWatch_ChangedCredential(t *testing.T) {
	r := newRig(t)
	look, log := r.looking()
	before := r.senders.list[0].app.Sender
	look()
	look()
	if r.senders.list[0].app.Sender != before || log.Len() > 0 {
		t.Fatalf("the sender was replaced although nothing changed: %s", log)
	}
	now := time.Now().Add(20 * time.Second)
	changed := bytes.Replace(r.sim.ServiceAccountJSON(), []byte(`"demo-key"`), []byte(`"demo-key2"`), 1)
	for _, content := range [][]byte{changed[:40], changed} { // it is being written
		r.file("fcm.json", content)
		look()
		if r.senders.list[0].app.Sender != before {
			t.Fatal("the sender was replaced at the first look")
		}
	}
	look()
	if r.senders.list[0].app.Sender == before || !strings.Contains(log.String(), "push.apps[android]") {
		t.Fatalf("the sender was not replaced: %s", log)
	}
	out := make(chan push.Outcome, 1)
	if _, err := r.App.pushes.Submit(fcmRequest("token", "c", now), func(o push.Outcome) { out <- o }); err != nil {
		t.Fatal(err)
	}
	if o := <-out; o.Class != push.OK {
		t.Errorf("push with the new credential: %+v", o)
	}
	// A reload finds nothing to do.
	kept := r.senders.list[0].app.Sender
	r.reload()
	if r.senders.list[0].app.Sender != kept {
		t.Error("the reload replaced it again")
	}
}

// TestWatch_BadCredentialKeepsTheOld: it is told once, with file and mend, and a
// better one is taken.
func TestWatch_BadCredentialKeepsTheOld(t *testing.T) {
	r := newRig(t)
	look, log := r.looking()
	before := r.senders.list[0].app.Sender
	good := r.sim.ServiceAccountJSON()
	r.file("fcm.json", []byte("{}"))
	for range 5 {
		look()
	}
	if r.senders.list[0].app.Sender != before || strings.Count(log.String(), "level=ERROR") != 1 || !strings.Contains(log.String(), "fcm.json is of type") {
		t.Fatalf("log = %s, want one error that names the file", log)
	}
	log.Reset()
	r.file("fcm.json", good)
	look()
	look()
	if r.senders.list[0].app.Sender != before || log.Len() > 0 {
		t.Errorf("what is in force came back: %s", log)
	}
	r.file("fcm.json", append(good, ' '))
	look()
	look()
	if r.senders.list[0].app.Sender == before {
		t.Error("a good credential after a bad one was not taken")
	}
}

// TestWatch_VAPIDKeyIsPublished: phones are told the new key.
func TestWatch_VAPIDKeyIsPublished(t *testing.T) {
	r := newRig(t)
	const app = `push: {apps: [{name: web, webpush: {vapid_key_file: v.pem, subscriber: "mailto:ops@reveille.dev"}}]}`
	r.file("v.pem", r.sim.Credentials().VAPIDKeyPEM())
	r.reload(app)
	creds, err := pushsim.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	r.file("v.pem", creds.VAPIDKeyPEM())
	look, _ := r.looking()
	look()
	look()
	if got := r.App.pushes.VAPIDKey(push.Params{Provider: "webpush"}); got != creds.VAPIDPublic() {
		t.Errorf("published key = %s, want the new one, %s", got, creds.VAPIDPublic())
	}
}

// TestWatch_ChangedCertificateOfAListener: as for credentials; a certificate
// whose key is not there yet waits.
func TestWatch_ChangedCertificateOfAListener(t *testing.T) {
	a := certtest.New(t)
	r, replace := newTLSRig(t, a, "one.example.com")
	look, log := r.looking()
	look()
	if got := r.secured(a).name(); got != "one.example.com" {
		t.Fatalf("certificate of %s", got)
	}
	replace("two.example.com")
	look()
	if got := r.secured(a).name(); got != "one.example.com" {
		t.Errorf("certificate of %s at the first look", got)
	}
	look()
	if got := r.secured(a).name(); got != "two.example.com" || !strings.Contains(log.String(), "listen[tls].tls") {
		t.Errorf("certificate of %s, log %s", got, log)
	}
}

func fcmRequest(token, call string, deadline time.Time) *push.Request {
	sum := sha256.Sum256([]byte(token))
	return &push.Request{
		Binding: [16]byte(sum[:16]), AOR: "sip:alice@example.com", Params: push.Params{Provider: "fcm", Param: pushsim.ProjectID},
		Tokens: []push.Token{{PRID: token}}, Kind: push.Call, Method: "INVITE", CallID: call, PushID: call, Deadline: deadline,
	}
}

// TestReload_EveryPushIsDoneOnce changes credentials again and again under
// pushes in flight and in the queue: each ends exactly once, and each phone gets
// exactly one, but for those whose answer is late: they are sent again.
func TestReload_EveryPushIsDoneOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.sim.SetFault("", pushsim.Fault{Kind: pushsim.Accept, Delay: 5 * time.Millisecond})
	const n = 300
	var (
		mu    sync.Mutex
		ended = map[string]int{}
		sent  = map[string]int{}
		all   sync.WaitGroup
	)
	all.Add(n)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		for i := range n {
			token := "device-" + strings.Repeat("x", i/26) + string(rune('a'+i%26))
			_, err := r.App.pushes.Submit(fcmRequest(token, token, time.Now().Add(patience)), func(o push.Outcome) {
				mu.Lock()
				defer mu.Unlock()
				ended[token]++
				sent[token] += o.Attempts
				if o.Class != push.OK {
					t.Errorf("%s: %+v", token, o)
				}
				all.Done()
			})
			if err != nil {
				t.Errorf("Submit = %v", err)
				all.Done()
			}
		}
	}()
	reloads, done := 0, make(chan struct{})
	go func() { <-submitted; all.Wait(); close(done) }()
	for ctx.Err() == nil {
		select {
		case <-done:
			cancel()
			continue
		default:
		}
		r.file("fcm.json", append(r.sim.ServiceAccountJSON(), bytes.Repeat([]byte(" "), reloads%7)...))
		r.reload()
		reloads++
	}
	came := map[string]int{}
	for _, p := range r.sim.Pushes() {
		came[p.Token]++
	}
	for token, times := range ended {
		if n := came[token]; times != 1 || n < 1 || n > sent[token] {
			t.Errorf("%s: done %d times, %d pushes of %d attempts, want 1", token, times, n, sent[token])
		}
	}
	if len(ended) != n || reloads < 3 {
		t.Errorf("%d of %d ended over %d reloads", len(ended), n, reloads)
	}
}

func TestWarnOfEnds(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]string{
		31 * 24 * time.Hour: "",
		29 * 24 * time.Hour: "level=WARN msg=\"push certificate ends soon\" app=ios",
		6 * 24 * time.Hour:  "days=6",
		23 * time.Hour:      "level=ERROR msg=\"push certificate ends within a day\"",
		-time.Hour:          "level=ERROR msg=\"push certificate has expired",
	} {
		var log bytes.Buffer
		warnOfEnds(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), []credentialEnd{{"ios", now.Add(left)}}, now)
		if (want == "") != (log.Len() == 0) || !strings.Contains(log.String(), want) {
			t.Errorf("%s before: log %q, want %q", left, log.String(), want)
		}
	}
}
