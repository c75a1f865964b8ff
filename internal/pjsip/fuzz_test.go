package pjsip

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write writes a document without templates and includes: what is inherited is
// spelled out.
func write(doc *Document) string {
	escape := strings.NewReplacer(";", `\;`)
	var b strings.Builder
	for _, s := range doc.Sections {
		b.WriteString("[" + escape.Replace(s.Name) + "]")
		if s.Template {
			b.WriteString("(!)")
		}
		b.WriteByte('\n')
		for _, o := range s.Options {
			// A backslash keeps a name that begins like a section or a directive.
			b.WriteString(`\` + escape.Replace(o.Name) + " = " + escape.Replace(o.Value) + "\n")
		}
	}
	return b.String()
}

// FuzzParse: what is read, written and read again is the same, and needs no
// note.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	more, err := filepath.Glob("testdata/*/*/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, more...) {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "[x]\na=1\n")
	}
	f.Add("[t](!)\na=1\n[x](t,+)\n\\=b==>c\\;--d\n#include b\n", ";--\n[y]--;\n")
	f.Fuzz(func(t *testing.T, text, included string) {
		doc, err := Parse("a", texts{"a": text, "b": included})
		if err != nil {
			return
		}
		again, err := Parse("a", texts{"a": write(doc)})
		if err != nil || len(again.Notes) > 0 {
			t.Fatalf("read again: %v, %v\n%s", err, again.Notes, write(doc))
		}
		if d := cmp.Diff(flat(doc), flat(again)); d != "" {
			t.Errorf("read again (-first +again):\n%s", d)
		}
	})
}

// FuzzPlan: whatever is imported, the server takes the result.
func FuzzPlan(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.conf")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(phone("u", "", "password=p", "max_contacts=0\ndefault_expiration=9\nminimum_expiration=10\nmaximum_expiration=8"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := Parse("a", texts{"a": text})
		if err != nil {
			return
		}
		if problem := unusable(dir, MakePlan("a", doc, Options{UsersFile: "users"})); problem != "" {
			t.Error(problem)
		}
	})
}
