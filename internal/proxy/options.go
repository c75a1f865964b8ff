package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/domain"
	"reveille/internal/event"
	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/internal/wake"
	"reveille/purr"
	"reveille/push"
	"reveille/usrloc"
)

// Flows is what the proxy needs to know of the transports.
type Flows interface {
	// Alive reports whether the peer of f was heard of lately enough to be
	// reachable there without a push.
	Alive(f flow.Flow, now time.Time) bool
	// Open reports whether f's connection still exists; true for UDP.
	Open(f flow.Flow) bool
	// ConnectTo finds or makes a flow to remote; done runs once, on any goroutine. By TLS,
	// the peer's certificate must be for name, or its address if that is empty.
	ConnectTo(t flow.Transport, name string, remote netip.AddrPort, done func(flow.Flow, error))
	// Advertised is our address as the peer of f should see it.
	Advertised(f flow.Flow) (host string, port uint16)
	// IsOwn reports whether host and port are an address of ours for t, or for any
	// transport if t is 0; port 0 is the transport's default.
	IsOwn(host string, port uint16, t flow.Transport) bool
	// Send writes one message to f without waiting for it to leave.
	Send(f flow.Flow, b []byte) error
}

// Waker asks devices to wake; *wake.Waker implements it.
type Waker interface {
	Can(b *usrloc.Binding) bool
	// Lacks is a word for why b's device cannot be woken, as in event.Sleeper.
	Lacks(b *usrloc.Binding) string
	Wake(aor usrloc.AOR, b *usrloc.Binding, c wake.Cause, done func(push.Outcome)) (pushID string, cancel func(), err error)
	// Woke and Slept tell how a push that was taken ended: the device registered so
	// long after it, or not while somebody waited.
	Woke(id usrloc.BindingID, took time.Duration)
	Slept(b *usrloc.Binding)
	// Patience returns how much of wait is worth waiting for b's device.
	Patience(b *usrloc.Binding, wait time.Duration) time.Duration
}

// A Gate says who may send a request that carries no token of ours.
type Gate interface {
	// Admit decides about m. done runs exactly once, inline or later, on any
	// goroutine.
	Admit(m *sipmsg.Message, f flow.Flow, done func(Admission))
}

// An Admission is the Gate's answer.
type Admission struct {
	// Refusal is the answer to send if the request may not pass: a challenge or
	// a refusal. Nil if it may.
	Refusal *sipmsg.Reply
	// Rule is whose word Refusal is, event.RuleNone for a plain question for credentials;
	// Why is more of it, as auth.failed has it.
	Rule event.Rule
	Why  string
	// Unknown: it may not because nobody knows its sender, and for nothing else.
	Unknown bool
	// User is the AOR of the authenticated sender, empty if unauthenticated.
	User usrloc.AOR
	// May reports whether the user may call under an AOR besides User; nil: none.
	May func(usrloc.AOR) bool
	// Trusted: the sender is a configured peer.
	Trusted bool
	// Realm is the realm whose credentials were ours and are not passed on; empty
	// means Options.Realm.
	Realm string
	// Direction is where the request goes, if not where it is addressed to.
	Direction Direction
}

// Options configure a Proxy. Store, Flows, Waker, Gate and Keys are required.
type Options struct {
	Store usrloc.Store
	Flows Flows
	Waker Waker
	Gate  Gate
	// Keys seal the Record-Route tokens and open PURRs.
	Keys *purr.Keyring
	// Domains are those whose users are registered here; at least one. Hosts holds
	// them with their aliases; nil: they have none.
	Domains []string
	Hosts   *domain.Set
	// Realm is the realm of the credentials that are meant for us and that no
	// other party should see; default the first domain.
	Realm string
	// Tokens: bearer tokens are taken (RFC 8898), and are not passed on.
	Tokens bool
	// Known reports whether a user exists that has no binding; nil: every user
	// of our domains does.
	Known func(usrloc.AOR) bool
	// AORs holds what is configured for single users. Shared, not to be changed.
	AORs map[usrloc.AOR]AOR
	// Fork and Sort say in which order a user's devices are tried.
	Fork ForkMode
	Sort Sort
	// Latencies says how fast devices are, for MaxLatency and ByLatency; nil: nobody
	// knows. MaxLatency leaves out slower ones; 0: none.
	Latencies  Latencies
	MaxLatency time.Duration
	// Ring is how long a phone rings while others wait for their turn; default
	// 20 s.
	Ring time.Duration
	// Fallbacks are where calls go that nobody of a user takes; the first whose When
	// fits counts. RingTotal is how long devices ring, all in all, before that is so
	// for WhenNoAnswer; 0: as long as they and the caller like.
	Fallbacks []Fallback
	RingTotal time.Duration
	// MethodFilter leaves out devices that do not take the request's method.
	MethodFilter bool
	// UserAgents leaves out devices with another User-Agent; nil: none.
	UserAgents *regexp.Regexp
	// Choices replace Fork, Sort and both filters for the users of some domains, by
	// the name of the domain in AORs.
	Choices map[string]Choice
	// can is Waker.Can.
	can func(*usrloc.Binding) bool
	// chosen is the Options of these domains.
	chosen map[string]*Options
	// Identity is the policy for what requests say of their sender.
	Identity Identity
	// Trusted reports whether the peer of a flow belongs to the trust domain (RFC
	// 3325), besides the next hops of routes that say so; nil: nobody does.
	Trusted func(flow.Flow) bool
	// RegisteredCallers refuses requests from an address at which their sender is
	// not registered; peers are exempt.
	RegisteredCallers bool
	// Policy chooses the wake policy of a device; nil: Race for all.
	Policy func(provider, userAgent string) Mode
	// Wakes are methods that wake a phone besides INVITE, MESSAGE and requests
	// in a dialog; never ACK or CANCEL.
	Wakes []string
	// WakeEvents are event packages whose NOTIFY wakes a phone outside of a dialog.
	WakeEvents []string
	// EventRoutes names the Route for SUBSCRIBE and PUBLISH to users of ours, by event
	// package. Those for others are answered 489, and PUBLISH 405 if it is empty.
	EventRoutes map[string]string
	// Events are the packages that are served before a request comes to the Proxy.
	Events []string
	// Dormant: devices whose registration has ended are woken as long as the Store
	// keeps their bindings.
	Dormant bool
	// Waits default to 25 s, 45 s for webpush, 15 s, 15 s and 8 s.
	Waits Waits
	// Skip is for how long after its REGISTER a device is taken to be awake, by
	// pn-provider: it is called where it registered, and not pushed to, whatever its
	// Policy. Nil: for no time.
	Skip func(provider string) time.Duration
	// Farewell says what a phone hears that was pushed for a call which ended before it
	// woke. MaxFarewells bounds those that are under way; default 1,000.
	Farewell     FarewellMode
	MaxFarewells int
	// CallerData says what pushes tell of the caller.
	CallerData CallerData
	// Ringback says which callers hear ringing while a phone is being woken.
	Ringback Ringback
	// PushIDHeader is the header field that names, to the device that got it, the
	// push that woke it; empty: none does.
	PushIDHeader string
	// PushParams are parameters of Contacts that say what RFC 8599 has pn-prid and
	// its like for: they are concealed from others, too.
	PushParams []string
	// RaceDelay is how long Race waits for a provisional answer to an INVITE;
	// default 300 ms. Other requests have only final answers, which take longer:
	// they wait RaceDelayOther; default 2 s.
	RaceDelay, RaceDelayOther time.Duration
	// RetryAfter is the Retry-After of a 500 in a dialog; default 5 s.
	RetryAfter time.Duration
	// Messages says which MESSAGEs are kept that nobody takes.
	Messages Messages
	// MaxParked bounds the branches that wait at one time; default 50,000.
	// MaxParkedPerAOR bounds those of one user; default 64.
	MaxParked, MaxParkedPerAOR int
	// MaxForks bounds the branches of one request; default 32.
	MaxForks int
	// MaxForwards is given to requests that have none; default 70 (RFC 3261
	// §16.6 step 3).
	MaxForwards int
	// NoRecordRoute leaves us out of dialogs, but for those of phones that count on us
	// to be in their path: they have a PURR, or are reached by their flow alone.
	NoRecordRoute bool
	// PURRs: the REGISTERs of phones that can be woken are answered with a PURR.
	PURRs  bool
	Routes []Route
	// Emergency says where emergency calls go.
	Emergency Emergency
	// peers are the next hops that are trusted.
	peers map[hop]bool
	// Resolver finds the next hops that are written as names; nil: there are none.
	Resolver Resolver
	// Media says which calls have their media changed, and where.
	Media Media
	// HopTimeout is how long a next hop may be silent before the next one is tried, if
	// there is one; default 6 s.
	HopTimeout time.Duration
	// HopRetry is for how long others are tried before a next hop that has failed;
	// default 30 s.
	HopRetry time.Duration
	// Trunks knows more of the next hops of Routes; nil: nobody does.
	Trunks Trunks
	Sink   event.Sink
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

func (o *Options) validate() error {
	if o.Store == nil || o.Flows == nil || o.Waker == nil || o.Gate == nil || o.Keys == nil {
		return errors.New("proxy: Store, Flows, Waker, Gate and Keys are required")
	}
	o.can = o.Waker.Can
	if len(o.Domains) == 0 {
		return errors.New("proxy: at least one domain is required")
	}
	if o.Hosts == nil {
		var list []domain.Domain
		for _, name := range o.Domains {
			list = append(list, domain.Domain{Name: name})
		}
		var err error
		if o.Hosts, err = domain.New(list, false); err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
	}
	defaultTo(&o.Realm, o.Domains[0])
	if o.Sink == nil {
		o.Sink = event.Discard{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Policy == nil {
		o.Policy = func(string, string) Mode { return Race }
	}
	if o.Known == nil {
		o.Known = func(usrloc.AOR) bool { return true }
	}
	if o.Trusted == nil {
		o.Trusted = func(flow.Flow) bool { return false }
	}
	for i := range o.Fallbacks {
		if err := o.Fallbacks[i].validate(); err != nil {
			return err
		}
	}
	for aor, a := range o.AORs {
		for i := range a.Fallbacks {
			if err := a.Fallbacks[i].validate(); err != nil {
				return fmt.Errorf("%w, for %s", err, aor)
			}
		}
		for _, c := range a.Contacts {
			t, err := resolve.TargetOf(c.URI)
			if err != nil {
				return fmt.Errorf("proxy: contact of %s: %w", aor, err)
			}
			if _, numeric := t.Addr(); !numeric && o.Resolver == nil {
				return fmt.Errorf("proxy: contact %s of %s is a name, and there is no Resolver", c.URI, aor)
			}
		}
	}
	if o.Skip == nil {
		o.Skip = func(string) time.Duration { return 0 }
	}
	if err := o.Ringback.validate(); err != nil {
		return err
	}
	o.Waits.setDefaults()
	o.Messages.setDefaults()
	defaultTo(&o.Ring, 20*time.Second)
	defaultTo(&o.RaceDelay, 300*time.Millisecond)
	defaultTo(&o.RaceDelayOther, 2*time.Second)
	defaultTo(&o.RetryAfter, 5*time.Second)
	defaultTo(&o.MaxParked, 50_000)
	defaultTo(&o.MaxParkedPerAOR, 64)
	defaultTo(&o.MaxForks, 32)
	defaultTo(&o.MaxFarewells, 1000)
	defaultTo(&o.MaxForwards, 70)
	defaultTo(&o.HopTimeout, 6*time.Second)
	defaultTo(&o.HopRetry, 30*time.Second)
	if err := o.validateRoutes(); err != nil {
		return err
	}
	if err := o.Media.validate(); err != nil {
		return err
	}
	o.choose()
	return nil
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
