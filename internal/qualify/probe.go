package qualify

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// A probe is one OPTIONS under way. It is a transaction.ClientUser; what is below
// queue belongs to that queue.
type probe struct {
	q  *Qualifier
	id usrloc.BindingID

	queue  *transaction.Queue
	began  time.Time
	client *transaction.Client
	timer  *transaction.Timer
	over   bool
}

// ask sends OPTIONS to the device of b.
func (q *Qualifier) ask(b *usrloc.Binding, to flow.Flow, uri string) {
	// Nobody who does not see the request can answer it in the phone's name.
	mark := rand.Text()
	wire := q.request(to, uri, b.Path, mark)
	p := &probe{q: q, id: b.ID, queue: q.o.Layer.Queue(mark)}
	q.mu.Lock()
	q.pending[p] = struct{}{}
	q.mu.Unlock()
	p.queue.Post(func() { p.send(to, wire) })
}

// request is the OPTIONS of RFC 3261 §11.1.
func (q *Qualifier) request(to flow.Flow, uri string, path []string, mark string) []byte {
	b := fmt.Appendf(nil, "OPTIONS %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\n", uri, to.Transport, q.sentBy(to), mark)
	// RFC 3327 §5.2: the Path is the way to the phone.
	for _, p := range path {
		b = fmt.Appendf(b, "Route: %s\r\n", p)
	}
	return fmt.Appendf(b, "From: <sip:%s>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 OPTIONS\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n",
		q.o.Domain, mark[:10], uri, mark)
}

// sentBy is our address in a Via.
func (q *Qualifier) sentBy(to flow.Flow) string {
	host, port := q.o.Flows.Advertised(to)
	host = strings.Trim(host, "[]")
	switch {
	case port != 0:
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	case strings.Contains(host, ":"):
		return "[" + host + "]"
	}
	return host
}

func (p *probe) send(to flow.Flow, wire []byte) {
	if p.q.stopping.Load() {
		p.end()
		return
	}
	p.began = time.Now()
	client, err := p.queue.NewClient(to, wire, p)
	switch {
	case errors.Is(err, transaction.ErrTooMany):
		// That says nothing of the phone.
		p.q.metrics.results.WithLabelValues("failed").Inc()
		p.end()
	case err != nil:
		p.Failed(nil, err)
	default:
		p.client = client
		p.q.metrics.sent.Inc()
		p.timer = p.queue.After(p.q.o.Timeout, p.expire)
	}
}

// Response implements transaction.ClientUser.
func (p *probe) Response(_ *transaction.Client, m *sipmsg.Message) {
	code := m.Status()
	if code < 200 || p.over {
		return
	}
	took := time.Since(p.began)
	p.q.metrics.results.WithLabelValues(strconv.Itoa(code/100) + "xx").Inc()
	p.q.metrics.roundTrip.Observe(took.Seconds())
	silent := p.q.o.Only2xx && code >= 300
	// A proxy on the way says that it has no flow to the phone (RFC 5626 §5.3.1),
	// or heard nothing of it. The phone itself has no reason to say so.
	silent = silent || code == 430 || code == 408
	p.conclude(result{micros: micros(took), silent: silent})
}

// Failed implements transaction.ClientUser.
func (p *probe) Failed(_ *transaction.Client, err error) {
	if p.over {
		return
	}
	what := "failed"
	if errors.Is(err, transaction.ErrTimeout) {
		what = "timeout"
	}
	p.q.metrics.results.WithLabelValues(what).Inc()
	p.conclude(result{silent: true})
}

// expire is called when the phone took too long. It is not asked again before the
// next walk.
func (p *probe) expire() {
	if p.over {
		return
	}
	p.client.Abandon()
	p.Failed(p.client, transaction.ErrTimeout)
}

// giveUp ends the probe without a result.
func (p *probe) giveUp() {
	if p.over {
		return
	}
	if p.client != nil {
		p.client.Abandon()
	}
	p.end()
}

func (p *probe) conclude(r result) {
	r.walk = uint16(p.q.walks.Load()) //nolint:gosec // It is one.
	if !p.q.table.put(p.id, r) {
		p.q.metrics.overflows.Inc()
	}
	p.end()
}

// end forgets the probe.
func (p *probe) end() {
	p.over = true
	p.timer.Stop()
	p.q.mu.Lock()
	defer p.q.mu.Unlock()
	delete(p.q.pending, p)
}
