//go:build browser || firefox

package browser

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/configs"
	"reveille/flow"
	"reveille/internal/app"
	"reveille/internal/event"
	"reveille/internal/phone"
	"reveille/push/pushsim"
	"reveille/usrloc"
)

// installed is where .ci/install-browser puts the JavaScript libraries.
const installed = "../../.ci/browser"

// A rig is a server in process with a pretend push service, a web server with the
// example page, and a phone that calls.
type rig struct {
	t     *testing.T
	stack stack
	app   *app.App
	sim   *pushsim.Server
	page  string // the example page's URL
	wss   string // the server's URL
	pin   string // the hash of the server's key, for the browser
	log   *logBuffer
	// pushed gets the pushes that were taken.
	pushed chan pushsim.Push

	mu    sync.Mutex // guards ended
	ended map[flow.Flow]bool
}

// newRig starts them. more are further groups of the configuration.
func newRig(t *testing.T, s stack, more ...string) *rig {
	t.Helper()
	r := &rig{t: t, stack: s, log: &logBuffer{}, pushed: make(chan pushsim.Push, 16), ended: map[flow.Flow]bool{}}
	var err error
	r.sim, err = pushsim.Start(pushsim.Options{OnPush: func(p pushsim.Push) { r.pushed <- p }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.sim.Close() })
	r.servePage(s)
	r.startServer(strings.Join(more, "\n"))
	return r
}

// A stack is a library for SIP and the page that uses it. keys says that the page
// hands over the keys of its subscription.
type stack struct {
	name, page, library string
	keys                bool
}

// stacks are those that are tested. The page of JsSIP is the example.
func stacks() []stack {
	const example = "../../configs/examples/browser"
	return []stack{
		{"JsSIP", example, "jssip.min.js", true},
		{"SIP.js", "testdata/sipjs", "sip.min.js", false},
	}
}

// servePage serves a page beside the library that it loads, and the service
// worker, which is the same for all.
func (r *rig) servePage(s stack) {
	r.t.Helper()
	library := filepath.Join(installed, s.library)
	if _, err := os.Stat(library); err != nil {
		r.t.Fatalf("%s is not there; .ci/install-browser installs it: %v", s.name, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(s.page)))
	for name, file := range map[string]string{"/" + s.library: library, "/sw.js": filepath.Join(stacks()[0].page, "sw.js")} {
		mux.HandleFunc(name, func(w http.ResponseWriter, req *http.Request) { http.ServeFile(w, req, file) })
	}
	web := httptest.NewServer(mux)
	r.t.Cleanup(web.Close)
	r.page = web.URL + "/"
}

// origin is the page's, as browsers write it.
func (r *rig) origin() string { return strings.TrimSuffix(r.page, "/") }

func (r *rig) startServer(more string) {
	t := r.t
	t.Helper()
	dir := t.TempDir()
	cert, key := r.certificate()
	for name, content := range map[string][]byte{
		"cert.pem": cert, "key.pem": key, "vapid.pem": r.sim.Credentials().VAPIDKeyPEM(), "ca.pem": r.sim.Credentials().CAPEM(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, warnings, err := configs.Parse(filepath.Join(dir, "reveille.yaml"), []byte(`
listen:
  - {name: udp, transport: udp, addr: "127.0.0.1:0"}
  - name: wss
    transport: wss
    addr: "127.0.0.1:0"
    tls: {cert_file: cert.pem, key_file: key.pem}
    ws: {origins: ["`+r.origin()+`"]}
domains: [example.com]
# A busy machine must not have it refuse a test.
overload: {target: 0s}
http: {addr: ""}
auth:
  mode: {registrar: required, proxy: required}
  users:
    - {name: alice, password: secret}
    - {name: bob, password: secret}
push:
  wait: {invite: {webpush: 20s}}
  apps:
    - name: web
      webpush: {vapid_key_file: vapid.pem, subscriber: "mailto:ops@example.com", allowed_hosts: [127.0.0.1], allow_private: true, ca_file: ca.pem, payload: true}
`+more), configs.Env{})
	if err != nil {
		t.Fatal(err, warnings)
	}
	logger := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.app, err = app.New(app.Options{Config: cfg, Logger: logger, Sink: r})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		r.app.Stop(ctx)
		if t.Failed() {
			t.Logf("server log:\n%s", r.log)
		}
	})
	r.wss = "wss://" + r.app.Addr("wss").String()
}

// certificate makes a certificate that nobody signed, and pins its key.
func (r *rig) certificate() (cert, key []byte) {
	r.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "reveille"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 3, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		r.t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		r.t.Fatal(err)
	}
	hash := sha256.Sum256(spki)
	r.pin = base64.StdEncoding.EncodeToString(hash[:])
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		r.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// webRTC is what the desk phone offers: a description that a browser takes, of a
// peer that never sends a packet.
const webRTC = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 127.0.0.1\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\na=mid:0\r\na=rtcp-mux\r\n" +
	"a=setup:actpass\r\na=ice-ufrag:desk\r\na=ice-pwd:deskdeskdeskdeskdeskdesk\r\n" +
	"a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n"

// bob registers the phone that calls.
func (r *rig) bob() *phone.Phone {
	r.t.Helper()
	return r.phone(phone.Options{SDP: webRTC})
}

// phone registers a phone, which is bob's if o does not say whose.
func (r *rig) phone(o phone.Options) *phone.Phone {
	r.t.Helper()
	o.User, o.Domain, o.Password, o.Server = cmp.Or(o.User, "bob"), "example.com", "secret", r.app.Addr("udp").String()
	p, err := phone.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(p.Close)
	if err := p.Register(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return p
}

// Emit implements event.Sink: it remembers which connections have ended.
func (r *rig) Emit(e event.Event) {
	if e, ok := e.(event.FlowClosed); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended[e.Flow] = true
	}
}

// closed reports whether a connection has ended.
func (r *rig) closed(f flow.Flow) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended[f]
}

// connection is that of a user's only registration.
func (r *rig) connection(user string) flow.Flow {
	r.t.Helper()
	record, err := r.app.Store().Get(r.t.Context(), usrloc.AOR("sip:"+user+"@example.com"))
	if err != nil || len(record.Bindings) != 1 {
		r.t.Fatalf("%s has %d registrations, %v", user, len(record.Bindings), err)
	}
	return record.Bindings[0].Flow
}

// push waits for the push that a call or message leads to.
func (r *rig) push() pushsim.Push {
	r.t.Helper()
	select {
	case p := <-r.pushed:
		return p
	case <-time.After(10 * time.Second):
		r.t.Fatal("no push came")
		return pushsim.Push{}
	}
}

// logBuffer collects what the server logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// within polls ok until it is true or limit has passed.
func within(limit time.Duration, ok func() bool) bool {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			return false
		}
		<-tick.C
	}
	return true
}

func TestMain(m *testing.M) {
	phone.AllowLargeDatagrams()
	if _, err := findBrowser(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}
