package pjsip

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Options is what a pjsip.conf does not say.
type Options struct {
	// Domains are the names behind the @ of the users' addresses, the most
	// important first. Asterisk takes any; without names here they are guessed
	// from what the file mentions.
	Domains []string
	// UsersFile is the name under which the configuration finds the users.
	UsersFile string
	// ACLs is what acl.conf holds; nil: nobody read it.
	ACLs *Document
	// Readable reports whether a certificate or key can be read, by the name that
	// the file gives it; nil: none can.
	Readable func(name string) bool
}

// A Plan is the configuration that a document leads to.
type Plan struct {
	// Notes are all that was not taken over as it stands, in the order of the
	// file.
	Notes []Note

	name            string // of the file
	usersFile       string
	listeners       []listener
	domains         []string
	domainAliases   []alias
	addressees      []addressee
	realm           string
	users           []account
	trusted         []trusted
	source, contact []rule // access lists
	registrar       limits
	hops            []hop
	forwards        string
	onlyMD5         bool
	unguarded       bool // nobody could authenticate: listen on loopback only
	guessed         bool // domains were guessed
}

// MakePlan looks at the objects of a document that was read from the file of
// that name.
func MakePlan(source string, doc *Document, o Options) *Plan {
	p := &planner{Plan: &Plan{name: source, usersFile: o.UsersFile}, readable: o.Readable}
	if p.readable == nil {
		p.readable = func(string) bool { return false }
	}
	p.notes.list = slices.Clone(doc.Notes)
	p.model = newModel(doc, &p.notes)
	p.options()
	p.listen()
	p.findDomains(o.Domains)
	p.login()
	p.identify()
	p.acl(o.ACLs)
	p.limit()
	p.qualify()
	p.contacts()
	p.rest()
	p.guard()
	p.Notes = inOrder(p.notes.list, doc)
	return p.Plan
}

type planner struct {
	*Plan
	model    *model
	notes    notes
	readable func(name string) bool
}

// options notes what is not even looked at.
func (p *planner) options() {
	known := families()
	kinds := make([]string, 0, len(p.model.byType))
	for kind := range p.model.byType {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		for _, s := range p.model.byType[kind] {
			if known[kind] == nil {
				p.notes.section(s, fmt.Sprintf("sections of type %s have no counterpart", kind), "")
				continue
			}
			noteOptions(s, known[kind], &p.notes)
		}
	}
}

// rest notes the objects that have no counterpart as a whole.
func (p *planner) rest() {
	for _, s := range p.model.byType["registration"] {
		p.model.refer(s, "transport", "transport", &p.notes)
		p.model.refer(s, "outbound_auth", "auth", &p.notes)
		p.model.refer(s, "endpoint", "endpoint", &p.notes)
		p.notes.section(s, "registers Asterisk at another server, which this server does not do",
			"leave the trunk where it is and route calls to it, see proxy.routes")
	}
	if o, ok := p.global("max_forwards"); ok {
		p.forwards = p.number(o, 1, 255)
	}
}

// global returns an option of the section of type global.
func (p *planner) global(name string) (Option, bool) {
	for _, s := range p.model.byType["global"] {
		if o, ok := s.Last(name); ok {
			return o, true
		}
	}
	return Option{}, false
}

// guard sees that nobody gets a server that is open to everyone.
func (p *planner) guard() {
	if len(p.users) > 0 || len(p.trusted) > 0 {
		return
	}
	p.unguarded = true
	bound := map[string]bool{}
	for i := range p.listeners {
		l := &p.listeners[i]
		if l.sketch {
			continue
		}
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if l.addr.Addr().Is6() {
			loopback = netip.IPv6Loopback()
		}
		if !l.addr.Addr().IsLoopback() {
			l.addr, l.advertise = netip.AddrPortFrom(loopback, l.addr.Port()), ""
		}
		// What was bound to two addresses is bound to one now.
		key := l.transport + " " + l.addr.String()
		l.sketch = bound[key]
		bound[key] = true
	}
	p.notes.add(Note{
		Place: Place{File: p.name}, What: "nobody would have to authenticate: the listeners are bound to this machine only",
		Hint: "add users, then bind them as they were",
	})
}

// inOrder sorts notes by the order in which their files were read, then by line.
func inOrder(list []Note, doc *Document) []Note {
	order := map[string]int{}
	for _, s := range doc.Sections {
		if _, ok := order[s.Place.File]; !ok {
			order[s.Place.File] = len(order)
		}
	}
	slices.SortStableFunc(list, func(a, b Note) int {
		return cmp.Or(order[a.Place.File]-order[b.Place.File], strings.Compare(a.Place.File, b.Place.File), a.Place.Line-b.Place.Line)
	})
	return list
}
