// Package phone simulates mobile phones: they register with push parameters,
// fall asleep without a word, come back from another port, ring, answer, call
// and hang up (RFC 3261, RFC 8599 §4). The demo, the load generator and the end
// to end tests use them; they are not part of the server.
//
// A Phone stands on sipgo's transports and transactions, so that the server is
// tested against another implementation of SIP than its own. It sends everything
// through its server, follows Record-Route, and carries no media.
//
// sipgo refuses to send UDP messages of more than 1300 bytes, and that limit is
// a variable of the whole process. This package does not touch it by itself:
// see AllowLargeDatagrams. sipgo writes some warnings about closed connections
// to its default logger, see sip.SetDefaultLogger.
package phone

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"reveille/internal/sipmsg"
)

// AllowLargeDatagrams lifts sipgo's limit for UDP messages, in the whole
// process. Call it from main or TestMain, before the first phone exists.
func AllowLargeDatagrams() { sip.UDPMTUSize = 65507 + 200 }

// Push is what a phone says about how to wake it (RFC 8599 §4.1). The values are
// written escaped where they need it.
type Push struct {
	Provider, Param, PRID string
}

// Options configure a Phone. User, Domain and Server are required.
type Options struct {
	// User and Domain make the AOR; User is the name for digest, too.
	User, Domain, Password string
	// Server is where everything is sent: "host:port".
	Server string
	// Local is the address from which a phone sends UDP; the zero value is what the
	// system takes. Phones that share one get each other's ports when they have slept.
	Local netip.Addr
	// Transport is "udp", the default, "tcp", "tls" or "ws".
	Transport string
	// TLS is the client side of "tls"; nil: the authorities of the machine, and the
	// host of Server must be in the server's certificate.
	TLS *tls.Config
	// Push data for REGISTER; zero for a desk phone.
	Push Push
	// Instance is +sip.instance, e.g. "urn:uuid:..."; empty: a random one. It
	// stays the same over sleep.
	Instance string
	// Expires is the time that REGISTER asks for; 0: 10 min.
	Expires time.Duration
	// Ring is how long the phone rings before it answers.
	Ring time.Duration
	// CancelWait bounds the wait for the final answer to a call that was cancelled; 0:
	// 5 s. A server may take 32 s to find that a phone answers nothing.
	CancelWait time.Duration
	// SDP is offered in calls and answers them; empty: one audio stream that
	// nobody sends. Browsers accept none but a description of WebRTC.
	SDP string
	// Reject, if not 0, is the status with which it declines calls after Ring.
	Reject int
	// On is told what happens. It is called from several goroutines.
	On func(Event)
	// Logger takes what sipgo logs; nil: discarded.
	Logger *slog.Logger
}

func (o *Options) validate() error {
	if o.User == "" || o.Domain == "" || o.Server == "" {
		return errors.New("phone: User, Domain and Server are required")
	}
	switch o.Transport {
	case "":
		o.Transport = "udp"
	case "udp", "tcp", "tls", "ws":
	default:
		return fmt.Errorf("phone: transport %q is neither udp, tcp, tls nor ws", o.Transport)
	}
	if o.Instance == "" {
		o.Instance = randomInstance()
	}
	if o.Expires <= 0 {
		o.Expires = 10 * time.Minute
	}
	if o.CancelWait <= 0 {
		o.CancelWait = cancelWait
	}
	if o.SDP == "" {
		o.SDP = silence
	}
	if o.On == nil {
		o.On = func(Event) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func randomInstance() string {
	var b [16]byte
	rand.Read(b[:]) // It never fails.
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// A Kind is what happened to a phone.
type Kind uint8

// The kinds of event.
const (
	Registered Kind = iota // REGISTER was answered with 200
	Refused                // REGISTER was answered otherwise; Status says how
	Asleep                 // the sockets are gone
	Invited                // an INVITE arrived
	Answered               // we answered a call with 200
	Confirmed              // ACK to our 200
	Declined               // we answered a call with Options.Reject
	Cancelled              // the caller gave up while we rang
	Unanswered             // no ACK to our 200 ever came
	Ringing                // 18x to our call
	Connected              // 200 to our call
	Failed                 // our call failed; Status says why
	Ended                  // a call ended with BYE, from either side
	Messaged               // a MESSAGE arrived
	Doubled                // a request of ours got a second, other final answer
	numKinds
)

var kindNames = [numKinds]string{
	"registered", "refused", "asleep", "invited", "answered", "confirmed", "declined",
	"cancelled", "unanswered", "ringing", "connected", "failed", "ended", "messaged", "doubled",
}

// String returns the kind's name.
func (k Kind) String() string { return kindNames[k] }

// An Event is a step in a phone's life.
type Event struct {
	At     time.Time
	Kind   Kind
	User   string
	CallID string
	Status int
	// Body is the text of a MESSAGE, or the description of the session in the INVITE that
	// arrived and in the 200 to ours.
	Body string
}

// A StatusError is a final response that is no success.
type StatusError struct {
	Code   int
	Reason string
}

func (e *StatusError) Error() string { return fmt.Sprintf("phone: %d %s", e.Code, e.Reason) }

// ErrUnanswered means that a call was cancelled and got no final answer for it.
var ErrUnanswered = errors.New("phone: cancelled, and no final answer")

// ErrAsleep means that the phone has no socket.
var ErrAsleep = errors.New("phone: asleep")

// A Phone is one device. It is safe for concurrent use. It begins asleep.
type Phone struct {
	o   Options
	aor string

	mu     sync.Mutex // guards what follows
	line   *line      // nil: asleep
	push   Push
	purr   string // the latest (RFC 8599 §6.1)
	calls  map[callKey]*Call
	counts [numKinds]int
	work   sync.WaitGroup // lines and their goroutines
}

// New returns a sleeping Phone.
func New(o Options) (*Phone, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Phone{o: o, aor: "sip:" + o.User + "@" + o.Domain, push: o.Push, calls: make(map[callKey]*Call)}, nil
}

// AOR returns "sip:user@domain".
func (p *Phone) AOR() string { return p.aor }

// Count returns how often something happened.
func (p *Phone) Count(k Kind) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[k]
}

// PURR returns the value of the latest sip.pnspurr, "" if there is none.
func (p *Phone) PURR() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.purr
}

// SetPush changes what the next REGISTER says about how to wake the phone, as after
// its push service gave it a new token.
func (p *Phone) SetPush(to Push) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.push = to
}

// Calls returns the calls that are up.
func (p *Phone) Calls() []*Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*Call, 0, len(p.calls))
	for _, c := range p.calls {
		all = append(all, c)
	}
	return all
}

// Awake reports whether the phone has a socket.
func (p *Phone) Awake() bool { return p.current() != nil }

func (p *Phone) current() *line {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.line
}

// Sleep drops the sockets as a suspended app does: the server is told nothing,
// the registration and the calls go on as far as it knows. It may be called from
// Options.On.
func (p *Phone) Sleep() {
	p.mu.Lock()
	l := p.line
	p.line = nil
	p.mu.Unlock()
	if l != nil {
		l.close()
		p.tell(Event{Kind: Asleep})
	}
}

// Wake opens a new socket on another port, if there is none, and registers: the
// same instance, another Call-ID.
func (p *Phone) Wake(ctx context.Context) error { return p.Register(ctx) }

// Close puts the phone to sleep for good and waits for its goroutines. It must
// not be called from Options.On.
func (p *Phone) Close() {
	p.Sleep()
	p.work.Wait()
}

// ensure returns the line, a new one if the phone was asleep.
func (p *Phone) ensure(ctx context.Context) (*line, error) {
	if l := p.current(); l != nil {
		return l, nil
	}
	fresh, err := p.openLine(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.line == nil {
		p.line = fresh
	}
	l := p.line
	p.mu.Unlock()
	if l != fresh {
		fresh.close()
	}
	return l, nil
}

func (p *Phone) tell(e Event) {
	e.At, e.User = time.Now(), p.o.User
	p.mu.Lock()
	p.counts[e.Kind]++
	p.mu.Unlock()
	p.o.On(e)
}

// contactURI is where the phone can be reached on l, with extra URI parameters.
func (p *Phone) contactURI(l *line, params string) string {
	return fmt.Sprintf("sip:%s@%s:%d;transport=%s%s", p.o.User, l.host, l.port, p.o.Transport, params)
}

// registerContact is the Contact of a REGISTER (RFC 8599 §4.1.1).
func (p *Phone) registerContact(l *line, seconds int) string {
	params := ""
	p.mu.Lock()
	push := p.push
	p.mu.Unlock()
	if push.Provider != "" {
		params = ";pn-provider=" + sipmsg.EscapeParam(push.Provider)
		if push.Param != "" {
			params += ";pn-param=" + sipmsg.EscapeParam(push.Param)
		}
		if push.PRID != "" {
			params += ";pn-prid=" + sipmsg.EscapeParam(push.PRID)
		}
	}
	return fmt.Sprintf(`<%s>;+sip.instance="<%s>";expires=%d`, p.contactURI(l, params), p.o.Instance, seconds)
}

// dialogContact is the Contact of everything else. RFC 8599 §4.1: no push data
// there but the PURR (§6.1).
func (p *Phone) dialogContact(l *line) string {
	params := ""
	if purr := p.PURR(); purr != "" {
		params = ";pn-purr=" + purr
	}
	return "<" + p.contactURI(l, params) + ">"
}

func randomToken() string {
	var b [12]byte
	rand.Read(b[:]) // It never fails.
	return fmt.Sprintf("%x", b[:])
}
