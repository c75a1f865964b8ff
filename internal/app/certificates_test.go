package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/tlscert"
	"reveille/internal/tlscert/certtest"
)

const tlsYAML = `listen: [{name: udp, transport: udp, addr: "127.0.0.1:0"}, {name: tcp, transport: tcp, addr: "127.0.0.1:0"}, ` +
	`{name: tls, transport: tls, addr: "127.0.0.1:0", tls: {cert_file: sip.pem, key_file: sip.key}}]`

// newTLSRig is newRig with a TLS listener. replace writes another certificate.
func newTLSRig(t *testing.T, a *certtest.Authority, name string) (r *rig, replace func(name string)) {
	t.Helper()
	dir := t.TempDir()
	put := func(name string) { certtest.Write(t, dir, "sip", a.Issue(name)) }
	put(name)
	listen := strings.NewReplacer("sip.pem", filepath.Join(dir, "sip.pem"), "sip.key", filepath.Join(dir, "sip.key")).Replace(tlsYAML)
	return newRig(t, openYAML, listen), put
}

// A secured is a phone's TLS connection.
type secured struct {
	*tls.Conn
	t      *testing.T
	answer *bufio.Reader
	cseq   int
}

func (r *rig) secured(a *certtest.Authority) *secured {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.Addr("tls").String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	// The name is what the test is about: only the authority is checked.
	c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, RootCAs: a.Pool()})
	if err := c.Handshake(); err != nil {
		r.t.Fatal(err)
	}
	return &secured{Conn: c, t: r.t, answer: bufio.NewReader(c)}
}

// name is that in the server's certificate.
func (s *secured) name() string { return s.ConnectionState().PeerCertificates[0].DNSNames[0] }

// register sends a REGISTER without credentials and returns the status line.
func (s *secured) register(user string) string {
	s.t.Helper()
	s.cseq++
	local := s.LocalAddr()
	if _, err := fmt.Fprintf(s, "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS %[1]s;branch=z9hG4bK%[2]d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%[3]s@example.com>;tag=1\r\nTo: <sip:%[3]s@example.com>\r\nCall-ID: %[1]s\r\nCSeq: %[2]d REGISTER\r\n"+
		"Contact: <sip:%[3]s@%[1]s;transport=tls>\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n", local, s.cseq, user); err != nil {
		s.t.Fatal(err)
	}
	first, err := s.answer.ReadString('\n')
	for line := first; err == nil && line != "\r\n"; {
		line, err = s.answer.ReadString('\n')
	}
	if err != nil {
		s.t.Fatalf("answer %q: %v", first, err)
	}
	return strings.TrimSpace(first)
}

func TestTLS_CertificatesAreReplacedByReload(t *testing.T) {
	a := certtest.New(t)
	r, replace := newTLSRig(t, a, "old.example.com")
	const ok = "SIP/2.0 200 OK"
	open := r.secured(a)
	if got := open.register("alice"); got != ok || open.name() != "old.example.com" {
		t.Fatalf("REGISTER: %q by %s", got, open.name())
	}
	cfg := r.App.config
	replace("new.example.com")
	if err := r.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if got := r.secured(a).name(); got != "new.example.com" {
		t.Errorf("a new connection was shown %s", got)
	}
	if got := open.register("alice"); got != ok {
		t.Errorf("REGISTER on the connection from before: %q", got)
	}
	if n := testutil.CollectAndCount(tlscert.NewExpiry(r.certSources)); n != 1 {
		t.Errorf("%d times of expiry are told", n)
	}

	// What cannot be used changes nothing, and says why.
	_, key := certtest.PEM(t, a.Issue("other.example.com"))
	certtest.WriteFile(t, string(cfg.Listen[2].TLS.KeyFile), key)
	err := r.Reload(cfg)
	if err == nil || !strings.Contains(err.Error(), "listen[tls].tls") || !strings.Contains(err.Error(), "sip.key is not the key of the certificate in ") {
		t.Errorf("Reload = %v", err)
	}
	if err := Check(cfg); err == nil || !strings.Contains(err.Error(), "sip.key is not the key") {
		t.Errorf("Check = %v", err)
	}
	if got := r.secured(a).name(); got != "new.example.com" {
		t.Errorf("after a reload that failed a connection was shown %s", got)
	}
	if got := open.register("alice"); got != ok {
		t.Errorf("REGISTER after a reload that failed: %q", got)
	}
}

func TestTLS_RegistersOverIPv6(t *testing.T) {
	a := certtest.New(t)
	dir := t.TempDir()
	cert, key := certtest.Write(t, dir, "sip", a.Issue("sip.example.com"))
	r := newRig(t, openYAML, fmt.Sprintf(`listen: [{name: tls, transport: tls, addr: "[::1]:0", tls: {cert_file: %s, key_file: %s}}]`, cert, key))
	if got := r.secured(a).register("alice"); got != "SIP/2.0 200 OK" {
		t.Errorf("REGISTER: %q", got)
	}
}

// TestCertificates_WarnsBeforeTheEnd looks at what is logged.
func TestCertificates_WarnsBeforeTheEnd(t *testing.T) {
	a := certtest.New(t)
	dir := t.TempDir()
	var o tlscert.Options
	for name, end := range map[string]time.Duration{"long": 60 * 24 * time.Hour, "soon": 10 * 24 * time.Hour, "over": -time.Minute} {
		tmpl := certtest.Template(t, "sip.example.com")
		tmpl.NotAfter = time.Now().Add(end)
		cert, key := certtest.Write(t, dir, name, a.IssueWith(tmpl))
		o.Pairs = append(o.Pairs, tlscert.Pair{CertFile: cert, KeyFile: key})
	}
	set, err := tlscert.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sources := map[string]*tlscert.Source{"tls": tlscert.NewSource(set)}
	watchExpiry(ctx, func() map[string]*tlscert.Source { return sources }, log)
	for _, want := range []string{`level=WARN msg="certificate ends soon" listener=tls file=` + dir + "/soon.pem", `level=ERROR msg="certificate has expired" listener=tls file=` + dir + "/over.pem"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("logged %q, want %q in it", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "long.pem") {
		t.Errorf("logged %q", out.String())
	}
}

// A load balancer's connections are told apart by the address in their header.
func TestProxyProtocol_FlowsAreThoseOfClients(t *testing.T) {
	r := newRig(t, openYAML, `listen: [{name: tcp, transport: tcp, addr: "127.0.0.1:0", proxy_protocol: [127.0.0.0/8]}]`)
	c, err := net.Dial("tcp", r.Addr("tcp").String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "PROXY TCP4 198.51.100.7 203.0.113.1 40000 5060\r\n"+
		"OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP phone.invalid;branch=z9hG4bK1;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var answer strings.Builder
	for in := bufio.NewReader(c); !strings.HasSuffix(answer.String(), "\r\n\r\n"); {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("answer %q: %v", answer.String(), err)
		}
		answer.WriteString(line)
	}
	if !strings.Contains(answer.String(), "received=198.51.100.7") || !strings.Contains(answer.String(), "rport=40000") {
		t.Errorf("answer %q", answer.String())
	}
}
