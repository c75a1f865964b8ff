package proxy

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// A Proxy relays requests. Its methods Request, Ack and Cancel are those of a
// transaction.User and run on the queue of the message they are given; the rest
// is safe for concurrent use.
type Proxy struct {
	options atomic.Pointer[Options] // replaced whole by Reload
	metrics *metrics
	bucket  *bucket
	memory  *hopMemory
	// refusals bounds those that events tell of.
	refusals *rate.Limiter
	// lanes holds one *lane for each queue; only that queue uses it.
	lanes sync.Map
	// farewells counts those of all lanes.
	farewells atomic.Int64
	// requests is the number of the last request of which an event told.
	requests atomic.Uint64
	// stopping: no request waits for a phone any more.
	stopping atomic.Bool
}

// A lane is what the proxy keeps for one queue. It needs no lock.
type lane struct {
	forks map[*transaction.Server]*fork
	lines map[lineKey]*line
	// farewells wait for phones, or are being said.
	farewells map[*farewell]struct{}
	// turns are what is still to be done about REGISTERs of this queue.
	turns map[usrloc.AOR][]turn
	// reached are flows that were found for INVITEs in a dialog, for their ACKs.
	reached map[exchange]flow.Flow
	// media keep the messages of calls in order that go through media engines.
	media map[mediaID]*mediaLine
}

// New returns a Proxy, or an error that names the missing option.
func New(o Options) (*Proxy, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	p := &Proxy{bucket: newBucket(o.MaxParked, o.MaxParkedPerAOR), memory: newHopMemory(), refusals: newRefusals()}
	p.metrics = newMetrics(o.Registerer, p.memory)
	p.options.Store(&o)
	p.requests.Store(firstRequest(time.Now()))
	return p, nil
}

// Reload replaces the options for requests and steps to come. The bounds of the
// bucket and the metrics stay those of New. On error nothing has changed.
func (p *Proxy) Reload(o Options) error {
	if err := o.validate(); err != nil {
		return err
	}
	p.options.Store(&o)
	return nil
}

func (p *Proxy) opts() *Options { return p.options.Load() }

// Parked returns how many branches wait for a phone at this moment.
func (p *Proxy) Parked() int { return int(p.bucket.total.Load()) }

func (p *Proxy) lane(q *transaction.Queue) *lane {
	if l, ok := p.lanes.Load(q); ok {
		return l.(*lane)
	}
	l, _ := p.lanes.LoadOrStore(q, &lane{forks: map[*transaction.Server]*fork{}, lines: map[lineKey]*line{}, farewells: map[*farewell]struct{}{}, turns: map[usrloc.AOR][]turn{}, reached: map[exchange]flow.Flow{}, media: map[mediaID]*mediaLine{}})
	return l.(*lane)
}

// A subject is what every event of a request says.
type subject struct{ method, callID, from, to string }

func subjectOf(m *sipmsg.Message) subject {
	return subject{event.Text(m.Method()), event.Text(m.CallID()), event.Text(identity(m.From().URI)), event.Text(identity(m.To().URI))}
}

// emit fills in what every event of a request says, for one of which nothing more is
// told.
func (p *Proxy) emit(m *sipmsg.Message, e event.Call) {
	e.Request = p.requests.Add(1)
	p.emitOf(subjectOf(m), e)
}

func (p *Proxy) emitOf(s subject, e event.Call) {
	e.Method, e.CallID, e.From, e.To = s.method, s.callID, s.from, s.to
	p.opts().Sink.Emit(e)
}

// identity is the form in which events name a party: without parameters, which
// may hold push data.
func identity(u sipmsg.URI) string {
	if aor, err := sipmsg.CanonicalAOR(u); err == nil {
		return aor
	}
	return u.Scheme + ":"
}

// refused tells of a request that goes no further, and of the user for whom it was, if
// it would have begun something.
func (p *Proxy) refused(s *transaction.Server, r sipmsg.Reply) {
	m := s.Message()
	p.metrics.answered(m.Method(), r.Code)
	e := event.Call{Step: "failed", Flow: s.Flow(), Status: r.Code, Reason: r.Reason}
	if m.ToTag() == "" && p.opts().wakes(m.Method()) {
		aor, _ := p.aorOf(p.dialled(m.RequestURI()))
		e.AOR = event.Text(string(aor))
	}
	p.emit(m, e)
}

// reject answers a request whose sender has shown no right to anything: it costs
// no memory beyond the answer.
func (p *Proxy) reject(s *transaction.Server, r sipmsg.Reply) {
	p.refused(s, r)
	s.Refuse(r)
}

// aorOf returns the AOR that u names, if it is a user of ours. A Request-URI
// with one of our own addresses instead of a domain means a user of the first
// domain: callers that know only the server's address write it so.
func (p *Proxy) aorOf(u sipmsg.URI) (usrloc.AOR, bool) {
	hosts := p.opts().Hosts
	switch {
	case u.User == "" || !p.ours(u):
		return "", false
	case !hosts.Serves(u.Host):
		// A new URI, for the text of the old one names the old host.
		u = sipmsg.URI{Scheme: u.Scheme, User: u.User, Host: hosts.Names()[0]}
	}
	aor, _, err := hosts.AOR(u)
	return aor, err == nil
}

// key returns the AOR under which the devices of a user are registered: the Gate
// may have another name of the domain, or another case, for a user.
func (p *Proxy) key(user usrloc.AOR) usrloc.AOR {
	hosts := p.opts().Hosts
	if user == "" || hosts.Stands(user) {
		return user
	}
	u, err := sipmsg.ParseURI(string(user))
	if err != nil {
		return user
	}
	aor, _, err := hosts.AOR(u)
	if err != nil {
		return user
	}
	return aor
}

// ours reports whether u names this server itself: one of our addresses, or a
// domain of ours.
func (p *Proxy) ours(u sipmsg.URI) bool {
	return u.IsSIP() && (p.opts().Hosts.Serves(u.Host) || p.own(u))
}

// own reports whether u names an address of ours, on whatever transport: of two
// Record-Routes of ours, one names the transport that the request did not come
// by (RFC 5658 §4).
func (p *Proxy) own(u sipmsg.URI) bool { return p.opts().Flows.IsOwn(u.Host, u.PortNum(), 0) }

func (p *Proxy) ownVia(v sipmsg.Via) bool {
	t, ok := flow.ParseTransport(v.Transport)
	// No port, or one that is none, means the transport's default.
	port, _ := strconv.ParseUint(v.Port, 10, 16)
	return ok && p.opts().Flows.IsOwn(v.Host, uint16(port), t)
}

func (p *Proxy) view(method string, now time.Time) view {
	o := p.opts()
	return view{
		now: now, method: method, flows: o.Flows, can: o.can, policy: o.Policy, skip: o.Skip,
		keeps: o.Dormant, secrets: o.PushParams, wakes: o.wakes(method),
	}
}
