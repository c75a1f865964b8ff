package app

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/internal/tlscert/certtest"
)

// A peer is trusted by the name in the certificate that it proves to own.
func TestTrusted_ByCertificate(t *testing.T) {
	t.Parallel()
	ours, others := certtest.New(t), certtest.New(t)
	dir := t.TempDir()
	certtest.Write(t, dir, "sip", ours.Issue("sip.example.com"))
	clients := filepath.Join(dir, "clients.pem")
	if err := os.WriteFile(clients, ours.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	listen := fmt.Sprintf(`listen: [{name: tls, transport: tls, addr: "127.0.0.1:0", tls: {cert_file: %q, key_file: %q, client_auth: request, client_ca_file: %q}}]`,
		filepath.Join(dir, "sip.pem"), filepath.Join(dir, "sip.key"), clients)
	const users = `users: [{name: alice, password: secret}], trusted: [{certificate: GW.example.net}]`
	for _, tt := range []struct {
		name, auth  string
		certificate *tls.Certificate
		want        string
	}{
		{"the peer", "{mode: {registrar: required}, " + users + "}", new(ours.Issue("gw.example.net")), "200"},
		{"another peer", "{mode: {registrar: required}, " + users + "}", new(ours.Issue("gw.example.org")), "401"},
		{"a peer whose certificate others signed", "{mode: {registrar: required}, " + users + "}", new(others.Issue("gw.example.net")), "401"},
		{"nobody", "{mode: {registrar: required}, " + users + "}", nil, "401"},
		{"the peer, switched off", "{mode: {registrar: required}, identify_by: [ip, auth_username], " + users + "}", new(ours.Issue("gw.example.net")), "401"},
		{"the peer, where nobody else may", "{mode: {registrar: off}, " + users + "}", new(ours.Issue("gw.example.net")), "200"},
		{"another peer, where nobody else may", "{mode: {registrar: off}, " + users + "}", new(ours.Issue("gw.example.org")), "403"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, listen, "auth: "+tt.auth)
			c := &tls.Config{RootCAs: ours.Pool(), ServerName: "sip.example.com"}
			if tt.certificate != nil {
				c.Certificates = []tls.Certificate{*tt.certificate}
			}
			if got := r.connect(c).register("alice"); !strings.HasPrefix(got, "SIP/2.0 "+tt.want+" ") {
				t.Errorf("REGISTER: %s, want %s", got, tt.want)
			}
		})
	}
}

// connect returns a TLS connection to the listener tls.
func (r *rig) connect(config *tls.Config) *secured {
	r.t.Helper()
	c := tls.Client(r.dialTLS(), config)
	if err := c.HandshakeContext(r.within()); err != nil {
		r.t.Fatal(err)
	}
	return &secured{Conn: c, t: r.t, answer: bufio.NewReader(c)}
}

// dialTLS connects to the listener tls, below TLS.
func (r *rig) dialTLS() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr("tls").String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return c
}
