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
	a    *Authenticator
	m    *sipmsg.Message // nil for a Question
	f    flow.Flow
	role Role
	now  time.Time

	method, body string
	uri          *sipmsg.URI // the Request-URI
	realm        string
	c            credentials
	d            Decision
}

// newRequest is a request that came as m.
func (a *Authenticator) newRequest(m *sipmsg.Message, f flow.Flow, role Role, now time.Time) request {
	uri := m.RequestURI()
	return request{a: a, m: m, f: f, role: role, now: now, method: m.Method(), body: m.Body(), uri: &uri}
}

// precheck does all that needs no Source. It reports whether the Decision is
// made.
func (r *request) precheck() (decided bool) {
	if r.a.peers.contains(r.f.Remote.Addr()) {
		r.d = Decision{Outcome: Allowed, Trusted: true, Reason: ReasonTrusted}
		return true
	}
	r.realm = r.a.realmOf(r.m, r.role)
	found, err := r.findCredentials()
	switch {
	case err != nil:
		r.refuse(ReasonMalformed, 400, "Malformed Credentials")
		return true
	case !found:
		r.challenge(ReasonNoCredentials, false)
		return true
	}
	if problem := r.c.check(); problem != "" {
		r.refuse(ReasonMalformed, 400, problem)
		return true
	}
	if r.a.failures.Exhausted(r.f.Remote.Addr(), r.now) {
		// The client may do nothing wrong, and share an address with one that
		// does: it is told to come back, not that it is forbidden.
		r.refuse(ReasonLimited, 480, "Too Many Failed Attempts")
		r.d.Reply.Headers = []sipmsg.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}}
		return true
	}
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
	return false, nil
}

// take reads a header field that may hold credentials for our realm.
func (r *request) take(value string) (found bool, err error) {
	params, ok := digestScheme(strings.TrimLeft(value, " \t\r\n"))
	if !ok {
		return false, nil
	}
	if r.c, err = parseCredentials(params); err != nil {
		return false, err
	}
	return r.c.realm == r.realm, nil
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

// algorithmOffered guards against a downgrade: an algorithm that was switched
// off is of no use to whoever can forge it.
func (r *request) algorithmOffered() bool {
	list, n := r.a.offered(r.realm)
	return slices.Contains(list[:n], r.c.algo)
}

// verify looks the user up and makes the Decision.
func (r *request) verify(ctx context.Context) {
	creds, reason := r.prove(ctx)
	switch reason {
	case ReasonUser:
	case ReasonUnavailable:
		r.refuseUnavailable(reason)
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
		User:    User{Name: r.c.username, Realm: r.realm, AORs: creds.AORs},
	}
}

// prove looks whether the sender knows the user's password: then the reason is
// ReasonUser, otherwise it says why not. Nothing is counted.
func (r *request) prove(ctx context.Context) (Credentials, Reason) {
	creds, err := r.a.o.Source.Lookup(ctx, r.realm, r.c.username)
	unknown := errors.Is(err, ErrNoUser)
	if err != nil && !unknown {
		return Credentials{}, ReasonUnavailable
	}
	if unknown {
		creds = r.a.decoy
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
		return Credentials{}, ReasonNoUser
	case !right || noHash:
		return Credentials{}, ReasonPassword
	}
	return creds, ReasonUser
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
	case !r.a.replays.take(id, issued, r.c.nonceUses):
		return ReasonReplayed
	}
	return ReasonUser
}

// fail counts and tells a failed attempt.
func (r *request) fail(reason Reason) {
	r.a.failures.Take(r.f.Remote.Addr(), r.now)
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
	r.d = Decision{Outcome: Challenged, Reason: reason, Reply: r.a.challenge(r.role, r.realm, stale, r.now)}
}

func (r *request) refuse(reason Reason, code int, phrase string) {
	r.d = Decision{Outcome: Refused, Reason: reason, Reply: sipmsg.Reply{Code: code, Reason: phrase}}
}

// refuseUnavailable answers 500, which fails this request alone. A 503 would
// make an upstream proxy stop sending us anything (RFC 3261 §16.7 step 6).
func (r *request) refuseUnavailable(reason Reason) {
	r.refuse(reason, 500, "")
	r.d.Reply.Headers = []sipmsg.HeaderField{{Name: "Retry-After", Value: strconv.Itoa(retryAfter)}}
}

func (r *request) finish() Decision {
	r.a.metrics.decided(r.role, r.d.Reason)
	return r.d
}

// newDecoy draws the hashes of nobody.
func newDecoy() Credentials {
	var b [maxHexLen]byte
	rand.Read(b[:]) // It never fails.
	return Credentials{
		MD5:    hex.EncodeToString(b[:MD5.hexLen()/2]),
		SHA256: hex.EncodeToString(b[maxHexLen/2:]),
	}
}
