package tlscert

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/tlscert/certtest"
)

// load returns a Set of certificates, each for one list of names.
func load(t *testing.T, a *certtest.Authority, o Options, names ...[]string) *Set {
	t.Helper()
	dir := t.TempDir()
	for _, list := range names {
		cert, key := certtest.Write(t, dir, list[0], a.Issue(list...))
		o.Pairs = append(o.Pairs, Pair{cert, key})
	}
	s, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// meet runs a handshake and returns both ends. Each has sent the other a byte.
func meet(t *testing.T, server, client *tls.Config) (near, far *tls.Conn, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan *tls.Conn, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		c := tls.Server(nc, server)
		if _, err := c.Write([]byte{1}); err != nil {
			c.Close()
		}
		accepted <- c
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near = tls.Client(nc, client)
	t.Cleanup(func() { near.Close() })
	err = swap(near)
	far = <-accepted
	t.Cleanup(func() { far.Close() })
	return near, far, err
}

// swap reads a byte.
func swap(c io.Reader) error {
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func shown(c *tls.Conn) string { return c.ConnectionState().PeerCertificates[0].DNSNames[0] }

func TestSource_PicksByName_RFC5922_7_8(t *testing.T) {
	a := certtest.New(t)
	s := NewSource(load(t, a, Options{}, []string{"sip.example.com"}, []string{"sip.example.net", "sip.example.org"}, []string{"*.example.edu"}))
	for _, tc := range []struct{ ask, want string }{
		{ask: "sip.example.com", want: "sip.example.com"},
		{ask: "SIP.example.NET", want: "sip.example.net"},
		{ask: "sip.example.org", want: "sip.example.net"},
		{ask: "phone.example.edu", want: "*.example.edu"},
		{ask: "other.example.com", want: "sip.example.com"},
		{ask: "", want: "sip.example.com"},
	} {
		c, _, err := meet(t, s.Server(), &tls.Config{ServerName: tc.ask, InsecureSkipVerify: true})
		if err != nil {
			t.Fatalf("%q: %v", tc.ask, err)
		}
		if got := shown(c); got != tc.want {
			t.Errorf("asked for %q, was shown %q, want %q", tc.ask, got, tc.want)
		}
	}
}

func TestSource_ReplaceKeepsConnectionsAndSessions(t *testing.T) {
	a := certtest.New(t)
	s := NewSource(load(t, a, Options{}, []string{"old.example.com"}))
	client := &tls.Config{ServerName: "old.example.com", RootCAs: a.Pool(), ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	near, far, err := meet(t, s.Server(), client)
	if err != nil {
		t.Fatal(err)
	}
	s.Replace(load(t, a, Options{}, []string{"new.example.com"}))
	for range 2 {
		if _, err := near.Write([]byte{2}); err != nil {
			t.Fatal(err)
		}
		if err := swap(far); err != nil {
			t.Errorf("the open connection: %v", err)
		}
	}
	c, _, err := meet(t, s.Server(), &tls.Config{ServerName: "new.example.com", RootCAs: a.Pool()})
	if err != nil {
		t.Fatalf("a new connection: %v", err)
	}
	if got := shown(c); got != "new.example.com" {
		t.Errorf("a new connection was shown %q", got)
	}
	again, _, err := meet(t, s.Server(), client)
	if err != nil || !again.ConnectionState().DidResume {
		t.Errorf("a session from before: %v, resumed %v", err, err == nil && again.ConnectionState().DidResume)
	}
}

func TestLoad_ClientsAndVersions(t *testing.T) {
	a, stranger := certtest.New(t), certtest.New(t)
	ca := t.TempDir() + "/ca.pem"
	certtest.WriteFile(t, ca, a.PEM())
	suite, ok := Cipher("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
	if !ok {
		t.Fatal("a suite of TLS 1.2 is unknown")
	}
	own, foreign := a.Issue("proxy.example.com"), stranger.Issue("proxy.example.com")
	offer := func(c *tls.Certificate) func(*tls.Config) {
		return func(cfg *tls.Config) {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
		}
	}
	for _, tc := range []struct {
		name   string
		o      Options
		client func(*tls.Config)
		ok     bool
	}{
		{name: "plain", client: func(*tls.Config) {}, ok: true},
		{name: "TLS 1.1", client: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }},
		{name: "TLS 1.2", client: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, ok: true},
		{name: "TLS 1.2 below the minimum", o: Options{MinVersion: tls.VersionTLS13}, client: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }},
		{name: "suite allowed", o: Options{Ciphers: []uint16{suite}}, client: func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, ok: true},
		{name: "suite not allowed", o: Options{Ciphers: []uint16{suite}}, client: func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		}},
		{name: "none, not asked", client: offer(&foreign), ok: true},
		{name: "none, may", o: Options{ClientAuth: Request, ClientCA: ca}, client: func(*tls.Config) {}, ok: true},
		{name: "ours, may", o: Options{ClientAuth: Request, ClientCA: ca}, client: offer(&own), ok: true},
		{name: "a stranger's, may", o: Options{ClientAuth: Request, ClientCA: ca}, client: offer(&foreign)},
		{name: "none, must", o: Options{ClientAuth: Require, ClientCA: ca}, client: func(*tls.Config) {}},
		{name: "ours, must", o: Options{ClientAuth: Require, ClientCA: ca}, client: offer(&own), ok: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := NewSource(load(t, a, tc.o, []string{"sip.example.com"}))
			cfg := &tls.Config{ServerName: "sip.example.com", RootCAs: a.Pool()}
			tc.client(cfg)
			if _, _, err := meet(t, s.Server(), cfg); (err == nil) != tc.ok {
				t.Errorf("handshake: %v", err)
			}
		})
	}
}

func TestLoad_Client(t *testing.T) {
	a := certtest.New(t)
	ca := t.TempDir() + "/ca.pem"
	certtest.WriteFile(t, ca, a.PEM())
	s := NewSource(load(t, a, Options{ServerCA: ca, MinVersion: tls.VersionTLS13}, []string{"sip.example.com"}))
	if c := s.Client(); !c.RootCAs.Equal(a.Pool()) || len(c.Certificates) != 1 || c.MinVersion != tls.VersionTLS13 {
		t.Errorf("client side %+v", c)
	}
	s.Replace(load(t, a, Options{}, []string{"sip.example.com"}))
	if s.Client().RootCAs != nil {
		t.Error("without a file the authorities are not those of the machine")
	}
}

func TestLoad_SaysAllThatIsWrong(t *testing.T) {
	_, err := Load(Options{Pairs: []Pair{{"/none/a.pem", "/none/a.key"}, {"/none/b.pem", ""}}, ClientAuth: Require, ServerCA: "/none/ca.pem"})
	for _, want := range []string{"/none/a.pem", "/none/b.pem", "no authorities for the certificates of clients", "/none/ca.pem"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %v, want %q in it", err, want)
		}
	}
	if _, err := Load(Options{}); err == nil {
		t.Error("a Set without a certificate")
	}
}

func TestCipher(t *testing.T) {
	for _, name := range []string{"", "TLS_RSA_WITH_RC4_128_SHA", "TLS_AES_128_GCM_SHA256", "tls_ecdhe_rsa_with_aes_128_gcm_sha256"} {
		if _, ok := Cipher(name); ok {
			t.Errorf("%q is accepted", name)
		}
	}
	const name = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
	if id, ok := Cipher(name); !ok || id != tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 {
		t.Errorf("Cipher(%q) = %v, %v", name, id, ok)
	}
}

func TestExpiry(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	leaves := []Leaf{{"a", now.Add(-time.Hour)}, {"b", now.Add(Soon)}, {"c", now.Add(Soon - time.Second)}}
	if diff := cmp.Diff([]Leaf{leaves[0], leaves[2]}, Expiring(leaves, now)); diff != "" {
		t.Error(diff)
	}
	s := &Set{leaves: []Leaf{{"/a.pem", time.Unix(1900000000, 0)}, {"/a.pem", time.Unix(1900000000, 0)}, {"/b.pem", time.Unix(1900000100, 0)}}}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(NewExpiry(func() map[string]*Source { return map[string]*Source{"tls": NewSource(s)} }))
	want := `
# HELP reveille_tlscert_expiry_timestamp_seconds When a listener's certificate ends, in seconds since 1970.
# TYPE reveille_tlscert_expiry_timestamp_seconds gauge
reveille_tlscert_expiry_timestamp_seconds{file="/a.pem",listener="tls"} 1.9e+09
reveille_tlscert_expiry_timestamp_seconds{file="/b.pem",listener="tls"} 1.9000001e+09
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
