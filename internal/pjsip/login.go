package pjsip

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// asteriskRealm is the realm of Asterisk where none is configured.
const asteriskRealm = "asterisk"

// An account is an auth section that phones log in with.
type account struct {
	name string
	// password, or else at least one of the hashes.
	password, md5, sha256, sha512 string
	// aors are the addresses that it may register besides its own name.
	aors []string
	// contacts bounds the contacts of each of them, 0: as for others.
	contacts int
	// display is how the user is called.
	display string
	from    *Section
}

// login makes users of the endpoints: the name and password of the auth section,
// and the addresses of the AORs.
func (p *planner) login() {
	p.chooseRealm()
	byAuth, byName := map[*Section]*account{}, map[string]*account{}
	var order []*account
	used := map[*Section]bool{}
	for _, endpoint := range p.model.byType["endpoint"] {
		aors := p.model.refer(endpoint, "aors", "aor", &p.notes)
		for _, s := range p.model.refer(endpoint, "outbound_auth", "auth", &p.notes) {
			used[s] = true
			o, _ := endpoint.Last("outbound_auth")
			p.notes.option(o, "has no counterpart: this server does not log in at others", "")
		}
		auths := p.model.refer(endpoint, "auth", "auth", &p.notes)
		p.noteOpen(endpoint, auths, aors)
		for _, s := range auths {
			used[s] = true
			a, seen := byAuth[s]
			if !seen {
				a = p.account(s, byName)
				byAuth[s] = a
				if a != nil && !slices.Contains(order, a) {
					order = append(order, a)
				}
			}
			if a != nil {
				p.grant(a, aors)
				p.callerID(a, endpoint)
			}
		}
		for _, s := range aors {
			used[s] = true
		}
	}
	for _, a := range order {
		p.users = append(p.users, *a)
	}
	p.noteUnused(used)
}

// noteOpen notes an endpoint that proves itself by nothing, or nobody can reach.
func (p *planner) noteOpen(endpoint *Section, auths, aors []*Section) {
	if _, named := endpoint.Last("auth"); !named && len(auths) == 0 && !p.identified(endpoint.Name) {
		p.notes.section(endpoint, "has neither auth nor identify: Asterisk believes whoever says to be it, this server does not",
			"give it an auth section, or an identify section with its address")
	}
	if len(aors) == 0 {
		if _, named := endpoint.Last("aors"); !named {
			p.notes.section(endpoint, "has no AOR: it can call, but not be called", "")
		}
	}
}

func (p *planner) identified(endpoint string) bool {
	return slices.ContainsFunc(p.model.byType["identify"], func(s *Section) bool { return s.Value("endpoint") == endpoint })
}

// noteUnused notes auth and aor sections that no endpoint names.
func (p *planner) noteUnused(used map[*Section]bool) {
	for _, s := range p.model.byType["registration"] {
		if o, ok := s.Last("outbound_auth"); ok {
			for _, name := range values(o) {
				used[p.model.byName[objectKey{"auth", name}]] = true
			}
		}
	}
	for _, kind := range []string{"auth", "aor"} {
		for _, s := range p.model.byType[kind] {
			if !used[s] {
				p.notes.section(s, fmt.Sprintf("no endpoint names this %s", kind), "")
			}
		}
	}
}

// chooseRealm keeps the realm that phones know: hashes are made with it.
func (p *planner) chooseRealm() {
	p.realm = asteriskRealm
	if o, ok := p.global("default_realm"); ok && o.Value != "" {
		p.realm = o.Value
	}
	for _, s := range p.model.byType["auth"] {
		if realm := s.Value("realm"); realm != "" && p.inbound(s) {
			p.realm = realm
			break
		}
	}
	if !quotable(p.realm) {
		p.notes.add(Note{Place: Place{File: p.name}, What: `the realm holds ", \, : or what is no text, which it may not`, Hint: "change it in the phones, too"})
		p.realm = asteriskRealm
	}
}

// quotable reports whether s can be a user name or a realm of a digest: it is
// quoted on the wire, and hashed between colons (RFC 7616 §3.4.4).
func quotable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == utf8.RuneError || strings.ContainsRune("\":\\", r)
	})
}

// inbound reports whether phones log in with an auth section.
func (p *planner) inbound(auth *Section) bool {
	return slices.ContainsFunc(p.model.byType["endpoint"], func(s *Section) bool {
		o, _ := s.Last("auth")
		return slices.Contains(values(o), auth.Name)
	})
}

// account reads an auth section, or returns nil if nobody could log in with it.
// Two sections with the same name and password are one account.
func (p *planner) account(s *Section, byName map[string]*account) *account {
	a := &account{name: s.Value("username"), from: s}
	switch {
	case a.name == "":
		p.notes.section(s, "has no username: no phone can log in with it", "")
		return nil
	case !quotable(a.name):
		o, _ := s.Last("username")
		p.notes.option(o, `holds ", \, : or what is no text, which the name of a user may not`, "")
		return nil
	case !p.prove(a, s):
		return nil
	}
	if first := byName[a.name]; first != nil {
		if first.password != a.password || first.md5 != a.md5 || first.sha256 != a.sha256 || first.sha512 != a.sha512 {
			p.notes.section(s, fmt.Sprintf("has the username of [%s] and another password; only that of [%s] is taken over", first.from.Name, first.from.Name),
				"give it a username of its own")
			return nil
		}
		return first
	}
	byName[a.name] = a
	return a
}

// prove fills in the password or the hashes.
func (p *planner) prove(a *account, s *Section) bool {
	kind := strings.ToLower(s.Value("auth_type"))
	md5, hashed := s.Last("md5_cred")
	switch kind {
	case "", "userpass", "plain", "digest", "md5":
	default:
		o, _ := s.Last("auth_type")
		p.notes.option(o, "has no counterpart", "")
		return false
	}
	if password := s.Value("password"); password != "" && kind != "md5" {
		return p.password(a, s, password)
	}
	if hashed && kind != "userpass" {
		a.md5 = p.hash(md5, md5.Value, 32)
	}
	for _, o := range s.All("password_digest") {
		algorithm, hex, _ := strings.Cut(o.Value, ":")
		switch strings.ToUpper(strip(algorithm)) {
		case "MD5":
			a.md5 = p.hash(o, strip(hex), 32)
		case "SHA-256":
			a.sha256 = p.hash(o, strip(hex), 64)
		case "SHA-512-256":
			a.sha512 = p.hash(o, strip(hex), 64)
		default:
			p.notes.option(o, "names an algorithm that is not offered", "")
		}
	}
	if a.md5 == "" && a.sha256 == "" && a.sha512 == "" {
		p.notes.section(s, "has neither password nor hash that can be used: nobody can log in with it", "")
		return false
	}
	if realm := s.Value("realm"); realm != "" && realm != p.realm {
		o, _ := s.Last("realm")
		p.notes.option(o, fmt.Sprintf("the hash was made with another realm than %q, the only one that is offered", p.realm), "set a password")
		return false
	}
	p.onlyMD5 = p.onlyMD5 || a.sha256 == "" && a.sha512 == ""
	return true
}

func (p *planner) password(a *account, s *Section, password string) bool {
	if strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
		o, _ := s.Last("password")
		p.notes.option(o, "holds what is no text in UTF-8", "set another password")
		return false
	}
	a.password = password
	return true
}

var notHex = regexp.MustCompile(`[^0-9a-fA-F]`)

// hash returns a hash of so many digits, or "".
func (p *planner) hash(o Option, digits string, n int) string {
	if len(digits) != n || notHex.MatchString(digits) {
		p.notes.option(o, fmt.Sprintf("is not %d hexadecimal digits", n), "")
		return ""
	}
	return strings.ToLower(digits)
}

// aorName is what the user part of an address holds here. Asterisk would take
// more, but no phone can write it without escapes.
var aorName = regexp.MustCompile(`^[A-Za-z0-9_.!~*'()&=+$,;?/-]+$`)

// grant lets an account register AORs. Its own name in all domains needs no
// words.
func (p *planner) grant(a *account, aors []*Section) {
	for _, s := range aors {
		addresses := p.addresses(s)
		if len(addresses) == 0 {
			p.notes.section(s, "the name cannot be the user part of an address", "")
			continue
		}
		p.bound(a, s)
		if user, _, _ := strings.Cut(s.Name, "@"); user == a.name {
			continue
		}
		for _, aor := range addresses {
			if !slices.Contains(a.aors, aor) {
				a.aors = append(a.aors, aor)
			}
		}
	}
}

// mostContacts is how many contacts an address can have.
const mostContacts = 100

// bound limits the contacts of an account's addresses as those of one AOR are.
func (p *planner) bound(a *account, s *Section) {
	o, ok := s.Last("max_contacts")
	n, err := strconv.Atoi(o.Value)
	switch {
	case !ok || err == nil && n == 0:
		if len(s.All("contact")) == 0 {
			p.notes.section(s, "lets nobody register in Asterisk, because max_contacts is not set; here its users may", "")
		}
		return
	case err != nil || n < 0:
		p.notes.option(o, "is no number", "")
		return
	case n > mostContacts:
		p.notes.option(o, fmt.Sprintf("is more than %d, the most there is", mostContacts), "")
		n = mostContacts
	}
	if a.contacts != 0 && a.contacts != n {
		p.notes.option(o, "the addresses of a user have one limit, the largest of theirs", "")
	}
	a.contacts = max(a.contacts, n)
}

// callerID matches "Anna <100>" and "Anna".
var callerID = regexp.MustCompile(`^"?([^"<]*?)"?\s*(?:<([^>]*)>)?$`)

// callerID takes over the name by which a user is called.
func (p *planner) callerID(a *account, endpoint *Section) {
	o, ok := endpoint.Last("callerid")
	if !ok {
		return
	}
	m := callerID.FindStringSubmatch(o.Value)
	if m == nil || !quotable(m[1]) {
		p.notes.option(o, "is not understood", "")
		return
	}
	if m[2] != "" && m[2] != a.name && m[2] != endpoint.Name {
		p.notes.option(o, "the number has no counterpart: who calls is said by the user's address", "")
	}
	if a.display == "" {
		a.display = strip(m[1])
	}
}
