package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reveille/configs"
)

// fakeServer records what serve does with it.
type fakeServer struct {
	mu    sync.Mutex // guards calls
	calls []string

	startErr, reloadErr, stopErr error
	// reloaded gets every configuration that Reload is given.
	reloaded chan *configs.Config
	// stopping is closed when Stop begins; Stop then waits for release.
	stopping, release chan struct{}
}

func newFakeServer() *fakeServer {
	f := &fakeServer{reloaded: make(chan *configs.Config, 1), stopping: make(chan struct{}), release: make(chan struct{})}
	close(f.release)
	return f
}

func (f *fakeServer) record(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

func (f *fakeServer) Start() error { f.record("start"); return f.startErr }

func (f *fakeServer) Reload(cfg *configs.Config) error {
	f.record("reload")
	f.reloaded <- cfg
	return f.reloadErr
}

func (f *fakeServer) Unreadable() { f.record("unreadable") }

func (f *fakeServer) Stop(context.Context) error {
	f.record("stop")
	close(f.stopping)
	<-f.release
	return f.stopErr
}

// serving runs serve with a fake server and returns what came of it.
func (f *fakeServer) serving(signals chan os.Signal, args ...string) (code int, stderr string) {
	p := program{signals: signals, newServer: func(*configs.Config, *slog.Logger, reloader) (server, error) { return f, nil }}
	code, _, stderr = runWith(p, append([]string{"serve"}, args...)...)
	return code, stderr
}

func TestServe_EndsInOrderOnSignal(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		f, signals := newFakeServer(), make(chan os.Signal, 1)
		signals <- sig
		code, stderr := f.serving(signals)
		if d := cmp.Diff([]string{"start", "stop"}, f.calls); code != exitOK || d != "" {
			t.Errorf("%s: code %d, calls %s, log %s", sig, code, d, stderr)
		}
	}
}

func TestServe_SecondSignalEndsAtOnce(t *testing.T) {
	f, signals := newFakeServer(), make(chan os.Signal, 3)
	// Stop never returns by itself.
	f.release = make(chan struct{})
	defer close(f.release)
	signals <- syscall.SIGTERM
	go func() {
		<-f.stopping
		// A reload no longer matters, and is no second request to end.
		signals <- syscall.SIGHUP
		signals <- syscall.SIGTERM
	}()
	code, stderr := f.serving(signals)
	if code != exitFailed || !strings.Contains(stderr, "stopped at once") {
		t.Errorf("code %d, log %s", code, stderr)
	}
}

func TestServe_Failures(t *testing.T) {
	boom := errors.New("address in use")
	t.Run("the server cannot be built", func(t *testing.T) {
		p := program{newServer: func(*configs.Config, *slog.Logger, reloader) (server, error) { return nil, boom }}
		if code, _, stderr := runWith(p, "serve"); code != exitFailed || stderr != "reveille: address in use\n" {
			t.Errorf("code %d, %q", code, stderr)
		}
	})
	t.Run("the server cannot start", func(t *testing.T) {
		f := newFakeServer()
		f.startErr = boom
		code, stderr := f.serving(nil)
		if d := cmp.Diff([]string{"start", "stop"}, f.calls); code != exitFailed || d != "" || !strings.Contains(stderr, "address in use") {
			t.Errorf("code %d, calls %s, %q", code, d, stderr)
		}
	})
	t.Run("the server does not stop in order", func(t *testing.T) {
		f, signals := newFakeServer(), make(chan os.Signal, 1)
		f.stopErr = errors.New("calls were cut")
		signals <- syscall.SIGTERM
		if code, stderr := f.serving(signals); code != exitFailed || !strings.Contains(stderr, "calls were cut") {
			t.Errorf("code %d, %q", code, stderr)
		}
	})
	t.Run("the file has problems", func(t *testing.T) {
		f := newFakeServer()
		code, stderr := f.serving(nil, "--config", write(t, "wat: 1\n"))
		if code != exitInvalid || !strings.Contains(stderr, "wat: unknown key") || len(f.calls) > 0 {
			t.Errorf("code %d, calls %v, %q", code, f.calls, stderr)
		}
	})
	t.Run("open to everyone by mistake", func(t *testing.T) {
		f := newFakeServer()
		code, stderr := f.serving(nil, "--config", write(t, "listen: [{name: a, transport: udp, addr: ':5060', advertise: sip.example.com}]\n"))
		if code != exitInvalid || !strings.Contains(stderr, "nobody has to authenticate") || len(f.calls) > 0 {
			t.Errorf("code %d, calls %v, %q", code, f.calls, stderr)
		}
	})
}

func TestServe_WithoutFileListensOnLoopbackOnly(t *testing.T) {
	var got *configs.Config
	p := program{newServer: func(cfg *configs.Config, _ *slog.Logger, _ reloader) (server, error) {
		got = cfg
		return nil, errors.New("enough")
	}}
	runWith(p, "serve")
	if got == nil {
		t.Fatal("no server was built")
	}
	for _, ln := range got.Listen {
		if !strings.HasPrefix(ln.Addr, "127.0.0.1:") {
			t.Errorf("listens on %s", ln.Addr)
		}
	}
}

// logLines is a log that a test can follow.
type logLines chan string

func (l logLines) Write(b []byte) (int, error) { l <- string(b); return len(b), nil }

// await reads lines until one holds text.
func (l logLines) await(t *testing.T, text string) {
	t.Helper()
	for line := range l {
		if strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("the log ends without %q", text)
}

// TestServe_Reload changes the file under a running server, well and badly.
func TestServe_Reload(t *testing.T) {
	file := write(t, "push: {silent_wait: 8s}\n")
	f, signals, log := newFakeServer(), make(chan os.Signal), make(logLines, 100)
	done := make(chan int)
	go func() {
		defer close(log)
		done <- run([]string{"serve", "--config", file}, program{
			stdout: log, stderr: log, signals: signals,
			lookupEnv: os.LookupEnv,
			newServer: func(*configs.Config, *slog.Logger, reloader) (server, error) { return f, nil },
		})
	}()
	reload := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
		signals <- syscall.SIGHUP
	}
	log.await(t, "msg=serving")

	reload("push: {silent_wait: 9s}\nhttp: {addr: ''}\nlog: {level: debug}\n")
	next := <-f.reloaded
	if next.Push.SilentWait.String() != "9s" || next.HTTP.Addr != "127.0.0.1:8080" {
		t.Errorf("reloaded with silent_wait %s, http.addr %q; want the first changed and the second not", next.Push.SilentWait, next.HTTP.Addr)
	}
	log.await(t, `msg="these changes need a restart" keys=http.addr`)
	log.await(t, `msg="configuration reloaded" changed="push.silent_wait, log.level"`)

	reload("push: {silent_wait: nine}\n")
	log.await(t, `nine\" is no duration`)

	// The restart is still due: the server has not changed its address.
	reload("push: {silent_wait: 9s}\nhttp: {addr: ''}\nlog: {level: debug}\n")
	<-f.reloaded
	log.await(t, `msg="these changes need a restart" keys=http.addr`)
	log.await(t, `msg="configuration reloaded" changed=""`)

	signals <- syscall.SIGTERM
	if code := <-done; code != exitOK {
		t.Errorf("serve = %d", code)
	}
	if d := cmp.Diff([]string{"start", "reload", "unreadable", "reload", "stop"}, f.calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestServe_ReloadThatCannotBeTakenOver(t *testing.T) {
	file := write(t, "push: {silent_wait: 8s}\n")
	f, signals := newFakeServer(), make(chan os.Signal)
	f.reloadErr = errors.New("key file is gone")
	done := make(chan string)
	go func() {
		_, stderr := f.serving(signals, "--config", file)
		done <- stderr
	}()
	signals <- syscall.SIGHUP
	<-f.reloaded
	signals <- syscall.SIGTERM
	if stderr := <-done; !strings.Contains(stderr, "configuration not reloaded") || !strings.Contains(stderr, "key file is gone") {
		t.Errorf("log %s", stderr)
	}
}

// TestServe_ReloadByCall is the way of the server's HTTP call.
func TestServe_ReloadByCall(t *testing.T) {
	file := write(t, "push: {silent_wait: 8s}\n")
	f, signals := newFakeServer(), make(chan os.Signal)
	var call reloader
	built := make(chan struct{})
	done := make(chan int)
	go func() {
		done <- run([]string{"serve", "--config", file}, program{
			stdout: io.Discard, stderr: io.Discard, signals: signals, lookupEnv: os.LookupEnv,
			newServer: func(_ *configs.Config, _ *slog.Logger, reload reloader) (server, error) {
				call = reload
				close(built)
				return f, nil
			},
		})
	}()
	<-built
	if err := os.WriteFile(file, []byte("push: {silent_wait: 9s}\nhttp: {addr: ''}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	changes, err := call(t.Context())
	if d := cmp.Diff(configs.Changes{Reload: []string{"push.silent_wait"}, Restart: []string{"http.addr"}}, changes); err != nil || d != "" {
		t.Errorf("reload: %v, changes (-want +got):\n%s", err, d)
	}
	<-f.reloaded
	if err := os.WriteFile(file, []byte("wat: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t.Context()); err == nil || !strings.Contains(err.Error(), "wat: unknown key") {
		t.Errorf("reload of a bad file: %v", err)
	}
	signals <- syscall.SIGTERM
	if code := <-done; code != exitOK {
		t.Errorf("serve = %d", code)
	}
	if _, err := call(t.Context()); !errors.Is(err, errEnding) {
		t.Errorf("reload after the end: %v", err)
	}
}

func TestServe_ReloadWithoutFile(t *testing.T) {
	f, signals := newFakeServer(), make(chan os.Signal, 2)
	signals <- syscall.SIGHUP
	signals <- syscall.SIGTERM
	code, stderr := f.serving(signals)
	if code != exitOK || !strings.Contains(stderr, "without a file") || len(f.calls) != 2 {
		t.Errorf("code %d, calls %v, log %s", code, f.calls, stderr)
	}
}
