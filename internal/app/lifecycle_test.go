package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/internal/phone"
)

// goroutines returns how many goroutines have one of our packages in their
// stack, tests and simulated peers left out, and what they do.
func goroutines(t *testing.T) (n int, dump string) {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 2); err != nil {
		t.Fatal(err)
	}
	ours := regexp.MustCompile(`(?m)^(created by )?reveille/`)
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		if ours.MatchString(stack) && !strings.Contains(stack, "testing.tRunner") && !strings.Contains(stack, "reveille/push/pushsim") {
			n++
			dump += stack + "\n\n"
		}
	}
	return n, dump
}

// settled returns how many of our goroutines there are once their number stays
// the same: those of a server that was just started show up one by one.
func settled(t *testing.T) int {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	n, same := -1, 0
	for same < 5 {
		<-tick.C
		now, _ := goroutines(t)
		if now == n {
			same++
		} else {
			n, same = now, 0
		}
	}
	return n
}

// noMoreThan fails the test if there stay more of our goroutines than n.
func noMoreThan(t *testing.T, n int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		now, dump := goroutines(t)
		if now <= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before:\n%s", now, n, dump)
		}
		<-tick.C
	}
}

func TestStop_LeavesNoGoroutine(t *testing.T) {
	before, _ := goroutines(t)
	t.Run("server", func(t *testing.T) {
		r := newRig(t)
		alice := r.sleeper("alice", "tcp", "token-of-alice")
		bob := r.phone("bob", "udp", "")
		r.register(bob)
		if err := ring(r, bob); err != nil {
			t.Fatal(err)
		}
		if n, _ := goroutines(t); n <= before {
			t.Errorf("%d goroutines while the server runs: are they counted?", n)
		}
		alice.Close()
		bob.Close()
	})
	noMoreThan(t, before)
}

// TestStop_AnswersWhatWaits: a caller is told at once when the server goes, and
// Stop does not wait for phones.
func TestStop_AnswersWhatWaits(t *testing.T) {
	r := newRig(t)
	const token = "token-of-alice"
	alice := r.phone("alice", "tcp", token)
	r.register(alice)
	alice.Sleep()
	bob := r.phone("bob", "tcp", "")
	r.register(bob)
	answer := make(chan error, 1)
	go func() {
		_, err := bob.Call(r.within(), "sip:alice@example.com")
		answer <- err
	}()
	r.eventually("the call waits", func() bool { return r.Parked() == 1 && r.pushes(token) == 1 })
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := r.Stop(ctx)
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("Stop took %s, its context ended after 5 s", took)
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop = %v", err)
	}
	if err := <-answer; err == nil {
		t.Error("the call was answered")
	}
	if r.Parked() != 0 {
		t.Errorf("%d requests still wait", r.Parked())
	}
}

func TestStop_IsIdempotent(t *testing.T) {
	r := newRig(t)
	addr := r.Addr("tcp").String()
	var stops sync.WaitGroup
	for range 4 {
		stops.Go(func() {
			if err := r.Stop(r.within()); err != nil {
				t.Errorf("Stop = %v", err)
			}
		})
	}
	stops.Wait()
	if err := r.Stop(r.within()); err != nil {
		t.Errorf("Stop again = %v", err)
	}
	if err := r.Start(); err == nil {
		t.Error("Start after Stop = nil")
	}
	if err := r.Reload(r.config()); !errors.Is(err, errStopped) {
		t.Errorf("Reload after Stop = %v, want %v", err, errStopped)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the port is not free again: %v", err)
	}
	l.Close()
}

// TestStop_EveryCallerWaits: whoever called Stop may rely on it that all is
// released.
func TestStop_EveryCallerWaits(t *testing.T) {
	r := newRig(t)
	begun, release := make(chan struct{}), make(chan struct{})
	r.onStop("slow", func(context.Context) error { close(begun); <-release; return nil })
	first, second := make(chan struct{}), make(chan struct{})
	go func() { r.Stop(r.within()); close(first) }()
	<-begun
	go func() { r.Stop(r.within()); close(second) }()
	select {
	case <-second:
		t.Error("the second Stop returned before the first had released anything")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	<-first
	<-second
}

// TestStop_GivesUpWithItsContext: a second Stop does not wait longer than its
// own context.
func TestStop_GivesUpWithItsContext(t *testing.T) {
	r := newRig(t)
	begun, release := make(chan struct{}), make(chan struct{})
	r.onStop("stuck", func(context.Context) error { close(begun); <-release; return nil })
	first := make(chan struct{})
	go func() { r.Stop(r.within()); close(first) }()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop = %v, want %v", err, context.Canceled)
	}
	close(release)
	<-first
}

func TestNew_WithoutConfig(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New without configuration = nil")
	}
}

// TestNew_FailureLeavesNothingBehind makes New fail at each of its steps, and
// looks for what the earlier steps left.
func TestNew_FailureLeavesNothingBehind(t *testing.T) {
	r := newRig(t)
	udp, tcp := freePorts(t)
	listen := fmt.Sprintf(`listen: [{name: udp, transport: udp, addr: %q}, {name: tcp, transport: tcp, addr: %q}]`, udp, tcp)
	tests := []struct{ name, yaml string }{
		{"credentials", `push: {apps: [` + r.fcm("android", "ca.pem") + `]}`},
		{"users", `auth: {mode: {registrar: required, proxy: required}, users_file: ca.pem}`},
		{"policy", `push: {trigger_interval: 2h}`},
		{"routes", `proxy: {routes: [{name: pstn, prefix: "+", to: "sip:gw.example.com;transport=ws"}]}`},
		{"second listener", fmt.Sprintf(`listen: [{name: udp, transport: udp, addr: %q}, {name: tcp, transport: tcp, addr: %q}]`, udp, r.Addr("tcp"))},
		{"HTTP", fmt.Sprintf(`http: {addr: %q}`, r.HTTPAddr())},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := r.config(listen, tt.yaml)
			before := settled(t)
			if a, err := New(Options{Config: cfg}); err == nil {
				t.Fatal("New = nil", a.Stop(r.within()))
			} else if a != nil {
				t.Error("New returns a server beside its error")
			}
			noMoreThan(t, before)
			u, err := net.ListenPacket("udp", udp)
			if err != nil {
				t.Fatalf("the UDP port is still bound: %v", err)
			}
			u.Close()
			l, err := net.Listen("tcp", tcp)
			if err != nil {
				t.Fatalf("the TCP port is still bound: %v", err)
			}
			l.Close()
		})
	}
}

// freePorts returns an address for UDP and one for TCP that nobody uses.
func freePorts(t *testing.T) (udp, tcp string) {
	t.Helper()
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return u.LocalAddr().String(), l.Addr().String()
}

// get asks the HTTP listener.
func (r *rig) get(path string) (code int, body string, err error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + r.HTTPAddr().String() + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestReadyz_FollowsTheServer(t *testing.T) {
	r := newRig(t)
	fresh, err := New(Options{Config: r.config()})
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.readiness(); err == nil {
		t.Error("a server is ready before it was started")
	}
	if err := fresh.Stop(r.within()); err != nil {
		t.Errorf("Stop of a server that was never started = %v", err)
	}
	if code, body, err := r.get("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz of a running server = %d, %q, %v", code, body, err)
	}
	if code, _, err := r.get("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz of a running server = %d, %v", code, err)
	}
	if code, body, err := r.get("/metrics"); code != http.StatusOK || !strings.Contains(body, "reveille_transport_connections") {
		t.Errorf("/metrics = %d, %.80q, %v", code, body, err)
	}
	// What is registered last is asked first: the rest is still up.
	asked := false
	r.onStop("look", func(context.Context) error {
		asked = true
		if code, _, err := r.get("/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("/readyz while stopping = %d, %v, want 503", code, err)
		}
		if code, _, err := r.get("/healthz"); code != http.StatusOK {
			t.Errorf("/healthz while stopping = %d, %v, want 200", code, err)
		}
		return nil
	})
	if err := r.Stop(r.within()); err != nil || !asked {
		t.Errorf("Stop = %v, asked %t", err, asked)
	}
	if code, _, err := r.get("/readyz"); err == nil {
		t.Errorf("/readyz of a stopped server = %d", code)
	}
}

func TestStart_PhonesComeOnlyAfterIt(t *testing.T) {
	r := newRig(t)
	late, err := New(Options{Config: r.config()})
	if err != nil {
		t.Fatal(err)
	}
	defer late.Stop(r.within())
	p := r.phone("alice", "tcp", "", func(o *phone.Options) { o.Server = late.Addr("tcp").String() })
	done := make(chan error, 1)
	go func() { done <- p.Register(r.within()) }()
	// The request waits in the socket until somebody reads it.
	select {
	case err := <-done:
		t.Errorf("Register before Start = %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Register = %v", err)
	}
}
