package registrar

import (
	"strings"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A rank says by what a contact and a binding are the same device; the higher
// the surer.
type rank uint8

const (
	noMatch    rank = iota
	byContact       // the Contact URI, or what the policy compares instead
	byPRID          // pn-provider, pn-param and pn-prid
	byInstance      // +sip.instance
	byFlow          // +sip.instance and reg-id
)

// The URI parameters of RFC 8599 §8.7 that a phone registers with.
const (
	pnProvider = "pn-provider"
	pnParam    = "pn-param"
	pnPRID     = "pn-prid"
)

// maxRegID is the largest reg-id (RFC 5626 §4.2).
const maxRegID = 1<<31 - 1

// An identity is what tells a contact's device from others.
type identity struct {
	uri      sipmsg.URI
	valid    bool // uri could be read
	raw      string
	instance string
	regID    uint32
	push     usrloc.Push
}

func identityOf(c *Contact) identity {
	id := identityOfURI(c.URI)
	id.instance, id.regID, id.push = c.Instance, c.RegID, c.Push
	// RFC 5626 §6: a reg-id means something together with an instance only.
	if id.instance == "" || id.regID > maxRegID {
		id.regID = 0
	}
	return id
}

func identityOfURI(raw string) identity {
	uri, err := sipmsg.ParseURI(raw)
	return identity{uri: uri, valid: err == nil, raw: raw}
}

// equalBare compares two URIs by RFC 3261 §19.1.4, less what they say of push, which
// also names besides the pn-parameters.
func (id *identity) equalBare(other *identity, also []string) bool {
	// Most differ before their parameters; that is told at no expense.
	u, v := id.uri, other.uri
	if u.Params, v.Params = "", ""; !u.Equal(v) {
		return false
	}
	bare := func(u sipmsg.URI) sipmsg.URI {
		// What is left of a valid URI is one, too.
		u, _ = sipmsg.ParseURI(u.WithoutPush(also))
		return u
	}
	return bare(id.uri).Equal(bare(other.uri))
}

// leadsTo reports whether the contact is the AOR itself (RFC 5627 §5.1), with
// whatever parameters and by whatever name of its domain.
func (p *Policy) leadsTo(id *identity, aor usrloc.AOR) bool {
	return id.valid && id.uri.IsSIP() && id.uri.Port == "" && p.aorOf(id.uri) == aor
}

// aorOf returns the AOR that a SIP URI names; empty if it cannot name one.
func (p *Policy) aorOf(u sipmsg.URI) usrloc.AOR {
	if p.domains == nil {
		aor, _ := sipmsg.CanonicalAOR(u)
		return usrloc.AOR(aor)
	}
	aor, _, err := p.domains.AOR(u)
	if err != nil {
		return ""
	}
	return aor
}

// sameDevice reports whether, and by what, pl's contact and b are one device. A
// push device is one binding under its AOR, however its address, port, Call-ID
// or token change.
func (p *Policy) sameDevice(in *Input, pl *plan, b *usrloc.Binding) rank {
	id := &pl.id
	if usrloc.SameInstance(id.instance, b.Instance) {
		switch {
		case id.regID == 0 || b.RegID == 0:
			return byInstance
		case id.regID == b.RegID:
			return byFlow
		}
		// RFC 5626 §6: two flows of one device are two bindings. They may carry
		// one token.
		return noMatch
	}
	stored := identityOfURI(b.Contact)
	stored.push = b.Push
	if asked := pushOf(stored.uri); asked.PRID != "" {
		// Not to be woken (any more), or by one token of two, but the same phone
		// if it has what it registered with.
		stored.push = asked
	}
	if usrloc.SameToken(id.push, stored.push) {
		return byPRID
	}
	// Two instances are two devices, even behind one address. RFC 5626 §6: with
	// a reg-id the Contact URI is not compared.
	if id.instance != "" && b.Instance != "" || id.regID != 0 {
		return noMatch
	}
	if p.sameContact(in, pl, &stored, b) {
		return byContact
	}
	return noMatch
}

// sameContact compares by the Contact URI.
func (p *Policy) sameContact(in *Input, pl *plan, stored *identity, b *usrloc.Binding) bool {
	id := &pl.id
	if !id.valid || !stored.valid {
		return id.raw == stored.raw
	}
	switch {
	case id.push.PRID != "" && stored.push.PRID != "":
		// RFC 8599 §4.1.1: a phone without an instance whose token was replaced
		// has another URI, but all else in it is as before.
		return sameService(id.push, stored.push) && id.equalBare(stored, p.mapper.names())
	case id.push.PRID != "":
		// RFC 8599 §4.1.5: a phone that asked with a query registers now.
		return id.equalBare(stored, p.mapper.names())
	case stored.push.PRID != "":
		// RFC 8599 §4.1.2: a phone takes its binding away, or its token back, by
		// a REGISTER without pn-prid. A query for all services is no such thing:
		// its empty pn-provider differs (RFC 3261 §19.1.4).
		return id.uri.Equal(stored.uri) || pl.remove() && id.equalBare(stored, p.mapper.names())
	}
	switch p.Match {
	case MatchURI:
	case MatchURICallID:
		return in.CallID == b.CallID && id.equalBare(stored, p.mapper.names())
	case MatchParameter:
		v, ok := id.uri.Param(p.MatchParam)
		w, has := stored.uri.Param(p.MatchParam)
		if ok && has {
			return v == w
		}
	}
	return id.equalBare(stored, p.mapper.names())
}

func sameService(a, b usrloc.Push) bool {
	return strings.EqualFold(a.Provider, b.Provider) && a.Param == b.Param
}

// pushOf reads the push parameters of a Contact URI.
func pushOf(u sipmsg.URI) usrloc.Push {
	value := func(name string) string {
		v, _ := u.Param(name)
		return sipmsg.Unescape(v)
	}
	return usrloc.Push{Provider: value(pnProvider), Param: value(pnParam), PRID: value(pnPRID)}
}
