package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tables are package variables that are never written: arrays and slices that
// would be constants if Go had such. Each is named, so that adding one is a
// decision. purr.pool is the exception: it holds scratch memory, no state.
func tables() []string {
	return []string{
		"flow.transportNames",
		"internal/auth.algorithmNames", "internal/auth.qopNames", "internal/auth.reasonNames", "internal/auth.roleNames",
		"internal/guard.dropNames", "internal/guard.reasonNames", "internal/guard.refusalNames",
		"internal/phone.kindNames",
		"internal/proxy.pushParams", "internal/proxy.unregistered",
		"internal/sipmsg.charClass", "internal/sipmsg.compactForms", "internal/sipmsg.headerNames", "internal/sipmsg.headersByHash",
		"internal/sipmsg.plainHeaders", "internal/sipmsg.reasonPhrases",
		"internal/trace.keyLines", "internal/trace.shownCredentials",
		"internal/transaction.kindNames", "internal/transaction.levelNames",
		"purr.pool",
		"push.backoff", "push.classNames", "push.kindNames",
		"push/pushsim.faultNames",
		"push/webpush.special",
		"usrloc.causeNames", "usrloc.changeNames", "usrloc.methodNames", "usrloc.noTime",
		"usrloc/disk.castagnoli",
		"usrloc/usrloctest.concurrencyCases", "usrloc/usrloctest.expiryCases", "usrloc/usrloctest.limitCases",
		"usrloc/usrloctest.timerCases", "usrloc/usrloctest.tokenCases", "usrloc/usrloctest.listCases", "usrloc/usrloctest.touchCases", "usrloc/usrloctest.updateCases", "usrloc/usrloctest.watchCases",
	}
}

// TestState_NoInitNoVariables: two servers run in one process, so a package
// keeps nothing that one could see of the other.
func TestState_NoInitNoVariables(t *testing.T) {
	for _, dir := range folders(t) {
		for _, file := range productFiles(t, dir) {
			for _, what := range state(dir, file) {
				t.Error(what)
			}
		}
	}
}

// productFiles parses the Go files of a folder that are no tests.
func productFiles(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		files = append(files, parseFile(t, name))
	}
	return files
}

// parsed are the files that a test has read already: several look at all of them.
var parsed sync.Map

func parseFile(t *testing.T, name string) *ast.File {
	t.Helper()
	if f, ok := parsed.Load(name); ok {
		return f.(*ast.File)
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	parsed.Store(name, f)
	return f
}

// state returns complaints about what a file keeps in its package.
func state(dir string, file *ast.File) []string {
	var complaints []string
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				complaints = append(complaints, dir+" has an init function: build in New what it prepares")
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR || embeds(d.Doc) {
				continue
			}
			for _, spec := range d.Specs {
				v := spec.(*ast.ValueSpec)
				for i, name := range v.Names {
					if !allowed(dir, v, i) && !embeds(v.Doc) {
						complaints = append(complaints, dir+"."+name.Name+
							" is a package variable: only errors, regular expressions, embedded files, interface assertions and the tables listed in archtest may be")
					}
				}
			}
		}
	}
	return complaints
}

// embeds reports whether a declaration is filled from a file.
func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// allowed reports whether the i-th variable of a declaration is one that no one
// writes to.
func allowed(dir string, v *ast.ValueSpec, i int) bool {
	name := v.Names[i].Name
	// var _ I = T{} asserts at compile time.
	if name == "_" {
		return true
	}
	if slices.Contains(tables(), filepath.ToSlash(dir)+"."+name) {
		return true
	}
	if i >= len(v.Values) {
		return false
	}
	switch x := v.Values[i].(type) {
	case *ast.CallExpr:
		switch called(x) {
		case "errors.New", "fmt.Errorf", "regexp.MustCompile":
			return true
		}
	case *ast.UnaryExpr:
		// A typed error that carries data: var ErrX = &StatusError{...}, or errX.
		lit, ok := x.X.(*ast.CompositeLit)
		return ok && strings.HasPrefix(strings.ToLower(name), "err") && lit.Type != nil
	}
	return false
}

// called returns "package.Function" of a call.
func called(c *ast.CallExpr) string {
	sel, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return pkg.Name + "." + sel.Sel.Name
}

// TestState_Rules shows what the rule finds.
func TestState_Rules(t *testing.T) {
	tests := []struct {
		code string
		want int
	}{
		{`var ErrX = errors.New("x")`, 0},
		{`var errX, errY = errors.New("x"), errors.New("y")`, 0},
		{`var re = regexp.MustCompile("x")`, 0},
		{"//go:embed file\nvar text string", 0},
		{`var _ I = (*T)(nil)`, 0},
		{`var ErrX = &E{Code: 1}`, 0},
		{`var cache = map[string]int{}`, 1},
		{`var counter int`, 1},
		{`var a, b = errors.New("x"), 5`, 1},
		{`var once sync.Once`, 1},
		{`var pool = sync.Pool{}`, 1},
		{`func init() {}`, 1},
		{`func (t T) init() {}`, 0},
		{`const x = 1`, 0},
	}
	for _, tt := range tests {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+tt.code, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if got := state("x", file); len(got) != tt.want {
			t.Errorf("%s: %d complaints, want %d: %v", tt.code, len(got), tt.want, got)
		}
	}
}
