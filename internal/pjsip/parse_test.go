package pjsip

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// texts are files in memory, by name.
type texts map[string]string

func (m texts) Read(name string) ([]byte, error) {
	if text, ok := m[name]; ok {
		return []byte(text), nil
	}
	return nil, fs.ErrNotExist
}

func (m texts) Glob(pattern string) ([]string, error) {
	var names []string
	for name := range m {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok || name == pattern {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// flat writes a document in one line per section, templates and what is
// inherited spelled out.
func flat(doc *Document) []string {
	var lines []string
	for _, s := range doc.Sections {
		line := "[" + s.Name + "]"
		if s.Template {
			line += "(!)"
		}
		for _, o := range s.Options {
			line += fmt.Sprintf(" %s=%s", o.Name, o.Value)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestParse(t *testing.T) {
	tests := []struct {
		name  string
		files texts
		want  []string
	}{
		{"nothing", texts{"a": ""}, nil},
		{"options", texts{"a": "\ufeff[x]\na=1\n b = two words \nc=>3\nd =\n"}, []string{"[x] a=1 b=two words c=3 d="}},
		{"line ends of Windows", texts{"a": "[x]\r\na=1\r\n"}, []string{"[x] a=1"}},
		{"comments", texts{"a": "; one\n[x];two\na=1;three\nb=2 \\; 3 ; four\n"}, []string{"[x] a=1 b=2 ; 3"}},
		{"block comments", texts{"a": "[x]\na=1;-- b\n c=2 ;-- inner --; --;d=3\n;--- a line\ne=;--x--;4\n"}, []string{"[x] a=1 d=3 e=4"}},
		{"template", texts{"a": "[t](!)\na=1\nb=1\n[x](t)\nb=2\n"}, []string{"[t](!) a=1 b=1", "[x] a=1 b=1 b=2"}},
		{"two templates, and one in a template", texts{"a": "[t](!)\na=1\n[u](!,t)\nb=2\n[v](!)\nc=3\n[x](u,v)\n"}, []string{"[t](!) a=1", "[u](!) a=1 b=2", "[v](!) c=3", "[x] a=1 b=2 c=3"}},
		{"inheriting from no template", texts{"a": "[t]\na=1\n[x](t)\n"}, []string{"[t] a=1", "[x] a=1"}},
		{"what a template gets later is not inherited", texts{"a": "[t](!)\na=1\n[x](t)\n[t](+TEMPLATES=include)\nb=2\n"}, []string{"[t](!) a=1 b=2", "[x] a=1"}},
		{"continued", texts{"a": "[x]\na=1\n[y]\n[x](+)\nb=2\n"}, []string{"[x] a=1 b=2", "[y]"}},
		{"continued by filter", texts{"a": "[x]\ntype=aor\n[x]\ntype=auth\n[x](+type=auth)\nb=2\n"}, []string{"[x] type=aor", "[x] type=auth b=2"}},
		{"longer", texts{"a": "[t](!)\na=1\n[x](t)\na+=,2\na+= ,3\nb+=4\n"}, []string{"[t](!) a=1", "[x] a=1,2 ,3 b=4"}},
		{"escaped names", texts{"a": "[x]\n\\#a=1\n\\[b=2\n"}, []string{"[x] #a=1 [b=2"}},
		{"no continuation of lines", texts{"a": "[x]\na=1\\\nb=2\n"}, []string{`[x] a=1\ b=2`}},
		{"include", texts{"a": "[x]\n#include \"b\"\nd=4\n#include <c>\n", "b": "b=2\n[y]\nc=3\n", "c": "e=5\n"}, []string{"[x] b=2 d=4 e=5", "[y] c=3"}},
		{"include by pattern", texts{"a": "#include d/*.conf\n", "d/2.conf": "[y]\n", "d/1.conf": "[x]\n", "d/3.txt": "[z]\n"}, []string{"[x]", "[y]"}},
		{"no file matches the pattern", texts{"a": "#include d/*.conf\n"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := Parse("a", tt.files)
			if err != nil || len(doc.Notes) > 0 {
				t.Fatalf("error %v, notes %v", err, doc.Notes)
			}
			if d := cmp.Diff(tt.want, flat(doc)); d != "" {
				t.Errorf("sections (-want +got):\n%s", d)
			}
		})
	}
}

func TestParse_PlacesAreThoseOfTheLines(t *testing.T) {
	doc, err := Parse("a", texts{"a": "[t](!)\na=1\n#include b\n", "b": "\n[x](t)\nc=2\n"})
	if err != nil {
		t.Fatal(err)
	}
	x := doc.Sections[1]
	want := []Option{
		{Name: "a", Value: "1", Section: "t", Place: Place{"a", 2}},
		{Name: "c", Value: "2", Section: "x", Place: Place{"b", 3}},
	}
	if d := cmp.Diff(want, x.Options); d != "" || x.Place != (Place{"b", 2}) {
		t.Errorf("[x] at %v (-want +got):\n%s", x.Place, d)
	}
}

func TestParse_Fails(t *testing.T) {
	double := "[a](!)\nx=1\n"
	for i := range 40 {
		double += fmt.Sprintf("[a%d](!,a%s,a%s)\n", i, suffix(i), suffix(i))
	}
	tests := []struct {
		name  string
		files texts
		want  string
	}{
		{"no file", texts{}, "read a: file does not exist"},
		{"a file that includes itself", texts{"a": "#include a\n"}, "a includes itself"},
		{"files that include each other", texts{"a": "#include b\n", "b": "#include a\n"}, "a includes itself"},
		{"includes in includes", chain(12), "more than 10 deep"},
		{"a pattern that is none", texts{"a": "#include [\n", "b": ""}, "syntax error in pattern"},
		{"templates that double", texts{"a": double}, ErrTooLarge.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse("a", tt.files); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := Parse("a", texts{"a": strings.Repeat("#include b\n", 70), "b": strings.Repeat(";", 1<<20)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("70 MiB: error %v, want ErrTooLarge", err)
	}
}

// suffix names the template before the i-th.
func suffix(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprint(i - 1)
}

// chain is n files of which each includes the next.
func chain(n int) texts {
	files := texts{"a": "#include b0\n"}
	for i := range n {
		files[fmt.Sprintf("b%d", i)] = fmt.Sprintf("#include b%d\n", i+1)
	}
	return files
}
