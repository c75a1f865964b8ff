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
	// Profile is what the Source knows of the user.
	Profile
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
	// FoldUser says that the case of user parts does not count: the AORs that are
	// asked about are in lower case, and names of users mean them in any case.
	FoldUser bool
	// Own reports whether host is an address of ours: some clients use it in
	// place of the domain. Nil: none is.
	Own func(host string) bool
	// Algorithms are offered in this order, the most preferred first, as far as
	// the Source can verify every user with them. Nil: SHA-256, MD5. SHA-512-256
	// has to be asked for: it makes every challenge longer, few phones know it,
	// and none is safer with it.
	Algorithms []Algorithm
	// Offers replace Algorithms for some clients; the first that matches is
	// taken.
	Offers []Offer
	// QOP are the qualities of protection that are offered. Nil: auth.
	QOP []QOP
	// Bearer has tokens taken besides passwords, in Realm; nil: they are not.
	Bearer *Bearer
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
	// TrustedAddr reports whether an address is trusted besides: those of peers that
	// have names. It is asked for every request. Nil: none is.
	TrustedAddr func(netip.Addr) bool
	// TrustedNames are those of client certificates whose owners are not asked
	// for credentials either: a name that PeerNames returns, in any case.
	TrustedNames []string
	// PeerNames returns the names in the certificate that the peer of a flow
	// proved to own and that our authorities signed. Nil: no peer has any.
	PeerNames func(flow.Flow) []string
	// IdentifyBy is the order in which it is looked how a sender is known; the
	// first means that applies decides, and ByCredentials is among them. Nil: by
	// address, certificate, credentials, From, To.
	IdentifyBy []Means
	// Failures limits the failed attempts of one source.
	Failures LimitOptions
	// MaxLookups is for a Source that has to wait for an answer: that many
	// requests may wait at one time, and each calls Lookup on a goroutine of its
	// own, unless the Source is a Recaller and remembers the user. 0 is for a
	// Source in memory: Lookup is called inline.
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
	if err := o.validateTrust(); err != nil {
		return err
	}
	if o.Own == nil {
		o.Own = func(string) bool { return false }
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []Algorithm{SHA256, MD5}
	}
	if err := checkAlgorithms(o.Algorithms); err != nil {
		return err
	}
	for i := range o.Offers {
		if err := checkAlgorithms(o.Offers[i].Algorithms); err != nil {
			return err
		}
	}
	if len(o.QOP) == 0 {
		o.QOP = []QOP{QOPAuth}
	}
	if err := checkQOP(o.QOP); err != nil {
		return err
	}
	if o.Bearer != nil {
		if err := o.Bearer.validate(); err != nil {
			return err
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
	if !quotable(realm) {
		return fmt.Errorf("auth: realm %q holds a quote, a backslash or a control character", realm)
	}
	return nil
}

// quotable reports whether s can be written between quotes as it is.
func quotable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' })
}

// An Authenticator decides who sent a request. It is safe for concurrent use.
type Authenticator struct {
	o        Options
	nonces   *nonces
	replays  *replays
	peers    peers
	failures *Limiter
	metrics  *metrics
	qop      string // of challenges
	// decoy is verified against when there is no such user, so that it takes as
	// long as for one.
	decoy   Credentials
	lookups *lookups
}

// lookups are the requests that wait for an answer about their sender.
type lookups struct {
	running sync.WaitGroup
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
		qop:      joinQOP(o.QOP),
		decoy:    newDecoy(),
		lookups:  new(lookups),
	}, nil
}

// Wait returns when no lookup is under way any more. Call it after the last
// Authenticate, and end their contexts to be quick.
func (a *Authenticator) Wait() { a.lookups.running.Wait() }

// Authenticate decides about m, which arrived on f at now, and calls done with
// the Decision exactly once: before it returns if the Source can say at once, else
// later on another goroutine. ctx bounds the lookup.
func (a *Authenticator) Authenticate(ctx context.Context, m *sipmsg.Message, f flow.Flow, role Role, now time.Time, done func(Decision)) {
	r := a.newRequest(m, f, role, now)
	if r.precheck() {
		done(r.finish())
		return
	}
	var doubted Reason // if it is not ReasonUser
	if r.token == "" {
		if creds, known, err := a.recall(ctx, r.realm, r.c.username); known {
			reason := r.prove(&creds, err)
			if !r.doubts(reason) {
				r.conclude(&creds, reason)
				done(r.finish())
				return
			}
			doubted = reason
		}
	}
	if a.lookups.waiting.Add(1) > a.maxWaiting() {
		a.lookups.waiting.Add(-1)
		r.refuseBusy()
		done(r.finish())
		return
	}
	later := r
	a.lookups.running.Go(func() {
		if doubted != ReasonUser {
			later.renew(ctx, doubted)
		} else {
			later.lookup(ctx)
		}
		a.lookups.waiting.Add(-1)
		done(later.finish())
	})
}

// maxWaiting is how many requests may wait for an answer about their sender.
func (a *Authenticator) maxWaiting() int64 {
	if a.o.MaxLookups == 0 {
		return tokenLookups
	}
	return int64(a.o.MaxLookups)
}

// Check is Authenticate for callers that can wait.
func (a *Authenticator) Check(ctx context.Context, m *sipmsg.Message, f flow.Flow, role Role, now time.Time) Decision {
	r := a.newRequest(m, f, role, now)
	if !r.precheck() {
		r.lookup(ctx)
	}
	return r.finish()
}

// recall asks the Source for what it can say at once. known is false if that
// takes a Lookup that may wait.
func (a *Authenticator) recall(ctx context.Context, realm, user string) (c Credentials, known bool, err error) {
	if a.o.MaxLookups == 0 {
		c, err = a.o.Source.Lookup(ctx, realm, user)
		return c, true, err
	}
	if source, ok := a.o.Source.(Recaller); ok {
		return source.Recall(realm, user)
	}
	return c, false, nil
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

// Knows reports whether there may be such a user: it is false only if the Source
// can say at once that there is none.
func (a *Authenticator) Knows(realm, user string) bool {
	_, known, err := a.recall(context.Background(), realm, user)
	return !known || !errors.Is(err, ErrNoUser)
}
