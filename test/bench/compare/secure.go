package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// secureOptions say how much is done over TLS.
type secureOptions struct {
	conns   int           // that stay open, each of one phone
	rounds  int           // of all contenders
	seconds time.Duration // of handshakes, and of refreshes
	settle  time.Duration // before memory is read
	configs string        // the folder of bench.yaml
}

// A certificate is one kind of the server's.
type certificate struct {
	name string
	key  func() (crypto.Signer, error)
}

// certificates are those in wide use.
func certificates() []certificate {
	return []certificate{
		{"P-256", func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
		{"RSA 2048", func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }},
	}
}

// The files of the server's certificate and key, beside its configuration.
const certFile, keyFile = "bench.pem", "bench.key"

// issue writes a certificate for 127.0.0.1 into a folder, and returns who believes
// it.
func (c certificate) issue(dir string) (*x509.CertPool, error) {
	key, err := c.key()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool, errors.Join(
		os.WriteFile(filepath.Join(dir, certFile), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(filepath.Join(dir, keyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}

// A secureOutcome is a server with one kind of certificate, and what it came to.
type secureOutcome struct {
	name   string
	peer   bool
	cert   certificate
	web    bool // by WebSocket over TLS
	start  func(*lab) (*server, error)
	series series
}

// secureContenders are all, the peer before the server for each certificate.
func secureContenders(folder string, progress io.Writer) ([]secureOutcome, error) {
	text, err := os.ReadFile(filepath.Join(folder, "bench.yaml"))
	if err != nil {
		return nil, err
	}
	starts := map[string]func(*lab) (*server, error){}
	for _, transport := range []string{"tls", "wss"} {
		config, err := overTLS(string(text), transport)
		if err != nil {
			return nil, err
		}
		starts[transport] = func(l *lab) (*server, error) { return l.reveille(config, l.cores.server) }
	}
	_, absent := findKamailio()
	if absent == nil {
		absent = hasModule("tls.so")
	}
	if absent != nil {
		fmt.Fprintf(progress, "%v: there will be no ratios\n", absent)
	}
	var list []secureOutcome
	for _, c := range certificates() {
		if absent == nil {
			list = append(list, secureOutcome{name: "Kamailio, " + c.name, peer: true, cert: c, start: (*lab).kamailioTLS})
		}
		list = append(list, secureOutcome{name: "reveille, " + c.name, cert: c, start: starts["tls"]})
	}
	first := certificates()[0]
	list = append(list, secureOutcome{name: "reveille, " + first.name + ", WSS", cert: first, web: true, start: starts["wss"]})
	return list, nil
}

// errNoListener says that bench.yaml is not what it was.
var errNoListener = errors.New("bench.yaml has no UDP listener in a line of its own")

// overTLS has a configuration listen by tls or wss instead of UDP.
func overTLS(config, transport string) (string, error) {
	const old = `{name: udp, transport: udp, addr: "127.0.0.1:5974"}`
	if !strings.Contains(config, old) {
		return "", errNoListener
	}
	new := fmt.Sprintf(`{name: %[1]s, transport: %[1]s, addr: "127.0.0.1:5974", tls: {cert_file: %s, key_file: %s}}`, transport, certFile, keyFile)
	return strings.Replace(config, old, new, 1) + "transport: {max_conns_per_source: 20000}\n", nil
}

// secure runs all rounds.
func secure(l *lab, o secureOptions, progress io.Writer) ([]secureOutcome, error) {
	all, err := secureContenders(o.configs, progress)
	if err != nil {
		return nil, err
	}
	for round := range o.rounds {
		for i := range all {
			f, err := secureOne(l, &all[i], o)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
			all[i].series = append(all[i].series, f)
			fmt.Fprintf(progress, "round %d, %-21s handshake %s, refresh %s, %s B\n", round+1, all[i].name+":",
				series{f}.show(handshakeCPU, micro), series{f}.show(refreshCPU, micro), series{f}.show(perBinding, thousands))
		}
	}
	return all, nil
}

// secureOne measures one server with one certificate.
func secureOne(l *lab, c *secureOutcome, o secureOptions) (f figures, err error) {
	pool, err := c.cert.issue(l.dir)
	if err != nil {
		return f, err
	}
	s, err := c.start(l)
	if err != nil {
		return f, err
	}
	end := s.stop
	if c.peer {
		// It takes tens of seconds to end in order with so many connections.
		end = s.killAll
	}
	defer func() { err = errors.Join(err, end()) }()
	// X25519 is what phones and both servers have; the server would take a hybrid
	// with ML-KEM that the peer does not know.
	p := securePhones{server: s, web: c.web, config: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}}
	f[handshakeCPU], f[perBinding], f[refreshCPU] = unanswered(), unanswered(), unanswered()
	err = p.all(&f, o)
	if closed := p.close(); c.peer && silent(err) {
		// That is its outcome. Nor do its connections end in order.
		return f, nil
	} else {
		return f, errors.Join(err, closed)
	}
}

// all takes the figures of one server, as far as it answers.
func (p *securePhones) all(f *figures, o secureOptions) error {
	cpu, err := p.handshakes(o.seconds)
	if err != nil {
		return err
	}
	f[handshakeCPU] = cpu
	time.Sleep(o.settle)
	empty, err := p.server.family.pss()
	if err != nil {
		return err
	}
	if err := p.connect(o.conns); err != nil {
		return err
	}
	time.Sleep(o.settle)
	full, err := p.server.family.pss()
	if err != nil {
		return err
	}
	f[perBinding] = float64(full-empty) / float64(o.conns)
	if cpu, err = p.refresh(o.seconds); err != nil {
		return err
	}
	f[refreshCPU] = cpu
	return nil
}

// silent reports whether a server did not answer in time, or hung up.
func silent(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF)
}

// secureTable shows what secure measured.
func secureTable(outcomes []secureOutcome) string {
	t := newTable("", "handshake", "ratio", "refresh", "ratio", "bytes a connection")
	peers := map[string]series{} // by certificate
	for _, o := range outcomes {
		shake, refresh := "", ""
		if o.peer {
			peers[o.cert.name] = o.series
		} else {
			shake, refresh = ratio(o.series.against(peers[o.cert.name], handshakeCPU)), ratio(o.series.against(peers[o.cert.name], refreshCPU))
		}
		t.row(o.name, o.series.show(handshakeCPU, micro), shake, o.series.show(refreshCPU, micro), refresh, o.series.show(perBinding, thousands))
	}
	return t.b.String()
}
