package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/internal/wake"
	"reveille/purr"
	"reveille/push"
	"reveille/usrloc"
)

// A world is a proxy on a real transaction layer and location service, with
// pretend flows and a pretend push service, inside a synctest bubble.
type world struct {
	t     *testing.T
	store *usrloc.Memory
	layer *transaction.Layer
	proxy *Proxy
	keys  *purr.Keyring

	mu     sync.Mutex
	sent   []sent
	dead   map[flow.Flow]bool // connections that are closed
	mute   map[flow.Flow]bool // flows on which every Send fails
	alive  map[flow.Flow]bool
	pushes []*pushed
	events []event.Event
	// cannot: no credential for these providers; deny is the Gate's answer.
	cannot  map[string]bool
	watches int
	// woke and slept are what the proxy told of devices; patience is how long they are
	// waited for, if not zero.
	woke, slept []usrloc.BindingID
	// waker, if set, wakes in place of the world.
	waker    *wake.Waker
	patience time.Duration
	// refuse is what Wake says, if anything; unreachable is what Connect says.
	refuse      error
	unreachable error
	// noTCP is what Connect says of TCP, after the time late.
	noTCP error
	late  time.Duration
	// names are for which certificates were asked.
	names []string
	admit func(*sipmsg.Message) Admission
}

type sent struct {
	flow flow.Flow
	m    *sipmsg.Message
	at   time.Time
}

type pushed struct {
	aor       usrloc.AOR
	binding   usrloc.Binding
	cause     wake.Cause
	done      func(push.Outcome)
	cancelled bool
	at        time.Time
}

// inWorld runs fn in a bubble and checks at the end that nothing is left behind.
func inWorld(t *testing.T, o Options, fn func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, store: usrloc.NewMemory(usrloc.MemoryOptions{}), keys: purr.Generate(time.Now()),
			dead: map[flow.Flow]bool{}, mute: map[flow.Flow]bool{}, alive: map[flow.Flow]bool{}, cannot: map[string]bool{},
			admit: func(*sipmsg.Message) Admission { return Admission{} },
		}
		o.Store, o.Flows, o.Waker, o.Gate, o.Keys, o.Sink = watched{w.store, w}, w, w, w, w.keys, w
		if o.Domains == nil {
			o.Domains = []string{"example.com"}
		}
		if o.Policy == nil {
			o.Policy = func(string, string) Mode { return Asleep }
		}
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		w.proxy = p
		w.layer = transaction.New(transaction.Options{Sender: w, User: p0{p}, Queues: 3, Logger: slog.New(alarm{t})})
		w.layer.Start()
		defer func() {
			// After a failed test, too, no goroutine may stay in the bubble.
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			_ = w.layer.Stop(ended)
		}()
		fn(w)
		// 64*T1 and more after the last message nothing may be left.
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		w.checkEmpty()
		if err := w.layer.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
}

// alarm is a log handler: the transaction layer catches panics and logs them.
type alarm struct{ t *testing.T }

func (alarm) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (a alarm) WithAttrs([]slog.Attr) slog.Handler         { return a }
func (a alarm) WithGroup(string) slog.Handler              { return a }

func (a alarm) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(at slog.Attr) bool {
		text += "\n" + at.String()
		return true
	})
	a.t.Error(text)
	return nil
}

// p0 completes the proxy to a transaction.User, as internal/app does.
type p0 struct{ *Proxy }

func (p0) Stray(flow.Flow, *sipmsg.Message) {}

func (w *world) checkEmpty() {
	w.t.Helper()
	if n := w.proxy.Parked(); n != 0 {
		w.t.Errorf("%d branches still parked", n)
	}
	for i := range w.proxy.bucket.shards {
		if n := len(w.proxy.bucket.shards[i].waiting); n != 0 {
			w.t.Errorf("bucket shard %d still counts %d users", i, n)
		}
	}
	if n := w.proxy.farewells.Load(); n != 0 {
		w.t.Errorf("%d farewells still counted", n)
	}
	w.with(func() {
		if w.watches != 0 {
			w.t.Errorf("%d watches left behind", w.watches)
		}
	})
	w.proxy.lanes.Range(func(_, v any) bool {
		if l := v.(*lane); len(l.forks) != 0 || len(l.lines) != 0 || len(l.farewells) != 0 || len(l.reached) != 0 || len(l.media) != 0 {
			w.t.Errorf("%d forks, %d lines, %d farewells, %d flows of ACKs and %d lines of media left behind", len(l.forks), len(l.lines), len(l.farewells), len(l.reached), len(l.media))
		}
		return true
	})
}

// watched counts the watches that nobody has cancelled.
type watched struct {
	usrloc.Store
	w *world
}

func (s watched) Watch(ctx context.Context, aor usrloc.AOR, until time.Time, changed func(usrloc.Change)) (usrloc.Record, func(), error) {
	rec, cancel, err := s.Store.Watch(ctx, aor, until, changed)
	if err != nil {
		return rec, cancel, err
	}
	s.w.with(func() { s.w.watches++ })
	return rec, func() {
		cancel()
		s.w.with(func() { s.w.watches-- })
	}, nil
}

// Flows, Sender, Waker, Gate and Sink.

func (w *world) Send(f flow.Flow, b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead[f] || w.mute[f] {
		return errors.New("flow is dead")
	}
	m, err := sipmsg.Parse(b, netip.AddrPort{})
	if err != nil {
		w.t.Errorf("sent what does not parse: %v\n%s", err, b)
		return nil
	}
	w.sent = append(w.sent, sent{f, m, time.Now()})
	return nil
}

func (w *world) Alive(f flow.Flow, _ time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.alive[f] && !w.dead[f]
}

func (w *world) Open(f flow.Flow) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.dead[f]
}

func (w *world) ConnectTo(t flow.Transport, name string, to netip.AddrPort, done func(flow.Flow, error)) {
	w.with(func() { w.names = append(w.names, name) })
	err := w.unreachable
	if t == flow.TCP && err == nil {
		err = w.noTCP
	}
	made := func() { done(flow.Flow{Listener: "main", Transport: t, Remote: to}, err) }
	if t == flow.TCP && w.late > 0 {
		time.AfterFunc(w.late, made)
		return
	}
	made()
}

// The server has UDP and TCP at port 5060 and WSS at port 443.
func (w *world) Advertised(f flow.Flow) (string, uint16) {
	if f.Transport == flow.WSS {
		return "192.0.2.1", 443
	}
	return "192.0.2.1", 5060
}

func (w *world) IsOwn(host string, port uint16, t flow.Transport) bool {
	switch host {
	case "192.0.2.1", "[2001:db8:0:0:0:0:0:1]", "[2001:db8::1]":
	default:
		return false
	}
	wss := (t == 0 || t == flow.WSS) && (port == 443 || port == 0)
	return wss || t != flow.WSS && (port == 0 || port == 5060)
}

func (w *world) Can(b *usrloc.Binding) bool {
	if w.waker != nil {
		return w.waker.Can(b)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !b.Push.IsZero() && !w.cannot[b.Push.Provider]
}

func (w *world) Wake(aor usrloc.AOR, b *usrloc.Binding, c wake.Cause, done func(push.Outcome)) (string, func(), error) {
	if w.waker != nil {
		return w.waker.Wake(aor, b, c, done)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return "", nil, w.refuse
	}
	if b.Push.IsZero() {
		return "", nil, errors.New("no token")
	}
	p := &pushed{aor: aor, binding: *b, cause: c, done: done, at: time.Now()}
	w.pushes = append(w.pushes, p)
	return fmt.Sprintf("push-%d", len(w.pushes)), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		p.cancelled = true
	}, nil
}

func (w *world) Woke(id usrloc.BindingID, _ time.Duration) {
	w.with(func() { w.woke = append(w.woke, id) })
}

func (w *world) Slept(b *usrloc.Binding) { w.with(func() { w.slept = append(w.slept, b.ID) }) }

func (w *world) Lacks(b *usrloc.Binding) string {
	if b.Push.PRID == "" {
		return "NoToken"
	}
	return ""
}

func (w *world) Patience(_ *usrloc.Binding, wait time.Duration) time.Duration {
	if w.patience == 0 {
		return wait
	}
	return w.patience
}

func (w *world) Admit(m *sipmsg.Message, _ flow.Flow, done func(Admission)) { done(w.admit(m)) }

func (w *world) Emit(e event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// What a test says.

func udp(addr string) flow.Flow {
	return flow.Flow{Listener: "main", Transport: flow.UDP, Remote: netip.MustParseAddrPort(addr)}
}

func tcp(addr string, n uint64) flow.Flow {
	return flow.Flow{Listener: "main-tcp", Transport: flow.TCP, Remote: netip.MustParseAddrPort(addr), Conn: n, Incarnation: 1}
}

func wss(addr string, n uint64) flow.Flow {
	return flow.Flow{Listener: "main-wss", Transport: flow.WSS, Remote: netip.MustParseAddrPort(addr), Conn: n, Incarnation: 1}
}

// A phone is one device of a user.
type phone struct {
	aor      usrloc.AOR
	id       usrloc.BindingID
	flow     flow.Flow
	instance string
	push     usrloc.Push
	q        usrloc.Q
	path     []string
	regID    uint32
	gruuSet  uint64
	agent    string
	methods  usrloc.Methods
	// callID is that of its REGISTERs, uri its Contact if that is not the usual.
	callID, uri string
	// params are those of its Contact.
	params string
}

func (w *world) newPhone(user string, f flow.Flow, provider string) *phone {
	aor := usrloc.AOR("sip:" + user + "@example.com")
	id, err := usrloc.NewBindingID(aor, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &phone{aor: aor, id: id, flow: f, instance: "urn:uuid:" + id.String(), q: usrloc.QUnset, callID: "r"}
	if provider != "" {
		p.push = usrloc.Push{Provider: provider, Param: "app", PRID: "token-" + user + "-" + id.String()[28:]}
	}
	return p
}

// contact is the phone's Contact URI.
func (p *phone) contact() string {
	if p.uri != "" {
		return p.uri
	}
	s := "sip:" + strings.TrimSuffix(strings.TrimPrefix(string(p.aor), "sip:"), "@example.com") + "@" + p.flow.Remote.String()
	if p.push.Provider != "" {
		s += ";pn-provider=" + p.push.Provider + ";pn-param=" + p.push.Param + ";pn-prid=" + p.push.PRID
	}
	return s
}

// register puts the phone, or its new state, into the location service. Its flow
// is alive from now on.
func (w *world) register(p *phone) {
	w.t.Helper()
	w.mu.Lock()
	w.alive[p.flow] = true
	w.mu.Unlock()
	now := time.Now()
	w.store.Update(context.Background(), p.aor, func(r usrloc.Record) (usrloc.Record, error) {
		b := usrloc.Binding{
			ID: p.id, Contact: p.contact(), Q: p.q, CallID: p.callID, CSeq: 1, Created: now, Updated: now,
			Expires: now.Add(time.Hour), RetainUntil: now.Add(time.Hour), Flow: p.flow, Instance: p.instance, RegID: p.regID, GRUUSet: p.gruuSet,
			Push: p.push, Path: p.path, UserAgent: p.agent, Methods: p.methods, Params: p.params,
		}
		out := []usrloc.Binding{}
		found := false
		for _, old := range r.Bindings {
			if old.ID == p.id {
				old, found = b, true
			}
			out = append(out, old)
		}
		if !found {
			out = append(out, b)
		}
		r.Bindings = out
		return r, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) {
		if err != nil {
			w.t.Errorf("register: %v", err)
		}
	})
	synctest.Wait()
}

// unregister removes the phone's binding.
func (w *world) unregister(p *phone) {
	w.store.Update(context.Background(), p.aor, func(r usrloc.Record) (usrloc.Record, error) {
		var out []usrloc.Binding
		for _, b := range r.Bindings {
			if b.ID != p.id {
				out = append(out, b)
			}
		}
		r.Bindings = out
		return r, nil
	}, func(usrloc.Record, []usrloc.Change, error) {})
	synctest.Wait()
}

// with changes the world under its lock.
func (w *world) with(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

// breaks ends a connection.
func (w *world) breaks(f flow.Flow) {
	w.mu.Lock()
	w.dead[f] = true
	w.mu.Unlock()
	w.layer.FlowClosed(f)
	synctest.Wait()
}

// sleeps says that the phone's flow shows no life any more.
func (w *world) sleeps(p *phone) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.alive, p.flow)
}

// recv lets a message arrive, written with \n line ends, and waits until it has
// been handled.
func (w *world) recv(f flow.Flow, text string) {
	w.t.Helper()
	w.post(f, text)
	synctest.Wait()
}

// post lets a message arrive without waiting.
func (w *world) post(f flow.Flow, text string) {
	w.t.Helper()
	head, body, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n\n")
	raw := strings.ReplaceAll(strings.TrimRight(head, "\n"), "\n", "\r\n") + "\r\n\r\n" + body
	m, err := sipmsg.Parse([]byte(raw), f.Remote)
	if err != nil {
		w.t.Fatalf("test message: %v\n%s", err, raw)
	}
	if !w.layer.Receive(f, m) {
		w.t.Fatal("queue full")
	}
}

// take returns what was sent since the last take.
func (w *world) take() []sent {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sent
	w.sent = nil
	return s
}

// one returns the one message that was sent since the last take and is no
// retransmission of a 100.
func (w *world) one() sent {
	w.t.Helper()
	var out []sent
	for _, s := range w.take() {
		if s.m.Status() != 100 {
			out = append(out, s)
		}
	}
	if len(out) != 1 {
		w.t.Fatalf("sent %d messages, want 1:%s", len(out), lines(out))
	}
	return out[0]
}

// expect checks the start lines of what was sent since the last take, 100 left
// out: "INVITE 198.51.100.1:5060" or "480 203.0.113.9:5060".
func (w *world) expect(want ...string) []sent {
	w.t.Helper()
	var out []sent
	var got []string
	for _, s := range w.take() {
		if s.m.Status() == 100 {
			continue
		}
		what := s.m.Method()
		if !s.m.IsRequest() {
			what = fmt.Sprint(s.m.Status())
		}
		out, got = append(out, s), append(got, what+" "+s.flow.Remote.String())
	}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		w.t.Fatalf("sent %q, want %q", got, want)
	}
	return out
}

func lines(s []sent) string {
	var b strings.Builder
	for _, x := range s {
		fmt.Fprintf(&b, "\n%s → %s", strings.SplitN(x.m.Raw(), "\r\n", 2)[0], x.flow)
	}
	return b.String()
}

// pushCount checks how many pushes were asked for, and returns the last.
func (w *world) pushCount(n int) *pushed {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pushes) != n {
		w.t.Fatalf("%d pushes, want %d", len(w.pushes), n)
	}
	if n == 0 {
		return nil
	}
	return w.pushes[n-1]
}

// outcome reports the result of a push.
func (w *world) outcome(p *pushed, c push.Class) {
	p.done(push.Outcome{Class: c})
	synctest.Wait()
}

// reply answers a request that was sent: the phone's side of a branch.
func (w *world) reply(s sent, status int, extra ...string) {
	w.t.Helper()
	w.recv(s.flow, response(s.m, status, extra...))
}

func response(m *sipmsg.Message, status int, extra ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\n", status, sipmsg.ReasonPhrase(status))
	for h := range m.Headers() {
		switch h.ID {
		case sipmsg.HdrVia, sipmsg.HdrFrom, sipmsg.HdrCallID, sipmsg.HdrCSeq, sipmsg.HdrRecordRoute:
			fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
		case sipmsg.HdrTo:
			value := h.Value
			if m.ToTag() == "" && status > 100 {
				value += ";tag=callee"
			}
			fmt.Fprintf(&b, "%s: %s\n", h.Name, value)
		}
	}
	for _, e := range extra {
		b.WriteString(e + "\n")
	}
	b.WriteString("Content-Length: 0\n\n")
	return b.String()
}

// request is a request outside a dialog.
func request(method, uri, callID string, extra ...string) string {
	s := fmt.Sprintf(`%s %s SIP/2.0
Via: SIP/2.0/UDP 203.0.113.9:5060;rport;branch=z9hG4bK-%s-%s
Max-Forwards: 70
From: "Bob" <sip:bob@example.net>;tag=caller
To: <%s>
Call-ID: %s
CSeq: 1 %s
`, method, uri, strings.ToLower(method), callID, uri, callID, method)
	if method == "INVITE" {
		s += "Contact: <sip:bob@203.0.113.9:5060>\n"
	}
	for _, e := range extra {
		s += e + "\n"
	}
	return s + "Content-Length: 0\n\n"
}

func cancelOf(callID string, extra ...string) string {
	s := fmt.Sprintf(`CANCEL sip:alice@example.com SIP/2.0
Via: SIP/2.0/UDP 203.0.113.9:5060;rport;branch=z9hG4bK-invite-%s
Max-Forwards: 70
From: "Bob" <sip:bob@example.net>;tag=caller
To: <sip:alice@example.com>
Call-ID: %s
CSeq: 1 CANCEL
`, callID, callID)
	for _, e := range extra {
		s += e + "\n"
	}
	return s + "Content-Length: 0\n\n"
}

// inDialogRequest is a request of a dialog that was set up by the 2xx answer.
func inDialogRequest(method string, cseq int, answer *sipmsg.Message, fromCaller bool, remoteTarget string, extra ...string) string {
	from, to := answer.From().String(), answer.To().String()
	routes := answer.RecordRoutes()
	sentBy := "203.0.113.9:5060"
	if !fromCaller {
		from, to = to, from
		sentBy = "198.51.100.1:5060"
	}
	s := fmt.Sprintf("%s %s SIP/2.0\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bK-%s-%d-%t\nMax-Forwards: 70\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %d %s\n",
		method, remoteTarget, sentBy, strings.ToLower(method), cseq, fromCaller, from, to, answer.CallID(), cseq, method)
	for i := range routes {
		r := routes[i]
		if fromCaller {
			r = routes[len(routes)-1-i]
		}
		s += "Route: " + r.String() + "\n"
	}
	for _, e := range extra {
		s += e + "\n"
	}
	return s + "Content-Length: 0\n\n"
}

func goroutines() int { return runtime.NumGoroutine() }
