// Package domain says which hosts are ours and which address of record a URI
// names there. It sits between the grammar (sipmsg.CanonicalAOR, RFC 3261 §10.3
// step 5) and everybody who keeps or looks up something by AOR: the registrar,
// the proxy and the gate must agree on the key.
package domain

import (
	"errors"
	"fmt"
	"strings"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// A Domain is one namespace of users.
type Domain struct {
	// Name stands in the AORs of its users. It is a host as in a SIP URI: a name
	// or an IP address (IPv6 in brackets), in any case.
	Name string
	// Aliases are other hosts by which it is addressed.
	Aliases []string
}

// A Set is the domains that we serve. It is immutable.
type Set struct {
	names []string
	// main holds the name of the domain by each host of it, both canonical.
	main map[string]string
	// aliased says that some host stands for another.
	aliased  bool
	foldUser bool
}

// New returns the Set of these domains, at least one. foldUser says that the
// case of user parts does not count, against RFC 3261 §19.1.4. The error names
// every host that is none or comes twice.
func New(domains []Domain, foldUser bool) (*Set, error) {
	s := &Set{main: map[string]string{}, foldUser: foldUser}
	var errs []error
	if len(domains) == 0 {
		errs = append(errs, errors.New("no domains"))
	}
	for _, d := range domains {
		name, err := hostOf(d.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.names = append(s.names, name)
		for _, host := range append([]string{d.Name}, d.Aliases...) {
			alias, err := hostOf(host)
			_, twice := s.main[alias]
			switch {
			case err != nil:
				errs = append(errs, err)
			case twice:
				errs = append(errs, fmt.Errorf("domain %s comes twice", alias))
			default:
				s.main[alias] = name
				s.aliased = s.aliased || alias != name
			}
		}
	}
	return s, errors.Join(errs...)
}

// hostOf returns host in the form that it has in an AOR.
func hostOf(host string) (string, error) {
	u, err := sipmsg.ParseURI("sip:" + host)
	if err != nil || u.Host != host {
		return "", fmt.Errorf("%q is no domain", host)
	}
	aor, err := sipmsg.CanonicalAOR(u)
	return strings.TrimPrefix(aor, "sip:"), err
}

// Names returns the names of the domains, in the order of New. The first one is
// the home of users addressed without a domain of ours.
func (s *Set) Names() []string { return s.names }

// Serves reports whether host, as written in a URI, is a name or an alias of a
// domain of ours.
func (s *Set) Serves(host string) bool {
	if _, ok := s.main[host]; ok {
		return true
	}
	if plain(host) {
		return false
	}
	host, err := hostOf(host)
	_, ok := s.main[host]
	return err == nil && ok
}

// plain reports whether host can be written in no other way: a name in lower case,
// or an IPv4 address.
func plain(host string) bool {
	return host != "" && host[0] != '[' && host[len(host)-1] != '.' && !hasUpper(host)
}

// AOR returns the key of the address of record that u names: CanonicalAOR, with
// an alias replaced by the name of its domain. ours is false for a host that is
// none of ours.
func (s *Set) AOR(u sipmsg.URI) (aor usrloc.AOR, ours bool, err error) {
	key, err := sipmsg.CanonicalAOR(u)
	if err != nil {
		return "", false, err
	}
	user, host := split(key)
	name, ours := s.main[host]
	if !ours {
		return usrloc.AOR(key), false, nil
	}
	if s.foldUser {
		user = strings.ToLower(user)
	}
	if name == host && len(user)+len(host) == len(key) && strings.HasPrefix(key, user) {
		return usrloc.AOR(key), true, nil
	}
	return usrloc.AOR(user + name), true, nil
}

// Stands reports whether key, as made by sipmsg.CanonicalAOR, is what AOR
// returns for it.
func (s *Set) Stands(key usrloc.AOR) bool {
	if !s.aliased && !s.foldUser {
		return true
	}
	user, host := split(string(key))
	if name, ours := s.main[host]; ours {
		return name == host && (!s.foldUser || !hasUpper(user))
	}
	return true
}

// split cuts a canonical AOR before its host.
func split(aor string) (user, host string) {
	at := strings.LastIndexByte(aor, '@')
	if at < 0 {
		at = len("sip:") - 1
	}
	return aor[:at+1], aor[at+1:]
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return true
		}
	}
	return false
}
