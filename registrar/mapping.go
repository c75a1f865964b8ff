package registrar

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// Bounds of mappings: how many a Policy has, and how long a value may be that they
// are tried with, in bytes. A token is never longer.
const (
	maxMappings    = 64
	maxMappedValue = 2048
)

// A Mapping reads from REGISTERs of apps older than RFC 8599 what pn-provider,
// pn-param and pn-prid would say. Patterns name what they find: in "i:{app}:{token}"
// each {name} stands for one character or more, of the first ones as few as possible,
// and * for any. Case does not count.
type Mapping struct {
	// UserAgent finds its phones by their User-Agent, of which the first 128 bytes
	// count; nil means all.
	UserAgent *regexp.Regexp
	// Contact are parameters of the Contact, in its URI or behind it, that a phone must
	// have, and Header header fields, each with the pattern of its value.
	Contact, Header map[string]string
	// Provider, Param and PRID are made of what the patterns found: "TEAM.{app}".
	Provider, Param, PRID string
}

// A mapping is a Mapping that is ready for use.
type mapping struct {
	userAgent             *regexp.Regexp
	contact, header       []field
	provider, param, prid string
}

// A field is one value that a phone must have.
type field struct {
	name    string
	pattern *regexp.Regexp
}

// placeholder is what a pattern or template is made of besides its text.
var placeholder = regexp.MustCompile(`\{[a-z][a-z0-9_]{0,31}\}`)

// Check reports what is wrong with m.
func (m *Mapping) Check() error {
	_, err := m.compile()
	return err
}

// Secrets returns the Contact parameters that hold something of the phone's.
func (m *Mapping) Secrets() (names []string) {
	for name, pattern := range m.Contact {
		if placeholder.MatchString(pattern) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m *Mapping) compile() (mapping, error) {
	c := mapping{userAgent: m.UserAgent, provider: m.Provider, param: m.Param, prid: m.PRID}
	if len(m.Contact)+len(m.Header) == 0 {
		return c, errors.New("neither a parameter of the Contact nor a header field")
	}
	found := map[string]bool{}
	fields := func(patterns map[string]string) (list []field, err error) {
		for name, pattern := range patterns {
			for _, p := range placeholder.FindAllString(pattern, -1) {
				if found[p] {
					return nil, fmt.Errorf("%s is found twice", p)
				}
				found[p] = true
			}
			if !isToken(name) {
				return nil, fmt.Errorf("%q is no name", name)
			}
			re, err := patternOf(pattern)
			if err != nil {
				return nil, fmt.Errorf("pattern of %s: %w", name, err)
			}
			list = append(list, field{name, re})
		}
		slices.SortFunc(list, func(a, b field) int { return strings.Compare(a.name, b.name) })
		return list, nil
	}
	var err error
	if c.contact, err = fields(m.Contact); err != nil {
		return c, err
	}
	if c.header, err = fields(m.Header); err != nil {
		return c, err
	}
	for _, template := range []string{m.Provider, m.Param, m.PRID} {
		for _, p := range placeholder.FindAllString(template, -1) {
			if !found[p] {
				return c, fmt.Errorf("no pattern finds %s", p)
			}
		}
	}
	if m.Provider == "" || !placeholder.MatchString(m.PRID) {
		return c, errors.New("provider or prid says nothing of the phone")
	}
	return c, nil
}

// patternOf makes a regular expression of a pattern: those of Go take time in
// proportion to the value, whatever a phone sends. A pattern that is no UTF-8 is an
// error.
func patternOf(pattern string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString(`(?is)^`)
	text := func(s string) {
		b.WriteString(strings.ReplaceAll(regexp.QuoteMeta(s), `\*`, `.*?`))
	}
	at := 0
	for _, span := range placeholder.FindAllStringIndex(pattern, -1) {
		text(pattern[at:span[0]])
		b.WriteString("(?P<" + pattern[span[0]+1:span[1]-1] + ">.+?)")
		at = span[1]
	}
	text(pattern[at:])
	b.WriteByte('$')
	return regexp.Compile(b.String())
}

// read returns what a REGISTER says of push. header finds its header fields.
func (m *mapping) read(a *sipmsg.NameAddr, header func(string) (string, bool)) (usrloc.Push, bool) {
	values := map[string]string{}
	match := func(list []field, get func(string) (string, bool)) bool {
		for _, f := range list {
			value, ok := get(f.name)
			if !ok || len(value) > maxMappedValue {
				return false
			}
			parts := f.pattern.FindStringSubmatch(value)
			if parts == nil {
				return false
			}
			for i, name := range f.pattern.SubexpNames() {
				if name != "" {
					values["{"+name+"}"] = parts[i]
				}
			}
		}
		return true
	}
	if !match(m.contact, func(name string) (string, bool) { return contactValue(a, name) }) || !match(m.header, header) {
		return usrloc.Push{}, false
	}
	fill := func(template string) string {
		return placeholder.ReplaceAllStringFunc(template, func(p string) string { return values[p] })
	}
	return usrloc.Push{Provider: fill(m.provider), Param: fill(m.param), PRID: fill(m.prid)}, true
}

// contactValue is a parameter of a Contact, percent-decoded if it is in the URI.
func contactValue(a *sipmsg.NameAddr, name string) (string, bool) {
	if v, ok := a.URI.Param(name); ok {
		return sipmsg.Unescape(v), true
	}
	return a.Params.Get(name)
}

// forAgent reports whether m is for phones with that User-Agent.
func (m *mapping) forAgent(agent string) bool {
	return m.userAgent == nil || m.userAgent.MatchString(agent)
}

// A mapper is all mappings of a Policy.
type mapper struct {
	list []mapping
	// secrets are the parameters that tell of the phone.
	secrets []string
}

func newMapper(list []Mapping) (*mapper, error) {
	if len(list) > maxMappings {
		return nil, fmt.Errorf("%d mappings, more than %d", len(list), maxMappings)
	}
	if len(list) == 0 {
		return nil, nil
	}
	r := &mapper{}
	for i := range list {
		c, err := list[i].compile()
		if err != nil {
			return nil, fmt.Errorf("mapping %d: %w", i, err)
		}
		r.list = append(r.list, c)
		r.secrets = append(r.secrets, list[i].Secrets()...)
	}
	return r, nil
}

// read lets the first mapping that fits say what c, of the contact a, wants of push.
// A phone that knows RFC 8599 says it itself.
func (r *mapper) read(c *Contact, a *sipmsg.NameAddr, agent string, header func(string) (string, bool)) {
	if r == nil || c.PushAsked {
		return
	}
	for i := range r.list {
		m := &r.list[i]
		if !m.forAgent(agent) {
			continue
		}
		if data, ok := m.read(a, header); ok {
			data.SelfWaking = c.Push.SelfWaking
			c.Push, c.PushAsked, c.PushMapped = data, true, true
			return
		}
	}
}

// mayDiffer reports whether a REGISTER from agent, whose Contact is that of b, may say
// something else of push than the one that made b: its User-Agent or its header fields
// count, or b lost what it had.
func (r *mapper) mayDiffer(b *usrloc.Binding, agent string) bool {
	if r == nil {
		return false
	}
	if agent != b.UserAgent {
		return true
	}
	for i := range r.list {
		m := &r.list[i]
		if !m.forAgent(agent) {
			continue
		}
		if len(m.header) > 0 || b.Push.IsZero() && m.asked(b) {
			return true
		}
	}
	return false
}

// asked reports whether the Contact of b has what m reads.
func (m *mapping) asked(b *usrloc.Binding) bool {
	u, err := sipmsg.ParseURI(b.Contact)
	if err != nil {
		return true
	}
	for _, f := range m.contact {
		if _, ok := u.Param(f.name); !ok && !sipmsg.Params(b.Params).Has(f.name) {
			return false
		}
	}
	return true
}

// names are the parameters that tell of the phone, besides those that begin with pn-.
func (r *mapper) names() []string {
	if r == nil {
		return nil
	}
	return r.secrets
}
