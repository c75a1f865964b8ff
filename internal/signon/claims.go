package signon

import (
	"strings"
	"unicode"
)

// A Person is who logged in, as the provider says.
type Person struct {
	// Subject is what the provider calls the person, and nobody else ever (OpenID
	// Connect Core §5.7); Name is for people, and the Subject if there is none. Both are
	// printable and short.
	Subject, Name string
	// Values are those of the claim that decides what the person may do.
	Values []string
}

// Bounds of names, in characters.
const maxName = 128

func person(subject string, said claims, nameClaim, roleClaim string) Person {
	p := Person{Subject: printable(subject, maxName), Values: said.values(roleClaim)}
	p.Name = p.Subject
	if names := said.values(nameClaim); len(names) > 0 {
		if name := strings.TrimSpace(printable(names[0], maxName)); name != "" {
			p.Name = name
		}
	}
	return p
}

// claims are what a provider says of a person.
type claims map[string]any

// find returns a claim by its name or, if there is none, by the names of objects that
// lead to it, with dots between. Names may have dots themselves (§5.1.2).
func (c claims) find(name string) (any, bool) {
	if v, ok := c[name]; ok {
		return v, true
	}
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		if inner, ok := c[name[:i]].(map[string]any); ok {
			if v, ok := claims(inner).find(name[i+1:]); ok {
				return v, true
			}
		}
	}
	return nil, false
}

// values returns the texts of a claim: one, or those of a list.
func (c claims) values(name string) []string {
	// §5.1: anybody may have said that an address that was not verified is theirs.
	if name == "email" && c["email_verified"] != true && c["email_verified"] != "true" {
		return nil
	}
	v, _ := c.find(name)
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var texts []string
	for _, x := range list {
		if s, ok := x.(string); ok && s != "" {
			texts = append(texts, s)
		}
	}
	return texts
}

// printable returns the beginning of a text without what could pass for another line,
// or turn around what stands beside it.
func printable(s string, most int) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > most || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
