//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reveille/internal/phone"
	"reveille/internal/tlscert/certtest"
	"reveille/push/pushsim"
)

// binary is the server under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	phone.AllowLargeDatagrams()
	dir, err := os.MkdirTemp("", "reveille-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, tool := range []string{"linphone-daemon", "baresip", "sipp", "sipsak", "svmap", "rtpengine"} {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Fprintf(os.Stderr, "%s is not installed; `make e2e` installs it\n", tool)
			return 1
		}
	}
	binary = filepath.Join(dir, "reveille")
	build := exec.Command("go", "build", "-o", binary, "reveille/cmd/reveille")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// A server is a running reveille with pretend push services behind it.
type server struct {
	t    *testing.T
	addr string // host:port for SIP, UDP and TCP
	// secure is the same for TLS, "" if it does not listen for that; ca is the
	// file with the authority that phones trust.
	secure, ca string
	ws         string // host:port for WebSocket, "" if it does not listen for that
	admin      string // host:port for HTTP
	dir        string
	config     string
	cmd        *exec.Cmd
	sim        *pushsim.Server
	log        *safeBuffer

	mu    sync.Mutex
	wakes map[string]func() // what a push to a token does
}

// options change the configuration of a test.
type options struct {
	// wait is push.wait.invite.default; "" for 20s.
	wait string
	// open asks nobody for credentials.
	open bool
	// algorithms is auth.algorithms; "" for all.
	algorithms string
	// guard is the group of that name, in braces; "" for the default.
	guard string
	// secure is the host under which it listens by TLS, too; "" for not.
	secure string
	// ws has it listen for WebSocket, too.
	ws bool
	// farewell is push.farewell; "" for none.
	farewell string
	// trusted is auth.trusted, in brackets; "" for nobody.
	trusted string
	// more are further groups.
	more string
}

func start(t *testing.T, o options) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), log: &safeBuffer{}, wakes: map[string]func(){}}
	var err error
	s.sim, err = pushsim.Start(pushsim.Options{OnPush: s.pushed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.sim.Close() })
	s.addr = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s.admin = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	if o.wait == "" {
		o.wait = "20s"
	}
	if o.algorithms == "" {
		o.algorithms = "SHA-256, MD5"
	}
	if o.guard == "" {
		o.guard = "{}"
	}
	if o.farewell == "" {
		o.farewell = "none"
	}
	if o.trusted == "" {
		o.trusted = "[]"
	}
	mode := "required"
	if o.open {
		mode = "off"
	}
	secure := ""
	if o.secure != "" {
		secure = s.listenSecure(o.secure)
	}
	if o.ws {
		s.ws = fmt.Sprintf("127.0.0.1:%d", freePort(t))
		secure += fmt.Sprintf("\n  - {name: ws, transport: ws, addr: %q}", s.ws)
	}
	s.file("ca.pem", s.sim.Credentials().CAPEM())
	s.file("fcm.json", s.sim.ServiceAccountJSON())
	s.config = s.file("reveille.yaml", []byte(fmt.Sprintf(`
listen:
  - {name: udp, transport: udp, addr: %[1]q}
  - {name: tcp, transport: tcp, addr: %[1]q}
%[9]s
domains: [example.com]
# A busy machine must not have it refuse a test.
overload: {target: 0s}
http: {addr: %[2]q}
log: {level: debug}
auth:
  mode: {registrar: %[3]s, proxy: %[3]s}
  algorithms: [%[7]s]
  # These give up if the first challenge is one that they do not know.
  offers: [{user_agent: '^(baresip v?1\.|sipsak|SIPp)', algorithms: [MD5]}]
  users:
    - {name: alice, password: secret}
    - {name: bob, password: secret}
  trusted: %[11]s
guard: %[8]s
push:
  wait: {invite: {default: %[4]s}, message: 15s, in_dialog: 15s}
  farewell: %[10]s
  apps:
    - name: android
      param: %[5]s
      fcm: {service_account_file: fcm.json, endpoint: %[6]q, ca_file: ca.pem}
%[12]s
`, s.addr, s.admin, mode, o.wait, pushsim.ProjectID, s.sim.FCMEndpoint(), o.algorithms, o.guard, secure, o.farewell, o.trusted, o.more)))
	s.serve()
	t.Cleanup(func() {
		s.cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(10*time.Second, func() { s.cmd.Process.Signal(syscall.SIGTERM) })
		defer timer.Stop()
		s.cmd.Wait()
		if t.Failed() {
			t.Logf("server log:\n%s", s.log)
		}
		if strings.Contains(s.log.String(), "secret-token") {
			t.Error("a push token stands in the log")
		}
		if strings.Contains(s.log.String(), "panic") {
			t.Errorf("the server panicked:\n%s", s.log)
		}
	})
	s.awaitReady()
	return s
}

// serve starts the process.
func (s *server) serve() {
	s.t.Helper()
	s.cmd = exec.Command(binary, "serve", "--config", s.config)
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) awaitReady() {
	s.t.Helper()
	s.eventually("ready", 10*time.Second, func() bool { return s.get("/readyz") != "" })
}

// crash ends the process as `kill -9` does, and starts another one.
func (s *server) crash() {
	s.t.Helper()
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.serve()
	s.awaitReady()
}

// get returns what the server says by HTTP, "" if it does not say 200.
func (s *server) get(path string) string {
	resp, err := http.Get("http://" + s.admin + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// listenSecure writes a certificate and returns the listener for it.
func (s *server) listenSecure(host string) string {
	ca := certtest.New(s.t)
	certtest.Write(s.t, s.dir, "sip", ca.Issue(host))
	port := freePort(s.t)
	s.secure, s.ca = fmt.Sprintf("%s:%d", host, port), s.file("sip-ca.pem", ca.PEM())
	return fmt.Sprintf("  - {name: tls, transport: tls, addr: '127.0.0.1:%d', advertise: %q, tls: {cert_file: sip.pem, key_file: sip.key}}", port, s.secure)
}

// at is where the server listens for a transport.
func (s *server) at(transport string) string {
	switch transport {
	case "tls":
		return s.secure
	case "ws":
		return s.ws
	}
	return s.addr
}

func (s *server) file(name string, b []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// onPush has fn called, on a goroutine of its own, when a push to token arrives.
func (s *server) onPush(token string, fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakes[token] = fn
}

func (s *server) pushed(p pushsim.Push) {
	s.mu.Lock()
	fn := s.wakes[p.Token]
	s.mu.Unlock()
	if fn != nil {
		fn()
	}
}

// pushes counts the pushes to a token that were taken.
func (s *server) pushes(token string) int {
	n := 0
	for _, p := range s.sim.Pushes() {
		if p.Token == token {
			n++
		}
	}
	return n
}

// eventually waits until ok, or fails the test.
func (s *server) eventually(what string, limit time.Duration, ok func() bool) {
	s.t.Helper()
	if !within(limit, ok) {
		s.t.Fatalf("not within %s: %s", limit, what)
	}
}

// within polls ok until it is true or limit has passed. Real phones tell nobody
// when they are ready.
func within(limit time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}
}

// freePort returns a port that is free for UDP and TCP.
func freePort(t *testing.T) int {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		p, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		l.Close()
		if err == nil {
			p.Close()
			return port
		}
	}
	t.Fatal("no port is free for both UDP and TCP")
	return 0
}

// safeBuffer collects the output of a process.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
