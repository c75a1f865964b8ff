package auth

import "net/netip"

// An ACL is an ordered list of addresses that are permitted or denied. The last
// rule that matches an address decides, and what no rule matches is permitted,
// as in Asterisk: a list of those who may begins with rules that deny
// 0.0.0.0/0 and ::/0.
type ACL []ACLRule

// An ACLRule permits or denies a network.
type ACLRule struct {
	Permit bool
	Prefix netip.Prefix
	// Listener is the name of the only listener that the rule is for; "" means
	// every one.
	Listener string
}

// NewACL returns a list of these rules, whose prefixes may have any form.
func NewACL(rules ...ACLRule) ACL {
	l := make(ACL, len(rules))
	for i, r := range rules {
		r.Prefix = canonicalPrefix(r.Prefix)
		l[i] = r
	}
	return l
}

// Permits reports whether addr, in a message that came on a listener, is
// permitted.
func (l ACL) Permits(addr netip.Addr, listener string) bool {
	addr = addr.Unmap().WithZone("")
	for i := len(l) - 1; i >= 0; i-- {
		if r := &l[i]; (r.Listener == "" || r.Listener == listener) && r.Prefix.Contains(addr) {
			return r.Permit
		}
	}
	return true
}
