package transaction

import (
	"errors"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// Sender puts bytes on a flow. Send never blocks and has copied or written b
// when it returns. An error says that the bytes will certainly not arrive.
type Sender interface {
	Send(f flow.Flow, b []byte) error
}

// User is the transaction user (TU) of RFC 3261 §17. All its methods run on the
// queue of the message's Call-ID and must not block. A panic in one of them is
// logged, and the request at hand is answered 500.
type User interface {
	// Request is called once for each new request. It is not called for
	// retransmissions, CANCEL, or ACK. An INVITE that is unanswered when Request
	// returns gets a 100 at once.
	Request(s *Server)
	// Ack is called for an ACK that ends no transaction of ours: the ACK to a
	// 2xx, of which every copy is passed up.
	Ack(q *Queue, f flow.Flow, m *sipmsg.Message)
	// Cancel is called once when a CANCEL arrives for an INVITE without final
	// response. The CANCEL itself has been answered 200. If it came on another
	// flow than the INVITE, the INVITE's handler may be suspended at the time.
	Cancel(invite *Server, cancel *sipmsg.Message)
	// Stray is called for a response that matches no client transaction. It
	// must not be forwarded (RFC 6026 §7.3).
	Stray(f flow.Flow, m *sipmsg.Message)
}

// ClientUser gets the results of a client transaction, on its queue.
type ClientUser interface {
	// Response is called for each provisional response, for the first final one
	// and, of an INVITE, for every 2xx, also repeated ones and those of other
	// forks (RFC 6026 §7.2).
	Response(c *Client, m *sipmsg.Message)
	// Failed is called at most once and instead of a final response: ErrTimeout,
	// ErrTransport or ErrTimerC, perhaps wrapped.
	Failed(c *Client, err error)
}

// Reasons for which a client transaction fails.
var (
	// ErrTimeout: no final response in time (Timer B or F, or 64*T1 after our
	// CANCEL). To be treated like a received 408.
	ErrTimeout = errors.New("transaction: timeout")
	// ErrTransport: the request could not be sent or its connection ended. To be
	// treated like a received 503 (RFC 3261 §16.9).
	ErrTransport = errors.New("transaction: transport failure")
	// ErrTimerC: Timer C fired. If there had been a provisional response, the
	// branch was cancelled and 64*T1 have passed since.
	ErrTimerC = errors.New("transaction: timer C fired")
	// ErrTooMany: Options.MaxClients transactions are alive; nothing was sent.
	ErrTooMany = errors.New("transaction: too many client transactions")
)

// Options configure a Layer. Zero values mean the defaults.
type Options struct {
	// Sender and User are required.
	Sender Sender
	User   User

	// Queues is the number of queues, each with one goroutine; default 4 for
	// each CPU.
	Queues int
	// QueueLen bounds the messages that wait in one queue; default 4096. Further
	// ones are dropped.
	QueueLen int
	// MaxSuspended bounds the keys (flow, Call-ID) that are suspended at a time,
	// over all queues; default 65536.
	MaxSuspended int
	// MaxHeld bounds the messages held back by one suspended key; default 32.
	MaxHeld int
	// MaxTransactions bounds the server transactions, over all queues; default
	// 262144. Further requests are answered 503 without memory of them.
	MaxTransactions int
	// MaxClients bounds the client transactions; default 4*MaxTransactions.
	MaxClients int
	// RetryAfter is the shortest time that peers are told in a 503, rounded up to
	// seconds; the longest is twice as long. Default 10 s.
	RetryAfter time.Duration
	// Overload says when new requests are refused; by default never.
	Overload Overload
	// Spare reports whether a request outside of a dialog is served whatever the
	// server has to do, such as an emergency call. It is called on any goroutine and
	// must be quick. Nil: none is.
	Spare func(m *sipmsg.Message) bool
	// Refused hears of a request that is refused because of overload, or for want of
	// room. It is called on any goroutine and must be quick. Nil: nobody does.
	Refused func(f flow.Flow, m *sipmsg.Message, r sipmsg.Reply)

	// T1, T2 and T4 are the base timers of RFC 3261 §17; default 500 ms, 4 s, 5 s.
	T1, T2, T4 time.Duration
	// TimerC is how long a proxied INVITE may ring without news; it must be more
	// than 3 minutes (RFC 3261 §16.6 step 11); default 181 s.
	TimerC time.Duration

	// Logger may be nil.
	Logger *slog.Logger
	// Registerer may be nil.
	Registerer prometheus.Registerer
}

// withDefaults returns o with every zero value replaced.
func (o Options) withDefaults() Options {
	setInt := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	setTime := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	setInt(&o.Queues, 4*runtime.GOMAXPROCS(0))
	setInt(&o.QueueLen, 4096)
	setInt(&o.MaxSuspended, 65536)
	setInt(&o.MaxHeld, 32)
	setInt(&o.MaxTransactions, 262144)
	setInt(&o.MaxClients, 4*o.MaxTransactions)
	setTime(&o.RetryAfter, 10*time.Second)
	setTime(&o.Overload.Interval, 3*o.Overload.Target)
	setTime(&o.T1, 500*time.Millisecond)
	setTime(&o.T2, 4*time.Second)
	setTime(&o.T4, 5*time.Second)
	setTime(&o.TimerC, 181*time.Second)
	if o.Spare == nil {
		o.Spare = func(*sipmsg.Message) bool { return false }
	}
	if o.Refused == nil {
		o.Refused = func(flow.Flow, *sipmsg.Message, sipmsg.Reply) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
