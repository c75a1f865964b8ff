package transaction

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// A Layer runs all transactions of a server. It is safe for concurrent use.
type Layer struct {
	o       Options
	metrics *metrics
	// seed makes the spread over the queues and the tags of stateless answers
	// unpredictable.
	seed   maphash.Seed
	queues []*Queue

	live      [kinds]atomic.Int64 // transactions by kind
	undecided atomic.Int64        // transactions without a final response
	suspended atomic.Int64        // suspended keys

	stopping atomic.Bool
	idle     chan struct{} // capacity 1: undecided may have become 0
	quit     chan struct{} // closed when the workers must end
	halt     sync.Once
	workers  sync.WaitGroup
}

// New returns a Layer that takes messages at once and handles them after Start.
func New(o Options) *Layer {
	o = o.withDefaults()
	l := &Layer{
		o:    o,
		seed: maphash.MakeSeed(),
		idle: make(chan struct{}, 1),
		quit: make(chan struct{}),
	}
	l.queues = make([]*Queue, o.Queues)
	for i := range l.queues {
		l.queues[i] = newQueue(l)
	}
	l.metrics = newMetrics(o.Registerer, l)
	return l
}

// Start starts the queues' goroutines. Stop ends them and waits for them.
func (l *Layer) Start() {
	for _, q := range l.queues {
		l.workers.Go(q.run)
	}
}

// Stop answers new requests with 503 from now on, waits until every request and
// branch has its final response or ctx has ended, and ends the goroutines. What
// only absorbs retransmissions is not waited for. It returns ctx's error if
// something was left undecided. It may be called more than once.
func (l *Layer) Stop(ctx context.Context) error {
	l.stopping.Store(true)
	err := l.drain(ctx)
	l.halt.Do(func() { close(l.quit) })
	l.workers.Wait()
	return err
}

func (l *Layer) drain(ctx context.Context) error {
	for l.undecided.Load() != 0 {
		select {
		case <-l.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// decide counts a transaction that got its final response or ended without.
func (l *Layer) decide() {
	if l.undecided.Add(-1) == 0 && l.stopping.Load() {
		select {
		case l.idle <- struct{}{}:
		default:
		}
	}
}

// place says which queue a Call-ID belongs to, and which slot of the queue's
// busy table.
func (l *Layer) place(callID string) (*Queue, uint8) {
	h := maphash.String(l.seed, callID)
	return l.queues[h%uint64(len(l.queues))], uint8(h >> 56)
}

// Queue returns the queue of a Call-ID.
func (l *Layer) Queue(callID string) *Queue {
	q, _ := l.place(callID)
	return q
}

// Other returns the queue of another Call-ID on the same layer.
func (q *Queue) Other(callID string) *Queue { return q.layer.Queue(callID) }

// Receive takes a message that arrived on f. The messages of one flow must be
// passed one after another, in the order of their arrival. It reports false if
// the message was dropped because the queue is full.
func (l *Layer) Receive(f flow.Flow, m *sipmsg.Message) bool {
	q, slot := l.place(m.CallID())
	return q.receive(f, m, slot)
}

// FlowClosed fails the client transactions that still wait for a response on
// the connection f. It must be called after the last Receive of f and when
// Sender already refuses f.
func (l *Layer) FlowClosed(f flow.Flow) {
	for _, q := range l.queues {
		if q.flows.has(f) {
			q.push(item{f: f})
		}
	}
}

// Busy reports whether a message with this Call-ID is queued, being handled,
// held or suspended. It may say true for the sake of another flow or Call-ID,
// never false while a message of the caller's own flow is on its way: whoever
// reads a flow in order and finds a Call-ID idle may handle the next message of
// that flow and Call-ID himself.
func (l *Layer) Busy(_ flow.Flow, callID string) bool {
	q, slot := l.place(callID)
	return q.busy[slot].Load() != 0
}

// Accepts reports whether a new request would be taken on now. It is not while
// the layer stops or has as many transactions as it may.
func (l *Layer) Accepts() bool {
	return !l.stopping.Load() && l.live[kindServerInvite].Load()+l.live[kindServerOther].Load() < int64(l.o.MaxTransactions)
}

// Answered sends the answer to a request that arrived on f and was not given to
// the layer.
func (l *Layer) Answered(f flow.Flow, wire []byte) {
	if err := l.o.Sender.Send(f, wire); err != nil {
		l.metrics.sendErrors.Inc()
		l.debug("response not sent", slog.String("flow", f.String()), slog.Any("err", err))
	}
}

// Refuse answers a request that arrived on f without making a transaction of it,
// such as one that is too damaged to be received. The answer to a copy of the
// request is the same, and the ACK to it is absorbed. ACKs and responses are not
// answered.
func (l *Layer) Refuse(f flow.Flow, m *sipmsg.Message, r sipmsg.Reply) {
	if !m.IsRequest() || m.Method() == "ACK" {
		return
	}
	if r.ToTag == "" {
		r.ToTag = l.tag(m)
	}
	l.respond(f, m, m.AppendReply(nil, r))
}
