// Package probe asks a peer by OPTIONS whether it is there, and how long it takes to
// answer (RFC 3261 §11): one question, one answer. Whom to ask, how often, and what an
// answer means is for qualify to know, where phones are asked, and for trunk, where next
// hops are.
package probe

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// Flows knows our addresses; *transport.Transport implements it.
type Flows interface {
	// Advertised is our address as the peer of f should see it.
	Advertised(f flow.Flow) (host string, port uint16)
}

// A Prober sends OPTIONS. It is safe for concurrent use; its fields are not changed
// once it is used.
type Prober struct {
	Layer *transaction.Layer
	Flows Flows
	// Domain is in whose name is asked.
	Domain string
}

// An Answer is what became of one question.
type Answer struct {
	// Code is the status of the final answer; 0: there was none, and Err says why.
	Code int
	// Sent is when it left; the zero time: it did not. Took is how long the answer took.
	Sent time.Time
	Took time.Duration
	// Err wraps ErrGivenUp, transaction.ErrTimeout, ErrTransport or ErrTooMany; the last
	// says nothing of the peer.
	Err error
}

// ErrGivenUp is the end of a question that nobody wants answered any more.
var ErrGivenUp = errors.New("given up")

// A question is one OPTIONS under way. It is a transaction.ClientUser; what is below
// queue belongs to that queue.
type question struct {
	p        *Prober
	done     func(Answer)
	unwanted atomic.Bool

	queue  *transaction.Queue
	sent   time.Time
	client *transaction.Client
	timer  *transaction.Timer
	over   bool
}

// Ask sends OPTIONS for uri on a flow, with a Route for each value of path (RFC 3327
// §5.2). done runs exactly once, no later than timeout, which is less than 64*T1. It runs
// on a queue of the Layer, never inside Ask, but perhaps before Ask has returned. giveUp
// ends the question; it may be called at any time.
func (p *Prober) Ask(to flow.Flow, uri string, path []string, timeout time.Duration, done func(Answer)) (giveUp func()) {
	// Nobody who does not see the request can answer it in the peer's name.
	mark := rand.Text()
	q := &question{p: p, done: done, queue: p.Layer.Queue(mark)}
	wire := p.request(to, uri, path, mark)
	q.queue.Post(func() { q.send(to, wire, timeout) })
	return func() {
		q.unwanted.Store(true)
		q.queue.Post(q.giveUp)
	}
}

// request is the OPTIONS of RFC 3261 §11.1.
func (p *Prober) request(to flow.Flow, uri string, path []string, mark string) []byte {
	b := fmt.Appendf(nil, "OPTIONS %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\n", uri, to.Transport, p.sentBy(to), mark)
	for _, r := range path {
		b = fmt.Appendf(b, "Route: %s\r\n", r)
	}
	return fmt.Appendf(b, "From: <sip:%s>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n",
		p.Domain, mark[:10], uri, mark)
}

// sentBy is our address in a Via.
func (p *Prober) sentBy(to flow.Flow) string {
	host, port := p.Flows.Advertised(to)
	host = strings.Trim(host, "[]")
	switch {
	case port != 0:
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

func (q *question) send(to flow.Flow, wire []byte, timeout time.Duration) {
	if q.unwanted.Load() {
		q.end(Answer{Err: ErrGivenUp})
		return
	}
	now := time.Now()
	client, err := q.queue.NewClient(to, wire, q)
	if err != nil {
		q.end(Answer{Err: err})
		return
	}
	q.client, q.sent = client, now
	q.timer = q.queue.After(timeout, q.expire)
}

// Response implements transaction.ClientUser.
func (q *question) Response(_ *transaction.Client, m *sipmsg.Message) {
	if code := m.Status(); code >= 200 {
		q.end(Answer{Code: code, Took: time.Since(q.sent)})
	}
}

// Failed implements transaction.ClientUser.
func (q *question) Failed(_ *transaction.Client, err error) { q.end(Answer{Err: err}) }

// expire is called when the peer took too long.
func (q *question) expire() {
	if !q.over {
		q.client.Abandon()
		q.end(Answer{Err: transaction.ErrTimeout})
	}
}

func (q *question) giveUp() {
	if q.over {
		return
	}
	if q.client != nil {
		q.client.Abandon()
	}
	q.end(Answer{Err: ErrGivenUp})
}

func (q *question) end(a Answer) {
	if q.over {
		return
	}
	q.over = true
	q.timer.Stop()
	a.Sent = q.sent
	q.done(a)
}
