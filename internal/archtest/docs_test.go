package archtest

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"reveille/internal/tlscert/certtest"
	"reveille/push/pushsim"
)

// A row of docs/conformance.md or docs/security.md: a clause or a threat, and the
// test that shows it.
type row struct {
	line         int
	clause, test string
}

// tested matches a test as the table names it: `folder.TestName`, or
// `folder.TestName/case`.
var tested = regexp.MustCompile("`([a-z0-9/_]+)\\.((?:Test|Fuzz|Example)[A-Za-z0-9_]*)(/[^`]*)?`")

// TestConformance_TestsExist holds docs/conformance.md to the tree: every row
// names tests that are there, so that a clause cannot lose its proof unseen.
func TestConformance_TestsExist(t *testing.T) {
	testsExist(t, "docs/conformance.md", 4, 20)
}

// TestSecurity_TestsExist does the same for the table of threats.
func TestSecurity_TestsExist(t *testing.T) { testsExist(t, "docs/security.md", 3, 20) }

// TestInterop_TestsExist does the same for the table of clients. What its cells
// say is compared where the clients run.
func TestInterop_TestsExist(t *testing.T) { testsExist(t, "docs/interop.md", 9, 10) }

// testsExist looks up the tests that stand in the last of the cells of a document
// that has at least so many rows.
func testsExist(t *testing.T, doc string, cells, least int) {
	t.Helper()
	rows := tableRows(t, doc, readFile(t, doc), cells)
	if len(rows) < least {
		t.Fatalf("%s has %d rows", doc, len(rows))
	}
	known := map[string]map[string]bool{}
	for _, r := range rows {
		matches := tested.FindAllStringSubmatch(r.test, -1)
		if len(matches) == 0 {
			t.Errorf("%s:%d: %s names no test: write `folder.TestName`", doc, r.line, r.clause)
		}
		for _, m := range matches {
			dir, name := m[1], m[2]
			if known[dir] == nil {
				known[dir] = testFunctions(t, dir)
			}
			if !known[dir][name] {
				t.Errorf("%s:%d: %s is said to be shown by %s in %s, which does not exist", doc, r.line, r.clause, name, dir)
			}
		}
	}
}

// TestSipgoDoc_TestsExist does the same for docs/sipgo.md.
func TestSipgoDoc_TestsExist(t *testing.T) {
	matches := tested.FindAllStringSubmatch(readFile(t, "docs/sipgo.md"), -1)
	if len(matches) < 5 {
		t.Fatalf("docs/sipgo.md names %d tests", len(matches))
	}
	for _, m := range matches {
		if !testFunctions(t, m[1])[m[2]] {
			t.Errorf("docs/sipgo.md names %s in %s, which does not exist", m[2], m[1])
		}
	}
}

// tableRows reads the rows of a document's tables, which have so many cells: the
// first is the clause, the last the test.
func tableRows(t *testing.T, doc, text string, cells int) []row {
	t.Helper()
	var rows []row
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasSuffix(line, "| test |") {
			continue
		}
		found := strings.Split(strings.Trim(line, "| "), " | ")
		if len(found) != cells {
			t.Errorf("%s:%d has %d cells, want %d", doc, i+1, len(found), cells)
			continue
		}
		rows = append(rows, row{line: i + 1, clause: found[0], test: found[cells-1]})
	}
	return rows
}

// testFunctions lists the tests, fuzzers and examples of a folder, whatever
// their build tags.
func testFunctions(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	functions := map[string]bool{}
	for _, name := range names {
		for _, decl := range parseFile(t, name).Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				functions[f.Name.Name] = true
			}
		}
	}
	return functions
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A snippet is a code block of a document that can be run.
type snippet struct {
	line       int
	lang, text string
}

// marker stands on the line above a block that this test runs.
const marker = "<!-- run -->"

// snippets returns the marked code blocks of a document.
func snippets(text string) []snippet {
	var list []snippet
	lines := strings.Split(text, "\n")
	for i := 0; i+1 < len(lines); i++ {
		lang, ok := strings.CutPrefix(lines[i+1], "```")
		if lines[i] != marker || !ok {
			continue
		}
		s := snippet{line: i + 2, lang: lang}
		for i += 2; i < len(lines) && lines[i] != "```"; i++ {
			s.text += lines[i] + "\n"
		}
		list = append(list, s)
	}
	return list
}

// TestSnippets_Run runs the marked shell blocks of the documents in the folder of the
// module, and has the marked YAML blocks checked. They need no network.
func TestSnippets_Run(t *testing.T) {
	bin := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	// Readers have the program on their PATH. It is linked in half the time without
	// what debuggers read.
	run(ctx, t, bin, "go build -ldflags='-s -w' -o "+bin+"/reveille ./cmd/reveille")
	ran := 0
	for _, doc := range documents(t) {
		for _, s := range snippets(readFile(t, doc)) {
			ran++
			t.Run(fmt.Sprintf("%s:%d", doc, s.line), func(t *testing.T) {
				switch s.lang {
				case "sh":
					run(ctx, t, bin, s.text)
				case "yaml":
					file := filepath.Join(placeCredentials(t), "reveille.yaml")
					if err := os.WriteFile(file, []byte(s.text), 0o600); err != nil {
						t.Fatal(err)
					}
					run(ctx, t, bin, "reveille check "+file)
				default:
					t.Errorf("no one knows how to run %q", s.lang)
				}
			})
		}
	}
	if ran < 3 {
		t.Errorf("ran %d snippets only: are they still marked with %s?", ran, marker)
	}
}

// placeCredentials returns a folder with files of the names that the documents use,
// as readers have them.
func placeCredentials(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	sim, err := pushsim.Start(pushsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	old, err := pushsim.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	cert, key := certtest.PEM(t, certtest.New(t).Issue("sip.example.com"))
	for name, content := range map[string][]byte{
		"AuthKey_ZYXWV98765.p8": sim.Credentials().KeyP8(), "service-account.json": bytes.ReplaceAll(sim.ServiceAccountJSON(), []byte(pushsim.ProjectID), []byte("example-phone")),
		"vapid.pem": sim.Credentials().VAPIDKeyPEM(), "vapid-old.pem": old.VAPIDKeyPEM(),
		"sip.example.com.pem": cert, "sip.example.com.key": key, "localhost.pem": cert, "localhost.key": key, "oidc.secret": []byte("a-secret-of-the-provider\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run runs shell commands in the module's folder and fails the test if one does.
func run(ctx context.Context, t *testing.T, bin, commands string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", commands)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "ALICE_PASSWORD=example")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s%v\n%s", commands, err, out)
	}
}

func TestSnippets_AreFound(t *testing.T) {
	text := "a\n" + marker + "\n```sh\necho 1\necho 2\n```\n```sh\nnot this\n```\n" + marker + "\nno block\n"
	got := snippets(text)
	if len(got) != 1 || got[0].text != "echo 1\necho 2\n" || got[0].lang != "sh" || got[0].line != 3 {
		t.Errorf("snippets = %+v", got)
	}
}
