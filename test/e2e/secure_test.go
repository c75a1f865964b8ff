//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"reveille/internal/tlscert/certtest"
)

// A secureServer listens by TLS alone.
type secureServer struct {
	*server
	cmd       *exec.Cmd
	authority *certtest.Authority
}

func startSecure(t *testing.T) *secureServer {
	t.Helper()
	s := &secureServer{server: &server{t: t, dir: t.TempDir(), log: &safeBuffer{}, wakes: map[string]func(){}}, authority: certtest.New(t)}
	s.addr = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	admin := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s.secure, s.ca = s.addr, s.file("ca.pem", s.authority.PEM())
	s.issue("127.0.0.1", "old.example.com")
	config := s.file("reveille.yaml", fmt.Appendf(nil, `
listen: [{name: tls, transport: tls, addr: %q, tls: {cert_file: sip.pem, key_file: sip.key}}]
domains: [example.com]
http: {addr: %q}
auth:
  mode: {registrar: required, proxy: required}
  offers: [{user_agent: '^baresip v?1\.', algorithms: [MD5]}]
  users: [{name: alice, password: secret}]
`, s.addr, admin))
	s.cmd = exec.Command(binary, "serve", "--config", config)
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.cmd.Process.Signal(syscall.SIGTERM)
		s.cmd.Wait()
		if t.Failed() {
			t.Logf("server log:\n%s", s.log)
		}
	})
	s.eventually("the server starts", 10*time.Second, func() bool {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return s
}

// issue writes another certificate for names.
func (s *secureServer) issue(names ...string) {
	certtest.Write(s.t, s.dir, "sip", s.authority.Issue(names...))
}

// names are those in the certificate that a new connection is shown.
func (s *secureServer) names() []string {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: s.authority.Pool(), ServerName: "127.0.0.1"})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].DNSNames
}

// TestTLS_DeskPhone registers a real phone that verifies the server, whose
// certificate is then replaced under it.
func TestTLS_DeskPhone(t *testing.T) {
	s := startSecure(t)
	s.baresip("alice", "tls")
	if !strings.Contains(s.log.String(), "flow=tls:127.0.0.1:") {
		t.Error("not over TLS")
	}
	s.issue("127.0.0.1", "new.example.com")
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.eventually("new connections see the new certificate", 10*time.Second, func() bool { return s.names()[0] == "new.example.com" })
	s.file("sip.key", []byte("no key"))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.eventually("the log says what is wrong", 10*time.Second, func() bool { return strings.Contains(s.log.String(), "sip.key holds no PEM private key") })
	if got := s.names(); got[0] != "new.example.com" {
		t.Errorf("after a reload that failed the certificate is for %q", got)
	}
	if strings.Contains(s.log.String(), "registration removed") {
		t.Error("the phone's registration is gone")
	}
}

// TestTLS_Openssl asks for what is not given.
func TestTLS_Openssl(t *testing.T) {
	s := startSecure(t)
	for _, tc := range []struct {
		name  string
		input string
		args  []string
		want  string
	}{
		{name: "TLS 1.2", args: []string{"-tls1_2"}, want: "Verify return code: 0 (ok)"},
		{name: "TLS 1.3", args: []string{"-tls1_3"}, want: "Verify return code: 0 (ok)"},
		{name: "TLS 1.1", args: []string{"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"}, want: "alert protocol version"},
		{name: "RSA key exchange", args: []string{"-tls1_2", "-cipher", "AES128-SHA"}, want: "handshake failure"},
		{name: "renegotiation", input: "R\n", args: []string{"-tls1_2"}, want: "alert unexpected message"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := exec.Command("openssl", append([]string{"s_client", "-connect", s.addr, "-CAfile", s.ca}, tc.args...)...)
			out := &safeBuffer{}
			cmd.Stdout, cmd.Stderr = out, out
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			defer cmd.Process.Kill()
			sent := tc.input == ""
			if !within(10*time.Second, func() bool {
				if !sent && strings.Contains(out.String(), "Verify return code") {
					sent = true
					in.Write([]byte(tc.input))
				}
				return strings.Contains(out.String(), tc.want)
			}) {
				t.Errorf("no %q in\n%s", tc.want, bytes.TrimSpace([]byte(out.String())))
			}
		})
	}
}
