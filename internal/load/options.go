package load

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Bounds of the options. A user's name has seven digits, and a socket is cheap
// but no more than a process may have open.
const (
	MaxPhones  = 9_999_999
	MaxSockets = 512
)

// ErrRemote refuses a target on another machine that Options.AllowRemote does
// not allow: a load on a server of others is an attack.
var ErrRemote = errors.New("the target is not on this machine")

// Options of a Load. Zero values stand for the defaults.
type Options struct {
	// Target is the server's UDP address. Required.
	Target netip.AddrPort
	// AllowRemote lets the target be another machine.
	AllowRemote bool
	// Domain is behind the @ of the phones; default "example.com".
	Domain string
	// Phones is how many there are, 1 to MaxPhones. Required.
	Phones int
	// Sockets is over how many the phones are spread, eight in a row; default 16.
	// Phones that are to sleep have as many for their first registration, and
	// callers four.
	Sockets int
	// Password of all phones; empty if the server asks nobody.
	Password string
	// Algorithm is the digest algorithm to answer with, "MD5" or "SHA-256"; empty
	// takes the first that the server offers.
	Algorithm string
	// Push is what the phones say that they can be woken by; the zero value is
	// nothing.
	Push Push
	// Expires is the lifetime that phones ask for, each time anew from this span;
	// default 1 h.
	Expires Span
	// Sleepers is how many phones sleep after they have registered: the first
	// ones. They come back, from another socket, when a push wakes them.
	Sleepers int
	// Dead is the share of the sleepers that no push wakes, 0 to 1.
	Dead float64
	// WakeDelay passes between a push and the REGISTER of the phone that it wakes.
	WakeDelay Span
	// RingDelay and AnswerDelay pass between the INVITE at the phone and its 180,
	// and between that and its 200.
	RingDelay, AnswerDelay Span
	// Hold is how long a call lasts once it is answered.
	Hold Span
	// CallTimeout is how long a caller waits for the answer; default 60 s.
	CallTimeout time.Duration
	// Trigger is how long before its end the server wakes a binding; it only says
	// when a push of that kind is late. Default 2 min.
	Trigger time.Duration
	// Drain bounds how long a run that was interrupted, or whose time is over,
	// waits for what is under way; default 40 s, a little more than a transaction
	// may last.
	Drain time.Duration
	// Interval is the time between two rows of the Summary's series, and between
	// two calls of Progress; default 1 s.
	Interval time.Duration
	// Progress, if set, is called with each row by the goroutine of Run.
	Progress func(phase string, r Row)
	// Phases are what Run does, one after the other.
	Phases []Phase
	// Seed makes the choices of two runs equal; 0 is another each time.
	Seed uint64
}

// Push is what a phone can be woken by (RFC 8599 §4.1).
type Push struct{ Provider, Param string }

// A Phase is a part of a run. It ends when its paces have ended, all that they
// started is over, and Lasts has passed.
type Phase struct {
	// Name says what it is, in a word.
	Name string
	// Sleep puts the sleepers to sleep: their sockets are closed.
	Sleep bool
	// Register starts REGISTERs of the phones First to First+Phones-1, in turn, or
	// at random if Random is set. Phones 0 is all from First on.
	Register      Pace
	First, Phones int
	Random        bool
	// Move gives a phone another address with each REGISTER, as after an outage of
	// its network.
	Move bool
	// Restart has the phones that are awake begin anew, as after a start of their
	// app: from new sockets, with new Call-IDs.
	Restart bool
	// Plain phones say nothing of Options.Push, and ask for the lifetime Expires,
	// if that is not zero, in place of Options.Expires.
	Plain   bool
	Expires Span
	// Calls starts calls, of which Asleep is the share to phones that sleep; each
	// of these is called once.
	Calls  Pace
	Asleep float64
	// Lasts is how long the phase takes at least.
	Lasts time.Duration
}

// A Pace says how often something is started.
type Pace struct {
	// Count is how many in all; 0 is until For has passed.
	Count int
	// For ends it early; 0 is when Count is reached.
	For time.Duration
	// Rate per second is an open loop: it does not wait for answers. 0 is a closed
	// loop.
	Rate float64
	// Window is how many may be under way in a closed loop.
	Window int
}

// none reports whether nothing is started.
func (p Pace) none() bool { return p == Pace{} }

func (p Pace) validate() error {
	switch {
	case p.none():
		return nil
	case p.Count < 0 || p.For < 0 || p.Rate < 0 || p.Window < 0:
		return errors.New("negative pace")
	case p.Count == 0 && p.For == 0:
		return errors.New("neither a count nor a time ends it")
	case p.Rate == 0 && p.Window == 0:
		return errors.New("neither a rate nor a window paces it")
	}
	return nil
}

func (o *Options) setDefaults() {
	if o.Domain == "" {
		o.Domain = "example.com"
	}
	if o.Sockets == 0 {
		o.Sockets = 16
	}
	if o.Expires == (Span{}) {
		o.Expires = Span{time.Hour, time.Hour}
	}
	for _, d := range []struct {
		at *time.Duration
		is time.Duration
	}{
		{&o.CallTimeout, time.Minute}, {&o.Trigger, 2 * time.Minute}, {&o.Drain, 40 * time.Second}, {&o.Interval, time.Second},
	} {
		if *d.at == 0 {
			*d.at = d.is
		}
	}
}

// Check reports what New would refuse.
func (o Options) Check() error {
	o.setDefaults()
	switch {
	case !o.Target.IsValid() || o.Target.Port() == 0:
		return errors.New("no target")
	case !o.AllowRemote && !o.Target.Addr().Unmap().IsLoopback():
		return fmt.Errorf("%s: %w", o.Target, ErrRemote)
	case strings.ContainsAny(o.Domain, " \t\r\n<>\"@;,?"):
		return fmt.Errorf("domain %q is no host name", o.Domain)
	case o.Phones < 1 || o.Phones > MaxPhones:
		return fmt.Errorf("%d phones, want 1 to %d", o.Phones, MaxPhones)
	case o.Sockets < 1 || o.Sockets > MaxSockets:
		return fmt.Errorf("%d sockets, want 1 to %d", o.Sockets, MaxSockets)
	case o.Sleepers < 0 || o.Sleepers > o.Phones:
		return fmt.Errorf("%d phones are to sleep, of %d", o.Sleepers, o.Phones)
	case o.Dead < 0 || o.Dead > 1:
		return fmt.Errorf("share of dead phones %g, want 0 to 1", o.Dead)
	case o.Algorithm != "" && o.Algorithm != md5Name && o.Algorithm != sha256Name:
		return fmt.Errorf("digest algorithm %q, want %s or %s", o.Algorithm, md5Name, sha256Name)
	case o.Interval < 10*time.Millisecond:
		return fmt.Errorf("interval %s, want at least 10ms", o.Interval)
	}
	for _, s := range []Span{o.Expires, o.WakeDelay, o.RingDelay, o.AnswerDelay, o.Hold} {
		if err := s.validate(); err != nil {
			return err
		}
	}
	for i := range o.Phases {
		if err := o.checkPhase(&o.Phases[i]); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) checkPhase(p *Phase) error {
	if err := o.validatePhase(p); err != nil {
		return fmt.Errorf("phase %s: %w", p.Name, err)
	}
	return nil
}

func (o *Options) validatePhase(p *Phase) error {
	if err := errors.Join(p.Register.validate(), p.Calls.validate(), p.Expires.validate()); err != nil {
		return err
	}
	switch {
	case p.First < 0 || p.Phones < 0 || p.First+p.Phones > o.Phones || p.First == o.Phones && !p.Register.none():
		return fmt.Errorf("phones %d to %d, of %d", p.First, p.First+p.Phones, o.Phones)
	case p.Asleep < 0 || p.Asleep > 1:
		return fmt.Errorf("share of calls to sleeping phones %g, want 0 to 1", p.Asleep)
	case p.Calls.none():
		return nil
	case p.Asleep < 1 && o.Sleepers == o.Phones:
		return errors.New("calls to phones that are awake, but all sleep")
	case p.Asleep > 0 && o.Sleepers == 0:
		return errors.New("calls to phones that sleep, but none does")
	}
	return nil
}
