package proxy

import (
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// A past is the attempt on the flow that a device has left. The request may have
// got there before the device left: then it is processed there, and the second
// one, on the new flow, is a merged request, which the device refuses with 482
// (RFC 3261 §8.2.2.2). Until the new flow says something, what comes from the old
// one is kept, no more; whoever has the old address by now may be another.
type past struct {
	client *transaction.Client
	last   *sipmsg.Message // what it answered last
}

// leave keeps the attempt on the flow that the device has left.
func (b *branch) leave() {
	b.forget()
	b.client.Hush()
	b.past = &past{client: b.client}
}

// forget gives the attempt on the old flow up: the device answers on the new one,
// or nobody waits for it any more. If it rings, it is cancelled. A 2xx that comes
// all the same still counts.
func (b *branch) forget() {
	if b.past != nil {
		b.past.client.Abandon()
		b.past = nil
	}
}

// recall takes an answer from the old flow.
func (b *branch) recall(m *sipmsg.Message, usable bool) {
	switch code := m.Status(); {
	case code/100 == 2 && usable:
		// The device had the request, and did as asked.
		b.past = nil
		b.fork.success(b, m)
		b.stop(reasonFor(200))
		b.fork.conclude()
	case code >= 600 && usable:
		b.past = nil
		b.declineLate(m)
	case code == 408 || code == 430 || code == 482:
		// These say nothing of the device, or that the new flow was quicker.
		b.past = nil
	case code > 100:
		b.past.last = m
	}
}

// declineLate takes a 6xx of an attempt that was left or given up. It is the word of a
// user who pressed a button, maybe before the phone left that flow, and ends the search
// (RFC 3261 §16.7 step 5), like a 2xx from there takes the call: only who got the request
// can answer it. A call that has gone to a fallback, or has ended, is not the user's
// any more.
func (b *branch) declineLate(m *sipmsg.Message) {
	f := b.fork
	if !f.invite() || f.over || f.diversion != nil && b.diversion == nil {
		return
	}
	f.finished(nil, final{code: m.Status(), message: m, trusted: b.trusted()})
	f.conclude()
}

// returns reports whether an answer on the new flow leaves the request to the old
// one.
func (b *branch) returns(code int) bool {
	switch code {
	case 482:
		// RFC 3261 §8.2.2.2: the device has the request already.
		return b.past != nil
	case 408, 430:
		// The new flow has failed; on the old one the device was heard.
		return b.past != nil && b.past.last != nil
	}
	return false
}

// goBack makes the attempt on the old flow the one that counts.
func (b *branch) goBack() {
	p := b.past
	b.client, b.past, b.state = p.client, nil, calling
	if p.last != nil {
		b.Response(p.client, p.last)
	}
}
