package deploy

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reveille/configs"
)

// A recipe is what these tests need of deploy/deb/nfpm.yaml.
type recipe struct {
	Name        string
	Arch        string
	Platform    string
	Version     string
	Schema      string `yaml:"version_schema"`
	Section     string
	Priority    string
	Maintainer  string
	License     string
	Description string
	Depends     []string
	Recommends  []string
	Contents    []content
	Scripts     map[string]string
	Deb         map[string]string
}

type content struct {
	Src, Dst, Type string
	Expand         bool
	Info           struct{ Mode fs.FileMode } `yaml:"file_info"`
}

func debRecipe(t *testing.T) recipe {
	t.Helper()
	var r recipe
	decode(t, "deploy/deb/nfpm.yaml", &r)
	return r
}

// at returns what the package has at a path.
func (r recipe) at(t *testing.T, path string) content {
	t.Helper()
	i := slices.IndexFunc(r.Contents, func(c content) bool { return c.Dst == path })
	if i < 0 {
		t.Fatalf("the package has no %s", path)
	}
	return r.Contents[i]
}

// TestDeb_Sources: all that the package takes from the repository is there.
// deploy/release makes what lies in ${TREE}.
func TestDeb_Sources(t *testing.T) {
	r := debRecipe(t)
	for _, c := range r.Contents {
		if c.Src == "" || strings.HasPrefix(c.Src, "${TREE}/") {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, c.Src)); err != nil {
			t.Error(err)
		}
	}
	for name, file := range r.Scripts {
		if out, err := exec.CommandContext(t.Context(), "sh", "-n", filepath.Join(root, file)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

// TestDeb_FitsTheUnit: what the unit runs, reads and writes is what the package
// installs, and its scripts make and remove.
func TestDeb_FitsTheUnit(t *testing.T) {
	r, settings := debRecipe(t), unit(t)
	start := strings.Fields(settings["Service.ExecStart"][0])
	if len(start) != 4 || start[1] != "serve" || start[2] != "--config" {
		t.Fatalf("ExecStart = %q", start)
	}
	if c := r.at(t, start[0]); c.Info.Mode != 0o755 {
		t.Errorf("%s has the mode %o", c.Dst, c.Info.Mode)
	}
	// It will hold passwords.
	if c := r.at(t, start[3]); c.Type != "config|noreplace" || c.Info.Mode != 0o640 {
		t.Errorf("%s is %q with the mode %o, want a conffile with 640", c.Dst, c.Type, c.Info.Mode)
	}
	if c := r.at(t, "/usr/lib/systemd/system/reveille.service"); c.Src != unitFile {
		t.Errorf("the unit is %s", c.Src)
	}
	user, state := settings["Service.User"][0], "/var/lib/"+settings["Service.StateDirectory"][0]
	for script, want := range map[string][]string{
		"postinstall": {"adduser --system --group", " " + user + "\n", "-m 0700 -o " + user + " -g " + user + " " + state, "chown root:" + user},
		"postremove":  {"rm -rf " + state},
	} {
		text := read(t, r.Scripts[script])
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s does not say %q", script, w)
			}
		}
	}
	// As it is installed, the configuration is good, and its store where the unit lets it write.
	cfg, _, err := configs.Load(filepath.Join(root, r.at(t, start[3]).Src), configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(cfg.Store.Dir); got != state {
		t.Errorf("store.dir = %s, want %s", got, state)
	}
}

// TestDeb_CommentedConfiguration: what the installed file shows in comments is good,
// too, once it is uncommented.
func TestDeb_CommentedConfiguration(t *testing.T) {
	var b strings.Builder
	for line := range strings.Lines(read(t, "deploy/deb/reveille.yaml")) {
		// "# Words" are comments, "#key:" is an example.
		if rest, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, "  ") {
			line = rest
		}
		b.WriteString(line)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"reveille.yaml": b.String(), "users.yaml": "users: [{name: alice, password: secret}]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, _, err := configs.Load(filepath.Join(dir, "reveille.yaml"), configs.Env{})
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if len(cfg.Listen) != 2 || cfg.Listen[0].Addr != ":5060" {
		t.Errorf("listen = %+v", cfg.Listen)
	}
}
