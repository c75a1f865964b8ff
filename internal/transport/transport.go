package transport

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"reveille/flow"
)

// flushTime is how long Stop lets connections and UDP sockets write what is
// queued.
const flushTime = time.Second

// interfacesEvery is how often the list of interface addresses is renewed.
const interfacesEvery = time.Minute

// maxDatagram is the payload that fits an IPv4 datagram of 65,535 bytes.
const maxDatagram = 65507

// A Transport is a set of listeners and the connections on them. All methods
// are safe for concurrent use.
type Transport struct {
	// opts do not change but for Listeners, which mu guards.
	opts     Options
	log      *slog.Logger
	metrics  *metrics
	set      atomic.Pointer[listenerSet]
	conns    *conns
	dials    dials
	seen     *seenTable
	answers  sync.Pool // of *[]byte: where the Answerer writes for connections
	buffered budget
	locals   atomic.Pointer[[]netip.Prefix]
	tap      atomic.Pointer[func(Passage)] // who looks at all messages; nil: nobody

	// ctx ends when Stop begins; accept loops, dials and pauses heed it.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the Transport

	mu      sync.Mutex // guards what follows
	started bool
	stopped bool
}

// ListenerInfo describes a bound listener.
type ListenerInfo struct {
	Name      string
	Transport flow.Transport
	// Addr is the bound address, with the port that was really taken.
	Addr netip.AddrPort
	// Advertise is the configured "host[:port]", or empty.
	Advertise string
}

// New checks o and binds all listeners. Nothing is read before Start.
func New(o Options) (*Transport, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Incarnation == 0 {
		var b [8]byte
		rand.Read(b[:])
		o.Incarnation = binary.BigEndian.Uint64(b[:]) | 1
	}
	t := &Transport{
		opts:     o,
		log:      o.Logger,
		metrics:  newMetrics(o.Registerer),
		conns:    newConns(o.MaxConns, o.MaxConnsPerSource),
		seen:     newSeenTable(o.SeenFlows, time.Now()),
		buffered: budget{max: o.MaxBuffered},
	}
	t.answers.New = func() any { return new([]byte) }
	t.dials.pending = make(map[peer][]func(flow.Flow, error))
	prefixes, err := o.Interfaces()
	if err != nil {
		return nil, err
	}
	t.locals.Store(&prefixes)
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.set.Store(new(listenerSet))
	for i, lo := range o.Listeners {
		l, err := t.bind(lo, i)
		if err != nil {
			t.cancel()
			t.endListeners((*listener).close)
			return nil, fmt.Errorf("listener %q: %w", lo.Name, err)
		}
		t.set.Store(t.set.Load().with([]*listener{l}))
	}
	return t, nil
}

// Start begins to read and accept. Calls after the first, or after Stop, do
// nothing.
func (t *Transport) Start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started || t.stopped {
		return
	}
	t.started = true
	for _, l := range t.listeners() {
		t.begin(l)
	}
	t.wg.Go(t.watchInterfaces)
}

// Stop closes the listeners, gives connections and UDP sockets a moment to write
// what is queued, closes them, and waits until every reader has returned, but not
// longer than ctx. Further calls only wait.
func (t *Transport) Stop(ctx context.Context) error {
	t.mu.Lock()
	first, started := !t.stopped, t.started
	t.stopped = true
	t.mu.Unlock()
	if first {
		t.cancel()
		if started {
			t.endListeners((*listener).finish)
		} else {
			t.endListeners((*listener).close)
		}
		for _, c := range t.conns.all() {
			c.finish(ErrStopped)
		}
	}
	done := make(chan struct{})
	go func() { // Ends with the last goroutine of t.
		t.wg.Wait()
		close(done)
	}()
	flush := time.NewTimer(flushTime)
	defer flush.Stop()
	var err error
	select {
	case <-done:
		return nil
	case <-flush.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	t.endListeners((*listener).close)
	for _, c := range t.conns.all() {
		c.close(ErrStopped)
	}
	if err == nil {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return fmt.Errorf("stop transport: %w", err)
}

// spawn runs fn on a goroutine that Stop waits for. It reports false, and does
// not run fn, once Stop has begun.
func (t *Transport) spawn(fn func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	t.wg.Go(fn)
	return true
}

// pause waits for d and reports false if Stop began meanwhile.
func (t *Transport) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.ctx.Done():
		return false
	}
}

func (t *Transport) watchInterfaces() {
	for t.pause(interfacesEvery) {
		prefixes, err := t.opts.Interfaces()
		if err != nil {
			t.log.Warn("interface addresses are not up to date", slog.Any("err", err))
			continue
		}
		t.locals.Store(&prefixes)
	}
}

// Send sends the message b on f. It does not wait for the peer: a datagram
// goes out at once, a connection's bytes are queued. b may be reused when Send
// returns. The errors
// ErrFlowDead, ErrQueueFull, ErrTooLong and ErrBusy are wrapped.
func (t *Transport) Send(f flow.Flow, b []byte) error {
	l := t.named(f.Listener)
	if l == nil || l.Transport != f.Transport || f.Node != t.opts.Node {
		return ErrFlowDead
	}
	t.leaves(l, f, b)
	if err := t.stayed(l, f, b, l.count(t.send(l, f, b))); err != nil {
		return fmt.Errorf("send on %s: %w", f, err)
	}
	return nil
}

// Post sends the message b on f like Send, but leaves the system call to the
// writer of f's socket: it never blocks. b may be reused when it returns. What
// is posted on one flow leaves in the order of the calls; what is sent may
// overtake it. The errors are those of Send; ErrBusy also says that PostQueue is
// full. That a datagram then cannot be sent is counted, and told to nobody.
func (t *Transport) Post(f flow.Flow, b []byte) error {
	l := t.named(f.Listener)
	if f.Stream() || !t.Open(f) {
		return t.Send(f, b)
	}
	t.leaves(l, f, b)
	if err := t.stayed(l, f, b, l.socketFor(f.Remote).poster.post(f.Remote, b)); err != nil {
		l.metrics.sendError(err).Inc()
		return fmt.Errorf("post on %s: %w", f, err)
	}
	return nil
}

func (t *Transport) send(l *listener, f flow.Flow, b []byte) error {
	if !f.Stream() {
		return l.sendDatagram(f.Remote, b)
	}
	c := t.conn(f)
	switch {
	case c == nil:
		return ErrFlowDead
	case len(b) > t.opts.MaxMessage:
		return ErrTooLong
	}
	return c.send(b)
}

// Open reports whether f can still carry a message: its connection is open or,
// for UDP, its listener exists.
func (t *Transport) Open(f flow.Flow) bool {
	if f.Stream() {
		c := t.conn(f)
		return c != nil && c.open()
	}
	l := t.named(f.Listener)
	return l != nil && l.Transport == f.Transport && f.Node == t.opts.Node
}

// Alive reports whether the peer is likely to hear what is sent on f: it sent
// something within FlowFresh on a connection that is open, or within
// DatagramFresh over UDP. The table behind the latter may forget, never
// invent: after a flood from many addresses a live flow may count as dead.
func (t *Transport) Alive(f flow.Flow, now time.Time) bool {
	if f.Stream() {
		c := t.conn(f)
		return c != nil && c.open() && now.Sub(c.lastSeen()) < t.opts.FlowFresh
	}
	return t.Open(f) && t.seen.within(t.named(f.Listener).index, f.Remote, now, t.opts.DatagramFresh)
}

// conn returns f's connection, or nil if it has ended.
func (t *Transport) conn(f flow.Flow) *conn {
	c := t.conns.get(f.Conn)
	if c == nil || c.flow != f {
		return nil
	}
	return c
}

// Addr returns the bound address of a listener, or nil.
func (t *Transport) Addr(listener string) net.Addr {
	l := t.named(listener)
	switch {
	case l == nil:
		return nil
	case l.accept != nil:
		return l.accept.Addr()
	}
	return l.sockets[0].conn.LocalAddr()
}

// Listeners describes the listeners in configured order.
func (t *Transport) Listeners() []ListenerInfo {
	list := t.listeners()
	out := make([]ListenerInfo, 0, len(list))
	for _, l := range list {
		out = append(out, l.ListenerInfo)
	}
	return out
}

// endListeners calls end, finish or close, for each listener.
func (t *Transport) endListeners(end func(*listener) error) { t.endAll(t.listeners(), end) }

func (t *Transport) endAll(list []*listener, end func(*listener) error) {
	for _, l := range list {
		if err := end(l); err != nil && !errors.Is(err, net.ErrClosed) {
			t.log.Warn("close listener", slog.String("listener", l.Name), slog.Any("err", err))
		}
	}
}
