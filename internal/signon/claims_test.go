package signon

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestPerson(t *testing.T) {
	for _, tt := range []struct {
		name, said string
		want       Person
	}{
		{"plain", `{"name": "Erin", "groups": ["a", "b"]}`, Person{"s", "Erin", []string{"a", "b"}}},
		{"no name", `{"groups": "a"}`, Person{"s", "s", []string{"a"}}},
		{"a name of blanks", `{"name": "  "}`, Person{"s", "s", nil}},
		{"a name that is none", `{"name": {"first": "Erin"}, "groups": {"a": true}}`, Person{"s", "s", nil}},
		{"a name in pieces", `{"name": "Er\u0000i\u2028n\u202e", "groups": [1, null, "a", ["b"]]}`, Person{"s", "Erin", []string{"a"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var said claims
			if err := json.Unmarshal([]byte(tt.said), &said); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, person("s", said, "name", "groups")); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// Whatever a provider says, names are short lines, and values are among what it said.
func FuzzPerson(f *testing.F) {
	f.Add("s", `{"name": "Erin", "groups": ["a", "b"]}`, "groups")
	f.Add("s", `{"realm": {"access": {"roles": ["a"]}, "access.roles": "b"}}`, "realm.access.roles")
	f.Add("\x00", `{"email": "a@example.com", "email_verified": "true"}`, "email")
	f.Add("s", `{"a": {"": {"": "x"}}}`, "a..")
	f.Fuzz(func(t *testing.T, subject, text, role string) {
		var said claims
		if json.Unmarshal([]byte(text), &said) != nil {
			return
		}
		p := person(subject, said, "name", role)
		for _, s := range []string{p.Subject, p.Name} {
			if utf8.RuneCountInString(s) > maxName || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("a name of %q", s)
			}
		}
		again, err := json.Marshal(said)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range p.Values {
			quoted, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if v == "" || !strings.Contains(string(again), string(quoted)) {
				t.Errorf("the value %q is not in %s", v, again)
			}
		}
	})
}
