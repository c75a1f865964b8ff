package auth

import (
	"context"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A Question is a REGISTER as far as it says who sent it, free of any message
// model. Its strings need to be valid only while it is worked on.
type Question struct {
	// URI is the Request-URI, Host the host of To.
	URI  *sipmsg.URI
	Host string
	// Authorization is the value of the only such header field, "" if there is
	// none.
	Authorization string
	// UserAgent is the value of that header field, "" if there is none.
	UserAgent string
	// Raw is the whole request.
	Raw string
}

// A Proof is what Recognise found out. It is good for one Spend.
type Proof struct {
	a      *Authenticator
	d      Decision
	id     nonceID
	issued int64
	uses   uint32
	print  uint64
	now    time.Time
}

// Recognise does what Authenticate does for the sender of a REGISTER without
// body that is allowed at once: a trusted peer, or a user who knows the password
// and a nonce of ours. In all other cases it reports false and leaves no trace:
// no failure is counted and nothing is emitted, which Authenticate will do. An
// allowed sender counts, and the nonce is used, only with Spend.
//
// It computes as much for an unknown user as for a known one, and allocates
// nothing.
func (a *Authenticator) Recognise(q *Question, f flow.Flow, now time.Time) (Proof, bool) {
	p := Proof{a: a}
	r := request{
		a: a, authorization: q.Authorization, f: f, role: Registrar, now: now,
		method: "REGISTER", userAgent: q.UserAgent, uri: q.URI, realm: a.realmOfDomain(q.Host),
	}
	means, err := r.identify()
	switch {
	case err != nil || means == 0:
		return p, false
	case a.namesBefore(means):
		// A Question has no names by which somebody could be known first.
		return p, false
	case means != ByCredentials:
		p.d = trusted()
		return p, true
	case r.token != "" || r.problem() != "":
		// A token takes more time than there is here.
		return p, false
	}
	if a.failures.Exhausted(f, now) || !r.uriIsOurs() || !r.algorithmOffered() {
		return p, false
	}
	creds, known, err := a.recall(context.Background(), r.realm, r.c.username)
	if !known || r.prove(&creds, err) != ReasonUser {
		return p, false
	}
	var state nonceState
	if p.id, p.issued, state = a.nonces.inspect(r.c.nonce, r.realm, now); state != nonceFresh {
		return p, false
	}
	p.uses, p.print, p.now = r.c.nonceUses, a.replays.print(q.Raw, f), now
	p.d = Decision{Outcome: Allowed, Reason: ReasonUser, User: User{Name: r.c.username, Realm: r.realm, Profile: creds.Profile}}
	return p, true
}

// MayUse reports whether the sender may register aor, as Authorize does.
func (p *Proof) MayUse(aor usrloc.AOR) bool { return p.a.permits(&p.d, aor) }

// Spend uses the nonce and counts the decision. It reports false if the nonce
// was used before, and has then changed nothing.
func (p *Proof) Spend() bool {
	if !p.d.Trusted && !p.a.replays.take(p.id, p.issued, p.uses, p.print, p.now) {
		return false
	}
	p.a.metrics.decided(Registrar, p.d.Reason)
	return true
}
