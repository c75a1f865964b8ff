package registrar

import "time"

// requested returns the lifetime to aim at for a contact, in seconds, by its
// parameter and the header field of the request; Present says that the phone
// named it. token says that it has a pn-prid.
func (p *Policy) requested(parameter, header Expires, token bool) Expires {
	// RFC 3261 §10.3 step 7: the contact's own parameter, else the header
	// field, else the registrar's default.
	switch {
	case parameter.Present:
		return parameter
	case header.Present:
		return header
	}
	// Who leaves it to us is not told that it is too short.
	granted := max(p.DefaultExpires, p.MinExpires)
	if token && p.Push.Waking != nil {
		granted = max(granted, p.Push.MinExpires)
	}
	return Expires{Seconds: uint32(granted / time.Second)}
}

// grant returns the lifetime to give to a contact whose lifetime was requested
// so; 0 is a removal. push may lose its data if the lifetime is too short.
func (p *Policy) grant(asked Expires, push *pushPlan, random float64) (time.Duration, error) {
	if asked.Seconds == 0 {
		return 0, nil
	}
	least, most := p.MinExpires, p.MaxExpires
	if push.wakes() {
		most = p.Push.MaxExpires
	}
	granted := time.Duration(asked.Seconds) * time.Second
	if granted < least {
		// RFC 3261 §10.3 step 7: no 423 to whoever asks for an hour or more. The
		// minimum is never above that.
		if p.ShortExpires == Reject {
			return 0, p.tooBrief(push)
		}
		granted = least
	}
	granted = min(granted, most)
	if push.wakes() && granted < p.Push.MinExpires {
		// RFC 8599 §5.6.1.1: the binding would end before the device can be
		// woken to refresh it.
		if p.Push.TooShort == TooShortReject {
			return 0, p.tooBrief(push)
		}
		push.drop()
		most = p.MaxExpires
		granted = min(granted, most)
	}
	if push.wakes() {
		least = max(least, p.Push.MinExpires)
	}
	return p.Jitter.spread(granted, least, most, asked.Present, random), nil
}

// tooBrief is the answer to a lifetime below the minimum.
func (p *Policy) tooBrief(push *pushPlan) *Refusal {
	least := p.MinExpires
	if push.wakes() && p.Push.TooShort == TooShortReject {
		least = max(least, p.Push.MinExpires)
	}
	r := refuse(423, "Interval Too Brief")
	r.MinExpires = uint32((least + time.Second - 1) / time.Second)
	return r
}
