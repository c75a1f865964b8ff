package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"reveille/internal/auth"
)

const (
	testMD5    = "0123456789abcdef0123456789abcdef"
	testSHA256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func newHashes() auth.Account { return auth.Account{HA1MD5: testMD5, HA1SHA256: testSHA256} }

func TestUsersFile(t *testing.T) {
	const commented = `# Our users.

users:
  # The boss.
  - name: alice    # since 2019
    password: secret
    # Sales, too.
    aors: [sip:sales@example.com]

  # Night shift.
  - name: bob
    realm: example.org
    ha1_md5: 00000000000000000000000000000000
# The end.
`
	add := func(f *usersFile) ([]byte, error) {
		a := newHashes()
		a.Name, a.AORs, a.DisplayName, a.MaxContacts = "carol", []string{"sip:c@example.com"}, "Carol: 1", 2
		return f.add(a)
	}
	password := func(i int) func(*usersFile) ([]byte, error) {
		return func(f *usersFile) ([]byte, error) { return f.setPassword(i, newHashes()) }
	}
	remove := func(i int) func(*usersFile) ([]byte, error) {
		return func(f *usersFile) ([]byte, error) { return f.remove(i) }
	}
	const carol = `  - name: carol
    ha1_md5: 0123456789abcdef0123456789abcdef
    ha1_sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    aors: ['sip:c@example.com']
    max_contacts: 2
    display_name: 'Carol: 1'
`
	hashes := "    ha1_md5: " + testMD5 + "\n    ha1_sha256: " + testSHA256 + "\n"
	flow := "{name: alice, ha1_md5: " + testMD5 + ", ha1_sha256: " + testSHA256 + "}"
	for _, tt := range []struct {
		name, text string
		do         func(*usersFile) ([]byte, error)
		want       string
	}{
		{"add", commented, add, strings.Replace(commented, "# The end.\n", carol+"# The end.\n", 1)},
		{"password", commented, password(0), strings.NewReplacer("    password: secret\n", hashes, "[sip:sales@example.com]", "['sip:sales@example.com']", "alice    #", "alice #").Replace(commented)},
		{"password of the last", commented, password(1), strings.Replace(commented, "    ha1_md5: 00000000000000000000000000000000\n", hashes, 1)},
		{"remove", commented, remove(0), strings.Replace(commented, "  - name: alice    # since 2019\n    password: secret\n    # Sales, too.\n    aors: [sip:sales@example.com]\n", "", 1)},
		{"remove the last", commented, remove(1), strings.Replace(commented, "  - name: bob\n    realm: example.org\n    ha1_md5: 00000000000000000000000000000000\n", "", 1)},
		{"remove the only one", "users:\n- name: a\n  password: x\n\n", remove(0), "users:\n\n"},
		{"add to nothing", "", add, "users:\n" + carol},
		{"add to comments", "# None yet.", add, "# None yet.\nusers:\n" + carol},
		{"add to no list", "# None.\nusers:\n", add, "# None.\nusers:\n" + carol},
		{"add to an empty list", "users: [] # none\n", add, "users:\n  # none\n" + carol},
		{"one line each, password", "users:\n- {name: alice, password: x} # boss\n- {name: bob, password: y}", password(0), "users:\n- " + flow + " # boss\n- {name: bob, password: y}\n"},
		{"one line each, add", "users:\n- {name: alice, password: x}\n", add, "users:\n- {name: alice, password: x}\n" +
			"- {name: carol, ha1_md5: " + testMD5 + ", ha1_sha256: " + testSHA256 + ", aors: ['sip:c@example.com'], max_contacts: 2, display_name: 'Carol: 1'}\n"},
		{"all on one line", "users: [{name: alice, password: x}]\n", password(0), "users: [" + flow + "]\n"},
		{"all on one line, remove", "users: [{name: alice, password: x}, {name: bob, password: y}]\n", remove(0), "users: [{name: bob, password: y}]\n"},
		{"networks get a password", "users:\n  - name: alice\n    networks: [192.0.2.7/32]\n", password(0), "users:\n  - name: alice\n    networks: [192.0.2.7/32]\n" + hashes},
		{"the dash alone", "users:\n  -\n    name: alice\n    password: x\n", password(0), "users:\n  - name: alice\n" + hashes},
		{"a password that looks like a comment", "users:\n  - name: alice\n    aors: []\n    password: |-\n      x\n      # no comment\n", password(0), "users:\n  - name: alice\n    aors: []\n" + hashes},
		{"lines of Windows", "users:\r\n- name: a\r\n  password: x\r\n", remove(0), "users:\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := parseUsers("users", []byte(tt.text), "example.com")
			if err != nil {
				t.Fatal(err)
			}
			got, err := tt.do(f)
			if err != nil || string(got) != tt.want {
				t.Errorf("%v\n%s\nwant\n%s", err, got, tt.want)
			}
		})
	}
}

func TestUsersFile_Mistakes(t *testing.T) {
	f, err := parseUsers("users", []byte("users:\n- {name: a, password: x}\n- {name: b, password: x}\n- {name: b, realm: r, password: x}\n"), "example.com")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.add(auth.Account{Name: "b", Realm: "r", HA1MD5: testMD5}); err == nil || !strings.Contains(err.Error(), "already, at users:4:3") {
		t.Errorf("a second b: %v", err)
	}
	for _, tt := range []struct {
		name, realm string
		want        int
		says        string
	}{
		{"a", "", 0, ""},
		{"a", "example.com", 0, ""},
		{"a", "r", 0, "no user a in the realm r"},
		{"b", "r", 2, ""},
		{"b", "example.com", 1, ""},
		{"b", "", 0, "realms example.com and r"},
		{"c", "", 0, "has no user c"},
	} {
		if i, err := f.find(tt.name, tt.realm); i != tt.want || (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("find(%q, %q) = %d, %v, want %d, %q", tt.name, tt.realm, i, err, tt.want, tt.says)
		}
	}
	for _, text := range []string{"users: 3", "users:\n- {name: a, passwort: x}", "\t"} {
		if _, err := parseUsers("users", []byte(text), "example.com"); err == nil {
			t.Errorf("%q can be edited", text)
		}
	}
}

// FuzzUsersFile: whatever a users file looks like, an edit changes the one user and
// no comment of another is lost.
func FuzzUsersFile(f *testing.F) {
	for _, s := range []string{
		"# c\nusers:\n  # d\n  - name: a # e\n    password: x\n  # f\n\n  - {name: b, password: y}\n# g\n", "users: [{name: a, password: x}]", "users:\n-\n  name: a\n  password: >\n    x\n    # y\n",
		"users:\n- name: a\n  aors:\n  # h\n  - sip:b@c\n  password: \"x\n    y\"\n", "", "users: []", "# c", "---\nusers:\n- {name: a,\n password: x}\n...\n",
	} {
		f.Add(s, uint8(0))
	}
	f.Fuzz(func(t *testing.T, text string, place uint8) {
		users, err := parseUsers("users", []byte(text), "r")
		if err != nil {
			return
		}
		before := slices.Clone(users.accounts)
		if got, err := users.add(auth.Account{Name: "new", Realm: "new", HA1MD5: testMD5}); err == nil {
			sameUsers(t, text, got, append(slices.Clone(before), auth.Account{Name: "new", Realm: "new", HA1MD5: testMD5}))
		}
		if len(before) == 0 {
			return
		}
		i := int(place) % len(before)
		if users, err = parseUsers("users", []byte(text), "r"); err != nil {
			t.Fatal(err)
		}
		if got, err := users.setPassword(i, newHashes()); err == nil {
			want := slices.Clone(before)
			want[i].Password, want[i].HA1MD5, want[i].HA1SHA256, want[i].HA1SHA512256 = "", testMD5, testSHA256, ""
			sameUsers(t, text, got, want)
			forgotten(t, text, got, before[i].Password)
		}
		if users, err = parseUsers("users", []byte(text), "r"); err != nil {
			t.Fatal(err)
		}
		if got, err := users.remove(i); err == nil {
			sameUsers(t, text, got, slices.Delete(slices.Clone(before), i, i+1))
			forgotten(t, text, got, before[i].Password)
		}
	})
}

// forgotten reports a line of a password that was in the text once and still is.
func forgotten(t *testing.T, before string, text []byte, password string) {
	t.Helper()
	for line := range strings.SplitSeq(password, "\n") {
		if line = strings.TrimSpace(line); len(line) > 5 && strings.Count(before, line) == 1 && strings.Contains(string(text), line) {
			t.Errorf("%q is still there; before\n%s\nnow\n%s", line, before, text)
		}
	}
}

func sameUsers(t *testing.T, before string, text []byte, want []auth.Account) {
	t.Helper()
	got, err := auth.ParseFile("users", text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, list := range [][]auth.Account{got, want} {
		for i := range list {
			list[i].Origin = ""
		}
	}
	if !reflect.DeepEqual(got, want) && len(got)+len(want) > 0 {
		t.Errorf("users are %v, want %v; before\n%s\nnow\n%s", got, want, before, text)
	}
}
