package auth

import "reveille/internal/sipmsg"

// challengeReply returns the answer that asks for credentials: one header field
// line for each algorithm (RFC 8760 §2.4), with the same nonce. The line for
// tokens is in front of them, since some phones keep only the last line.
func (r *request) challengeReply(reason Reason, stale bool) sipmsg.Reply {
	reply := sipmsg.Reply{Code: 401}
	name := "WWW-Authenticate"
	if r.role == Proxy {
		reply.Code, name = 407, "Proxy-Authenticate"
	}
	nonce := r.a.nonces.issue(r.realm, r.now)
	offer := r.offered()
	reply.Headers = make([]sipmsg.HeaderField, 0, 1+offer.n)
	if r.takesTokens() {
		reply.Headers = append(reply.Headers, r.bearerChallenge(name, reason))
	}
	for _, alg := range offer.list() {
		reply.Headers = append(reply.Headers, sipmsg.HeaderField{Name: name, Value: challengeValue(alg, r.realm, nonce, r.a.qop, stale)})
	}
	return reply
}

// challengeValue writes a challenge. RFC 7616 §3.3: algorithm and stale are
// not quoted, the others are. RFC 8760 §2.5: qop is always there.
func challengeValue(alg Algorithm, realm, nonce, qop string, stale bool) string {
	b := make([]byte, 0, 192)
	b = append(b, `Digest realm="`...)
	b = append(b, realm...)
	b = append(b, `", nonce="`...)
	b = append(b, nonce...)
	b = append(b, `", algorithm=`...)
	b = append(b, alg.String()...)
	b = append(b, `, qop="`...)
	b = append(b, qop...)
	b = append(b, '"')
	if stale {
		b = append(b, ", stale=true"...)
	}
	return string(b)
}
