package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"reveille/configs"
	"reveille/internal/event"
	"reveille/internal/phone"
	"reveille/push/pushsim"
)

func TestMain(m *testing.M) {
	phone.AllowLargeDatagrams()
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// patience is how long a test waits for what must happen; nothing waits so long
// unless it fails.
const patience = time.Minute

// credentials are one set for all rigs: RSA keys take a while.
var credentials = sync.OnceValues(pushsim.NewCredentials)

// A rig is an App with pretend push services behind it, and what a test knows of
// both.
type rig struct {
	*App
	t      *testing.T
	sim    *pushsim.Server
	events *events
	dir    string

	mu    sync.Mutex // guards wakes
	wakes map[string]func()
}

// newRig starts an App with the configuration common, and lines of YAML that
// are added to it.
func newRig(t *testing.T, more ...string) *rig {
	t.Helper()
	return newRigWith(t, func(*Options) {}, more...)
}

// newRigWith is newRig with changed Options.
func newRigWith(t *testing.T, change func(*Options), more ...string) *rig {
	t.Helper()
	r := &rig{t: t, events: newEvents(), dir: t.TempDir(), wakes: map[string]func(){}}
	creds, err := credentials()
	if err != nil {
		t.Fatal(err)
	}
	if r.sim, err = pushsim.Start(pushsim.Options{OnPush: r.pushed, Credentials: creds}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.sim.Close() })
	r.file("ca.pem", r.sim.Credentials().CAPEM())
	r.file("fcm.json", r.sim.ServiceAccountJSON())
	o := Options{Config: r.config(more...), Sink: r.events}
	change(&o)
	if r.App, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	listenYAML  = `listen: [{name: udp, transport: udp, addr: "127.0.0.1:0"}, {name: tcp, transport: tcp, addr: "127.0.0.1:0"}]`
	usersYAML   = `auth: {mode: {registrar: required, proxy: required}, users: [{name: alice, password: secret}, {name: bob, password: secret}], limit: {per_source: 0}}`
	openYAML    = `auth: {mode: {registrar: "off", proxy: "off"}}`
	domainsYAML = `domains: [example.com]`
	httpYAML    = `http: {addr: "127.0.0.1:0"}`
	// The machine may be busy with something else.
	overloadYAML = `overload: {target: 0s}`
)

// defaults are the lines of a configuration, by their key.
func (r *rig) defaults() []string {
	return []string{listenYAML, usersYAML, domainsYAML, httpYAML, overloadYAML, `push: {wait: {invite: {default: 20s}}, apps: @apps}`, `stop: {drain: 0s}`}
}

// fcm is an app whose credential is in file.
func (r *rig) fcm(name, file string) string {
	return fmt.Sprintf(`{name: %s, param: %s, fcm: {service_account_file: %s, endpoint: %q, ca_file: ca.pem}}`,
		name, pushsim.ProjectID, file, r.sim.FCMEndpoint())
}

// config is defaults, with lines in place of those with the same key. In a line
// "@apps" stands for the apps of defaults.
func (r *rig) config(lines ...string) *configs.Config {
	r.t.Helper()
	text := strings.ReplaceAll(merged(r.defaults(), lines), "@apps", "["+r.fcm("android", "fcm.json")+"]")
	cfg, _, err := configs.Parse(filepath.Join(r.dir, "reveille.yaml"), []byte(text), configs.Env{})
	if err != nil {
		r.t.Fatal(err)
	}
	return cfg
}

// merged puts lines of YAML in place of those with the same key.
func merged(lines, more []string) string {
	all := map[string]string{}
	for _, l := range append(lines, more...) {
		key, _, _ := strings.Cut(l, ":")
		all[key] = l
	}
	var b strings.Builder
	for _, l := range all {
		b.WriteString(l + "\n")
	}
	return b.String()
}

func (r *rig) file(name string, content []byte) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// onPush has fn called when a push to token was taken.
func (r *rig) onPush(token string, fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wakes[token] = fn
}

func (r *rig) pushed(p pushsim.Push) {
	r.mu.Lock()
	fn := r.wakes[p.Token]
	r.mu.Unlock()
	if fn != nil {
		fn()
	}
}

// pushes counts the pushes to token that were taken. One whose answer is late, for
// the machine is busy, is sent again and counts once; any other that is taken twice
// fails the test.
func (r *rig) pushes(token string) int {
	r.t.Helper()
	taken := map[string]int{}
	for _, p := range r.sim.Pushes() {
		if p.Token == token && p.Status == 200 {
			taken[p.PushID]++
		}
	}
	for id, n := range taken {
		if n == 1 {
			continue
		}
		var o event.PushOutcome
		r.eventually("the push that was sent again has ended", func() (ok bool) {
			o, ok = r.events.outcome(id)
			return ok
		})
		if late := len(o.Tries) - 1; late < n-1 {
			r.t.Errorf("push %s was taken %d times: %+v", id, n, o)
		}
	}
	return len(taken)
}

// phone returns a phone of user that has not registered. With a token it can be
// woken.
func (r *rig) phone(user, transport, token string, change ...func(*phone.Options)) *phone.Phone {
	r.t.Helper()
	o := phone.Options{User: user, Domain: "example.com", Password: "secret", Server: r.Addr(transport).String(), Transport: transport}
	if token != "" {
		o.Push = phone.Push{Provider: "fcm", Param: pushsim.ProjectID, PRID: token}
	}
	for _, c := range change {
		c(&o)
	}
	p, err := phone.New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(p.Close)
	return p
}

// sleeper is a phone that registered, fell asleep, and wakes when it is pushed.
func (r *rig) sleeper(user, transport, token string) *phone.Phone {
	r.t.Helper()
	p := r.phone(user, transport, token)
	r.register(p)
	p.Sleep()
	r.onPush(token, func() {
		// The call may be over, and the test with it, before the phone has heard that
		// it is registered.
		if err := p.Wake(r.t.Context()); err != nil && r.t.Context().Err() == nil {
			r.t.Errorf("wake: %v", err)
		}
	})
	return p
}

func (r *rig) register(p *phone.Phone) {
	r.t.Helper()
	if err := p.Register(r.within()); err != nil {
		r.t.Fatal(err)
	}
}

// within is the context of one step of a test.
func (r *rig) within() context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	r.t.Cleanup(cancel)
	return ctx
}

// eventually fails the test unless ok becomes true.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	eventually(r.t, what, ok)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		<-tick.C
	}
}

// metric adds up the samples of a metric whose labels have all of the given
// values. Histograms count their observations.
func (r *rig) metric(name string, values ...string) (sum float64) {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	samples:
		for _, m := range f.GetMetric() {
			has := map[string]bool{}
			for _, l := range m.GetLabel() {
				has[l.GetValue()] = true
			}
			for _, v := range values {
				if !has[v] {
					continue samples
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// events is a Sink that remembers.
type events struct {
	mu  sync.Mutex // guards all
	all []event.Event
}

func newEvents() *events { return &events{} }

func (e *events) Emit(x event.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
}

// calls counts the steps of requests with a method, "" for all.
func (e *events) calls(method, step string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.all {
		if c, ok := x.(event.Call); ok && c.Step == step && (method == "" || c.Method == method) {
			n++
		}
	}
	return n
}

// outcome returns what became of a push, if that is known.
func (e *events) outcome(id string) (o event.PushOutcome, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.all {
		if o, ok := x.(event.PushOutcome); ok && o.PushID == id {
			return o, true
		}
	}
	return o, false
}

// A wire is a socket on which a test writes SIP by hand.
type wire struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (r *rig) dial(transport string) *wire {
	r.t.Helper()
	c, err := net.Dial(transport, r.Addr(transport).String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return &wire{t: r.t, conn: c, r: bufio.NewReaderSize(c, 1<<16)}
}

// send writes bytes as they are.
func (w *wire) send(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, s); err != nil {
		w.t.Fatal(err)
	}
}

// request is a complete request without body; more are further header fields,
// of which each replaces that of the same name.
func (w *wire) request(method, uri string, more ...string) string {
	id := strconv.FormatInt(time.Now().UnixNano(), 36)
	proto := strings.ToUpper(w.conn.LocalAddr().Network())
	headers := []string{
		"Via: SIP/2.0/" + proto + " " + w.conn.LocalAddr().String() + ";branch=z9hG4bK" + id + ";rport", "Max-Forwards: 70",
		"From: <sip:bob@example.com>;tag=t" + id, "To: <sip:alice@example.com>", "Call-ID: c" + id, "CSeq: 1 " + method,
		"Contact: <sip:bob@" + w.conn.LocalAddr().String() + ";transport=" + strings.ToLower(proto) + ">", "Content-Length: 0",
	}
	for _, m := range more {
		name, _, _ := strings.Cut(m, ":")
		replaced := false
		for i := range headers {
			if strings.HasPrefix(headers[i], name+":") {
				headers[i], replaced = m, true
			}
		}
		if !replaced {
			headers = append(headers, m)
		}
	}
	return method + " " + uri + " SIP/2.0\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
}

// status reads a response and returns its status line; "" if nothing came.
func (w *wire) status() string {
	first, _, _ := strings.Cut(w.response(), "\r\n")
	return first
}

// response reads a response and returns it up to its body; "" if nothing came.
func (w *wire) response() string {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	if w.conn.LocalAddr().Network() == "udp" {
		b := make([]byte, 1<<16)
		n, err := w.conn.Read(b)
		if err != nil {
			return ""
		}
		return string(b[:n])
	}
	head, length := "", 0
	for {
		line, err := w.r.ReadString('\n')
		if err != nil {
			return ""
		}
		head += line
		line = strings.TrimRight(line, "\r\n")
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Content-Length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
		if line == "" {
			if _, err := w.r.Discard(length); err != nil {
				return ""
			}
			return head
		}
	}
}

// expect fails the test unless the next response has this status.
func (w *wire) expect(code int) {
	w.t.Helper()
	if got := w.status(); !strings.HasPrefix(got, fmt.Sprintf("SIP/2.0 %d ", code)) {
		w.t.Fatalf("received %q, want %d", got, code)
	}
}
