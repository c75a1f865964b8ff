package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A Role says on whose behalf credentials are asked for.
type Role uint8

// The roles.
const (
	// Registrar reads Authorization and challenges with 401 (RFC 3261 §22.2).
	Registrar Role = iota
	// Proxy reads Proxy-Authorization and challenges with 407 (RFC 3261 §22.3).
	Proxy
	numRoles
)

var roleNames = [numRoles]string{Registrar: "registrar", Proxy: "proxy"}

// String returns the role's name in metrics.
func (r Role) String() string { return roleNames[r] }

// An Outcome is what became of a request.
type Outcome uint8

// The outcomes.
const (
	// Allowed: the sender is a user, or trusted.
	Allowed Outcome = iota
	// Challenged: Reply asks for (other) credentials.
	Challenged
	// Refused: Reply says no. An ACK that is refused is dropped, for nothing
	// answers an ACK.
	Refused
)

// A User is somebody who proved to know a password.
type User struct {
	// Name and Realm are those of the credentials.
	Name, Realm string
	// AORs are what the user may register besides the own name.
	AORs []usrloc.AOR
}

// A Decision is an Authenticator's answer.
type Decision struct {
	Outcome Outcome
	// Trusted: the request came from a configured peer and its credentials, if
	// any, were not looked at. User is zero then.
	Trusted bool
	// User is who sent the request, if it was allowed.
	User User
	// Reply is the answer to send, unless the request was allowed.
	Reply sipmsg.Reply
	// Reason says why.
	Reason Reason
}

// Defaults of Options.
const (
	DefaultNonceTTL   = 5 * time.Minute
	DefaultNonceTable = 65536
)

// Options configure an Authenticator. Source and Realm are required.
type Options struct {
	Source Source
	// Realm is the realm of all domains that have no other. RFC 3261 §22.1 wants
	// it globally unique: a domain's name.
	Realm string
	// Domains holds the domains that we serve, in lower case, each with its
	// realm; "" means Realm.
	Domains map[string]string
	// Own reports whether host is an address of ours: some clients use it in
	// place of the domain. Nil: none is.
	Own func(host string) bool
	// Algorithms are offered in this order, the most preferred first, as far as
	// the Source can verify every user with them. Nil: SHA-256, MD5.
	Algorithms []Algorithm
	// NonceTTL is how long a nonce may be used; 0 means DefaultNonceTTL.
	NonceTTL time.Duration
	// NonceKey is a secret that nodes share so that each accepts the nonces of
	// the others; nil: this process accepts its own only. A nonce's uses are
	// counted on each node by itself.
	NonceKey []byte
	// NonceTable is how many used nonces are remembered; 0 means
	// DefaultNonceTable, some 5 MB.
	NonceTable int
	// Trusted networks are not asked for credentials.
	Trusted []netip.Prefix
	// Failures limits the failed attempts of one source.
	Failures LimitOptions
	// MaxLookups is for a Source that has to wait for an answer: that many
	// requests may wait at one time, and each calls Lookup on a goroutine of its
	// own. 0 is for a Source in memory: Lookup is called inline.
	MaxLookups int
	// Sink takes event.AuthFailed; nil: nobody does.
	Sink event.Sink
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

func (o *Options) validate() error {
	if o.Source == nil {
		return errors.New("auth: Source is required")
	}
	o.Domains = cloneDomains(o.Domains)
	for _, realm := range o.realms() {
		if err := checkRealm(realm); err != nil {
			return err
		}
	}
	if o.Own == nil {
		o.Own = func(string) bool { return false }
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []Algorithm{SHA256, MD5}
	}
	for i, a := range o.Algorithms {
		if !a.valid() || slices.Contains(o.Algorithms[:i], a) {
			return fmt.Errorf("auth: algorithm %v is unknown or comes twice", a)
		}
	}
	if o.NonceTTL <= 0 {
		o.NonceTTL = DefaultNonceTTL
	}
	if o.NonceTable <= 0 {
		o.NonceTable = DefaultNonceTable
	}
	if n := len(o.NonceKey); n > 0 && n < 16 {
		return fmt.Errorf("auth: the nonce key has %d bytes, want 16 or more", n)
	}
	if o.Sink == nil {
		o.Sink = event.Discard{}
	}
	return nil
}

func cloneDomains(in map[string]string) map[string]string {
	out := make(map[string]string, len(in))
	for domain, realm := range in {
		out[strings.ToLower(domain)] = realm
	}
	return out
}

// realms returns all realms, the default one first.
func (o *Options) realms() []string {
	all := []string{o.Realm}
	for _, realm := range o.Domains {
		if realm != "" && !slices.Contains(all, realm) {
			all = append(all, realm)
		}
	}
	return all
}

// checkRealm refuses what cannot be written between quotes.
func checkRealm(realm string) error {
	if realm == "" {
		return errors.New("auth: a realm is required")
	}
	if strings.ContainsFunc(realm, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' }) {
		return fmt.Errorf("auth: realm %q holds a quote, a backslash or a control character", realm)
	}
	return nil
}

// An Authenticator decides who sent a request. It is safe for concurrent use.
type Authenticator struct {
	o        Options
	nonces   *nonces
	replays  *replays
	peers    peers
	failures *Limiter
	metrics  *metrics
	// decoy is verified against when there is no such user, so that it takes as
	// long as for one.
	decoy   Credentials
	lookups sync.WaitGroup
	waiting atomic.Int64
}

// New returns an Authenticator.
func New(o Options) (*Authenticator, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Authenticator{
		o:        o,
		nonces:   newNonces(o.NonceKey, o.NonceTTL),
		replays:  newReplays(o.NonceTable),
		peers:    newPeers(o.Trusted),
		failures: NewLimiter(o.Failures),
		metrics:  newMetrics(o.Registerer),
		decoy:    newDecoy(),
	}, nil
}

// Wait returns when no lookup is under way any more. Call it after the last
// Authenticate, and end their contexts to be quick.
func (a *Authenticator) Wait() { a.lookups.Wait() }

// Authenticate decides about m, which arrived on f at now, and calls done with
// the Decision exactly once: before it returns if the Source is in memory, else
// later on another goroutine. ctx bounds the lookup.
func (a *Authenticator) Authenticate(ctx context.Context, m *sipmsg.Message, f flow.Flow, role Role, now time.Time, done func(Decision)) {
	r := a.newRequest(m, f, role, now)
	if r.precheck() {
		done(r.finish())
		return
	}
	if a.o.MaxLookups == 0 {
		r.verify(ctx)
		done(r.finish())
		return
	}
	if a.waiting.Add(1) > int64(a.o.MaxLookups) {
		a.waiting.Add(-1)
		r.refuseUnavailable(ReasonBusy)
		done(r.finish())
		return
	}
	later := r
	a.lookups.Go(func() {
		later.verify(ctx)
		a.waiting.Add(-1)
		done(later.finish())
	})
}

// Check is Authenticate for callers that can wait.
func (a *Authenticator) Check(ctx context.Context, m *sipmsg.Message, f flow.Flow, role Role, now time.Time) Decision {
	r := a.newRequest(m, f, role, now)
	if !r.precheck() {
		r.verify(ctx)
	}
	return r.finish()
}

// realmOf returns the realm that a request belongs to: that of the user who
// registers (RFC 3261 §10.3: the To header field) or who calls (From).
func (a *Authenticator) realmOf(m *sipmsg.Message, role Role) string {
	host := m.To().URI.Host
	if role == Proxy {
		host = m.From().URI.Host
	}
	return a.realmOfDomain(host)
}

func (a *Authenticator) realmOfDomain(host string) string {
	if realm, ok := a.domain(host); ok && realm != "" {
		return realm
	}
	return a.o.Realm
}

// domain returns the entry of a domain of ours.
func (a *Authenticator) domain(host string) (realm string, ok bool) {
	if realm, ok = a.o.Domains[host]; ok {
		return realm, true
	}
	realm, ok = a.o.Domains[strings.ToLower(host)]
	return realm, ok
}

// offered returns the algorithms of a realm's challenges, the most preferred
// first (RFC 8760 §2.4).
func (a *Authenticator) offered(realm string) (list [2]Algorithm, n int) {
	usable := a.o.Source.Algorithms(realm)
	for _, alg := range a.o.Algorithms {
		if slices.Contains(usable, alg) {
			list[n] = alg
			n++
		}
	}
	if n == 0 {
		// The users and the configuration have nothing in common. Those who can
		// be verified by what is configured still log in.
		n = copy(list[:], a.o.Algorithms)
	}
	return list, n
}
