package auth

import (
	"time"

	"reveille/internal/sipmsg"
)

// challenge returns the answer that asks for credentials: one header field line
// for each algorithm (RFC 8760 §2.4), with the same nonce.
func (a *Authenticator) challenge(role Role, realm string, stale bool, now time.Time) sipmsg.Reply {
	reply := sipmsg.Reply{Code: 401}
	name := "WWW-Authenticate"
	if role == Proxy {
		reply.Code, name = 407, "Proxy-Authenticate"
	}
	nonce := a.nonces.issue(realm, now)
	list, n := a.offered(realm)
	reply.Headers = make([]sipmsg.HeaderField, 0, n)
	for _, alg := range list[:n] {
		reply.Headers = append(reply.Headers, sipmsg.HeaderField{Name: name, Value: challengeValue(alg, realm, nonce, stale)})
	}
	return reply
}

// challengeValue writes a challenge. RFC 7616 §3.3: algorithm and stale are
// not quoted, the others are. RFC 8760 §2.5: qop is always there.
func challengeValue(alg Algorithm, realm, nonce string, stale bool) string {
	b := make([]byte, 0, 128)
	b = append(b, `Digest realm="`...)
	b = append(b, realm...)
	b = append(b, `", nonce="`...)
	b = append(b, nonce...)
	b = append(b, `", algorithm=`...)
	b = append(b, alg.String()...)
	b = append(b, `, qop="auth"`...)
	if stale {
		b = append(b, ", stale=true"...)
	}
	return string(b)
}
