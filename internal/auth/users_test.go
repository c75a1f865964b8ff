package auth

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"reveille/usrloc"
)

func TestNewUsers_Lookup(t *testing.T) {
	u, err := NewUsers("example.com", []Account{
		{Name: "alice", Password: "secret", AORs: []string{"sip:Sales@EXAMPLE.com:5060;user=phone", "alice@example.org"}},
		{Name: "bob", Realm: "example.org", HA1SHA256: strings.ToUpper(SHA256.HA1("bob", "example.org", "pw"))},
		{Name: "alice", Realm: "example.org", HA1MD5: MD5.HA1("alice", "example.org", "pw"), HA1SHA256: SHA256.HA1("alice", "example.org", "pw")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if u.Len() != 3 {
		t.Errorf("Len() = %d, want 3", u.Len())
	}
	got, err := u.Lookup(t.Context(), "example.com", "alice")
	want := Credentials{
		MD5:       MD5.HA1("alice", "example.com", "secret"),
		SHA256:    SHA256.HA1("alice", "example.com", "secret"),
		SHA512256: SHA512256.HA1("alice", "example.com", "secret"),
		Profile:   Profile{AORs: []usrloc.AOR{"sip:Sales@example.com", "sip:alice@example.org"}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Lookup(alice): %v (-want +got):\n%s", err, diff)
	}
	got, err = u.Lookup(t.Context(), "example.org", "bob")
	if err != nil || got.SHA256 != SHA256.HA1("bob", "example.org", "pw") || got.MD5 != "" {
		t.Errorf("Lookup(bob) = %q, %q, %v", got.MD5, got.SHA256, err)
	}
	for _, miss := range []userKey{{"example.com", "bob"}, {"example.com", "Alice"}, {"", "alice"}, {"example.com", ""}} {
		if _, err := u.Lookup(t.Context(), miss.realm, miss.name); !errors.Is(err, ErrNoUser) {
			t.Errorf("Lookup(%v) = %v, want ErrNoUser", miss, err)
		}
	}
}

// TestUsers_Profile: what is said about a user does not depend on what else is.
func TestUsers_Profile(t *testing.T) {
	users, err := NewUsers("example.com", []Account{
		{Name: "alice", Password: "x", MaxContacts: 3},
		{Name: "bob", Password: "x", DisplayName: "Bob"},
		{Name: "carol", Password: "x", AORs: []string{"sales@example.com"}},
		{Name: "dave", Password: "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Profile{
		"alice": {MaxContacts: 3}, "bob": {DisplayName: "Bob"}, "carol": {AORs: []usrloc.AOR{"sip:sales@example.com"}}, "dave": {},
	} {
		c, err := users.Lookup(t.Context(), "example.com", name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, c.Profile); d != "" {
			t.Errorf("profile of %s (-want +got):\n%s", name, d)
		}
	}
}

func TestUsers_AlgorithmsFitEveryUser_RFC8760_2_4(t *testing.T) {
	password := Account{Name: "a", Password: "x"}
	md5Only := Account{Name: "b", HA1MD5: strings.Repeat("0", 32)}
	shaOnly := Account{Name: "c", HA1SHA256: strings.Repeat("0", 64)}
	strong := Account{Name: "d", HA1SHA256: strings.Repeat("0", 64), HA1SHA512256: strings.Repeat("1", 64)}
	for _, tt := range []struct {
		name     string
		accounts []Account
		keep     []Algorithm
		want     []Algorithm
	}{
		{"nobody", nil, nil, []Algorithm{SHA512256, SHA256, MD5}},
		{"nobody, some kept", nil, []Algorithm{MD5, SHA256}, []Algorithm{SHA256, MD5}},
		{"password", []Account{password}, nil, []Algorithm{SHA512256, SHA256, MD5}},
		{"password, some kept", []Account{password}, []Algorithm{MD5, SHA256}, []Algorithm{SHA256, MD5}},
		{"md5", []Account{password, md5Only}, nil, []Algorithm{MD5}},
		{"md5, not kept", []Account{password, md5Only}, []Algorithm{SHA256}, nil},
		{"sha", []Account{shaOnly, password}, nil, []Algorithm{SHA256}},
		{"two hashes", []Account{strong, password}, nil, []Algorithm{SHA512256, SHA256}},
		{"two hashes and one", []Account{strong, shaOnly}, nil, []Algorithm{SHA256}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := NewUsers("r", tt.accounts, tt.keep...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, u.Algorithms("r"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Algorithms() (-want +got):\n%s", diff)
			}
			want := algorithms()
			if tt.keep != nil {
				want = common(want, tt.keep)
			}
			if diff := cmp.Diff(want, u.Algorithms("another")); diff != "" {
				t.Errorf("Algorithms(another) (-want +got):\n%s", diff)
			}
		})
	}
	_, err := NewUsers("r", []Account{md5Only, shaOnly})
	if err == nil || !strings.Contains(err.Error(), `realm "r": no algorithm fits all users`) {
		t.Errorf("NewUsers() = %v", err)
	}
}

// What is not offered need not lie in memory a million times.
func TestNewUsers_KeepsWhatIsOffered(t *testing.T) {
	zeros := strings.Repeat("0", 64)
	u, err := NewUsers("r", []Account{{Name: "a", Password: "x"}, {Name: "b", HA1SHA256: zeros, HA1SHA512256: zeros}}, SHA256)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Credentials{"a": {SHA256: SHA256.HA1("a", "r", "x")}, "b": {SHA256: zeros}} {
		got, err := u.Lookup(t.Context(), "r", name)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("Lookup(%s): %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestHashPassword(t *testing.T) {
	want := Credentials{MD5: MD5.HA1("u", "r", "p"), SHA256: SHA256.HA1("u", "r", "p"), SHA512256: SHA512256.HA1("u", "r", "p")}
	if diff := cmp.Diff(want, HashPassword("r", "u", "p")); diff != "" {
		t.Errorf("HashPassword() (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Credentials{MD5: want.MD5}, HashPassword("r", "u", "p", MD5)); diff != "" {
		t.Errorf("HashPassword(MD5) (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Credentials{}, HashPassword("r", "u", "")); diff != "" {
		t.Errorf("an empty password has hashes:\n%s", diff)
	}
}

func TestNewUsers_AllProblemsAtOnce(t *testing.T) {
	_, err := NewUsers("r", []Account{
		{Name: "alice", Password: "x", Origin: "users.yaml:2:5"},
		{Name: "alice", Password: "y", Origin: "users.yaml:4:5"},
		{Password: "x"},
		{Name: "bob"},
		{Name: "a:b", Password: "x"},
		{Name: "carol", Password: "x", HA1MD5: strings.Repeat("0", 32)},
		{Name: "dave", HA1MD5: "123"},
		{Name: "erin", HA1SHA256: strings.Repeat("g", 64)},
		{Name: "eve", HA1SHA512256: strings.Repeat("0", 128)},
		{Name: "frank", Password: "x", AORs: []string{"tel:+123"}},
		{Name: "grace", Password: "x", AORs: []string{"sip:a b@c"}},
	})
	if err == nil {
		t.Fatal("NewUsers() = nil")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{
		`users.yaml:4:5: user "alice" exists already at users.yaml:2:5`,
		`user without a name`,
		`user "bob": neither password nor hash`,
		`user "a:b": the name holds a colon or a control character`,
		`user "carol": password and hash exclude each other`,
		`user "dave": the MD5 hash is not 32 hexadecimal digits`,
		`user "erin": the SHA-256 hash is not 64 hexadecimal digits`,
		`user "eve": the SHA-512-256 hash is not 64 hexadecimal digits`,
		`user "frank": aor "tel:+123"`,
		`user "grace": aor "sip:a b@c"`,
	}
	if len(lines) != len(want) {
		t.Fatalf("%d problems, want %d:\n%v", len(lines), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("problem %d = %q, want %q", i, lines[i], want[i])
		}
	}
}

func TestCredentials_NeverPrinted(t *testing.T) {
	c := Credentials{MD5: "aaaa", SHA256: "bbbb", SHA512256: "cccc"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, c); strings.Contains(got, "aaaa") || strings.Contains(got, "bbbb") || strings.Contains(got, "cccc") {
			t.Errorf("%s shows a hash: %s", format, got)
		}
	}
	if got := c.LogValue().String(); strings.Contains(got, "aaaa") {
		t.Errorf("LogValue() = %s", got)
	}
}

func TestParseFile(t *testing.T) {
	const text = `# People.
users:
  - name: alice
    password: 0123        # stays a text
    aors: [sip:alice@example.com, "sip:sales@example.com"]
  - {name: bob, realm: example.org, ha1_md5: AB, ha1_sha256: cd, ha1_sha512_256: ef}
  - name: "yes"
    max_contacts: 3
    display_name: Yes, please
    password: |-
      two words
`
	got, err := ParseFile("users.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Account{
		{Name: "alice", Password: "0123", AORs: []string{"sip:alice@example.com", "sip:sales@example.com"}, Origin: "users.yaml:3:5"},
		{Name: "bob", Realm: "example.org", HA1MD5: "AB", HA1SHA256: "cd", HA1SHA512256: "ef", Origin: "users.yaml:6:5"},
		{Name: "yes", Password: "two words", MaxContacts: 3, DisplayName: "Yes, please", Origin: "users.yaml:7:5"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseFile() (-want +got):\n%s", diff)
	}
}

func TestParseFile_Empty(t *testing.T) {
	for _, text := range []string{"", "# nobody\n", "users:\n", "users: []\n", "---\n"} {
		if got, err := ParseFile("f", []byte(text)); err != nil || len(got) != 0 {
			t.Errorf("ParseFile(%q) = %v, %v", text, got, err)
		}
	}
}

func TestParseFile_Problems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"not YAML", "users: [", "f: yaml: line 1: did not find expected node content"},
		{"a list", "- a\n", "f:1:1: want keys: users"},
		{"unknown key", "users: []\nuser: []\n", `f:2:1: unknown key "user"; known: users`},
		{"no list", "users: alice\n", "f:1:8: users: want a list"},
		{"no mapping", "users:\n  - alice\n", "f:2:5: want keys: name, realm, password, ha1_md5, ha1_sha256, ha1_sha512_256, aors, max_contacts, display_name, networks"},
		{"unknown user key", "users:\n  - name: a\n    pasword: b\n", `f:3:5: unknown key "pasword"; known: name, realm, password, ha1_md5, ha1_sha256, ha1_sha512_256, aors, max_contacts, display_name, networks`},
		{"key twice", "users:\n  - name: a\n    name: b\n", `f:3:5: key "name" comes twice, first in line 2`},
		{"no text", "users:\n  - name: [a]\n", "f:2:11: name: want a text"},
		{"empty password", "users:\n  - name: a\n    password: ''\n", "f:3:15: password: want a text"},
		{"null password", "users:\n  - name: a\n    password:\n", "f:3:14: password: want a text"},
		{"no number", "users:\n  - name: a\n    max_contacts: x\n", "f:3:19: max_contacts: want a whole number"},
		{"negative", "users:\n  - name: a\n    max_contacts: -1\n", "f:3:19: max_contacts: want a whole number"},
		{"no texts", "users:\n  - name: a\n    aors: sip:a@b\n", "f:3:11: aors: want a list of texts"},
		{"alias", "users:\n  - &x {name: a, password: b}\n  - *x\n", "f:3:5: want keys: name, realm, password, ha1_md5, ha1_sha256, ha1_sha512_256, aors, max_contacts, display_name, networks"},
		{"two", "users:\n  - {name: [], password: {}}\n", "f:2:12: name: want a text\nf:2:26: password: want a text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			accounts, err := ParseFile("f", []byte(tt.text))
			if err == nil || err.Error() != tt.want {
				t.Errorf("ParseFile() = %v, %v, want %s", accounts, err, tt.want)
			}
		})
	}
}

func TestParseFile_ProblemsAreBounded(t *testing.T) {
	_, err := ParseFile("f", []byte("users:\n"+strings.Repeat("  - x\n", 1000)))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxProblems {
		t.Errorf("%d problems, want %d", n, maxProblems)
	}
}

func TestReadFile_Permissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(path, []byte("users: [{name: a, password: b}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode os.FileMode
		want string
	}{
		{0o600, ""},
		{0o640, ""},
		{0o644, path + " holds passwords and can be read by everybody (mode 0644): chmod 640"},
	} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		accounts, warning, err := ReadFile(path)
		if err != nil || len(accounts) != 1 || warning != tt.want {
			t.Errorf("mode %04o: ReadFile() = %v, %q, %v, want %q", tt.mode, accounts, warning, err, tt.want)
		}
	}
	if _, _, err := ReadFile(path + ".no"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadFile(missing) = %v", err)
	}
}

func FuzzParseFile(f *testing.F) {
	f.Add([]byte("users:\n  - name: alice\n    password: x\n    aors: [sip:a@b]\n"))
	f.Add([]byte("users: [{name: a, ha1_md5: 00}, *x]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		accounts, err := ParseFile("f", text)
		if err != nil {
			return
		}
		users, err := NewUsers("r", accounts)
		if err != nil {
			return
		}
		// Who was accepted can be found.
		for _, a := range accounts {
			realm := a.Realm
			if realm == "" {
				realm = "r"
			}
			if _, err := users.Lookup(t.Context(), realm, a.Name); err != nil {
				t.Errorf("Lookup(%q) = %v", a.Name, err)
			}
		}
	})
}
