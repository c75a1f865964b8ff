package proxy

import (
	"slices"
	"strings"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// FromPolicy says what becomes of a request whose authenticated sender writes
// somebody else into From.
type FromPolicy uint8

// The policies.
const (
	// RejectFrom answers 403.
	RejectFrom FromPolicy = iota
	// OverwriteFrom puts the user's own address there.
	OverwriteFrom
	// AnyFrom lets it pass.
	AnyFrom
)

// ParseFromPolicy reads a policy's name.
func ParseFromPolicy(s string) (FromPolicy, bool) {
	switch s {
	case "reject":
		return RejectFrom, true
	case "overwrite":
		return OverwriteFrom, true
	case "any":
		return AnyFrom, true
	}
	return 0, false
}

// Identity is the policy for what requests say of who sent them.
type Identity struct {
	From FromPolicy
	// TrustOutbound counts phones as trusted where they receive: they see who
	// calls even if the caller asked for privacy.
	TrustOutbound bool
}

// A claim is what a forwarded request may say of its sender.
type claim struct {
	// trusted: the sender is a peer, whose word on identities counts.
	trusted bool
	// asserted is the identity that trusted receivers are told, as a value of
	// P-Asserted-Identity; empty: none that we could vouch for.
	asserted string
	// from replaces From; empty: it stays.
	from string
}

// trusts reports whether the peer of f belongs to the trust domain (RFC 3325
// §2.3).
func (p *Proxy) trusts(f flow.Flow) bool {
	o := p.opts()
	if o.Trusted(f) {
		return true
	}
	return o.peers[hop{transport: f.Transport, addr: f.Remote}] ||
		slices.ContainsFunc(p.routesAt(f), func(r *Route) bool { return r.Trusted })
}

// claim checks what an admitted sender says of itself. The refusal is nil if the
// request may pass.
func (p *Proxy) claim(m *sipmsg.Message, from flow.Flow, a Admission) (claim, *sipmsg.Reply) {
	if a.Trusted || p.trusts(from) {
		return claim{trusted: true}, nil
	}
	if a.User == "" {
		// We do not know who it is, so nothing is asserted.
		return claim{}, nil
	}
	policy := p.opts().Identity.From
	if m.ToTag() != "" {
		// RFC 3261 §12.2.1.1: From is the dialog's. A phone may have been called by
		// another name than its own.
		policy = AnyFrom
	}
	var c claim
	sender := m.From()
	display := sender.Display
	switch mine := p.mine(sender.URI, a); {
	case mine:
	case anonymous(sender.URI):
		// RFC 3323 §4.1.1.3: this name is open to all who ask for privacy.
		display = ""
	case policy == RejectFrom:
		return claim{}, &sipmsg.Reply{Code: 403, Reason: "From Is Not Yours"}
	case policy == OverwriteFrom:
		c.from = nameAddr("", string(a.User)) + string(sender.Params)
		display = ""
	default:
		display = ""
	}
	c.asserted = nameAddr(display, string(a.User))
	for value := range m.Values(sipmsg.HdrPPreferredIdentity) {
		hint, err := sipmsg.ParseNameAddr(value)
		switch {
		case err == nil && p.mine(hint.URI, a):
			// RFC 3325 §6: the user chooses among own identities.
			name := identity(hint.URI)
			if !hint.URI.IsSIP() {
				name += numberAt(hint.URI, a.User).User
			}
			c.asserted = nameAddr(hint.Display, name)
			return c, nil
		case policy == RejectFrom && err == nil && hint.URI.IsSIP():
			return claim{}, &sipmsg.Reply{Code: 403, Reason: "Identity Is Not Yours"}
		}
		// RFC 3325 §6: another hint is ignored; so is a telephone number, of which
		// nobody told us whose it is.
	}
	return c, nil
}

// mine reports whether u is an identity of the admitted user.
func (p *Proxy) mine(u sipmsg.URI, a Admission) bool {
	if strings.EqualFold(u.Scheme, "tel") {
		u = numberAt(u, a.User)
	}
	aor, err := sipmsg.CanonicalAOR(u)
	if err != nil {
		return false
	}
	may := func(aor usrloc.AOR) bool { return aor == a.User || a.May != nil && a.May(aor) }
	if may(usrloc.AOR(aor)) {
		return true
	}
	// By another name of the domain.
	other, ok := p.aorOf(u)
	return ok && may(other)
}

// numberAt returns the SIP URI of the user whose name is the telephone number u,
// in the domain of user (RFC 3261 §19.1.6). RFC 3966 §5.1.1: its visual separators
// say nothing.
func numberAt(u sipmsg.URI, user usrloc.AOR) sipmsg.URI {
	number, _, _ := strings.Cut(u.Opaque, ";")
	number = strings.NewReplacer("-", "", ".", "", "(", "", ")", "").Replace(number)
	return sipmsg.URI{Scheme: "sip", User: number, Host: string(user[strings.LastIndexByte(string(user), '@')+1:])}
}

// anonymous reports whether u is the name that tells nothing (RFC 3323 §4.1.1.3).
func anonymous(u sipmsg.URI) bool { return u.IsSIP() && strings.EqualFold(u.Host, "anonymous.invalid") }

// identify edits what m says of its sender, who made the claim c, for a receiver
// who is trusted or not (RFC 3325 §5 to §7). Remote-Party-ID, which was there
// before, is treated alike.
func (p *Proxy) identify(m *sipmsg.Message, e *sipmsg.Edit, c claim, trusted bool) {
	told := false
	private := hidden(m)
	e.RemoveIf(func(h sipmsg.Header) bool {
		switch {
		case h.ID == sipmsg.HdrPAssertedIdentity:
			// RFC 3325 §5: the word of a stranger is taken out; §7: that of a peer
			// goes on to strangers unless privacy was asked for.
			told = told || c.trusted
			return !c.trusted || !trusted && private
		case h.ID == sipmsg.HdrPPreferredIdentity:
			// RFC 3325 §6: the hint was for us.
			return !c.trusted
		case strings.EqualFold(h.Name, "Remote-Party-ID"):
			return !c.trusted || !trusted && (private || remotePartyHidden(h.Value))
		}
		return false
	})
	if c.asserted != "" && trusted && !told {
		e.Push("P-Asserted-Identity", c.asserted)
	}
	if c.from != "" {
		e.Remove(sipmsg.HdrFrom)
		e.Push("From", c.from)
	}
}

// hidden reports whether the sender asked that the asserted identity stay inside
// the trust domain (RFC 3325 §7).
func hidden(m *sipmsg.Message) bool {
	for value := range m.Values(sipmsg.HdrPrivacy) {
		for level := range strings.SplitSeq(value, ";") {
			if strings.EqualFold(strings.TrimSpace(level), "id") {
				return true
			}
		}
	}
	return false
}

// remotePartyHidden reports whether a Remote-Party-ID asks for privacy: whatever
// its parameter says but "off".
func remotePartyHidden(value string) bool {
	party, err := sipmsg.ParseNameAddr(value)
	if err != nil {
		return true
	}
	level, has := party.Params.Get("privacy")
	return has && !strings.EqualFold(level, "off")
}

// nameAddr writes a name-addr.
func nameAddr(display, uri string) string {
	if display == "" {
		return "<" + uri + ">"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(display) + `" <` + uri + ">"
}
