package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"reveille/configs"
)

// A server is a registrar under test, in a process of its own.
type server struct {
	name   string
	target netip.AddrPort
	http   string // the address of its metrics, empty for the peer
	cmd    *exec.Cmd
	family family
	log    string // the file of its standard error
	cores  []int  // on which it runs
	// started is when the process was, ready how long it took to serve.
	started time.Time
	ready   time.Duration
}

// startTime bounds the start of a server, with a million bindings to read.
const startTime = time.Minute

// lab is where servers are started.
type lab struct {
	cores  cores
	binary string // reveille
	dir    string // of configurations, stores and logs; on a disk, and removed in the end
}

// reveille starts the server on some cores, with the configuration text, whose
// relative paths start in the lab's folder.
func (l *lab) reveille(text string, on ...int) (*server, error) {
	file := filepath.Join(l.dir, "bench.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	cfg, _, err := configs.Load(file, configs.Env{})
	if err != nil {
		return nil, err
	}
	target, err := netip.ParseAddrPort(cfg.Listen[0].Addr)
	if err != nil {
		return nil, err
	}
	s := &server{name: "reveille", target: target, http: cfg.HTTP.Addr, cores: on, cmd: exec.Command(l.binary, "serve", "--config", file)}
	return s, l.start(s, func() bool {
		client := http.Client{Timeout: time.Second}
		resp, err := client.Get("http://" + cfg.HTTP.Addr + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

//go:embed kamailio.cfg
var kamailioConfig []byte

// errNoPeer says that Kamailio is not installed.
var errNoPeer = errors.New("kamailio is not installed")

//go:embed kamailio-tls.cfg
var kamailioTLSConfig string

// kamailio starts the peer.
func (l *lab) kamailio() (*server, error) { return l.startKamailio(kamailioConfig) }

// kamailioTLS starts the peer with TLS, and the certificate in the lab's folder.
func (l *lab) kamailioTLS() (*server, error) {
	return l.startKamailio([]byte(strings.ReplaceAll(kamailioTLSConfig, "BENCH_DIR", l.dir)))
}

//go:embed kamailio-calls.cfg
var kamailioCallsConfig []byte

// kamailioCalls starts the peer as a proxy.
func (l *lab) kamailioCalls() (*server, error) { return l.startKamailio(kamailioCallsConfig) }

// hasModule is an error if Kamailio has no such module.
func hasModule(name string) error {
	found, err := filepath.Glob("/usr/lib/*/kamailio/modules/" + name)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("kamailio has no %s", name)
	}
	return err
}

func (l *lab) startKamailio(config []byte) (*server, error) {
	binary, err := findKamailio()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(l.dir, "kamailio.cfg")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	args := []string{"-f", file, "-DD", "-E", "-m", "4096", "-M", "16", "-P", filepath.Join(l.dir, "kamailio.pid")}
	modules, err := filepath.Glob("/usr/lib/*/kamailio/modules")
	if err != nil {
		return nil, err
	}
	if len(modules) > 0 {
		args = append(args, "-L", modules[0])
	}
	s := &server{name: "kamailio", target: netip.MustParseAddrPort("127.0.0.1:5977"), cores: []int{l.cores.server}, cmd: exec.Command(binary, args...)}
	if answersOptions(s.target) {
		return nil, fmt.Errorf("another process answers on %s", s.target)
	}
	return s, l.start(s, func() bool { return answersOptions(s.target) })
}

// findKamailio also looks where Debian puts it and users' paths do not lead.
func findKamailio() (string, error) {
	for _, name := range []string{"kamailio", "/usr/sbin/kamailio"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNoPeer
}

// answersOptions reports whether anything answers there.
func answersOptions(target netip.AddrPort) bool {
	conn, err := net.Dial("udp", target.String())
	if err != nil {
		return false
	}
	defer conn.Close()
	fmt.Fprintf(conn, "OPTIONS sip:%[2]s SIP/2.0\r\nVia: SIP/2.0/UDP %[1]s;branch=z9hG4bK0;rport\r\nMax-Forwards: 70\r\nFrom: <sip:%[1]s>;tag=1\r\n"+
		"To: <sip:%[2]s>\r\nCall-ID: %[1]s\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", conn.LocalAddr(), target)
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 2048))
	return err == nil
}

// start starts a server and waits until it serves.
func (l *lab) start(s *server, ready func() bool) error {
	s.log = filepath.Join(l.dir, s.name+".log")
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // The server has its own.
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.started = time.Now()
	if err := startOn(s.cores, s.cmd); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	for !ready() {
		if time.Since(s.started) > startTime {
			return errors.Join(fmt.Errorf("%s does not serve: %s", s.name, s.tail()), s.kill())
		}
		time.Sleep(5 * time.Millisecond)
		if alive := s.cmd.Process.Signal(syscall.Signal(0)); alive != nil || s.ended() {
			return fmt.Errorf("%s ended: %s", s.name, s.tail())
		}
	}
	s.ready = time.Since(s.started)
	// Kamailio goes on making children for a moment.
	time.Sleep(time.Second)
	s.family = familyOf(s.cmd.Process.Pid)
	return nil
}

// ended reports whether the process is one that has ended and was not waited for.
func (s *server) ended() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	return err != nil || isZombie(text)
}

// tail is the end of what the server logged.
func (s *server) tail() string {
	const end = 2000
	f, err := os.Open(s.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return cmp.Or(string(text[max(0, len(text)-end):]), "it said nothing")
}

// stopTime bounds the orderly end of a server.
const stopTime = 20 * time.Second

// stop ends the server in order.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	defer time.AfterFunc(stopTime, func() { s.cmd.Process.Kill() }).Stop() //nolint:errcheck // It may have ended.
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("end of %s: %w: %s", s.name, err, s.tail())
	}
	return nil
}

// killAll ends the server and its children as kill -9 does.
func (s *server) killAll() error {
	for _, pid := range s.family {
		if pid != s.cmd.Process.Pid {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // It may have ended.
		}
	}
	return s.kill()
}

// kill ends the server as kill -9 does.
func (s *server) kill() error {
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	s.cmd.Wait() //nolint:errcheck // It was killed.
	return nil
}
