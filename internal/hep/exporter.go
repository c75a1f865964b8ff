package hep

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/trace"
)

// Bounds of what is sent and how.
const (
	// maxQueued bounds the packets that wait, in bytes.
	maxQueued   = 4 << 20
	dialTimeout = 5 * time.Second
	// writeTimeout is how long a collector may take to read what is written at once.
	writeTimeout = 10 * time.Second
	// The pause after a failure is doubled up to the longest.
	firstPause, longestPause = time.Second, 30 * time.Second
	// maxDatagram is the payload of an IPv4 datagram.
	maxDatagram = 65507
)

// Options of an Exporter.
type Options struct {
	// Network is udp or tcp, Addr host:port of the collector. A name is looked up each
	// time that a connection is made.
	Network, Addr string
	// CaptureID and Password are those of Packet.
	CaptureID uint32
	Password  string
	// Redact takes the secrets out of messages; nil sends them as they were on the wire.
	Redact func(*trace.Message) string
	// Dial makes connections; nil means a net.Dialer.
	Dial       func(ctx context.Context, network, addr string) (net.Conn, error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// An Exporter sends all messages that it is given to a collector. It is safe for
// concurrent use.
type Exporter struct {
	o       Options
	log     *slog.Logger
	metrics *metrics
	// work holds one token when something waits.
	work chan struct{}

	mu     sync.Mutex // guards the fields below
	queue  []byte     // packets, one behind the other
	queued int        // how many they are
}

var _ trace.Taker = (*Exporter)(nil)

// New returns an Exporter that sends when it runs.
func New(o Options) (*Exporter, error) {
	if o.Network != "udp" && o.Network != "tcp" {
		return nil, fmt.Errorf("hep: network %q is neither udp nor tcp", o.Network)
	}
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		return nil, fmt.Errorf("hep: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	e := &Exporter{o: o, log: o.Logger, work: make(chan struct{}, 1)}
	e.metrics = newMetrics(o.Registerer, e)
	return e, nil
}

// Take implements trace.Taker.
func (e *Exporter) Take(m *trace.Message) {
	if m.Err != nil {
		return // Nobody on the wire has seen it.
	}
	p := Packet{
		At: m.At, Src: m.Flow.Remote, Dst: m.Local, Stream: m.Flow.Stream(), CaptureID: e.o.CaptureID, Password: e.o.Password,
		CorrelationID: m.CallID(), Payload: m.Raw,
	}
	if m.Sent {
		p.Src, p.Dst = p.Dst, p.Src
	}
	if e.o.Redact != nil {
		p.Payload = e.o.Redact(m)
		p.CorrelationID = m.CallIDIn(p.Payload)
	}
	e.put(&p)
}

// Lost implements trace.Taker.
func (e *Exporter) Lost(n int) { e.metrics.lost(lostUnseen, n) }

// put queues a packet, if there is room.
func (e *Exporter) put(p *Packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := len(e.queue)
	if before+len(p.Payload) > maxQueued {
		e.metrics.lost(lostFull, 1)
		return
	}
	queue, err := p.Append(e.queue)
	if err != nil || e.o.Network == "udp" && len(queue)-before > maxDatagram {
		e.queue = queue[:before]
		e.metrics.lost(lostTooLong, 1)
		return
	}
	e.queue, e.queued = queue, e.queued+1
	select {
	case e.work <- struct{}{}:
	default:
	}
}

// take takes what waits, for the buffer of what was sent.
func (e *Exporter) take(sent []byte) (batch []byte, n int) {
	const keep = 256 << 10
	if cap(sent) > keep {
		sent = nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	batch, n = e.queue, e.queued
	e.queue, e.queued = sent[:0], 0
	return batch, n
}

// Run sends until ctx ends.
func (e *Exporter) Run(ctx context.Context) {
	var conn net.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close() // There is nobody to tell.
		}
	}()
	var batch []byte
	failures := 0
	for ctx.Err() == nil {
		if conn == nil {
			var err error
			if conn, err = e.connect(ctx); err != nil {
				e.failed(ctx, &failures, fmt.Errorf("connect: %w", err))
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-e.work:
		}
		var n int
		batch, n = e.take(batch)
		sent, err := e.write(ctx, conn, batch, n)
		e.metrics.sent.Add(float64(sent))
		if err == nil {
			if failures > 0 {
				e.log.InfoContext(ctx, "the collector is there again", "addr", e.o.Addr)
			}
			failures = 0
			continue
		}
		e.metrics.lost(lostUnsent, n-sent)
		_ = conn.Close() // It has failed already.
		conn = nil
		e.failed(ctx, &failures, fmt.Errorf("send: %w", err))
	}
}

func (e *Exporter) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return e.o.Dial(ctx, e.o.Network, e.o.Addr)
}

// failed says that the collector is away, once, and waits before the next try.
func (e *Exporter) failed(ctx context.Context, failures *int, err error) {
	if ctx.Err() != nil {
		return
	}
	if *failures == 0 {
		e.log.WarnContext(ctx, "the collector is away: messages wait or are lost", "addr", e.o.Addr, "err", err)
	}
	pause := time.NewTimer(min(firstPause<<min(*failures, 8), longestPause))
	defer pause.Stop()
	*failures++
	select {
	case <-ctx.Done():
	case <-pause.C:
	}
}

// write sends the n packets of a batch and returns how many of them left.
func (e *Exporter) write(ctx context.Context, conn net.Conn, batch []byte, n int) (sent int, err error) {
	// A write that waits ends with ctx.
	defer context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })()
	if err := conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	if e.o.Network == "tcp" {
		if _, err := conn.Write(batch); err != nil {
			return 0, err // Which of them have arrived nobody knows.
		}
		return n, nil
	}
	for len(batch) > 0 {
		var packet []byte
		packet, batch = cut(batch)
		if _, err := conn.Write(packet); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}
