package auth

import (
	"net/netip"
	"slices"
	"strings"

	"reveille/internal/sipmsg"
)

// A HomeSource is a Source of users some of whom need no password where they are
// at home.
type HomeSource interface {
	// AtHome returns the profile of a user whose networks hold addr; false for
	// others. It answers from memory.
	AtHome(realm, user string, addr netip.Addr) (Profile, bool)
}

var (
	_ HomeSource = (*Users)(nil)
	_ HomeSource = Sources(nil)
)

// AtHome implements HomeSource.
func (u *Users) AtHome(realm, user string, addr netip.Addr) (Profile, bool) {
	key := userKey{realm, user}
	if !u.homes[key].contains(addr) {
		return Profile{}, false
	}
	if p := u.byName[key].profile; p != nil {
		return *p, true
	}
	return Profile{}, true
}

// AtHome implements HomeSource.
func (s Sources) AtHome(realm, user string, addr netip.Addr) (Profile, bool) {
	for _, source := range s {
		if h, ok := source.(HomeSource); ok {
			if p, home := h.AtHome(realm, user, addr); home {
				return p, true
			}
		}
	}
	return Profile{}, false
}

// named returns the user whom means names in the request, if that user is at home
// where it came from. Whoever can send with an address of the network can be that
// user: the operator who lists it vouches for the way to it, as for a peer.
func (r *request) named(means Means) (User, bool) {
	source, ok := r.a.o.Source.(HomeSource)
	if !ok || means == ByTo && r.role != Registrar {
		return User{}, false
	}
	uri := r.m.From().URI
	if means == ByTo {
		// RFC 3261 §10.2: To names the user who is registered.
		uri = r.m.To().URI
	}
	if _, ours := r.a.domain(uri.Host); !ours || !uri.IsSIP() {
		return User{}, false
	}
	u := User{Name: sipmsg.Unescape(uri.User), Realm: r.a.realmOfDomain(uri.Host)}
	if r.a.o.FoldUser {
		u.Name = strings.ToLower(u.Name)
	}
	u.Profile, ok = source.AtHome(u.Realm, u.Name, r.f.Remote.Addr())
	return u, ok
}

// namesBefore reports whether somebody could be known by a name before means are
// looked at.
func (a *Authenticator) namesBefore(means Means) bool {
	i := slices.IndexFunc(a.o.IdentifyBy, func(m Means) bool { return m == ByFrom || m == ByTo })
	return i >= 0 && i < slices.Index(a.o.IdentifyBy, means)
}
