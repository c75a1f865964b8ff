// Package fastpath answers plain refreshes in place: a REGISTER that does no
// more than to prolong one binding of its user, on the reader of the socket on
// which it came, without a copy, a queue or an allocation. Four fifths of a
// registrar's load are such.
//
// It is a short cut and nothing else. No rule is written here: sipmsg.Plain
// reads by the rules of Parse, auth.Recognise checks as Authenticate does, and
// registrar.Refresh decides by the functions of Apply (RFC 3261 §10.3, RFC 8599
// §5.6). Whatever is not plain at any step, and whatever fails, is left
// untouched for the long way, which gives the same answer, only later. Without
// this package everything works the same.
package fastpath

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/registrar"
	"reveille/usrloc"
)

// A Layer is what is asked of the transactions; *transaction.Layer implements
// it.
type Layer interface {
	// Busy reports whether a message with that Call-ID, or about the AOR that to
	// stands for, is on its way.
	Busy(callID string, to *sipmsg.URI) bool
	// Begin reports whether a new request is taken on. If so, End says that its
	// answer is on its way or that it is none of ours after all.
	Begin() bool
	End()
	// AppendTag appends the To tag of our answers to a request.
	AppendTag(dst []byte, branch, callID, fromTag string, cseq uint32) []byte
}

// A Gate says who may register.
type Gate interface {
	// Served reports whether a REGISTER with that Request-URI is for us (RFC
	// 3261 §10.3 step 1).
	Served(uri *sipmsg.URI) bool
	// Doorman returns who has to recognise the sender of a REGISTER that
	// arrived on f; nil if anybody may register. ok is false if nobody may.
	Doorman(f flow.Flow) (a *auth.Authenticator, ok bool)
}

// Options are what a Path needs. All but Limit and Registerer are required.
type Options struct {
	Registrar *registrar.Registrar
	Store     registrar.Toucher
	Layer     Layer
	Gate      Gate
	// Limit reports whether aor, whose owner has authenticated on f, may register
	// once more, and counts that. It must be quick. Nil: always.
	Limit func(f flow.Flow, aor usrloc.AOR, now time.Time) bool
	// Post sends an answer that had to wait for the Store on the flow of its
	// request. It must not block, and has copied b when it returns. What cannot
	// be sent is lost, and asked for again.
	Post func(f flow.Flow, b []byte) error
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
}

// A Path answers what is plain. It is safe for concurrent use.
type Path struct {
	o        Options
	answered prometheus.Counter
	attempts sync.Pool // of *attempt
	waiting  sync.Pool // of *waiting
}

// New returns a Path.
func New(o Options) (*Path, error) {
	if o.Registrar == nil || o.Store == nil || o.Layer == nil || o.Gate == nil || o.Post == nil {
		return nil, errors.New("fastpath: Registrar, Store, Layer, Gate and Post are required")
	}
	if o.Limit == nil {
		o.Limit = func(flow.Flow, usrloc.AOR, time.Time) bool { return true }
	}
	p := &Path{o: o, answered: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "reveille_fastpath_answered_total",
		Help: "Refreshes that were answered in place.",
	})}
	if o.Registerer != nil {
		o.Registerer.MustRegister(p.answered)
	}
	p.attempts.New = func() any {
		a := &attempt{refresh: o.Registrar.NewRefresh(), limit: o.Limit}
		a.refresh.Admit = a.admit
		return a
	}
	p.waiting.New = func() any { return &waiting{path: p} }
	return p, nil
}

// An attempt is the memory that one message needs.
type attempt struct {
	message sipmsg.Plain
	refresh *registrar.Refresh
	limit   func(flow.Flow, usrloc.AOR, time.Time) bool
	proof   auth.Proof
	proven  bool // the proof must be spent
	tag     []byte
	later   *waiting // for the next answer that has to wait; nil: none yet
}

// Try answers the message b, which arrived on f, if it is a plain refresh: it
// returns out with the answer appended, which is to be sent on f, and true; or
// out alone and true if the answer has to wait for the Store and is posted then.
// If b is no plain refresh, Try has changed nothing, and b takes the long way.
// Messages of one flow must be passed in the order of their arrival, together
// with those that take the long way. b may be reused after the call.
func (p *Path) Try(f flow.Flow, b, out []byte) (answer []byte, mine bool) {
	if len(b) == 0 || b[0] != 'R' || !f.Remote.IsValid() {
		return out, false
	}
	a := p.attempts.Get().(*attempt)
	answer, mine = a.try(p, f, b, out)
	p.attempts.Put(a)
	if mine {
		p.answered.Inc()
	}
	return answer, mine
}

// method is the only one that is answered here.
const method = "REGISTER"

func (a *attempt) try(p *Path, f flow.Flow, b, out []byte) ([]byte, bool) {
	m := &a.message
	if !m.Read(b, method) || transaction.ResponseFlow(f, m.Via()) != f {
		return out, false
	}
	aor, ok := m.AOR()
	// Order is kept with what takes the long way: nothing with this Call-ID or AOR
	// is waiting there.
	if !ok || !p.o.Gate.Served(m.RequestURI()) || p.o.Layer.Busy(m.CallID(), &m.To().URI) {
		return out, false
	}
	// Stores keep milliseconds.
	now := time.Now()
	if !a.recognise(p.o.Gate, usrloc.AOR(aor), view(b), f, now) {
		return out, false
	}
	w := a.refresh
	w.Contact = m.Contact()
	w.Input = registrar.Input{
		AOR: usrloc.AOR(aor), CallID: m.CallID(), CSeq: m.CSeq().Seq, Now: now.Truncate(time.Millisecond), Flow: f, Random: rand.Float64(),
	}
	w.Input.UserAgent, _ = m.Header(sipmsg.HdrUserAgent)
	if v, ok := m.Header(sipmsg.HdrExpires); ok {
		w.Input.Expires = registrar.ParseExpires(v)
	}
	for i := range m.Len() {
		switch line := m.Line(i); line.ID {
		case sipmsg.HdrSupported:
			w.Input.Supported |= registrar.ParseExtensions(line.Value)
		case sipmsg.HdrAllow:
			w.Input.Methods |= usrloc.ParseMethods(line.Value)
		}
	}
	a.tag = p.o.Layer.AppendTag(a.tag[:0], m.Via().Branch(), m.CallID(), m.From().Tag(), m.CSeq().Seq)
	if a.later == nil {
		a.later = p.waiting.Get().(*waiting)
	}
	if !p.o.Layer.Begin() {
		return out, false
	}
	n := len(out)
	out = m.AppendReplyStart(out, 200, view(a.tag), f.Remote)
	out, touched := w.Try(p.o.Store, out, a.later)
	switch touched {
	case usrloc.TouchDone:
		p.o.Layer.End()
		return m.AppendReplyEnd(out), true
	case usrloc.TouchPending:
		later := a.later
		a.later = nil
		later.keep(f, m.AppendReplyEnd(out)[n:])
		return out[:n], true
	case usrloc.TouchDeclined:
	}
	p.o.Layer.End()
	return out[:n], false
}

// recognise reports whether the sender of raw may register aor (RFC 3261 §10.3
// steps 3 and 4).
func (a *attempt) recognise(g Gate, aor usrloc.AOR, raw string, f flow.Flow, now time.Time) (ok bool) {
	a.proven = false
	doorman, ok := g.Doorman(f)
	if doorman == nil || !ok {
		return ok
	}
	m := &a.message
	q := auth.Question{URI: m.RequestURI(), Host: m.To().URI.Host, Raw: raw}
	q.Authorization, _ = m.Header(sipmsg.HdrAuthorization)
	q.UserAgent, _ = m.Header(sipmsg.HdrUserAgent)
	if a.proof, ok = doorman.Recognise(&q, f, now); !ok || !a.proof.MayUse(aor) {
		return false
	}
	a.proven = true
	return true
}

// admit is the last question before the binding is written. The limit comes
// first: a proof that was spent here would not do on the long way.
func (a *attempt) admit() bool {
	in := &a.refresh.Input
	return a.limit(in.Flow, in.AOR, in.Now) && (!a.proven || a.proof.Spend())
}

// view returns b as a string for as long as b does not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
