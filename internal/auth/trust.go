package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"reveille/flow"
)

// A Means is how a sender is known.
type Means uint8

// The means.
const (
	// ByAddress: from a trusted network.
	ByAddress Means = iota + 1
	// ByCertificate: with a trusted name in the client certificate.
	ByCertificate
	// ByCredentials: with credentials for our realm, right or wrong. Before the
	// others, who brings credentials is that user and not a trusted peer.
	ByCredentials
	// ByFrom: From names a user who needs no password at the sender's address.
	ByFrom
	// ByTo: so does To of a REGISTER.
	ByTo
)

// validateTrust checks the options that say who is trusted.
func (o *Options) validateTrust() error {
	if len(o.IdentifyBy) == 0 {
		o.IdentifyBy = []Means{ByAddress, ByCertificate, ByCredentials, ByFrom, ByTo}
	}
	for i, m := range o.IdentifyBy {
		if m < ByAddress || m > ByTo || slices.Contains(o.IdentifyBy[:i], m) {
			return fmt.Errorf("auth: means of identification %d is unknown or comes twice", m)
		}
	}
	if !slices.Contains(o.IdentifyBy, ByCredentials) {
		return errors.New("auth: nobody could log in: ByCredentials is missing")
	}
	return nil
}

// identify looks how the sender is known: by the first means that applies, 0 if
// none does. The credentials, if that are they, are read and not checked yet; for a
// user who needs none the Decision is made.
func (r *request) identify() (Means, error) {
	for _, means := range r.a.o.IdentifyBy {
		switch means {
		case ByAddress:
			if r.a.trustedAddress(r.f.Remote.Addr()) {
				return means, nil
			}
		case ByCertificate:
			if r.a.certified(r.f) {
				return means, nil
			}
		case ByCredentials:
			if found, err := r.findCredentials(); found || err != nil {
				return means, err
			}
		case ByFrom, ByTo:
			if r.m == nil {
				continue // See Recognise.
			}
			if u, ok := r.named(means); ok {
				r.d = Decision{Outcome: Allowed, User: u, Reason: ReasonNetwork}
				return means, nil
			}
		}
	}
	return 0, nil
}

func trusted() Decision { return Decision{Outcome: Allowed, Trusted: true, Reason: ReasonTrusted} }

// certified reports whether the peer of f has a trusted name.
func (a *Authenticator) certified(f flow.Flow) bool {
	if len(a.o.TrustedNames) == 0 || a.o.PeerNames == nil || !f.Transport.Secure() {
		return false
	}
	return slices.ContainsFunc(a.o.PeerNames(f), func(name string) bool {
		return slices.ContainsFunc(a.o.TrustedNames, func(t string) bool { return strings.EqualFold(t, name) })
	})
}

// Trusts reports whether the peer of f is believed without credentials.
func (a *Authenticator) Trusts(f flow.Flow) bool {
	return slices.ContainsFunc(a.o.IdentifyBy, func(m Means) bool {
		return m == ByAddress && a.trustedAddress(f.Remote.Addr()) || m == ByCertificate && a.certified(f)
	})
}

// trustedAddress reports whether an address is one that Options trust.
func (a *Authenticator) trustedAddress(addr netip.Addr) bool {
	return a.peers.contains(addr) || a.o.TrustedAddr != nil && a.o.TrustedAddr(addr)
}

// peers are the networks whose requests are believed without credentials: edge
// proxies, trunks, gateways. The address is the one that our socket saw. Over
// UDP it can be forged where the network does not prevent that; the operator
// who lists a prefix vouches for the way to it.
type peers []netip.Prefix

// newPeers takes the prefixes in any form.
func newPeers(prefixes []netip.Prefix) peers {
	ps := make(peers, 0, len(prefixes))
	for _, p := range prefixes {
		ps = append(ps, canonicalPrefix(p))
	}
	return ps
}

// canonicalPrefix masks a prefix and turns a mapped IPv4 one into IPv4.
func canonicalPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// contains reports whether addr belongs to a peer. Peers are few: they are
// looked through one by one.
func (ps peers) contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range ps {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
