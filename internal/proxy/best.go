package proxy

import "reveille/internal/sipmsg"

// A final is the end of one branch: an answer from a device, or our own word
// for what happened to it.
type final struct {
	code int
	// reason is our phrase for the log and, in a synthetic answer, the wire.
	reason string
	// message is the device's answer; nil if the final is ours.
	message *sipmsg.Message
}

// rank orders finals by RFC 3261 §16.7 step 6; the lowest is the best.
func (f final) rank() int {
	class := f.code / 100
	rank := class * 100
	switch {
	case class == 6:
		// A 6xx outranks everything: it speaks for the user, not for a device.
		return 0
	case f.code == 401 || f.code == 407 || f.code == 415 || f.code == 420 || f.code == 484:
		// These tell the caller how to do better.
		rank += 1
	case f.code == 503:
		// RFC 3261 §16.7 step 6: a 503 is about one next hop, not about us.
		rank += 90
	case f.message != nil:
		// What a device said beats what we guessed of another.
		rank += 10
	default:
		rank += 50
	}
	return rank
}

// better reports whether f is a better answer than g.
func (f final) better(g final) bool { return g.code == 0 || f.rank() < g.rank() }

// upstream returns the status that leaves for f. A lone 503 becomes 500, or the
// whole server would be taken for overloaded (RFC 3261 §16.7 step 6). 408 never
// answers anything but INVITE (RFC 4320 §4.2).
func (f final) upstream(invite bool) int {
	switch {
	case f.code == 503:
		return 500
	case f.code == 408 && !invite:
		return 480
	}
	return f.code
}
