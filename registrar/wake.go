package registrar

import (
	"strings"

	"reveille/push"
	"reveille/usrloc"
)

// A pushPlan is what a contact's push parameters come to (RFC 8599 §5.6.1).
type pushPlan struct {
	// store goes into the binding; zero if the device cannot be woken.
	store usrloc.Push
	// caps are what the 200 announces.
	caps []Cap
	// refresh: a push shall refresh the binding before it ends.
	refresh bool
	// callsOnly: no token may be used for a refresh.
	callsOnly bool
}

// wakes reports whether the binding can be woken.
func (p *pushPlan) wakes() bool { return !p.store.IsZero() }

// drop makes the binding one that cannot be woken, and announces nothing.
func (p *pushPlan) drop() { *p = pushPlan{} }

// planPush reads what c, which is to live for so long, wants of push.
func (p *Policy) planPush(in *Input, c *Contact, asked Expires) (pushPlan, error) {
	switch {
	case !c.PushAsked:
		// RFC 8599 §5.6.1: without pn-provider this is an ordinary contact.
		return pushPlan{}, nil
	case in.PushIndicated:
		// RFC 8599 §5.6.1: a proxy nearer to the phone wakes it.
		return pushPlan{}, nil
	case asked.Seconds == 0:
		// RFC 8599 §4.1.2: a removal, not a query; nothing is announced.
		return pushPlan{}, nil
	case c.Push.PRID == "":
		return p.query(c.Push.Provider)
	}
	params, tokens, err := push.Parse(c.Push.Provider, c.Push.Param, c.Push.PRID)
	if err != nil || p.Push.Waking == nil || !p.Push.Waking.Supports(params) {
		// RFC 8599 §5.6.1.1: unknown service, or something missing for it.
		if c.PushMapped {
			// It does not know 555.
			return pushPlan{}, nil
		}
		return p.unsupported(err)
	}
	pl := pushPlan{store: c.Push}
	pl.refresh = p.refreshes(params, tokens)
	pl.callsOnly = !pl.refresh
	pl.caps = []Cap{p.announcement(params, c.Push.SelfWaking)}
	return pl, nil
}

// announcement is what the 200 says of the service of a device that can be
// woken.
func (p *Policy) announcement(params push.Params, selfWaking bool) Cap {
	c := p.announce(params)
	if selfWaking {
		// RFC 8599 §5.6.1.1: tell a device that wakes itself when to.
		c.PNSReg = uint32(p.Push.PNSReg.Seconds())
	}
	return c
}

// query answers a contact without pn-prid: which services are there (RFC 8599
// §5.6.1.2)? Nothing is stored.
func (p *Policy) query(provider string) (pushPlan, error) {
	var pl pushPlan
	if p.Push.Waking != nil {
		for _, name := range p.Push.Waking.Providers() {
			// RFC 8599 §5.6.1.2: an empty value asks for all of them.
			if (provider == "" || strings.EqualFold(name, provider)) && push.TagValue(name) {
				pl.caps = append(pl.caps, p.announce(push.Params{Provider: name}))
			}
		}
	}
	if len(pl.caps) == 0 {
		return p.unsupported(nil)
	}
	return pl, nil
}

// announce makes the Feature-Caps of a service. RFC 8599 §5.6.1.1: sip.vapid
// only where the push service knows VAPID.
func (p *Policy) announce(params push.Params) Cap {
	c := Cap{Provider: params.Provider, VAPID: p.Push.Waking.VAPIDKey(params)}
	if !push.TagValue(c.VAPID) {
		c.VAPID = ""
	}
	return c
}

// unsupported is what becomes of a contact whose push service is of no use.
func (p *Policy) unsupported(cause error) (pushPlan, error) {
	if p.Push.Unsupported == AcceptWithoutPush {
		return pushPlan{}, nil
	}
	// RFC 8599 §8.1.
	r := refuse(555, "Push Notification Service Not Supported")
	r.Err = cause
	return pushPlan{}, r
}
