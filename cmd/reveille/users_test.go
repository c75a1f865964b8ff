package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"reveille/internal/auth"
)

// addUsers makes this test binary a command that adds users to that configuration.
const addUsers = "REVEILLE_ADD_USERS"

// addForTest adds users until it is killed, and prints the name of each when that is
// done.
func addForTest(config string) int {
	for i := 0; ; i++ {
		name := fmt.Sprintf("user%d", i)
		p := program{input: strings.NewReader("x\n"), stdout: io.Discard, stderr: os.Stderr}
		if code := run([]string{"users", "add", "--config", config, "--password-stdin", name}, p); code != exitOK {
			return code
		}
		fmt.Println(name)
	}
}

// A usersRig is a configuration with a users file.
type usersRig struct {
	t             *testing.T
	config, users string
}

func newUsersRig(t *testing.T, users, more string) *usersRig {
	t.Helper()
	dir := t.TempDir()
	r := &usersRig{t, filepath.Join(dir, "r.yaml"), filepath.Join(dir, "users")}
	for name, text := range map[string]string{
		r.users:  users,
		r.config: "domains: [example.com, example.org]\nauth: {users_file: users, algorithms: [SHA-256, MD5], realms: [{domain: example.org, realm: org}]}\ncontrol: {socket: none}\n" + more,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// run runs a command line behind `users`; what is typed are the answers to questions.
func (r *usersRig) run(line, stdin string, typed ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	p := program{input: strings.NewReader(stdin)}
	if typed != nil {
		p.readPassword = func(string) (string, error) {
			if len(typed) == 0 {
				return "", errInterrupted
			}
			s := typed[0]
			typed = typed[1:]
			return s, nil
		}
	}
	return runWith(p, append(append([]string{"users"}, strings.Fields(line)...), "--config", r.config)...)
}

func (r *usersRig) text() string {
	r.t.Helper()
	text, err := os.ReadFile(r.users)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func TestUsers(t *testing.T) {
	r := newUsersRig(t, "# Ours.\nusers:\n- {name: bob, password: old}\n", "")
	must := func(line, stdin string, typed ...string) string {
		t.Helper()
		code, stdout, stderr := r.run(line, stdin, typed...)
		if code != exitOK || strings.Contains(stdout+stderr, "s3cret") {
			t.Fatalf("%s: code %d\n%s%s", line, code, stdout, stderr)
		}
		return stdout
	}
	must("add alice --aor sip:sales@example.org --max-contacts 3", "", "s3cret", "s3cret")
	must("add alice --realm org --password-stdin", "other\r\nmore")
	must("passwd bob --password-stdin", "new")
	if text := r.text(); strings.Contains(text, "s3cret") || strings.Contains(text, "old") || !strings.HasPrefix(text, "# Ours.\n") {
		t.Errorf("the file is\n%s", text)
	}
	accounts, err := auth.ParseFile("users", []byte(r.text()))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ name, realm, password string }{{"bob", "example.com", "new"}, {"alice", "example.com", "s3cret"}, {"alice", "org", "other"}} {
		if a := accounts[i]; a.Name != want.name || a.HA1SHA256 != auth.SHA256.HA1(want.name, want.realm, want.password) ||
			a.HA1MD5 != auth.MD5.HA1(want.name, want.realm, want.password) || a.HA1SHA512256 != "" || a.Password != "" {
			t.Errorf("user %d is %+v, want %v", i, a, want)
		}
	}
	list := must("list", "")
	contains(t, list, []string{"NAME ", "alice  example.com  ha1_md5 ha1_sha256  sip:sales@example.org  3 phones", "alice  org"})
	contains(t, must("list --json", ""), []string{`"realm": "org"`, `"proof": [`, `"max_contacts": 3`})
	contains(t, must("rm alice --realm org --json", ""), []string{`"did": "removed"`, `"reloaded": false`})
	must("rm bob", "")
	if got := must("list --json", ""); strings.Contains(got, "bob") || strings.Contains(got, "org\",") {
		t.Errorf("left are %s", got)
	}
	if info, err := os.Stat(r.users); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

func TestUsers_Mistakes(t *testing.T) {
	const users = "users:\n- {name: bob, password: x}\n- {name: bob, realm: org, password: x}\n"
	r := newUsersRig(t, users, "registrar: {aor: {case_sensitive: false}}\n")
	for _, tt := range []struct {
		name, line, stdin string
		typed             []string
		code              int
		says              string
	}{
		{"a colon", "add a:b --password-stdin", "x", nil, exitUsage, "colon"},
		{"an address", "add alice@example.com --password-stdin", "x", nil, exitUsage, "such as alice"},
		{"a terminal's command", "add a\x1b[2J --password-stdin", "x", nil, exitUsage, `"a?[2J" holds`},
		{"upper case", "add Alice --password-stdin", "x", nil, exitUsage, "hint: write alice"},
		{"no name", "add --password-stdin", "x", nil, exitUsage, "one name"},
		{"one that is there", "add bob --password-stdin", "x", nil, exitFailed, "bob is a user already, at " + r.users + ":2:3; hint: `reveille users passwd`"},
		{"no password", "add alice --password-stdin", "\n", nil, exitFailed, "the password is empty"},
		{"a long password", "add alice --password-stdin", strings.Repeat("x", 2000), nil, exitFailed, "longer than"},
		{"a password for no phone", "add alice --password-stdin", "a\x00b", nil, exitFailed, "control characters"},
		{"nobody to ask", "add alice", "", nil, exitFailed, "--password-stdin"},
		{"two different passwords", "add alice", "", []string{"a", "b"}, exitFailed, "not the same"},
		{"an interrupted question", "add alice", "", []string{}, exitFailed, "ended by a signal"},
		{"an address of somebody else", "add alice --aor sip:a@example.net --password-stdin", "x", nil, exitFailed, "example.net is none of domains"},
		{"an address that is none", "add alice --aor : --password-stdin", "x", nil, exitFailed, "aor"},
		{"a realm of nobody", "add alice --realm lab --password-stdin", "x", nil, exitUsage, "known here: example.com, org"},
		{"no such user", "passwd carol --password-stdin", "x", nil, exitFailed, "no user carol"},
		{"two of that name", "rm bob", "", nil, exitFailed, "--realm"},
		{"no such command", "ad alice", "", nil, exitUsage, "unknown command"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := r.run(tt.line, tt.stdin, tt.typed...)
			if code != tt.code || !strings.Contains(stderr, tt.says) || strings.Contains(stderr, ".new") {
				t.Errorf("code %d, want %d; printed %s%s", code, tt.code, stdout, stderr)
			}
			if r.text() != users {
				t.Errorf("the file is now\n%s", r.text())
			}
		})
	}
	if files, _ := filepath.Glob(filepath.Join(filepath.Dir(r.users), ".*")); len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
	if code, _, stderr := runWith(program{}, "users", "list", "--config", file(t, "domains: [example.com]\n")); code != exitFailed || !strings.Contains(stderr, "auth.users_file") {
		t.Errorf("without a users file: code %d, %s", code, stderr)
	}
}

// TestUsers_Reload: a running server takes the change over, or says why not.
func TestUsers_Reload(t *testing.T) {
	var answer atomic.Int32
	config := newControl(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/reload" || r.Method != http.MethodPost {
			t.Errorf("asked for %s %s", r.Method, r.URL)
		}
		if code := int(answer.Load()); code != http.StatusOK {
			w.WriteHeader(code)
			io.WriteString(w, `{"title": "configuration not reloaded", "detail": "line 3"}`)
			return
		}
		io.WriteString(w, `{"changed": [], "restart": []}`)
	})
	users := filepath.Join(filepath.Dir(config), "users")
	for name, text := range map[string]string{users: "users:\n", config: "control: {socket: c}\nauth: {users_file: users}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &usersRig{t, config, users}
	answer.Store(http.StatusOK)
	if code, stdout, stderr := r.run("add alice --password-stdin --json", "x"); code != exitOK || !strings.Contains(stdout, `"reloaded": true`) {
		t.Errorf("code %d; printed %s%s", code, stdout, stderr)
	}
	answer.Store(http.StatusUnprocessableEntity)
	if code, _, stderr := r.run("rm alice", ""); code != exitFailed || !strings.Contains(stderr, "was changed, but the running server") || !strings.Contains(stderr, "line 3") {
		t.Errorf("code %d; printed %s", code, stderr)
	}
	if code, _, stderr := r.run("add alice --password-stdin --no-reload", "x"); code != exitOK || stderr != "" {
		t.Errorf("code %d; printed %s", code, stderr)
	}
}

// TestUsers_Together: commands at the same time lose nothing of each other.
func TestUsers_Together(t *testing.T) {
	r := newUsersRig(t, "users:\n", "")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if code, stdout, stderr := r.run(fmt.Sprintf("add user%d --password-stdin", i), "x"); code != exitOK {
				t.Errorf("code %d; printed %s%s", code, stdout, stderr)
			}
		})
	}
	all.Wait()
	if accounts, err := auth.ParseFile("users", []byte(r.text())); err != nil || len(accounts) != 8 {
		t.Errorf("%d users, %v", len(accounts), err)
	}
}

// TestUsers_Killed: after kill -9 at any time the file holds whole users, all of
// those that were told of and one more at most, and can be changed.
func TestUsers_Killed(t *testing.T) {
	r := newUsersRig(t, "# Ours.\n", "")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), addUsers+"="+r.config)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var told []string
	for len(told) < 5 && lines.Scan() {
		told = append(told, lines.Text())
	}
	cmd.Process.Kill()
	for lines.Scan() {
		told = append(told, lines.Text())
	}
	cmd.Wait()
	accounts, err := auth.ParseFile("users", []byte(r.text()))
	if err != nil || len(told) < 5 || len(accounts) < len(told) || len(accounts) > len(told)+1 {
		t.Fatalf("%d users told of, the file has %d, %v", len(told), len(accounts), err)
	}
	if code, _, stderr := r.run("add zoe --password-stdin", "x"); code != exitOK {
		t.Errorf("code %d; printed %s", code, stderr)
	}
}

func TestEditFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, []byte("a"), 0o640); err != nil {
		t.Fatal(err)
	}
	// What a killed command left is in nobody's way.
	if err := os.WriteFile(filepath.Join(dir, ".f.new"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	fine := func(string) error { return nil }
	boom := errors.New("boom")
	add := func(old []byte) ([]byte, error) { return append(slices.Clone(old), 'b'), nil }
	for _, tt := range []struct {
		name  string
		edit  func([]byte) ([]byte, error)
		check func(string) error
		err   error
		want  string
	}{
		{"a change", add, fine, nil, "ab"},
		{"an edit that fails", func([]byte) ([]byte, error) { return nil, boom }, fine, boom, "ab"},
		{"a draft that is refused", add, func(string) error { return boom }, boom, "ab"},
		{"an editor meanwhile", add, func(string) error { return os.WriteFile(name, []byte("edited"), 0o640) }, errEditedElsewhere, "edited"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := editFile(name, tt.edit, tt.check); !errors.Is(err, tt.err) {
				t.Errorf("editFile = %v, want %v", err, tt.err)
			}
			text, _ := os.ReadFile(name)
			info, err := os.Stat(name)
			if err != nil || string(text) != tt.want || info.Mode().Perm() != 0o640 {
				t.Errorf("the file is %q, %v, %v", text, info.Mode(), err)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 1 {
				t.Errorf("%d files are there", len(entries))
			}
		})
	}
	// A link stays one, whatever folder it is in.
	links := t.TempDir()
	link, again := filepath.Join(links, "link"), filepath.Join(links, "again")
	if err := errors.Join(os.Symlink(name, link), os.Symlink("link", again)); err != nil {
		t.Fatal(err)
	}
	if err := editFile(again, add, fine); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	entries, _ := os.ReadDir(links)
	if target, _ := os.Readlink(again); err != nil || string(text) != "editedb" || target != "link" || len(entries) != 2 {
		t.Errorf("behind the link is %q, %v; the link leads to %q, and %d files are there", text, err, target, len(entries))
	}
	if err := editFile(filepath.Join(links, "none"), add, fine); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
