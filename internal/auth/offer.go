package auth

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// An Offer replaces Options.Algorithms for some clients: those that give up at
// the first challenge they do not know, or take the last one.
type Offer struct {
	// Listener is the name of the listener on which a request came; "" means
	// every one.
	Listener string
	// UserAgent matches the User-Agent header field, "" if there is none; nil
	// matches all.
	UserAgent *regexp.Regexp
	// Algorithms are offered in this order, as far as the Source can verify
	// every user with them. An Offer of which nothing is left does not apply.
	Algorithms []Algorithm
}

// maxUserAgent bounds what an expression is matched against: everybody chooses
// what stands there.
const maxUserAgent = 256

// matches reports whether the offer is for a client.
func (o *Offer) matches(listener, userAgent string) bool {
	userAgent = userAgent[:min(len(userAgent), maxUserAgent)]
	return (o.Listener == "" || o.Listener == listener) && (o.UserAgent == nil || o.UserAgent.MatchString(userAgent))
}

// checkAlgorithms refuses a list that holds what is unknown or comes twice: RFC
// 8760 §2.4 wants the challenges of a realm to differ in their algorithm.
func checkAlgorithms(list []Algorithm) error {
	if len(list) == 0 {
		return errors.New("auth: no algorithm is offered")
	}
	for i, a := range list {
		if !a.valid() || slices.Contains(list[:i], a) {
			return fmt.Errorf("auth: algorithm %v is unknown or comes twice", a)
		}
	}
	return nil
}

// offered returns the algorithms of the challenges to a client, the most
// preferred first (RFC 8760 §2.4).
func (a *Authenticator) offered(realm, listener, userAgent string) shortlist {
	usable := a.o.Source.Algorithms(realm)
	for i := range a.o.Offers {
		if o := &a.o.Offers[i]; o.matches(listener, userAgent) {
			if list := newShortlist(o.Algorithms, usable); list.n > 0 {
				return list
			}
		}
	}
	if list := newShortlist(a.o.Algorithms, usable); list.n > 0 {
		return list
	}
	// The users and the configuration have nothing in common. Those who can be
	// verified by what is configured still log in.
	return newShortlist(a.o.Algorithms, a.o.Algorithms)
}

// A shortlist of algorithms needs no memory of its own.
type shortlist struct {
	algorithms [numAlgorithms]Algorithm
	n          int
}

// newShortlist returns those of list that are usable.
func newShortlist(list, usable []Algorithm) (s shortlist) {
	for _, a := range list {
		if slices.Contains(usable, a) {
			s.algorithms[s.n] = a
			s.n++
		}
	}
	return s
}

func (s *shortlist) list() []Algorithm { return s.algorithms[:s.n] }

// A QOP is a quality of protection (RFC 7616 §3.4).
type QOP uint8

// The qualities.
const (
	// QOPAuth protects the method and the uri parameter.
	QOPAuth QOP = iota + 1
	// QOPAuthInt protects the body too. Whatever changes bodies on the way, as
	// some routers do, makes such requests fail.
	QOPAuthInt
)

var qopNames = [...]string{QOPAuth: "auth", QOPAuthInt: "auth-int"}

// String returns the name on the wire.
func (q QOP) String() string {
	if q == QOPAuth || q == QOPAuthInt {
		return qopNames[q]
	}
	return fmt.Sprintf("qop(%d)", uint8(q))
}

// ParseQOP reads a quality's name in any case.
func ParseQOP(s string) (q QOP, ok bool) {
	for _, q := range []QOP{QOPAuth, QOPAuthInt} {
		if strings.EqualFold(s, q.String()) {
			return q, true
		}
	}
	return 0, false
}

// checkQOP refuses a list that holds what is unknown or comes twice.
func checkQOP(list []QOP) error {
	for i, q := range list {
		if q != QOPAuth && q != QOPAuthInt || slices.Contains(list[:i], q) {
			return fmt.Errorf("auth: %v is unknown or comes twice", q)
		}
	}
	return nil
}

// joinQOP writes the value of the qop parameter of a challenge.
func joinQOP(list []QOP) string {
	names := make([]string, len(list))
	for i, q := range list {
		names[i] = q.String()
	}
	return strings.Join(names, ",")
}
