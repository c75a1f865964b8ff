package transaction

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

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
	epoch  time.Time // the zero of the queues' clock
	queues []*Queue
	busy   busyTable

	live [kinds]atomic.Int64 // transactions by kind
	// undecided counts the transactions without a final response but for REGISTERs,
	// which registering counts.
	undecided, registering atomic.Int64
	suspended              atomic.Int64 // suspended keys
	// strains counts the queues that are not calm, by level of Overload.
	strains [levels]atomic.Int32
	// lost is when a message was lost in a socket's buffer last, on the queues' clock;
	// 0: none was.
	lost atomic.Int64
	// known finds out that a Call-ID has no server transaction.
	known *knownTable

	// draining: no new calls; stopping: no requests.
	draining, stopping atomic.Bool
	idle               chan struct{} // capacity 1: a count of the undecided may have become 0
	quit               chan struct{} // closed when the workers must end
	halt               sync.Once
	workers            sync.WaitGroup
}

// New returns a Layer that takes messages at once and handles them after Start.
func New(o Options) *Layer {
	o = o.withDefaults()
	l := &Layer{
		o:     o,
		seed:  maphash.MakeSeed(),
		epoch: time.Now(),
		idle:  make(chan struct{}, 1),
		quit:  make(chan struct{}),

		known: new(knownTable),
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

// Queue returns the queue of a Call-ID.
func (l *Layer) Queue(callID string) *Queue { return l.queues[l.hash(callID)%uint64(len(l.queues))] }

// Other returns the queue of another Call-ID on the same layer.
func (q *Queue) Other(callID string) *Queue { return q.layer.Queue(callID) }

// Receive is ReceiveAt of a message that arrives now.
func (l *Layer) Receive(f flow.Flow, m *sipmsg.Message) bool {
	return l.ReceiveAt(f, m, time.Now())
}

// ReceiveAt takes a message that arrived on f at the time came. The messages of one
// flow must be passed one after another, in the order of their arrival. It reports
// false if the message was dropped because the queue is full.
func (l *Layer) ReceiveAt(f flow.Flow, m *sipmsg.Message, came time.Time) bool {
	q := l.Queue(m.CallID())
	d := l.door(q, m)
	switch d {
	case refused:
		l.turnAway(f, m)
		return true
	case absorbed:
		l.metrics.absorbed.Inc()
		return true
	case admitted, doubted:
	}
	return q.receive(item{f: f, m: m, slot: l.slot(m), came: came.Sub(l.epoch), doubted: d == doubted})
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

// full reports whether there are as many server transactions as there may be.
func (l *Layer) full() bool {
	return l.live[kindServerInvite].Load()+l.live[kindServerOther].Load() >= int64(l.o.MaxTransactions)
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
