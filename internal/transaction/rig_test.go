package transaction

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// Flows of a caller and a phone.
var (
	udpCaller = flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: netip.MustParseAddrPort("192.0.2.1:5060")}
	tcpCaller = flow.Flow{Listener: "tcp", Transport: flow.TCP, Remote: netip.MustParseAddrPort("192.0.2.1:40000"), Incarnation: 1, Conn: 1}
	udpPhone  = flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: netip.MustParseAddrPort("198.51.100.7:5062")}
	tcpPhone  = flow.Flow{Listener: "tcp", Transport: flow.TCP, Remote: netip.MustParseAddrPort("198.51.100.7:41000"), Incarnation: 1, Conn: 2}
)

var errDown = errors.New("network is down")

// A rig is a layer between a pretend network and a scripted user, inside a
// synctest bubble. It keeps a journal of everything that the layer does, each
// line with the time since the start.
type rig struct {
	t     *testing.T
	layer *Layer
	start time.Time

	mu      sync.Mutex
	journal []string
	wires   []*sipmsg.Message // what was sent, parsed
	flows   []flow.Flow       // where to
	down    bool              // Send fails

	// The user's script. Each may be nil.
	request  func(s *Server)
	ack      func(q *Queue, f flow.Flow, m *sipmsg.Message)
	cancel   func(s *Server, m *sipmsg.Message)
	response func(c *Client, m *sipmsg.Message)
	failed   func(c *Client, err error)

	server  *Server // the last one
	servers int     // calls of Request
}

// newRig starts a layer, to be stopped at the end of the test.
func newRig(t *testing.T, o Options) *rig {
	r := &rig{t: t, start: time.Now()}
	o.Sender, o.User = r, r
	if o.Queues == 0 {
		o.Queues = 4
	}
	r.layer = New(o)
	r.layer.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = r.layer.Stop(ctx) // what the test left open does not matter
	})
	return r
}

// bubble runs a test with pretended time.
func bubble(t *testing.T, o Options, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(newRig(t, o)) })
}

func (r *rig) log(format string, args ...any) {
	at := time.Since(r.start)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal = append(r.journal, fmt.Sprintf("%v "+format, append([]any{at}, args...)...))
}

// Send implements Sender.
func (r *rig) Send(f flow.Flow, b []byte) error {
	m, err := sipmsg.Parse(b, f.Remote)
	if err != nil {
		r.t.Errorf("the layer sent a malformed message: %v\n%s", err, b)
		return nil
	}
	r.mu.Lock()
	down := r.down
	if !down {
		r.wires, r.flows = append(r.wires, m), append(r.flows, f)
	}
	r.mu.Unlock()
	what := m.Method()
	if !m.IsRequest() {
		what = strconv.Itoa(m.Status())
		if m.Method() == "CANCEL" {
			what += " CANCEL"
		}
	}
	if down {
		r.log("lost %s", what)
		return errDown
	}
	r.log("> %s", what)
	return nil
}

// Request implements User.
func (r *rig) Request(s *Server) {
	r.log("request %s", s.Message().Method())
	r.server, r.servers = s, r.servers+1
	if r.request != nil {
		r.request(s)
	}
}

// Ack implements User.
func (r *rig) Ack(q *Queue, f flow.Flow, m *sipmsg.Message) {
	r.log("ack")
	if r.ack != nil {
		r.ack(q, f, m)
	}
}

// Cancel implements User.
func (r *rig) Cancel(s *Server, m *sipmsg.Message) {
	r.log("cancel %s", s.Message().Method())
	if r.cancel != nil {
		r.cancel(s, m)
	}
}

// Stray implements User.
func (r *rig) Stray(_ flow.Flow, m *sipmsg.Message) { r.log("stray %d", m.Status()) }

// Response implements ClientUser.
func (r *rig) Response(c *Client, m *sipmsg.Message) {
	r.log("response %d", m.Status())
	if r.response != nil {
		r.response(c, m)
	}
}

// Failed implements ClientUser.
func (r *rig) Failed(c *Client, err error) {
	switch {
	case errors.Is(err, ErrTimeout):
		r.log("failed timeout")
	case errors.Is(err, ErrTransport):
		r.log("failed transport")
	case errors.Is(err, ErrTimerC):
		r.log("failed timer C")
	default:
		r.log("failed %v", err)
	}
	if r.failed != nil {
		r.failed(c, err)
	}
}

// receive hands a message to the layer and waits until it was handled.
func (r *rig) receive(f flow.Flow, m *sipmsg.Message) {
	r.t.Helper()
	if !r.layer.Receive(f, m) {
		r.t.Error("Receive() = false, want true")
	}
	synctest.Wait()
}

// on runs fn on the queue of a request and waits until it was done.
func (r *rig) on(s interface{ Queue() *Queue }, fn func()) {
	s.Queue().Post(fn)
	synctest.Wait()
}

// advance lets pretended time pass.
func (r *rig) advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// expect compares the journal since the last call with want.
func (r *rig) expect(want ...string) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	got := r.journal
	r.journal = nil
	r.mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("journal (-want +got):\n%s", diff)
	}
}

// forget clears the journal.
func (r *rig) forget() {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal = nil
}

// last returns what was sent last.
func (r *rig) last() *sipmsg.Message {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wires) == 0 {
		r.t.Fatal("nothing was sent")
	}
	return r.wires[len(r.wires)-1]
}

// setDown makes Send fail, or work again.
func (r *rig) setDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// client sends a request on f and runs its transaction.
func (r *rig) client(f flow.Flow, method string) *Client {
	r.t.Helper()
	wire := []byte(rq{method: method, via: "SIP/2.0/" + f.Transport.String() + " proxy.example:5060;branch=z9hG4bKours"}.text())
	var c *Client
	q := r.layer.Queue("call")
	q.Post(func() {
		var err error
		if c, err = q.NewClient(f, wire, r); err != nil {
			r.log("not sent")
		}
	})
	synctest.Wait()
	return c
}

// answer feeds a response to the request that c sent.
func (r *rig) answer(c *Client, code int) {
	r.t.Helper()
	r.receive(c.Flow(), r.parse(c.Flow(), c.Message().AppendReply(nil, sipmsg.Reply{Code: code, ToTag: "phone"})))
}

func (r *rig) parse(f flow.Flow, b []byte) *sipmsg.Message {
	r.t.Helper()
	m, err := sipmsg.Parse(b, f.Remote)
	if err != nil {
		r.t.Fatalf("Parse(%q): %v", b, err)
	}
	return m
}

// checkEmpty reports everything that the layer still remembers.
func (r *rig) checkEmpty() {
	r.t.Helper()
	synctest.Wait()
	l := r.layer
	for k, name := range kindNames {
		if n := l.live[k].Load(); n != 0 {
			r.t.Errorf("%d transactions of kind %s are alive, want 0", n, name)
		}
	}
	if n, m := l.undecided.Load(), l.registering.Load(); n != 0 || m != 0 {
		r.t.Errorf("undecided = %d, registering = %d, want 0", n, m)
	}
	if n := l.suspended.Load(); n != 0 {
		r.t.Errorf("suspended = %d, want 0", n)
	}
	for slot := range knownSlots {
		if n := l.known[slot].Load(); n != 0 {
			r.t.Errorf("slot %d: %d transactions are known, want 0", slot, n)
		}
	}
	for slot := range busySlots {
		if calls, aors := l.busy.calls[slot].Load(), l.busy.aors[slot].Load(); calls != 0 || aors != 0 {
			r.t.Errorf("slot %d: %d Call-IDs, %d AORs are busy, want 0", slot, calls, aors)
		}
	}
	for i, q := range l.queues {
		sizes := []int{len(q.servers), len(q.clients), len(q.held), len(q.timers.heap), len(q.flows.first), len(q.later)}
		if !slices.Equal(sizes, make([]int, len(sizes))) {
			r.t.Errorf("queue %d: servers, clients, held, timers, flows, later = %v, want all 0", i, sizes)
		}
		if q.govern != nil && q.govern.head.Load() != 0 {
			r.t.Errorf("queue %d: at work, want at rest", i)
		}
		if n := q.waiting.Load(); n != 0 {
			r.t.Errorf("queue %d: waiting = %d, want 0", i, n)
		}
	}
}

// An rq describes a request. Zero fields have useful values.
type rq struct {
	method, uri, via, fromTag, toTag, callID string
	seq                                      int
	header                                   string // a further line
}

func (q rq) text() string {
	def := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	def(&q.method, "INVITE")
	def(&q.uri, "sip:bob@example.com")
	def(&q.via, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKcaller")
	def(&q.fromTag, "alice")
	def(&q.callID, "call")
	if q.seq == 0 {
		q.seq = 1
	}
	if q.toTag != "" {
		q.toTag = ";tag=" + q.toTag
	}
	lines := []string{
		q.method + " " + q.uri + " SIP/2.0",
		"Via: " + q.via,
		"Max-Forwards: 70",
		"From: <sip:alice@example.com>;tag=" + q.fromTag,
		"To: <sip:bob@example.com>" + q.toTag,
		"Call-ID: " + q.callID,
		"CSeq: " + strconv.Itoa(q.seq) + " " + q.method,
	}
	if q.header != "" {
		lines = append(lines, q.header)
	}
	return strings.Join(append(lines, "Content-Length: 0", "", ""), "\r\n")
}

// on parses the request as received on f.
func (q rq) on(t testing.TB, f flow.Flow) *sipmsg.Message {
	t.Helper()
	if q.via == "" && f.Stream() {
		q.via = "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKcaller"
	}
	m, err := sipmsg.Parse([]byte(q.text()), f.Remote)
	if err != nil {
		t.Fatalf("Parse(%q): %v", q.text(), err)
	}
	return m
}

// reply is a response that the user gives.
func reply(code int) sipmsg.Reply { return sipmsg.Reply{Code: code, ToTag: "bob"} }
