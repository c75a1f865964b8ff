package auth

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
)

// retryAfter is what a client is told that came at a bad time, in seconds.
const retryAfter = 5

// request is one request on its way to a Decision.
type request struct {
	a *Authenticator
	m *sipmsg.Message // nil for a Question
	// authorization is a Question's.
	authorization string
	f             flow.Flow
	role          Role
	now           time.Time

	method, body string
	userAgent    string      // read if a rule asks for it
	uri          *sipmsg.URI // the Request-URI
	realm        string
	token        string // the credentials are this and not c, unless it is empty
	c            credentials
	d            Decision
}

// newRequest is a request that came as m.
func (a *Authenticator) newRequest(m *sipmsg.Message, f flow.Flow, role Role, now time.Time) request {
	uri := m.RequestURI()
	r := request{
		a: a, m: m, f: f, role: role, now: now, method: m.Method(), body: m.Body(), uri: &uri, realm: a.realmOf(m, role),
	}
	if len(a.o.Offers) > 0 {
		r.userAgent, _ = m.Header(sipmsg.HdrUserAgent)
	}
	return r
}

// precheck does all that needs no Source. It reports whether the Decision is
// made.
func (r *request) precheck() (decided bool) {
	means, err := r.identify()
	switch {
	case err != nil:
		r.refuse(ReasonMalformed, 400, "Malformed Credentials")
		return true
	case means == 0:
		r.challenge(ReasonNoCredentials, false)
		return true
	case means == ByFrom || means == ByTo:
		return true
	case means != ByCredentials:
		r.d = trusted()
		return true
	}
	if problem := r.problem(); problem != "" {
		r.refuse(ReasonMalformed, 400, problem)
		return true
	}
	return r.limited() || r.token == "" && r.precheckDigest()
}

// limited refuses who failed too often. It reports whether the Decision is made.
func (r *request) limited() (decided bool) {
	if r.a.failures.Exhausted(r.f, r.now) {
		// The client may do nothing wrong, and share an address with one that
		// does: it is told to come back, not that it is forbidden.
		r.refuse(ReasonLimited, 480, "Too Many Failed Attempts")
		r.comeBack()
		return true
	}
	return false
}

// precheckDigest looks at what of a digest needs no Source. It reports whether
// the Decision is made.
func (r *request) precheckDigest() (decided bool) {
	// RFC 7616 §3.4.6: a uri that is not what was asked for is a 400.
	if !r.uriIsOurs() {
		r.fail(ReasonForeignURI)
		r.refuse(ReasonForeignURI, 400, "Digest URI Mismatch")
		return true
	}
	if !r.algorithmOffered() {
		r.fail(ReasonAlgorithm)
		r.challenge(ReasonAlgorithm, false)
		return true
	}
	return false
}

// findCredentials looks for Digest credentials for our realm. Those for other
// realms are other proxies' business (RFC 3261 §22.3).
func (r *request) findCredentials() (found bool, err error) {
	if r.m == nil {
		return r.take(r.authorization)
	}
	id := sipmsg.HdrAuthorization
	if r.role == Proxy {
		id = sipmsg.HdrProxyAuthorization
	}
	for h := range r.m.Headers() {
		if h.ID != id {
			continue
		}
		if found, err = r.take(h.Value); found || err != nil {
			return found, err
		}
	}
	return r.role == Proxy && r.findToken(), nil
}

// findToken looks for a token in Authorization, where RFC 8898 §2.1.4 has phones
// put it in every request, also for a proxy. Credentials of other schemes there
// are for the other end.
func (r *request) findToken() bool {
	for h := range r.m.Headers() {
		if h.ID != sipmsg.HdrAuthorization {
			continue
		}
		if found, err := r.takeToken(strings.TrimLeft(h.Value, " \t\r\n")); found && err == nil {
			return true
		}
	}
	return false
}

// take reads a header field that may hold credentials for our realm.
func (r *request) take(value string) (found bool, err error) {
	value = strings.TrimLeft(value, " \t\r\n")
	params, ok := digestScheme(value)
	if !ok {
		return r.takeToken(value)
	}
	if r.c, err = parseCredentials(params); err != nil {
		return false, err
	}
	return r.c.realm == r.realm, nil
}

// takeToken reads a header field that may hold a token.
func (r *request) takeToken(value string) (found bool, err error) {
	token, ok := bearerScheme(value)
	if !ok || !r.takesTokens() {
		return false, nil
	}
	if !isToken68(token) {
		return false, errSyntax
	}
	r.token, r.c = token, credentials{}
	return true, nil
}

// uriIsOurs reports whether the credentials were made for us. RFC 8760 §2.6
// wants the server to check that the uri parameter names a user that it serves,
// and lets it differ from the Request-URI, which proxies may have rewritten.
// For calls that leave our domains both are equal.
func (r *request) uriIsOurs() bool {
	if r.c.uri == r.uri.String() {
		return true
	}
	uri, err := sipmsg.ParseURI(r.c.uri)
	if err != nil {
		return false
	}
	if _, ours := r.a.domain(uri.Host); ours || r.a.o.Own(uri.Host) {
		return true
	}
	return uri.Host != "" && strings.EqualFold(uri.Host, r.uri.Host) && uri.User == r.uri.User
}

// problem says what is wrong with the parameters of the credentials, "" if
// nothing is.
func (r *request) problem() string {
	if r.token != "" {
		return ""
	}
	if problem := r.c.check(); problem != "" {
		return problem
	}
	// RFC 7616 §3.4: qop is one of those that were offered. RFC 8760 §2.5:
	// absent, it means auth.
	if !slices.Contains(r.a.o.QOP, r.c.quality) {
		return "Quality of Protection Not Offered"
	}
	return ""
}

// offered returns the algorithms for this client.
func (r *request) offered() shortlist { return r.a.offered(r.realm, r.f.Listener, r.userAgent) }

// algorithmOffered guards against a downgrade: an algorithm that was switched
// off is of no use to whoever can forge it.
func (r *request) algorithmOffered() bool {
	offer := r.offered()
	return slices.Contains(offer.list(), r.c.algo)
}

// lookup asks those who may have to wait for an answer, and makes the Decision.
func (r *request) lookup(ctx context.Context) {
	if r.token != "" {
		r.redeem(ctx)
		return
	}
	creds, err := r.a.o.Source.Lookup(ctx, r.realm, r.c.username)
	r.verify(&creds, err)
}

// verify makes the Decision from what the Source said about the user.
func (r *request) verify(creds *Credentials, err error) { r.conclude(creds, r.prove(creds, err)) }

// conclude makes the Decision about a user of whom the Source said creds, when
// prove has said reason.
func (r *request) conclude(creds *Credentials, reason Reason) {
	switch reason {
	case ReasonUser:
	case ReasonUnavailable:
		r.refuseUnavailable()
		return
	default:
		r.fail(reason)
		r.challenge(reason, false)
		return
	}
	if reason := r.spendNonce(); reason != ReasonUser {
		// RFC 7616 §3.3: the password is right, so the client need not ask for
		// it again.
		r.challenge(reason, true)
		return
	}
	r.d = Decision{
		Outcome: Allowed,
		Reason:  ReasonUser,
		User:    User{Name: r.c.username, Realm: r.realm, Profile: creds.Profile},
	}
}

// prove looks whether the sender knows the user's password, of whom the Source
// said creds and err: then the reason is ReasonUser, otherwise it says why not.
// Nothing is counted.
func (r *request) prove(creds *Credentials, err error) Reason {
	unknown := errors.Is(err, ErrNoUser)
	if err != nil && !unknown {
		return ReasonUnavailable
	}
	if unknown {
		creds = &r.a.decoy
	}
	method := r.method
	if method == "ACK" {
		// RFC 3261 §22.1: an ACK repeats the credentials of its INVITE.
		method = "INVITE"
	}
	ha1 := creds.ha1(r.c.algo)
	noHash := ha1 == ""
	if noHash {
		ha1 = r.a.decoy.ha1(r.c.algo)
	}
	// All of it is computed in any case: the time must not tell whether the user
	// exists.
	right := r.c.matches(ha1, method, r.body)
	switch {
	case unknown:
		return ReasonNoUser
	case !right || noHash:
		return ReasonPassword
	}
	return ReasonUser
}

// spendNonce returns ReasonUser if the nonce is ours, young, and not used up.
func (r *request) spendNonce() Reason {
	id, issued, state := r.a.nonces.inspect(r.c.nonce, r.realm, r.now)
	// RFC 3261 §22.1: what was accepted in an INVITE is accepted in its ACK,
	// however long the phone rang.
	if r.method == "ACK" && state != nonceForeign {
		return ReasonUser
	}
	switch {
	case state != nonceFresh:
		return ReasonStale
	case !r.a.replays.take(id, issued, r.c.nonceUses, r.a.replays.print(r.m.Raw(), r.f), r.now):
		return ReasonReplayed
	}
	return ReasonUser
}

// fail counts and tells a failed attempt.
func (r *request) fail(reason Reason) {
	r.a.failures.Take(r.f, r.now)
	r.a.emitFailure(r.method, r.c.username, r.realm, r.f, reason)
}

// maxEventUser bounds a name in an event, which anybody may have chosen.
const maxEventUser = 128

func (a *Authenticator) emitFailure(method, user, realm string, f flow.Flow, reason Reason) {
	a.o.Sink.Emit(event.AuthFailed{
		Method: method,
		User:   strings.Clone(user[:min(len(user), maxEventUser)]),
		Realm:  realm,
		Flow:   f,
		Reason: reason.String(),
	})
}

// challenge asks for credentials. ACK and CANCEL are never challenged: there is
// no way to send either again (RFC 3261 §22.1).
func (r *request) challenge(reason Reason, stale bool) {
	if r.method == "ACK" || r.method == "CANCEL" {
		r.refuse(reason, 403, "")
		return
	}
	r.d = Decision{Outcome: Challenged, Reason: reason, Reply: r.challengeReply(reason, stale)}
}

func (r *request) refuse(reason Reason, code int, phrase string) {
	r.d = Decision{Outcome: Refused, Reason: reason, Reply: sipmsg.Reply{Code: code, Reason: phrase}}
}

// refuseUnavailable answers 503: without its users the whole server can serve
// nobody, and an upstream proxy does well to try another (RFC 3261 §16.7 step 6).
func (r *request) refuseUnavailable() {
	r.refuse(ReasonUnavailable, 503, "")
	r.comeBack()
}

// refuseBusy answers 500, which fails this request alone: a 503 would make an
// upstream proxy stop sending us anything.
func (r *request) refuseBusy() {
	r.refuse(ReasonBusy, 500, "")
	r.comeBack()
}

func (r *request) comeBack() {
	r.d.Reply.Headers = []sipmsg.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}}
}

func (r *request) finish() Decision {
	r.a.metrics.decided(r.role, r.d.Reason)
	return r.d
}

// newDecoy draws the hashes of nobody.
func newDecoy() (c Credentials) {
	for _, a := range algorithms() {
		var b [maxHexLen / 2]byte
		rand.Read(b[:]) // It never fails.
		c.set(a, hex.EncodeToString(b[:a.hexLen()/2]))
	}
	return c
}
