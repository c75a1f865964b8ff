package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/configs"
	"reveille/push"
	"reveille/push/apns"
	"reveille/push/pushsim"
)

const token = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"

// buffer is a bytes.Buffer for several goroutines that says when it grows.
type buffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func newBuffer() *buffer { return &buffer{more: make(chan struct{}, 1)} }

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// until waits for text and returns everything.
func (b *buffer) until(t *testing.T, text string) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		if s := b.String(); strings.Contains(s, text) {
			return s
		}
		select {
		case <-b.more:
		case <-timeout:
			t.Fatalf("no %q in:\n%s", text, b.String())
		}
	}
}

// start runs pnsim and returns its output and a way to end it.
func start(t *testing.T, args ...string) (stdout, stderr *buffer, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr = newBuffer(), newBuffer()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"--listen", "127.0.0.1:0", "--page", "127.0.0.1:0"}, args...), stdout, stderr)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if c := <-code; c != 0 {
			t.Errorf("exit code = %d, want 0:\n%s", c, stderr)
		}
	})
	t.Cleanup(stop)
	stderr.until(t, "msg=page")
	return stdout, stderr, stop
}

func urlOf(t *testing.T, log, msg string) string {
	t.Helper()
	for line := range strings.Lines(log) {
		if strings.Contains(line, "msg="+msg) {
			_, url, _ := strings.Cut(strings.TrimSpace(line), "url=")
			return url
		}
	}
	t.Fatalf("no %s in:\n%s", msg, log)
	return ""
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sender pushes with what is in dir alone.
func sender(t *testing.T, dir, url string) push.Sender {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(read(t, dir, caFile)) {
		t.Fatal("no CA")
	}
	s, err := apns.New(apns.Options{
		KeyP8: read(t, dir, keyFile), KeyID: pushsim.KeyID, TeamID: pushsim.TeamID, Host: url, RootCAs: pool,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func request() *push.Request {
	return &push.Request{
		Params: push.Params{Provider: "apns", Param: pushsim.TeamID + "." + pushsim.BundleID + ".voip"},
		Tokens: []push.Token{{PRID: token, Use: push.VoIP}}, Kind: push.Call, CallID: "c1", PushID: "push-1",
		Deadline: time.Now().Add(30 * time.Second),
	}
}

func TestRun_PushIsLoggedShownAndWakes(t *testing.T) {
	dir := t.TempDir()
	woken := filepath.Join(dir, "woken")
	_, stderr, _ := start(t, "--dir", dir,
		"--wake", `echo "$PNSIM_PROVIDER $PNSIM_TOKEN $PNSIM_KIND $PNSIM_PUSH_ID $PNSIM_APP $PNSIM_PUSH_TYPE" >'`+woken+`'`)
	log := stderr.String()
	if o := sender(t, dir, urlOf(t, log, `"push services"`)).Send(t.Context(), request()); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	log = stderr.until(t, "push_id=push-1")
	if strings.Contains(log, token) {
		t.Errorf("the log tells the token:\n%s", log)
	}
	for _, want := range []string{"provider=apns", "kind=call", "push_type=voip", "status=200", "app=" + pushsim.BundleID + ".voip"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	resp, err := http.Get(urlOf(t, log, "page"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if s := string(body); !strings.Contains(s, "1 pushes") || !strings.Contains(s, "push-1") || strings.Contains(s, token) {
		t.Errorf("page = %s, want the push without its token", s)
	}
	stderr.until(t, "wake command ended")
	want := fmt.Sprintf("apns %s call push-1 %s.voip voip\n", token, pushsim.BundleID)
	if got := string(read(t, dir, "woken")); got != want {
		t.Errorf("command saw %q, want %q", got, want)
	}
}

func TestRun_ShowTokens(t *testing.T) {
	dir := t.TempDir()
	_, stderr, _ := start(t, "--dir", dir, "--show-tokens")
	if o := sender(t, dir, urlOf(t, stderr.String(), `"push services"`)).Send(t.Context(), request()); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	stderr.until(t, "token="+token)
}

func TestRun_CredentialsOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	_, _, stop := start(t, "--dir", dir)
	key, vapid := read(t, dir, keyFile), read(t, dir, vapidFile)
	stop()
	_, stderr, _ := start(t, "--dir", dir)
	if !bytes.Equal(key, read(t, dir, keyFile)) || !bytes.Equal(vapid, read(t, dir, vapidFile)) {
		t.Error("the keys changed")
	}
	if o := sender(t, dir, urlOf(t, stderr.String(), `"push services"`)).Send(t.Context(), request()); o.Class != push.OK {
		t.Errorf("outcome = %+v, want ok", o)
	}
}

func TestRun_SnippetIsAConfiguration(t *testing.T) {
	dir := t.TempDir()
	stdout, _, _ := start(t, "--dir", dir)
	yaml := "domains: [example.com]\n" + stdout.String()
	cfg, _, err := configs.Parse("snippet.yaml", []byte(yaml), configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Push.Apps) != 4 {
		t.Errorf("%d apps, want 4", len(cfg.Push.Apps))
	}
}

func TestRun_Errors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, stateFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"flag":        {"--nope"},
		"argument":    {"x"},
		"directory":   {"--dir", file},
		"credentials": {"--dir", broken},
		"address":     {"--dir", t.TempDir(), "--listen", "nowhere:x"},
		"page":        {"--dir", t.TempDir(), "--listen", "127.0.0.1:0", "--page", "nowhere:x"},
		"limit":       {"--dir", t.TempDir(), "--wake-limit", "0"},
	} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, io.Discard, &stderr); code != 1 || !strings.Contains(stderr.String(), "pnsim:") {
			t.Errorf("%s: exit code %d, %q; want 1 and a reason", name, code, stderr.String())
		}
	}
}

func TestWaker_IsBounded(t *testing.T) {
	var log bytes.Buffer
	w := newWaker("x", 2, slog.New(slog.NewTextHandler(&log, nil)))
	release := make(chan struct{})
	var mu sync.Mutex
	ran := 0
	w.start = func(pushsim.Push) {
		<-release
		mu.Lock()
		defer mu.Unlock()
		ran++
	}
	for range 5 {
		w.push(pushsim.Push{})
	}
	close(release)
	w.stop()
	w.push(pushsim.Push{}) // too late
	if ran != 2 || strings.Count(log.String(), "too many") != 3 {
		t.Errorf("%d ran, log:\n%s\nwant 2 and three warnings", ran, log.String())
	}
}

func TestWaker_CommandEndsWithUs(t *testing.T) {
	log := newBuffer()
	w := newWaker("trap 'exit 3' TERM; while :; do sleep 1; done", 1, slog.New(slog.NewTextHandler(log, nil)))
	w.push(pushsim.Push{PushID: "p"})
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stop took %v", took)
	}
}

func TestPage_EscapesWhatWasReceived(t *testing.T) {
	sim, err := pushsim.Start(pushsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	s, err := apns.New(apns.Options{
		KeyP8: sim.Credentials().KeyP8(), KeyID: pushsim.KeyID, TeamID: pushsim.TeamID, Host: sim.URL(), RootCAs: sim.RootCAs(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := request()
	r.PushID = "<script>"
	if o := s.Send(t.Context(), r); o.Class != push.OK {
		t.Fatalf("outcome = %+v, want ok", o)
	}
	for _, show := range []bool{false, true} {
		w := httptest.NewRecorder()
		page(sim, show).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		body := w.Body.String()
		if strings.Contains(body, "<script>") || strings.Contains(body, token) != show {
			t.Errorf("show tokens %t: page = %s", show, body)
		}
	}
}
