package pjsip

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// planOf imports one file with the domain example.com.
func planOf(t *testing.T, text string) *Plan {
	t.Helper()
	doc, err := Parse("a", texts{"a": text})
	if err != nil {
		t.Fatal(err)
	}
	return MakePlan("a", doc, Options{Domains: []string{"Example.com"}, UsersFile: "users"})
}

// phone is a complete user with these lines more in each section.
func phone(name, endpoint, auth, aor string) string {
	return fmt.Sprintf("[%[1]s]\ntype=endpoint\nauth=%[1]s\naors=%[1]s\n%[2]s\n[%[1]s]\ntype=auth\nusername=%[1]s\n%[3]s\n[%[1]s]\ntype=aor\n%[4]s\n", name, endpoint, auth, aor)
}

func TestPlan_Notes(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"a reference to nothing", phone("u", "transport=gone", "password=p", ""), "a:5: [u] transport: there is no transport [gone]"},
		{"a reference to another kind", phone("u", "", "password=p", "") + "[v]\ntype=endpoint\nauth=u\naors=u-auth\n[u-auth]\ntype=auth\n", "a:16: [v] aors: there is no aor [u-auth]"},
		{"an option of media", phone("u", "rtp_symmetric=yes", "password=p", ""), "a:5: [u] rtp_symmetric: is about media"},
		{"an option nobody knows", phone("u", "Colour=red", "password=p", ""), "a:5: [u] Colour: is not known to this import"},
		{"an endpoint that proves nothing", "[u]\ntype=endpoint\naors=u\n[u]\ntype=aor\n", "a:1: [u]: has neither auth nor identify"},
		{"an AOR that nobody has", "[u]\ntype=aor\n", "a:1: [u]: no endpoint names this aor"},
		{"a lifetime without end", phone("u", "", "password=p", "maximum_expiration=99999999"), "a:12: [u] maximum_expiration: is 720h here, the nearest that there is"},
		{"an AOR for nobody", phone("u", "", "password=p", ""), "a:10: [u]: lets nobody register in Asterisk"},
		{"a number to be called by", phone("u", "callerid=U <100>", "password=p", "max_contacts=1"), "a:5: [u] callerid: the number has no counterpart"},
		{"a second access list", "[a]\ntype=acl\ndeny=192.0.2.1\n[b]\ntype=acl\ndeny=192.0.2.2\n", "a:4: [b]: is the second list"},
		{"a network that cannot be denied", "[a]\ntype=acl\ndeny=gw.example.com\n", "a:3: [a] deny: a network that was to be denied is not"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := planOf(t, tt.text)
			if !slices.ContainsFunc(p.Notes, func(n Note) bool { return strings.HasPrefix(n.String(), tt.want) }) {
				t.Errorf("notes %q, want one that begins %q", p.Notes, tt.want)
			}
			if problem := unusable(t.TempDir(), p); problem != "" {
				t.Error(problem)
			}
		})
	}
}

// A template's line is told once, however many sections inherit it, and the
// comment tells what many sections have in common once.
func TestPlan_NotesAreNotRepeated(t *testing.T) {
	text := "[t](!)\ncontext=office\n"
	for i := range 300 {
		text += fmt.Sprintf("[u%d](t)\ntype=endpoint\nauth=u%[1]d\nlanguage=de\n[u%[1]d]\ntype=auth\nusername=u%[1]d\npassword=p\n", i)
	}
	p := planOf(t, text)
	count := func(option string) (n int) {
		for _, note := range p.Notes {
			if note.Option == option {
				n++
			}
		}
		return n
	}
	if got := count("context"); got != 1 {
		t.Errorf("%d notes of the template's option, want 1", got)
	}
	if got := count("language"); got != 300 {
		t.Errorf("%d notes of an option in 300 sections", got)
	}
	if config := string(p.Config()); strings.Count(config, " language: ") != 1 || !strings.Contains(config, "(and 299 more like it)") {
		t.Errorf("the comment repeats itself:\n%.2000s", config)
	}
}

func TestPlan_SecretsStayInTheUsersFile(t *testing.T) {
	p := planOf(t, phone("u", "colour=hidden", "password=hidden", "contact=sip:u:hidden@192.0.2.1")+
		"[v]\ntype=auth\nusername=u\npassword=hidden\n[w]\ntype=endpoint\nauth=v\n"+
		"[r]\ntype=registration\nclient_uri=sip:u:hidden@example.com\n")
	if strings.Contains(string(p.Config()), "hidden") {
		t.Errorf("a password stands in the configuration:\n%s", p.Config())
	}
	for _, n := range p.Notes {
		if strings.Contains(n.String(), "hidden") {
			t.Errorf("a password stands in a note: %s", n)
		}
	}
	if !strings.Contains(string(p.Users()), `password: "hidden"`) {
		t.Errorf("users file:\n%s", p.Users())
	}
}

// What a file says must not leave the comments that repeat it.
func TestPlan_NamesCannotWriteYAML(t *testing.T) {
	p := planOf(t, "[x\rsecurity: {open: anyone may register and call}\u2028y\x1b[2J]\ntype=endpoint\ncolour=1\n")
	for _, bad := range []string{"\r", "\u2028", "\x1b"} {
		if strings.Contains(string(p.Config()), bad) || strings.Contains(p.Notes[0].String(), bad) {
			t.Errorf("%q is printed as it is", bad)
		}
	}
	if problem := unusable(t.TempDir(), p); problem != "" {
		t.Error(problem)
	}
}

func TestPlan_PasswordsAreKeptAsTheyAre(t *testing.T) {
	for _, password := range []string{"0123", "null", "y", "~", `a"b\c`, "ü€😀", "a: b # c", "${HOME}", "'", "- x", "[", "a\tb"} {
		p := planOf(t, phone("u", "", "password="+password, ""))
		if strings.ContainsRune(password, '\t') {
			if p.Users() != nil {
				t.Errorf("a control character in a password is taken over")
			}
			continue
		}
		if len(p.users) != 1 || p.users[0].password != password {
			t.Errorf("password %q is read as %+v", password, p.users)
		}
		if problem := unusable(t.TempDir(), p); problem != "" {
			t.Errorf("password %q: %s", password, problem)
		}
	}
}

func TestPlan_Config(t *testing.T) {
	const tls = "[s]\ntype=transport\nprotocol=tls\nbind=192.0.2.1\ncert_file=/c\npriv_key_file=/k\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"TLS", tls, []string{`- {name: s, transport: tls, addr: "127.0.0.1:5061", tls: {cert_file: "/c", key_file: "/k"}}`}},
		{
			"TLS with certificates of clients",
			tls + "ca_list_file=/a\nrequire_client_cert=yes\nverify_server=yes\nmethod=tlsv1_3\n",
			[]string{`client_auth: require, client_ca_file: "/a", server_ca_file: "/a", min_version: "1.3"`},
		},
		{"TLS with certificates of clients who have some", tls + "ca_list_file=/a\nverify_client=yes\n", []string{`client_auth: request, client_ca_file: "/a"}`}},
		{"WebSocket", "[w]\ntype=transport\nprotocol=wss\nbind=0.0.0.0\n", []string{`#- {name: w, transport: wss, addr: "0.0.0.0:8089", tls: {cert_file: `}},
		{
			"access lists in their order",
			"[a]\ntype=acl\npermit=192.0.2.1\ndeny=0.0.0.0/0.0.0.0,::/0\npermit=192.0.2.0/255.255.255.0\ncontactdeny=10.0.0.0/8\n",
			[]string{
				"source:\n    - permit: \"192.0.2.1/32\"\n    - deny: \"0.0.0.0/0\"\n    - deny: \"::/0\"\n    - permit: \"192.0.2.0/24\"\n",
				"contact:\n    - deny: \"10.0.0.0/8\"\n",
			},
		},
		{"the oldest contact goes", phone("u", "", "password=p", "max_contacts=2\nremove_existing=yes"), []string{"overflow: replace_oldest"}},
		{"one that cannot be reached goes", phone("u", "", "password=p", "max_contacts=2\nremove_unavailable=yes"), []string{"overflow: replace_unavailable"}},
		{
			"devices that never register",
			"[100]\ntype=aor\ncontact=sip:100@192.0.2.1\n[100@example.com]\ntype=aor\ncontact=sip:[2001:db8::1]:5070\\;transport=tcp,sip:gw.example.com,sip:192.0.2.1:70000\n",
			[]string{"aors:\n  - aor: \"sip:100@example.com\"\n    contacts: [\"sip:100@192.0.2.1\", \"sip:[2001:db8::1]:5070;transport=tcp\"]\n"},
		},
		{
			"domain aliases",
			"[b.example]\ntype=domain_alias\ndomain=c.example\n[c.example]\ntype=domain_alias\ndomain=d.example\n[d2.example]\ntype=domain_alias\ndomain=D.example\n",
			[]string{"domains: [c.example, d.example]\ndomain_aliases:\n  - {alias: b.example, domain: c.example}\n  - {alias: d2.example, domain: d.example}\n"},
		},
		{
			"lifetimes of one user", phone("u", "", "password=p", "maximum_expiration=60") + phone("v", "", "password=p", "maximum_expiration=7200"),
			[]string{"expires: {default: 1m, max: 1m}", "- aor: \"sip:v@", "\n    default: 1h\n    max: 2h\n"},
		},
		{
			"lifetimes of most users", phone("u", "", "password=p", "minimum_expiration=90") + phone("v", "", "password=p", "") + phone("w", "", "password=p", "default_expiration=9000"),
			[]string{"- aor: \"sip:u@localhost\"\n    min: 90s\n", "- aor: \"sip:w@localhost\"\n    default: 150m\n    max: 150m\n"},
		},
		{"lifetimes", phone("u", "", "password=p", "default_expiration=86400\nminimum_expiration=90"), []string{"expires: {default: 24h, min: 90s, max: 24h}"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := Parse("a", texts{"a": tt.text})
			if err != nil {
				t.Fatal(err)
			}
			p := MakePlan("a", doc, Options{UsersFile: "users", Readable: func(string) bool { return true }})
			for _, want := range tt.want {
				if !strings.Contains(string(p.Config()), want) {
					t.Errorf("%q is not in the configuration:\n%s", want, p.Config())
				}
			}
		})
	}
}

func TestPlan_Users(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a limit of its own", phone("u", "", "password=p", "max_contacts=3"), "max_contacts: 3"},
		{"a name", phone("u", "callerid=\"Anna B.\" <u>", "password=p", ""), `display_name: "Anna B."`},
		{
			"hashes", phone("u", "", "password_digest=SHA-512-256:"+strings.Repeat("0a", 32)+"\npassword_digest=MD5:"+strings.Repeat("0B", 16), ""),
			`ha1_md5: "` + strings.Repeat("0b", 16) + "\"\n    ha1_sha512_256: ",
		},
		{"two endpoints of one login", phone("u", "", "password=p", "") + "[v]\ntype=endpoint\nauth=u\naors=v\n[v]\ntype=aor\n", `aors: ["sip:v@example.com"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := planOf(t, tt.text)
			if !strings.Contains(string(p.Users()), tt.want) {
				t.Errorf("%q is not in the users file:\n%s", tt.want, p.Users())
			}
			if problem := unusable(t.TempDir(), p); problem != "" {
				t.Error(problem)
			}
		})
	}
}
