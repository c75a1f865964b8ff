package pjsip

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxTold bounds the notes in the comment of the configuration; all of them are
// in Plan.Notes.
const maxTold = 200

// Config returns the configuration file.
func (p *Plan) Config() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Made from %s by `reveille import pjsip`.\n", printable(p.name))
	b.WriteString("# Keys that are not here have their defaults: see `reveille config default`.\n")
	p.printNotes(&b)
	p.printListeners(&b)
	p.printDomains(&b)
	p.printAuth(&b)
	p.printACL(&b)
	p.printRegistrar(&b)
	p.printProxy(&b)
	p.printAORs(&b)
	return b.Bytes()
}

// printNotes tells of all notes, those about different sections that say the
// same as one.
func (p *Plan) printNotes(b *bytes.Buffer) {
	if len(p.Notes) == 0 {
		return
	}
	b.WriteString("#\n# What was not taken over, or not as it stood:\n")
	type group struct {
		first Note
		more  int
	}
	var groups []*group
	byText := map[string]*group{}
	for _, n := range p.Notes {
		key := n.text("same")
		if g := byText[key]; g != nil && n.Section != "" {
			g.more++
			continue
		}
		byText[key] = &group{first: n}
		groups = append(groups, byText[key])
	}
	for _, g := range groups[:min(len(groups), maxTold)] {
		fmt.Fprintf(b, "#   %s", g.first)
		if g.more > 0 {
			fmt.Fprintf(b, " (and %d more like it)", g.more)
		}
		b.WriteByte('\n')
	}
	if n := len(groups) - maxTold; n > 0 {
		fmt.Fprintf(b, "#   ... and %d more\n", n)
	}
}

func (p *Plan) printListeners(b *bytes.Buffer) {
	if !slices.ContainsFunc(p.listeners, func(l listener) bool { return !l.sketch }) {
		// The default: this machine only.
		b.WriteString("\n#listen:\n")
	} else {
		b.WriteString("\nlisten:\n")
	}
	if p.unguarded {
		b.WriteString("  # On this machine only, until somebody has to authenticate.\n")
	}
	for _, l := range p.listeners {
		dash := "-"
		if l.sketch {
			dash = "#-"
		}
		fmt.Fprintf(b, "  %s {name: %s, transport: %s, addr: %q", dash, scalar(l.name), l.transport, l.addr)
		if l.advertise != "" {
			fmt.Fprintf(b, ", advertise: %s", scalar(l.advertise))
		}
		if l.tls != nil {
			b.WriteString(", tls: {" + l.tls.keys() + "}")
		}
		b.WriteString("}\n")
	}
}

// keys are those of the configuration.
func (t *security) keys() string {
	var keys []string
	for _, k := range [][2]string{
		{"cert_file", t.certFile},
		{"key_file", t.keyFile},
		{"client_auth", t.clients},
		{"client_ca_file", t.clientCA},
		{"server_ca_file", t.serverCA},
		{"min_version", t.min},
	} {
		if k[1] != "" {
			keys = append(keys, k[0]+": "+scalar(k[1]))
		}
	}
	return strings.Join(keys, ", ")
}

func (p *Plan) printDomains(b *bytes.Buffer) {
	b.WriteByte('\n')
	if p.guessed {
		b.WriteString("# A guess: name the domain behind the @ of your users.\n")
	}
	b.WriteString("domains: " + list(p.domains) + "\n")
	if len(p.domainAliases) > 0 {
		b.WriteString("domain_aliases:\n")
	}
	for _, a := range p.domainAliases {
		fmt.Fprintf(b, "  - {alias: %s, domain: %s}\n", scalar(a.name), scalar(a.domain))
	}
}

func (p *Plan) printAuth(b *bytes.Buffer) {
	if len(p.users) == 0 && len(p.trusted) == 0 {
		return
	}
	b.WriteString("\nauth:\n")
	if len(p.users) > 0 {
		b.WriteString("  mode: {registrar: required, proxy: required}\n")
		b.WriteString("  # The realm that Asterisk used: phones may have stored it, and hashes are made with it.\n")
		fmt.Fprintf(b, "  realm: %s\n", scalar(p.realm))
		if p.onlyMD5 {
			b.WriteString("  # Some users have nothing but an MD5 hash, so SHA-256 is offered to nobody.\n")
		}
		fmt.Fprintf(b, "  users_file: %s\n", scalar(p.usersFile))
	}
	if len(p.trusted) > 0 {
		b.WriteString("  trusted:\n")
		for _, t := range p.trusted {
			fmt.Fprintf(b, "    # %s\n    - {cidr: %s}\n", printable(t.endpoint), scalar(t.network.String()))
		}
	}
}

func (p *Plan) printACL(b *bytes.Buffer) {
	if len(p.source) == 0 && len(p.contact) == 0 {
		return
	}
	b.WriteString("\nacl:\n")
	for _, l := range []struct {
		name  string
		rules []rule
	}{{"source", p.source}, {"contact", p.contact}} {
		if len(l.rules) == 0 {
			continue
		}
		fmt.Fprintf(b, "  %s:\n", l.name)
		for _, r := range l.rules {
			word := "deny"
			if r.permit {
				word = "permit"
			}
			fmt.Fprintf(b, "    - %s: %q\n", word, r.network)
		}
	}
}

func (p *Plan) printRegistrar(b *bytes.Buffer) {
	r := p.registrar
	expires := r.keys()
	if len(expires) == 0 && r.overflow == "" && r.qualify == "" {
		return
	}
	b.WriteString("\nregistrar:\n")
	if len(expires) > 0 {
		fmt.Fprintf(b, "  expires: {%s}\n", strings.Join(expires, ", "))
	}
	if r.qualify != "" {
		b.WriteString("  # Contacts that can be woken are not asked.\n  qualify: {interval: " + r.qualify)
		if r.qualifyTimeout != "" {
			b.WriteString(", timeout: " + r.qualifyTimeout)
		}
		if r.only2xx {
			b.WriteString(", 2xx_only: true")
		}
		b.WriteString("}\n")
	}
	if r.overflow != "" {
		fmt.Fprintf(b, "  overflow: %s\n", r.overflow)
	}
}

func (p *Plan) printProxy(b *bytes.Buffer) {
	if len(p.hops) == 0 && p.forwards == "" {
		return
	}
	b.WriteString("\nproxy:\n")
	if p.forwards != "" {
		fmt.Fprintf(b, "  max_forwards: %s\n", p.forwards)
	}
	if len(p.hops) == 0 {
		return
	}
	b.WriteString("  # Which calls go to a gateway; the lines with #- want a prefix or domain of yours.\n  routes: []\n")
	for _, h := range p.hops {
		fmt.Fprintf(b, "  #- {name: %s, prefix: \"+\", to: %q}\n", scalar(h.name), h.to)
	}
}

func (p *Plan) printAORs(b *bytes.Buffer) {
	if len(p.addressees) == 0 {
		return
	}
	b.WriteString("\naors:\n")
	for _, a := range p.addressees {
		fmt.Fprintf(b, "  - aor: %s\n", scalar(a.aor))
		if len(a.contacts) > 0 {
			b.WriteString("    contacts: " + list(a.contacts) + "\n")
		}
		for _, key := range a.keys() {
			b.WriteString("    " + key + "\n")
		}
	}
}

// Users returns the users file, nil if there are no users. It holds passwords.
func (p *Plan) Users() []byte {
	if len(p.users) == 0 {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Made from %s by `reveille import pjsip`.\nusers:\n", printable(p.name))
	for _, a := range p.users {
		fmt.Fprintf(&b, "  - name: %q\n", a.name)
		for _, v := range [][2]string{{"password", a.password}, {"ha1_md5", a.md5}, {"ha1_sha256", a.sha256}, {"ha1_sha512_256", a.sha512}, {"display_name", a.display}} {
			if v[1] != "" {
				fmt.Fprintf(&b, "    %s: %q\n", v[0], v[1])
			}
		}
		if len(a.aors) > 0 {
			b.WriteString("    aors: " + list(a.aors) + "\n")
		}
		if a.contacts > 0 {
			fmt.Fprintf(&b, "    max_contacts: %d\n", a.contacts)
		}
	}
	return b.Bytes()
}

// plainScalar matches text that YAML reads as text without quotes, wherever it
// stands.
var plainScalar = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/-]*$`)

// scalar writes a text. The escapes of Go are those of YAML.
func scalar(s string) string {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return strconv.Quote(s)
	}
	if plainScalar.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

func list(all []string) string {
	quoted := slices.Clone(all)
	for i, s := range quoted {
		quoted[i] = scalar(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// printable keeps s on one line of a comment or terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
