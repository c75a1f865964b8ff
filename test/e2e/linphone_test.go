//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A linphone is a real phone app. Killing it is a phone that sleeps (with push
// on it does not un-register); starting it again, from another port, is a phone
// that wakes.
type linphone struct {
	t         *testing.T
	s         *server
	user      string
	transport string
	// token is its push token; "" for a phone without push.
	token  string
	answer bool
	home   string
	pipe   string

	mu      sync.Mutex // guards control and cmd
	control net.Conn
	cmd     *exec.Cmd
}

var pipes atomic.Int64

func (s *server) linphone(user, transport, token string, answer bool) *linphone {
	p := &linphone{t: s.t, s: s, user: user, transport: transport, token: token, answer: answer, home: s.t.TempDir()}
	p.pipe = fmt.Sprintf("reveille-e2e-%d-%d", os.Getpid(), pipes.Add(1))
	if err := os.MkdirAll(filepath.Join(p.home, ".local/share/linphone"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		p.kill()
		os.Remove(filepath.Join("/tmp", p.pipe))
		if s.t.Failed() {
			b, _ := os.ReadFile(filepath.Join(p.home, "l.log"))
			s.t.Logf("log of %s's phone, shortened:\n%s", user, sipLines(string(b)))
		}
	})
	return p
}

var noise = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d .*\n`)

func sipLines(s string) string { return noise.ReplaceAllString(s, "") }

// wake starts the phone on a new port. It may be called from any goroutine.
func (p *linphone) wake() {
	port := freePort(p.t)
	rc := filepath.Join(p.home, "rc")
	// What the app keeps, such as its instance, is kept; ports change.
	conf := ""
	if b, err := os.ReadFile(rc); err == nil {
		conf = regexp.MustCompile(`(?m)^(sip_port|sip_tcp_port|sip_tls_port)=.*$`).ReplaceAllString(string(b), fmt.Sprintf("$1=%d", port))
		conf = regexp.MustCompile(`(?m)^push_parameters=.*$`).ReplaceAllString(conf, p.pushParameters())
	} else {
		conf = fmt.Sprintf(`[sip]
sip_port=%[1]d
sip_tcp_port=%[1]d
sip_tls_port=%[1]d
root_ca=%[7]s
default_proxy=0
register_only_when_network_is_up=0
auto_net_state_mon=0
bind_address=127.0.0.1
use_ipv6=0
[net]
push_notification=1
[sound]
playback_dev_id=NULL
[proxy_0]
reg_proxy=<sip:%[2]s;transport=%[3]s>
reg_route=<sip:%[2]s;transport=%[3]s;lr>
reg_identity=sip:%[4]s@example.com
reg_expires=600
reg_sendregister=1
push_notification_allowed=%[5]d
remote_push_notification_allowed=%[5]d
%[6]s
[auth_info_0]
username=%[4]s
passwd=secret
realm=example.com
domain=example.com
`, port, p.s.at(p.transport), p.transport, p.user, min(len(p.token), 1), p.pushParameters(), p.s.ca)
	}
	if err := os.WriteFile(rc, []byte(conf), 0o600); err != nil {
		p.t.Error(err)
		return
	}
	os.Remove(filepath.Join("/tmp", p.pipe))
	args := []string{"--config", rc, "--pipe", p.pipe, "--log", filepath.Join(p.home, "l.log")}
	if p.answer {
		args = append(args, "--auto-answer")
	}
	cmd := exec.Command("linphone-daemon", args...)
	cmd.Env = append(os.Environ(), "HOME="+p.home)
	cmd.Dir = p.home
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := cmd.Start(); err != nil {
		p.t.Error(err)
		return
	}
	p.cmd, p.control = cmd, nil
}

func (p *linphone) pushParameters() string {
	if p.token == "" {
		return ""
	}
	return "push_parameters=pn-provider=fcm;pn-param=demo-project;pn-prid=" + p.token
}

// register starts the phone and waits until it is registered.
func (p *linphone) register() *linphone {
	p.t.Helper()
	p.wake()
	p.s.eventually(p.user+" registers", 15*time.Second, func() bool {
		return strings.Contains(p.do("register-status ALL"), "LinphoneRegistrationOk")
	})
	return p
}

// kill ends the phone at once.
func (p *linphone) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.cmd = nil
}

// do sends a command to the phone and returns its answer, "" if it cannot be
// asked. The daemon likes one lasting connection better than many short ones.
func (p *linphone) do(command string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range 50 {
		if answer := p.ask(command); answer != "" {
			return answer
		}
		<-time.After(20 * time.Millisecond)
	}
	return ""
}

func (p *linphone) ask(command string) string {
	if p.control == nil {
		c, err := net.Dial("unix", filepath.Join("/tmp", p.pipe))
		if err != nil {
			return ""
		}
		p.control = c
	}
	p.control.SetDeadline(time.Now().Add(2 * time.Second))
	b := make([]byte, 16<<10)
	_, err := p.control.Write([]byte(command + "\n"))
	n := 0
	if err == nil {
		n, err = p.control.Read(b)
	}
	if err != nil {
		p.control.Close()
		p.control = nil
		return ""
	}
	return string(b[:n])
}

// talks reports whether the phone has an established call.
func (p *linphone) talks() bool {
	return strings.Contains(p.do("call-status"), "LinphoneCallStreamsRunning")
}

// idle reports whether the phone has no call.
func (p *linphone) idle() bool {
	return strings.Contains(p.do("call-status"), "Error")
}

// wire returns the start lines of the SIP messages that the phone saw.
func (p *linphone) wire() string {
	b, err := os.ReadFile(filepath.Join(p.home, "l.log"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// invites counts the different INVITEs that the phone received, by branch.
func (p *linphone) invites() int {
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^INVITE sip:\S+ SIP/2\.0\r?\nVia: \S+ \S*?branch=([^;\s]+)`).FindAllStringSubmatch(p.wire(), -1) {
		seen[m[1]] = true
	}
	return len(seen)
}
