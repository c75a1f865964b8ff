package main

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"reveille/internal/auth"
)

// A usersFile is the text of a users file, to be edited. All of it that an edit is
// not about stays as it is, byte for byte: the entry of one user alone is written
// anew. In a file of another form than one entry below the other, comments and order
// stay, but not blank lines.
type usersFile struct {
	name string // for errors
	// realm is that of users without one.
	realm    string
	text     []byte
	accounts []auth.Account // in order
	root     yaml.Node
	entries  *yaml.Node // the list of users, one for each account; nil: there is none
}

// parseUsers reads a users file, which must be without fault.
func parseUsers(name string, text []byte, realm string) (*usersFile, error) {
	f := &usersFile{name: name, realm: realm, text: text}
	var err error
	if f.accounts, err = auth.ParseFile(name, text); err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(text, &f.root); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(f.accounts) > 0 {
		f.entries = f.root.Content[0].Content[1]
	}
	return f, nil
}

// realmOf is where an account logs in.
func (f *usersFile) realmOf(a *auth.Account) string {
	if a.Realm == "" {
		return f.realm
	}
	return a.Realm
}

// find returns the place of a user; realm may be empty if there is but one of that
// name.
func (f *usersFile) find(name, realm string) (int, error) {
	found := -1
	for i := range f.accounts {
		a := &f.accounts[i]
		switch {
		case a.Name != name || realm != "" && f.realmOf(a) != realm:
		case found >= 0:
			return 0, fmt.Errorf("%s is a user of the realms %s and %s; hint: name one by --realm", name, f.realmOf(&f.accounts[found]), f.realmOf(a))
		default:
			found = i
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("%s has no user %s%s; hint: `reveille users list` shows all", f.name, name, inRealm(realm))
	}
	return found, nil
}

func inRealm(realm string) string {
	if realm == "" {
		return ""
	}
	return " in the realm " + realm
}

// free reports that there is a user of that name and realm.
func (f *usersFile) free(a *auth.Account) error {
	for i := range f.accounts {
		if b := &f.accounts[i]; b.Name == a.Name && f.realmOf(b) == f.realmOf(a) {
			return fmt.Errorf("%s is a user already, at %s; hint: `reveille users passwd` changes the password", a.Name, b.Origin)
		}
	}
	return nil
}

// add returns the text with a user more, at the end.
func (f *usersFile) add(a auth.Account) ([]byte, error) {
	if err := f.free(&a); err != nil {
		return nil, err
	}
	entry, err := newEntry(&a)
	if err != nil {
		return nil, err
	}
	want := append(slices.Clone(f.accounts), a)
	if n := len(f.accounts); n > 0 {
		// The same form as the others have.
		entry.Style = f.entries.Content[n-1].Style
		if at, ok := f.lines(n - 1); ok {
			if text, err := f.splice(lines{at.end, at.end}, entry); err == nil && f.holds(text, want) {
				return text, nil
			}
		}
		f.entries.Content = append(f.entries.Content, entry)
		return f.whole(want)
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{entry}}
	return f.begun(list, want)
}

// begun returns the text of a file that had no users, with a list of them.
func (f *usersFile) begun(list *yaml.Node, want []auth.Account) ([]byte, error) {
	if len(f.root.Content) == 1 && f.root.Content[0].Kind == yaml.MappingNode && len(f.root.Content[0].Content) == 2 {
		f.root.Content[0].Style = 0
		none := f.root.Content[0].Content[1]
		list.HeadComment = none.LineComment
		f.root.Content[0].Content[1] = list
		return f.whole(want)
	}
	// Nothing, or comments: these stay in front.
	text, err := encodeYAML(map[string]*yaml.Node{"users": list})
	if err != nil {
		return nil, err
	}
	before := f.text
	if len(before) > 0 && before[len(before)-1] != '\n' {
		before = append(slices.Clone(before), '\n')
	}
	text = append(slices.Clone(before), text...)
	if !f.holds(text, want) {
		return nil, f.unfit()
	}
	return text, nil
}

// setPassword returns the text with other hashes in place of the password or hashes
// of the user at place i.
func (f *usersFile) setPassword(i int, hashes auth.Account) ([]byte, error) {
	want := slices.Clone(f.accounts)
	a := &want[i]
	a.Password, a.HA1MD5, a.HA1SHA256, a.HA1SHA512256 = "", hashes.HA1MD5, hashes.HA1SHA256, hashes.HA1SHA512256
	at, ok := f.lines(i)
	entry := f.entries.Content[i]
	place := len(entry.Content)
	var kept []*yaml.Node
	for j := 0; j+1 < len(entry.Content); j += 2 {
		if slices.Contains(proofKeys(), entry.Content[j].Value) {
			place = min(place, len(kept))
			continue
		}
		kept = append(kept, entry.Content[j], entry.Content[j+1])
	}
	entry.Content = slices.Insert(kept, min(place, len(kept)), hashNodes(&hashes)...)
	if ok {
		if text, err := f.splice(at, entry); err == nil && f.holds(text, want) {
			return text, nil
		}
	}
	return f.whole(want)
}

// remove returns the text without the user at place i. Comments stay: they may be
// about more than the one user.
func (f *usersFile) remove(i int) ([]byte, error) {
	want := slices.Delete(slices.Clone(f.accounts), i, i+1)
	if at, ok := f.lines(i); ok {
		if text, err := f.splice(at, nil); err == nil && f.holds(text, want) {
			return text, nil
		}
	}
	f.entries.Content = slices.Delete(f.entries.Content, i, i+1)
	return f.whole(want)
}

// lines are whole lines of a text: the first, and the one behind the last, from 0.
type lines struct{ begin, end int }

// lines returns where the entry at place i stands, without the comments around it;
// not ok: it does not stand on lines of its own.
func (f *usersFile) lines(i int) (at lines, ok bool) {
	if f.entries.Style&yaml.FlowStyle != 0 {
		return lines{}, false
	}
	all := bytes.Split(f.text, []byte("\n"))
	at = lines{f.entries.Content[i].Line - 1, len(all)}
	if i+1 < len(f.entries.Content) {
		at.end = f.entries.Content[i+1].Line - 1
	}
	if at.begin >= at.end || !bytes.HasPrefix(bytes.TrimLeft(all[at.begin], " "), []byte("-")) {
		return lines{}, false
	}
	for at.end > at.begin+1 {
		line := bytes.TrimSpace(all[at.end-1])
		if len(line) > 0 && line[0] != '#' {
			break
		}
		if len(line) > 0 && mayEndAsComment(f.entries.Content[i]) {
			return lines{}, false // It may be the end of a password.
		}
		at.end--
	}
	return at, true
}

// mayEndAsComment reports whether a text in n may have a line that looks like a
// comment.
func mayEndAsComment(n *yaml.Node) bool {
	const block, quoted = yaml.LiteralStyle | yaml.FoldedStyle, yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle
	return n.Style&block != 0 || n.Style&quoted != 0 && strings.Contains(n.Value, "#") || slices.ContainsFunc(n.Content, mayEndAsComment)
}

// splice returns the text with an entry in place of lines, or with nothing.
func (f *usersFile) splice(at lines, entry *yaml.Node) ([]byte, error) {
	var text []byte
	if entry != nil {
		// The comments around it stand in the text.
		bare(entry)
		var err error
		if text, err = encodeYAML([]*yaml.Node{entry}); err != nil {
			return nil, err
		}
	}
	indent := strings.Repeat(" ", f.entries.Column-1)
	var out bytes.Buffer
	insert := func() {
		for line := range bytes.Lines(text) {
			out.WriteString(indent)
			out.Write(line)
		}
	}
	n := 0
	for line := range bytes.Lines(f.text) {
		if n == at.begin {
			insert()
		}
		if n < at.begin || n >= at.end {
			out.Write(line)
			if line[len(line)-1] != '\n' {
				out.WriteByte('\n')
			}
		}
		n++
	}
	if at.begin >= n {
		insert()
	}
	return out.Bytes(), nil
}

// bare drops the comments before and behind an entry.
func bare(entry *yaml.Node) {
	entry.HeadComment, entry.FootComment = "", ""
	if n := len(entry.Content); n > 1 {
		entry.Content[0].HeadComment = ""
		entry.Content[n-2].FootComment, entry.Content[n-1].FootComment = "", ""
	}
}

// whole returns the file written anew.
func (f *usersFile) whole(want []auth.Account) ([]byte, error) {
	text, err := encodeYAML(&f.root)
	if err != nil {
		return nil, err
	}
	if !f.holds(text, want) {
		return nil, f.unfit()
	}
	return text, nil
}

func (f *usersFile) unfit() error {
	return fmt.Errorf("%s has a form that this command cannot edit without changing more; hint: edit it by hand", f.name)
}

// holds reports whether text holds these users and nothing else.
func (f *usersFile) holds(text []byte, want []auth.Account) bool {
	got, err := auth.ParseFile(f.name, text)
	if err != nil || len(got) != len(want) {
		return false
	}
	for i := range got {
		a, b := got[i], want[i]
		a.Origin, b.Origin = "", ""
		if !reflect.DeepEqual(a, b) {
			return false
		}
	}
	return true
}

func encodeYAML(v any) ([]byte, error) {
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := errors.Join(e.Encode(v), e.Close())
	return out.Bytes(), err
}

// proofKeys are the keys that say how a user proves who it is.
func proofKeys() []string { return []string{"password", "ha1_md5", "ha1_sha256", "ha1_sha512_256"} }

// newEntry is an account as an entry of the list.
func newEntry(a *auth.Account) (*yaml.Node, error) {
	entry := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key string, value any) error {
		var v yaml.Node
		if err := v.Encode(value); err != nil {
			return err
		}
		if v.Kind == yaml.SequenceNode {
			v.Style = yaml.FlowStyle
		}
		entry.Content = append(entry.Content, textNode(key), &v)
		return nil
	}
	err := add("name", a.Name)
	if a.Realm != "" {
		err = errors.Join(err, add("realm", a.Realm))
	}
	entry.Content = append(entry.Content, hashNodes(a)...)
	if len(a.AORs) > 0 {
		err = errors.Join(err, add("aors", a.AORs))
	}
	if a.MaxContacts > 0 {
		err = errors.Join(err, add("max_contacts", a.MaxContacts))
	}
	if a.DisplayName != "" {
		err = errors.Join(err, add("display_name", a.DisplayName))
	}
	return entry, err
}

func textNode(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// hashNodes are the keys and values of the hashes that an account has.
func hashNodes(a *auth.Account) (nodes []*yaml.Node) {
	for _, h := range []struct{ key, ha1 string }{{"ha1_md5", a.HA1MD5}, {"ha1_sha256", a.HA1SHA256}, {"ha1_sha512_256", a.HA1SHA512256}} {
		if h.ha1 != "" {
			nodes = append(nodes, textNode(h.key), textNode(h.ha1))
		}
	}
	return nodes
}
