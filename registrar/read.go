package registrar

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// read turns a REGISTER into the Input of Apply: RFC 3261 §10.3 steps 2 and 5, and the
// Path rule of RFC 3327 §5.3. may says which AORs its sender may
// register (step 4); nil means all.
func (r *Registrar) read(p *rules, m *sipmsg.Message, f flow.Flow, now time.Time, may func(usrloc.AOR) bool) (*Input, error) {
	in := &Input{
		CallID: m.CallID(), CSeq: m.CSeq().Seq, Now: now, Flow: f, Star: m.ContactStar(), Random: rand.Float64(),
		// RFC 5626 §6: the registrar is the first hop or not.
		Relayed: len(m.Vias()) > 1,
	}
	in.UserAgent, _ = m.Header(sipmsg.HdrUserAgent)
	if err := r.addressed(p, m, in, may); err != nil {
		return in, err
	}
	if v, ok := m.Expires(); ok {
		in.Expires = ParseExpires(v)
	}
	in.PushIndicated = pushIndicated(m)
	for line := range m.Headers() {
		switch line.ID {
		case sipmsg.HdrAllow:
			in.Methods |= usrloc.ParseMethods(line.Value)
		case sipmsg.HdrSupported:
			in.Supported |= ParseExtensions(line.Value)
		}
	}
	p.of(in).capture(m, in)
	if err := readPath(p.of(in), m, in); err != nil {
		return in, err
	}
	contacts := m.Contacts()
	if len(contacts) > maxContacts {
		return in, refuse(400, "Too Many Contacts")
	}
	in.Contacts = make([]Contact, len(contacts))
	for i := range contacts {
		var err error
		in.Contacts[i] = readContact(&contacts[i])
		p.mapper.read(&in.Contacts[i], &contacts[i], agentOf(in), m.HeaderNamed)
		if in.Contacts[i].ID, err = usrloc.NewBindingID(in.AOR, r.random); err != nil {
			return in, err
		}
	}
	return in, nil
}

// addressed checks whom the request is for, and sets in.AOR.
func (r *Registrar) addressed(p *rules, m *sipmsg.Message, in *Input, may func(usrloc.AOR) bool) error {
	// RFC 3261 §8.2.2.1. A user part, as in the examples of RFC 8599, is ignored.
	if !m.RequestURI().IsSIP() {
		return refuse(416, "Unsupported URI Scheme")
	}
	// Step 5: the AOR is To's URI without parameters, unescaped.
	to := m.To().URI
	aor, ours, err := p.domains.AOR(to)
	in.AOR = aor
	// Step 2: what the phone requires and we do not know, or not in this domain.
	var unknown []string
	for tag := range m.Tokens(sipmsg.HdrRequire) {
		e := extension(tag)
		if e == 0 || !p.of(in).extensions().Has(e) {
			unknown = append(unknown, tag)
		}
		// Who requires it supports it.
		in.Supported |= e
	}
	if len(unknown) > 0 {
		return badExtension(unknown...)
	}
	if !to.IsSIP() {
		return refuse(400, "To Is No SIP URI")
	}
	if err != nil {
		return &Refusal{Code: 400, Reason: "Bad To", Err: err}
	}
	// Step 4.
	if may != nil && !may(in.AOR) {
		return refuse(403, "Forbidden")
	}
	if to.User == "" || !ours {
		return refuse(404, "Not Found")
	}
	return nil
}

// readContact reads one Contact value. What is malformed in it counts as
// absent, but for expires (see ParseExpires).
func readContact(a *sipmsg.NameAddr) Contact {
	c := Contact{
		URI: a.URI.String(),
		// RFC 5627 §5.1: GRUUs are not for the phone to choose.
		Params: string(a.Params.Without("q", "expires", pubGRUU, tempGRUU)),
		Q:      readQ(a.Params),
	}
	c.Expires = readExpires(a.Params)
	if v, ok := a.Params.Get("+sip.instance"); ok {
		// RFC 5626 §4.1: a URN in angle brackets.
		c.Instance = strings.TrimSuffix(strings.TrimPrefix(v, "<"), ">")
	}
	if v, ok := a.Params.Get("reg-id"); ok {
		n, err := strconv.ParseUint(v, 10, 31)
		if err == nil {
			c.RegID = uint32(n)
		}
	}
	_, c.PushAsked = a.URI.Param(pnProvider)
	c.Push = pushOf(a.URI)
	// RFC 8599 §4.1.4.
	c.Push.SelfWaking = a.Params.Has("+sip.pnsreg")
	return c
}

// readQ returns the q of a contact with those parameters.
func readQ(params sipmsg.Params) usrloc.Q {
	if v, ok := params.Get("q"); ok {
		return parseQ(v)
	}
	return usrloc.QUnset
}

// readExpires returns the lifetime that a contact with those parameters names.
func readExpires(params sipmsg.Params) Expires {
	if v, ok := params.Get("expires"); ok {
		return ParseExpires(v)
	}
	return Expires{}
}

// parseQ reads a qvalue (RFC 3261 §25.1): "0" or "1" with up to three decimals.
func parseQ(s string) usrloc.Q {
	whole, decimals, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return usrloc.QUnset
	}
	n, err := strconv.ParseUint(whole+(decimals + "000")[:3], 10, 16)
	if err != nil || n > 1000 {
		return usrloc.QUnset
	}
	return usrloc.Q(n)
}

// pushIndicated reports whether a proxy nearer to the phone said that it wakes
// it (RFC 8599 §5.6.1).
func pushIndicated(m *sipmsg.Message) bool {
	for value := range m.Values(sipmsg.HdrFeatureCaps) {
		if _, params, ok := strings.Cut(value, ";"); ok && sipmsg.Params(";"+params).Has("+sip.pns") {
			return true
		}
	}
	return false
}
