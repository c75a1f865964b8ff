package pjsip

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reveille/configs"
	"reveille/internal/auth"
)

var update = flag.Bool("update", false, "write the golden files anew")

// folder reads files below a folder.
type folder string

func (f folder) Read(name string) ([]byte, error) { return os.ReadFile(filepath.Join(string(f), name)) }

func (f folder) Glob(pattern string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(string(f), pattern))
	for i, name := range names {
		names[i], _ = filepath.Rel(string(f), name)
	}
	return names, err
}

// TestGolden imports each testdata/*/pjsip.conf and compares what it leads to
// with the file want beside it: the notes, the configuration and the users.
func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/pjsip.conf")
	if err != nil || len(dirs) < 5 {
		t.Fatalf("found %d configurations, %v", len(dirs), err)
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			plan := imported(t, folder(dir))
			var got strings.Builder
			for _, n := range plan.Notes {
				got.WriteString(n.String() + "\n")
			}
			got.WriteString("---- reveille.yaml\n" + string(plan.Config()) + "---- users\n" + string(plan.Users()))
			want := filepath.Join(dir, "want")
			if *update {
				if err := os.WriteFile(want, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(text), got.String()); d != "" {
				t.Errorf("import (-want +got):\n%s", d)
			}
			if problem := unusable(t.TempDir(), plan); problem != "" {
				t.Error(problem)
			}
		})
	}
}

func imported(t *testing.T, files Files) *Plan {
	t.Helper()
	doc, err := Parse("pjsip.conf", files)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{UsersFile: "users"}
	if lists, err := files.Glob("acl.conf"); err == nil && len(lists) == 1 {
		if o.ACLs, err = Parse(lists[0], files); err != nil {
			t.Fatal(err)
		}
	}
	return MakePlan("pjsip.conf", doc, o)
}

// unusable says why the server would not start with a plan, "" if it would.
func unusable(dir string, plan *Plan) string {
	users := plan.Users()
	if users != nil {
		if err := os.WriteFile(filepath.Join(dir, "users"), users, 0o600); err != nil {
			return err.Error()
		}
	}
	cfg, _, err := configs.Parse(filepath.Join(dir, "reveille.yaml"), plan.Config(), configs.Env{})
	if err != nil {
		return "configuration: " + err.Error() + "\n" + string(plan.Config())
	}
	accounts, err := auth.ParseFile("users", users)
	if err != nil {
		return "users: " + err.Error() + "\n" + string(users)
	}
	if len(accounts) != len(plan.users) {
		return "users are missing\n" + string(users)
	}
	for i, a := range accounts {
		if want := plan.users[i]; a.Name != want.name || a.Password != want.password {
			return "the users file does not say what was read\n" + string(users)
		}
	}
	if _, err := auth.NewUsers(cfg.Realm(), accounts); err != nil {
		return "users: " + err.Error() + "\n" + string(users)
	}
	return ""
}
