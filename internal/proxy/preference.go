package proxy

import (
	"cmp"
	"slices"
	"strings"

	"reveille/internal/sipmsg"
)

// This file chooses among the devices of a user by what the caller wants of them (RFC
// 3841 §7.2). It is for our own users alone: nobody else's devices are known here.

// A wish is one value of Accept-Contact.
type wish struct {
	terms             []feature
	require, explicit bool
}

// preferences are what a request says of the devices that it wants.
type preferences struct {
	rejects [][]feature
	accepts []wish
	// implicit: the caller has not said so, it follows from the request.
	implicit bool
}

// saysPreferences reports whether a caller says which devices it wants.
func saysPreferences(m *sipmsg.Message) bool {
	return m.Has(sipmsg.HdrAcceptContact) || m.Has(sipmsg.HdrRejectContact)
}

// preferencesOf reads the preferences of a request (RFC 3841 §7.2.1 and §7.2.2).
func preferencesOf(m *sipmsg.Message) preferences {
	var p preferences
	for v := range m.Values(sipmsg.HdrRejectContact) {
		p.rejects = append(p.rejects, features(preferenceParams(v)))
	}
	for v := range m.Values(sipmsg.HdrAcceptContact) {
		params := preferenceParams(v)
		p.accepts = append(p.accepts, wish{features(params), params.Has("require"), params.Has("explicit")})
	}
	if len(p.rejects)+len(p.accepts) > 0 {
		return p
	}
	p.implicit = true
	terms := []feature{{"methods", []featureValue{{text: m.Method()}}}}
	if event, ok := m.HeaderNamed("Event"); ok && m.Method() == "SUBSCRIBE" {
		name, _, _ := strings.Cut(event, ";")
		terms = append(terms, feature{"events", []featureValue{{text: strings.TrimSpace(name)}}})
	}
	p.accepts = []wish{{terms: terms, require: true}}
	return p
}

// preferenceParams are the parameters of a value of Accept-Contact or Reject-Contact,
// which begins with a star.
func preferenceParams(value string) sipmsg.Params {
	i := strings.IndexByte(value, ';')
	if i < 0 {
		return ""
	}
	return sipmsg.Params(value[i:])
}

// judge says whether a device with these Contact parameters is wanted, and how much: from
// 0 to 1, which is Qa of RFC 3841 §7.2.4.
func (p *preferences) judge(params sipmsg.Params) (qa float64, wanted bool) {
	has := features(params)
	if len(has) == 0 {
		// Who says nothing of itself is immune.
		return 1, true
	}
	for _, r := range p.rejects {
		// Only who says of each of these that it has it.
		if match, said := matches(r, has); match && said == len(r) {
			return 0, false
		}
	}
	if len(p.accepts) == 0 {
		return 1, true
	}
	var sum float64
	n := 0
	for _, a := range p.accepts {
		match, said := matches(a.terms, has)
		sure := said == len(a.terms)
		switch {
		case a.require && (!match || a.explicit && !sure):
			return 0, false
		case !match:
			continue
		case sure:
			sum++
		case !a.explicit:
			sum += float64(said) / float64(len(a.terms))
		}
		n++
	}
	switch {
	case p.implicit:
		// RFC 3841 §7.2.4 would rank here, too. But a phone that names its instance and not
		// its methods would come after all that say nothing of themselves, who are immune.
		return 1, true
	case n == 0:
		return 0, true
	}
	return sum / float64(n), true
}

// choose returns the targets that are wanted, of equal q the more wanted first. What is
// implied rules nobody out if it rules out all: they say themselves that they cannot.
func (p *preferences) choose(set []target) []target {
	var kept []target
	for _, t := range set {
		qa, wanted := p.judge(sipmsg.Params(t.binding.Params))
		if t.wanted = qa; wanted {
			kept = append(kept, t)
		}
	}
	if len(kept) == 0 && p.implicit {
		return set
	}
	slices.SortStableFunc(kept, func(a, b target) int { return cmp.Compare(b.wanted, a.wanted) })
	return kept
}

// prefer leaves out and sorts what was looked up, by what the caller wants.
func (f *fork) prefer(l *lookup) {
	m := f.s.Message()
	if !saysPreferences(m) && len(l.set) < 2 {
		// One is tried, whatever the method implies.
		return
	}
	wishes := preferencesOf(m)
	set := wishes.choose(l.set)
	l.unwanted, l.set = len(set) == 0 && len(l.set) > 0, set
}
