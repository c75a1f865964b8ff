package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reveille/configs"
	"reveille/internal/app"
	"reveille/usrloc"
	"reveille/usrloc/disk"
)

// serveConfig makes this test binary a server with that configuration.
const serveConfig = "REVEILLE_SERVE_CONFIG"

// serveForTest runs the server until a signal ends it, or it is killed.
func serveForTest(file string) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	return run([]string{"serve", "--config", file}, program{
		stdout: os.Stdout, stderr: os.Stderr, lookupEnv: os.LookupEnv, signals: signals,
		newServer: func(cfg *configs.Config, log *slog.Logger, reload reloader) (server, error) {
			return app.New(app.Options{Config: cfg, Logger: log, Reload: reload, OnFailure: func(error) { os.Exit(exitFailed) }})
		},
	})
}

// A process is a server in a process of its own, with a store on disk.
type process struct {
	t    *testing.T
	dir  string // of the configuration, the store and the backups
	addr string
	cmd  *exec.Cmd
	kill func() // ends it as kill -9 does; may be called again
}

// startProcess starts a server with lines added to its configuration.
func startProcess(t *testing.T, more ...string) *process {
	t.Helper()
	// The path of a socket must be short, whatever the test is called.
	dir, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &process{t: t, dir: dir, addr: freeAddr(t)}
	text := fmt.Sprintf("listen: [{name: udp, transport: udp, addr: %q}]\ndomains: [example.com]\nhttp: {addr: ''}\nstore: {dir: store}\n", p.addr)
	text += strings.Join(more, "\n")
	if err := os.WriteFile(p.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("log of the server:\n%s", text)
		}
	})
	p.start()
	return p
}

// start starts the server, again if it was killed.
func (p *process) start() {
	p.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.kill = func() {}
	cmd := exec.CommandContext(p.t.Context(), exe)
	cmd.Env = append(os.Environ(), serveConfig+"="+p.config())
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd = cmd
	p.kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	p.waitReady()
}

func (p *process) config() string { return filepath.Join(p.dir, "r.yaml") }
func (p *process) store() string  { return filepath.Join(p.dir, "store") }

// waitReady waits until the server answers on its control socket.
func (p *process) waitReady() {
	p.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.store(), "control.sock"))
	}}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		resp, err := client.Get("http://localhost/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		<-tick.C
	}
	p.t.Fatal("the server does not become ready")
}

// freeAddr is an address for UDP that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// A traffic registers users over and over and knows what was acknowledged.
type traffic struct {
	mu    sync.Mutex // guards acked
	acked map[string]uint32
	quit  chan struct{}
	done  sync.WaitGroup
}

// startTraffic registers users of so many phones, each of which sends the next
// REGISTER when the last was answered: new users and refreshes of old ones.
func startTraffic(t *testing.T, addr string, phones, users int) *traffic {
	t.Helper()
	l := &traffic{acked: map[string]uint32{}, quit: make(chan struct{})}
	for i := range phones {
		conn, err := net.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		l.done.Go(func() {
			defer conn.Close()
			for cseq := uint32(1); ; cseq++ {
				select {
				case <-l.quit:
					return
				default:
				}
				user := fmt.Sprintf("user%d-%d", i, cseq%uint32(users))
				if err := register(conn, user, cseq); err != nil {
					t.Errorf("register %s: %v", user, err)
					return
				}
				l.mu.Lock()
				l.acked[user] = cseq
				l.mu.Unlock()
			}
		})
	}
	return l
}

// soFar returns what was acknowledged up to now: the last CSeq of each user.
func (l *traffic) soFar() map[string]uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.acked)
}

func (l *traffic) stop() {
	close(l.quit)
	l.done.Wait()
}

// wait blocks until so many users are registered.
func (l *traffic) wait(t *testing.T, users int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 10000 {
		if len(l.soFar()) >= users || t.Failed() {
			return
		}
		<-tick.C
	}
	t.Fatalf("only %d users came in", len(l.soFar()))
}

// register sends one REGISTER and waits for its 200.
func register(conn net.Conn, user string, cseq uint32) error {
	_, err := fmt.Fprintf(conn, "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP %[1]s;rport;branch=z9hG4bK%[2]s-%[3]d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%[2]s@example.com>;tag=r\r\nTo: <sip:%[2]s@example.com>\r\nCall-ID: %[2]s\r\nCSeq: %[3]d REGISTER\r\n"+
		"Contact: <sip:%[2]s@%[1]s>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n", conn.LocalAddr(), user, cseq)
	if err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(b[:n]), "SIP/2.0 200 ") {
		return errors.New(strings.SplitN(string(b[:n]), "\r\n", 2)[0])
	}
	return nil
}

// compareBackup opens the copy in dir as a store and looks for all of acked.
func compareBackup(t *testing.T, dir string, acked map[string]uint32) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "purr.keys")); err != nil {
		t.Error(err)
	}
	s, err := disk.Open(disk.Options{Dir: app.BindingsDir(dir), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for user, cseq := range acked {
		rec, err := s.Get(t.Context(), usrloc.AOR("sip:"+user+"@example.com"))
		if err != nil || len(rec.Bindings) != 1 || rec.Bindings[0].CSeq < cseq {
			t.Fatalf("%s had CSeq %d acknowledged before; in the backup: %+v, %v", user, cseq, rec.Bindings, err)
		}
	}
	t.Logf("%d users were acknowledged before, %d bindings are in the backup", len(acked), s.Stats().Bindings)
}

// TestBackup_OfARunningServer copies the store of a server under load, and of
// the same store when the server was killed.
func TestBackup_OfARunningServer(t *testing.T) {
	p := startProcess(t)
	l := startTraffic(t, p.addr, 8, 500)
	l.wait(t, 500)
	for i, args := range [][]string{{"--config", p.config()}, {"--store", p.store()}, {"--store", p.store()}} {
		before, dir := l.soFar(), filepath.Join(p.dir, fmt.Sprint("backup", i))
		code, stdout, stderr := runWith(program{}, append([]string{"bindings", "backup", dir}, args...)...)
		if code != exitOK || stdout != dir+"\n" || stderr != "" {
			t.Fatalf("backup = %d, %q, %q", code, stdout, stderr)
		}
		compareBackup(t, dir, before)
	}
	code, _, stderr := runWith(program{}, "bindings", "backup", "--store", p.store(), filepath.Join(p.dir, "backup0"))
	if code != exitFailed || !strings.Contains(stderr, "is not empty") {
		t.Errorf("a backup over another = %d, %q", code, stderr)
	}
	l.stop()
	p.kill()
	dir := filepath.Join(p.dir, "stopped")
	if code, _, stderr := runWith(program{}, "bindings", "backup", "--store", p.store(), dir); code != exitOK {
		t.Fatalf("backup of a stopped server = %d, %q", code, stderr)
	}
	compareBackup(t, dir, l.soFar())
}

// TestBackup_RelativeDestination: the folder is that of the command, not that of
// the server.
func TestBackup_RelativeDestination(t *testing.T) {
	dir := storeWith(t, 3)
	t.Chdir(t.TempDir())
	if code, _, stderr := runWith(program{}, "bindings", "backup", "--store", dir, "copy"); code != exitOK {
		t.Fatalf("backup = %d, %q", code, stderr)
	}
	if code, stdout, _ := runWith(program{}, "bindings", "check", "copy"); code != exitOK || !strings.HasPrefix(stdout, "3 bindings") {
		t.Errorf("check of the backup: code %d, %q", code, stdout)
	}
}

func TestBackup_Mistakes(t *testing.T) {
	dir, free := storeWith(t, 1), storeWith(t, 0)
	s, err := disk.Open(disk.Options{Dir: app.BindingsDir(dir), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	to := filepath.Join(t.TempDir(), "copy")
	inMemory := write(t, "domains: [example.com]\n")
	noSocket := write(t, "{store: {dir: "+dir+"}, control: {socket: none}}\n")
	tests := []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"no destination", []string{"--store", free}, exitUsage, "takes one destination"},
		{"no server named", []string{to}, exitUsage, "name the server by --config FILE"},
		{"two servers named", []string{to, "--store", free, "--config", inMemory}, exitUsage, "one of --config FILE, --store DIR"},
		{"no such file", []string{to, "--config", "/nonexistent.yaml"}, exitInvalid, "cannot be read"},
		{"nothing on disk", []string{to, "--config", inMemory}, exitFailed, "in memory"},
		{"no store there", []string{to, "--store", t.TempDir()}, exitFailed, "no registrations are kept there"},
		{"a server that does not answer", []string{to, "--store", dir}, exitFailed, "control.sock, where its control socket should be"},
		{"a server without a socket", []string{to, "--config", noSocket}, exitFailed, "has no control socket"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := runWith(program{}, append([]string{"bindings", "backup"}, tt.args...)...)
			if code != tt.code || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("code %d, %q; want %d and %q", code, stderr, tt.code, tt.stderr)
			}
			if _, err := os.Stat(to); err == nil {
				t.Error("something was made")
			}
		})
	}
}
