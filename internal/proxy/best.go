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
	// trusted: message came from a peer that is believed.
	trusted bool
}

// unavailable is the final for a device that cannot be had now. Outside a dialog
// 480 (RFC 8599 §5.6.2).
func (f *fork) unavailable(why string) final { return f.ownFinal(480, why) }

// ownFinal is a final of our own. Inside a dialog most codes would end the dialog
// or its usage (RFC 5057 §5.1); 500 with Retry-After concerns this request alone.
func (f *fork) ownFinal(code int, why string) final {
	if f.inDialog {
		code = 500
	}
	return final{code: code, reason: why}
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

// status returns the status that leaves for f. A lone 503 becomes 500, or the
// whole server would be taken for overloaded (RFC 3261 §16.7 step 6). 408 never
// answers anything but INVITE (RFC 4320 §4.2); one of our own stays, for then it is
// too late for any answer.
func (f final) status(invite bool) int {
	switch {
	case f.code == 503:
		return 500
	case f.code == 408 && !invite && f.message != nil:
		return 480
	}
	return f.code
}
