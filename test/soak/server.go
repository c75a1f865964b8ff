package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"reveille/push/pushsim"
)

// How long the server waits for a phone. Scenes are longer than that.
const (
	wakeWait = 10 * time.Second
	// lifetime of a registration, and when a phone is woken before its end: each is
	// refreshed every two minutes.
	lifetime = 4 * time.Minute
	trigger  = 2 * time.Minute
)

// transports are those of the phones.
func transports() []string { return []string{"udp", "tcp", "tls", "ws"} }

// A server is a process under test.
type server struct {
	cmd *exec.Cmd
	// ended is closed when the process has; err is what became of it.
	ended chan struct{}
	err   error
	http  string
	// at is where it listens, by transport.
	at    map[string]string
	roots *x509.CertPool
	log   string // a file
}

// startServer starts the binary, and waits until it serves.
func startServer(binary, dir string, users int, sim *pushsim.Server) (_ *server, err error) {
	s := &server{at: map[string]string{}, ended: make(chan struct{}), log: filepath.Join(dir, "server.log")}
	if s.roots, err = writeCertificate(dir); err != nil {
		return nil, err
	}
	if s.http, err = freeAddr("tcp"); err != nil {
		return nil, err
	}
	for _, t := range transports() {
		network := "tcp"
		if t == "udp" {
			network = "udp"
		}
		if s.at[t], err = freeAddr(network); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(dir, "reveille.yaml")
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "ca.pem"), sim.Credentials().CAPEM(), 0o600),
		os.WriteFile(filepath.Join(dir, "fcm.json"), sim.ServiceAccountJSON(), 0o600),
		os.WriteFile(filepath.Join(dir, "key.p8"), sim.Credentials().KeyP8(), 0o600),
		os.WriteFile(config, []byte(s.config(users, sim)), 0o600),
	)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // The server has its own.
	s.cmd = exec.Command(binary, "serve", "--config", config)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	for deadline := time.Now().Add(patience); ; {
		if _, err = s.metrics(); err == nil {
			return s, nil
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(fmt.Errorf("the server does not serve: %w", err), s.stop())
		}
		select {
		case <-s.ended:
			return nil, s.alive()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *server) config(users int, sim *pushsim.Server) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
listen:
  - {name: udp, transport: udp, addr: %q}
  - {name: tcp, transport: tcp, addr: %q}
  - {name: tls, transport: tls, addr: %q, tls: {cert_file: sip.pem, key_file: sip.key}}
  - {name: ws, transport: ws, addr: %q}
transport: {max_conns_per_source: 20000}
domains: [%s]
http: {addr: %q}
log: {level: warn}
# The machine may be busy with something else.
overload: {target: 0s}
registrar:
  expires: {min: 1m}
guard:
  per_aor: {registers: 6000, calls: 6000, burst: 1000}
push:
  expires: {min: %[7]s}
  trigger_interval: %[8]s
  trigger_intervals: {fcm: %[8]s, apns: %[8]s}
  refresh: {per_hour: 3600}
  learn: {enabled: false}
  wait: {invite: {default: %[9]s}, message: %[9]s, in_dialog: %[9]s}
  apps:
    - name: android
      param: %[10]s
      fcm: {service_account_file: fcm.json, endpoint: %[11]q, ca_file: ca.pem}
    - name: ios
      param: %[12]s.%[13]s.*
      apns: {key_file: key.p8, key_id: %[14]s, team_id: %[12]s, host: %[15]q, ca_file: ca.pem}
auth:
  mode: {registrar: required, proxy: required}
  limit: {per_source: 0}
  users:
`, s.at["udp"], s.at["tcp"], s.at["tls"], s.at["ws"], domain, s.http, lifetime, trigger, wakeWait,
		pushsim.ProjectID, sim.FCMEndpoint(), pushsim.TeamID, pushsim.BundleID, pushsim.KeyID, sim.URL())
	for i := range users {
		fmt.Fprintf(&b, "    - {name: %s, password: %s}\n", userName(i), password)
	}
	return b.String()
}

// freeAddr is an address at which nobody listens.
func freeAddr(network string) (string, error) {
	if network == "udp" {
		c, err := net.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		return c.LocalAddr().String(), c.Close()
	}
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// writeCertificate makes the server's for 127.0.0.1 and returns whom to trust.
func writeCertificate(dir string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
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
		os.WriteFile(filepath.Join(dir, "sip.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(filepath.Join(dir, "sip.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}

// alive is an error if the process has ended.
func (s *server) alive() error {
	select {
	case <-s.ended:
		return fmt.Errorf("the server has ended: %w\n%s", s.err, s.tail())
	default:
		return nil
	}
}

// metrics are the server's samples, with those of one name added up.
func (s *server) metrics() (map[string]float64, error) {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + s.http + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the metrics: %s", resp.Status)
	}
	return readMetrics(resp.Body)
}

// readMetrics reads Prometheus' text format.
func readMetrics(r io.Reader) (map[string]float64, error) {
	all := map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		name, value := line[:strings.IndexAny(line+" ", "{ ")], line[strings.LastIndexByte(line, ' ')+1:]
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
		all[name] += v
	}
	return all, lines.Err()
}

// stop ends the server in order; anything else than exit code 0 is wrong.
func (s *server) stop() error {
	if err := s.alive(); err != nil {
		return err
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	timer := time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() }) // It may have ended.
	defer timer.Stop()
	<-s.ended
	if s.err != nil {
		return fmt.Errorf("end of the server: %w\n%s", s.err, s.tail())
	}
	text, err := os.ReadFile(s.log)
	if bytes.Contains(text, []byte("panic")) {
		err = errors.Join(err, fmt.Errorf("the server panicked:\n%s", s.tail()))
	}
	return err
}

// tail is the end of what the server logged.
func (s *server) tail() string {
	const end = 4000
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-end):])
}
