package trace

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transport"
)

// Bounds of what waits to be looked at. Beyond them messages are lost.
const (
	maxQueued = 4096
	maxBytes  = 8 << 20
)

// A Message is one that arrived or left.
type Message struct {
	At time.Time
	// Sent says that it left; otherwise it arrived.
	Sent bool
	Flow flow.Flow
	// Local is our address; not valid if the flow has ended.
	Local netip.AddrPort
	// Err is why it could not be sent.
	Err error
	// Raw is the message as on the wire, with its secrets. It is valid during the call
	// only.
	Raw string
	// Scan is its outline, and Fault the first defect in it.
	Scan  *sipmsg.Scan
	Fault error
}

// CallID returns the value of Call-ID, empty if it has none.
func (m *Message) CallID() string {
	v, _ := m.Scan.Value(sipmsg.HdrCallID)
	return v
}

// CallIDIn returns the value of Call-ID as it may be shown beside shown, which is what
// Redact made of the message: empty if it holds what was hidden there.
func (m *Message) CallIDIn(shown string) string {
	if id := m.CallID(); strings.Contains(shown, id) {
		return id
	}
	return ""
}

// Redact returns the message as it may be shown.
func (m *Message) Redact(s *Secrets, bodies bool) string {
	return redact(m.Raw, m.Scan, m.Fault, s, bodies)
}

// A Taker gets all messages, one after the other, on the goroutine of Hub.Run. It must
// not wait for anybody.
type Taker interface {
	Take(m *Message)
	// Lost says that n messages before the next could not be kept.
	Lost(n int)
}

// Options of a Hub.
type Options struct {
	// Tap has see called with every message, or nobody if it is nil; that of a
	// transport.Transport.
	Tap func(see func(transport.Passage))
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
}

// A Hub hands messages to Takers. It is safe for concurrent use.
type Hub struct {
	tap     func(func(transport.Passage))
	metrics *metrics
	// work holds one token when the queue is not empty.
	work chan struct{}

	mu     sync.Mutex // guards the fields below
	takers []Taker    // replaced, never changed
	queue  queue
	lost   int // since the last batch
}

// A queue holds messages one behind the other.
type queue struct {
	list  []Message // without Raw
	ends  []int     // of each in bytes
	bytes []byte
}

// New returns a Hub that looks at nothing until there is a Taker.
func New(o Options) *Hub {
	return &Hub{tap: o.Tap, metrics: newMetrics(o.Registerer), work: make(chan struct{}, 1)}
}

// Add gives t all messages from now on, until remove is called. A call of Take may be under
// way when remove returns.
func (h *Hub) Add(t Taker) (remove func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.set(append(append([]Taker(nil), h.takers...), t))
	var once sync.Once
	return func() {
		once.Do(func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			var rest []Taker
			for _, other := range h.takers {
				if other != t {
					rest = append(rest, other)
				}
			}
			h.set(rest)
		})
	}
}

// set changes the takers, and looks at messages as long as there are any. h.mu is held.
func (h *Hub) set(takers []Taker) {
	before := len(h.takers)
	h.takers = takers
	switch {
	case before == 0 && len(takers) > 0:
		h.tap(h.see)
	case len(takers) == 0:
		h.tap(nil)
		h.queue, h.lost = queue{}, 0
	}
}

// see keeps a copy of a message. It is called wherever messages come and go.
func (h *Hub) see(p transport.Passage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := &h.queue
	switch {
	case len(h.takers) == 0: // The last has just gone.
		return
	case len(q.list) == maxQueued || len(q.bytes)+len(p.Message) > maxBytes:
		h.lost++
		h.metrics.lost.Inc()
		return
	}
	q.list = append(q.list, Message{At: p.At, Sent: p.Sent, Flow: p.Flow, Local: p.Local, Err: p.Err})
	q.bytes = append(q.bytes, p.Message...)
	q.ends = append(q.ends, len(q.bytes))
	select {
	case h.work <- struct{}{}:
	default:
	}
}

// Run hands messages on until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	var batch queue
	scan := new(sipmsg.Scan)
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.work:
		}
		takers, lost := h.swap(&batch)
		for _, t := range takers {
			if lost > 0 {
				t.Lost(lost)
			}
		}
		start := 0
		for i := range batch.list {
			m := &batch.list[i]
			raw := batch.bytes[start:batch.ends[i]]
			start = batch.ends[i]
			// Nothing of the view outlives the batch: Takers keep copies.
			m.Raw = trimmed(unsafe.String(unsafe.SliceData(raw), len(raw)))
			if m.Scan, m.Fault = scan, scan.Parse(m.Raw); !scan.IsRequest() && scan.Status() == 0 {
				continue // No SIP at all.
			}
			for _, t := range takers {
				t.Take(m)
			}
		}
	}
}

// keepBytes is up to which size the buffer of a batch is used again.
const keepBytes = 256 << 10

// swap takes what waits, for what was done.
func (h *Hub) swap(done *queue) ([]Taker, int) {
	if cap(done.bytes) > keepBytes {
		*done = queue{}
	}
	clear(done.list) // of the errors and names in it
	done.list, done.ends, done.bytes = done.list[:0], done.ends[:0], done.bytes[:0]
	h.mu.Lock()
	defer h.mu.Unlock()
	*done, h.queue = h.queue, *done
	lost := h.lost
	h.lost = 0
	return h.takers, lost
}

// trimmed returns raw without the line ends before the message (RFC 3261 §7.5).
func trimmed(raw string) string {
	for len(raw) >= 2 && raw[:2] == "\r\n" {
		raw = raw[2:]
	}
	return raw
}
