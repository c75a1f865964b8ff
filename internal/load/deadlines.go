package load

// A deadline is something that happens at a time unless it is stale by then:
// deadlines are not removed, but looked at when they are due.
type deadline struct {
	at int64 // ns since the run began
	// id is a phone or a call, as kind says, and mark what tells a stale deadline.
	id, mark uint32
	kind     deadlineKind
}

type deadlineKind uint8

// The deadlines, and whose they are.
const (
	registerAgain deadlineKind = iota // phone: send the REGISTER with this CSeq again
	wakeUp                            // phone: the push has woken it
	inviteAgain                       // call: nothing was heard of the INVITE
	giveUp                            // call: nobody answers
	ring                              // call: the phone rings
	pickUp                            // call: the phone answers
	answerAgain                       // call: nothing was heard of the 200
	hangUp                            // call: the caller hangs up
	byeAgain                          // call: nothing was heard of the BYE
	forget                            // call: a cancelled call did not end
)

// deadlines is a heap, the earliest first.
type deadlines []deadline

// next returns when the earliest is due; never if there is none.
func (d deadlines) next() int64 {
	if len(d) == 0 {
		return never
	}
	return d[0].at
}

func (d *deadlines) add(x deadline) {
	h := append(*d, x)
	i := len(h) - 1
	for i > 0 && h[(i-1)/2].at > h[i].at {
		h[(i-1)/2], h[i] = h[i], h[(i-1)/2]
		i = (i - 1) / 2
	}
	*d = h
}

// take removes the earliest if it is due at now.
func (d *deadlines) take(now int64) (deadline, bool) {
	h := *d
	if len(h) == 0 || h[0].at > now {
		return deadline{}, false
	}
	first, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		least, left := i, 2*i+1
		for child := left; child <= left+1 && child < last; child++ {
			if h[child].at < h[least].at {
				least = child
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*d = h
	return first, true
}
