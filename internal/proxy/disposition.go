package proxy

import (
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// This file is what a caller may ask of the way its request is treated (RFC 3841 §9.1).
//
// Not honoured are redirect, for where phones are is told to nobody and would help
// nobody to reach those that sleep; recurse, for a phone must not make us send to third
// parties; and queue and no-queue, for nothing is queued here behind another call.

// asks reports whether the request has a directive.
func (f *fork) asks(directive string) bool {
	return f.s.Message().HasToken(sipmsg.HdrRequestDisposition, directive)
}

// choice is in which order, and how many at a time, the devices of aor are tried for
// this request.
func (f *fork) choice(aor usrloc.AOR) *Options {
	o := f.p.opts().of(aor)
	if !f.s.Message().Has(sipmsg.HdrRequestDisposition) || o.Fork == FirstOnly {
		return o
	}
	q := *o
	switch {
	case f.asks("no-fork"):
		// One address, the best; of equal ones a phone that is awake.
		q.Fork = FirstOnly
	case f.asks("sequential"):
		q.Fork = Sequential
	case f.asks("parallel"):
		q.Fork = Parallel
	}
	return &q
}

// leaveRinging reports whether the phones that ring are left alone when one has
// answered: the caller ends what it does not want itself. A 6xx ends them all the same.
func (f *fork) leaveRinging() bool { return f.invite() && f.asks("no-cancel") }

// stopWaiting is stopOthers for a caller that wants nothing cancelled: what has not
// left does not leave any more.
func (f *fork) stopWaiting(b *branch) {
	f.why = []sipmsg.HeaderField{reasonFor(200)}
	for _, other := range f.branches {
		if other != b && (other.state == idle || other.state == parked || other.state == mediating) {
			other.stop()
		}
	}
}
