package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxProblems bounds how many problems of one file are told.
const maxProblems = 50

// ReadFile reads a users file:
//
//	users:
//	  - name: alice
//	    password: secret
//	    aors: [sip:alice@example.com, sip:sales@example.com]   # optional
//	    max_contacts: 3                                        # optional
//	    display_name: Alice                                    # optional
//	    networks: [192.0.2.7/32]     # optional: where alice needs no password
//	  - name: bob
//	    realm: example.org                                     # optional
//	    ha1_sha256: 3f2a...    # and/or ha1_sha512_256, ha1_md5: H(name:realm:password)
//
// Unknown keys, keys that come twice and values of another kind are errors. All
// problems are told at once, each as "file:line:column: what". warning is not
// empty if the file may be read by everybody on the machine.
func ReadFile(path string) (accounts []Account, warning string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", fmt.Errorf("read users: %w", err)
	}
	warning = permissionWarning(path, info.Mode())
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, warning, fmt.Errorf("read users: %w", err)
	}
	accounts, err = ParseFile(path, data)
	return accounts, warning, err
}

func permissionWarning(path string, mode fs.FileMode) string {
	if mode.Perm()&0o004 == 0 {
		return ""
	}
	return fmt.Sprintf("%s holds passwords and can be read by everybody (mode %04o): chmod 640", path, mode.Perm())
}

// ParseFile reads the text of a users file; name stands in its errors.
func ParseFile(name string, data []byte) ([]Account, error) {
	p := &fileParser{name: name}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(doc.Content) == 1 {
		p.file(doc.Content[0])
	}
	return p.accounts, errors.Join(p.problems...)
}

type fileParser struct {
	name     string
	accounts []Account
	problems []error
}

func (p *fileParser) origin(n *yaml.Node) string {
	return fmt.Sprintf("%s:%d:%d", p.name, n.Line, n.Column)
}

func (p *fileParser) complain(n *yaml.Node, format string, args ...any) {
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, fmt.Errorf("%s: %s", p.origin(n), fmt.Sprintf(format, args...)))
	}
}

func (p *fileParser) file(n *yaml.Node) {
	// An empty file, or one of comments, holds no users.
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	p.mapping(n, []string{"users"}, func(_ string, v *yaml.Node) {
		if v.Kind == yaml.ScalarNode && v.Tag == "!!null" {
			return
		}
		if v.Kind != yaml.SequenceNode {
			p.complain(v, "users: want a list")
			return
		}
		for _, user := range v.Content {
			p.user(user)
		}
	})
}

func (p *fileParser) user(n *yaml.Node) {
	a := Account{Origin: p.origin(n)}
	before := len(p.problems)
	p.mapping(n, []string{"name", "realm", "password", "ha1_md5", "ha1_sha256", "ha1_sha512_256", "aors", "max_contacts", "display_name", "networks"}, func(key string, v *yaml.Node) {
		switch key {
		case "name":
			a.Name = p.text(key, v)
		case "realm":
			a.Realm = p.text(key, v)
		case "password":
			a.Password = p.text(key, v)
		case "ha1_md5":
			a.HA1MD5 = p.text(key, v)
		case "ha1_sha256":
			a.HA1SHA256 = p.text(key, v)
		case "ha1_sha512_256":
			a.HA1SHA512256 = p.text(key, v)
		case "aors":
			a.AORs = p.texts(key, v)
		case "max_contacts":
			a.MaxContacts = p.number(key, v)
		case "display_name":
			a.DisplayName = p.text(key, v)
		case "networks":
			a.Networks = p.prefixes(key, v)
		}
	})
	if len(p.problems) == before {
		p.accounts = append(p.accounts, a)
	}
}

// mapping calls each for the keys of n, all of which must be known.
func (p *fileParser) mapping(n *yaml.Node, known []string, each func(key string, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		p.complain(n, "want keys: %s", strings.Join(known, ", "))
		return
	}
	seen := make(map[string]int, len(known))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		line, twice := seen[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(known, key.Value):
			p.complain(key, "unknown key %q; known: %s", key.Value, strings.Join(known, ", "))
		case twice:
			p.complain(key, "key %q comes twice, first in line %d", key.Value, line)
		default:
			seen[key.Value] = key.Line
			each(key.Value, n.Content[i+1])
		}
	}
}

// text returns a scalar as it is written: a password of digits stays a string.
func (p *fileParser) text(key string, n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" || n.Value == "" {
		p.complain(n, "%s: want a text", key)
		return ""
	}
	return n.Value
}

func (p *fileParser) number(key string, n *yaml.Node) int {
	i, err := strconv.Atoi(p.text(key, n))
	if err != nil || i < 0 {
		p.complain(n, "%s: want a whole number", key)
		return 0
	}
	return i
}

func (p *fileParser) prefixes(key string, n *yaml.Node) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range p.texts(key, n) {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			p.complain(n, "%s: %q is no network such as 192.0.2.7/32", key, s)
			continue
		}
		all = append(all, prefix)
	}
	return all
}

func (p *fileParser) texts(key string, n *yaml.Node) []string {
	if n.Kind != yaml.SequenceNode {
		p.complain(n, "%s: want a list of texts", key)
		return nil
	}
	var all []string
	for _, v := range n.Content {
		all = append(all, p.text(key, v))
	}
	return all
}
