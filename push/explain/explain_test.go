package explain

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"reveille/push"
)

// TestKnown_EveryReasonOfOurs walks through the words that the senders and the
// dispatcher write themselves.
func TestKnown_EveryReasonOfOurs(t *testing.T) {
	for dir, provider := range map[string]string{
		"..": "fcm", "../internal/exchange": "fcm", "../apns": "apns", "../fcm": "fcm", "../webpush": "webpush", "../webhook": "acme",
	} {
		reasons := written(t, dir)
		if len(reasons) == 0 && dir != "../fcm" {
			t.Errorf("%s: no reasons were found", dir)
		}
		for _, reason := range reasons {
			if !Known(provider, reason) {
				t.Errorf("%s: there are no words for %s", dir, reason)
			}
		}
	}
}

// written returns the strings that a package puts into push.Outcome.Reason.
func written(t *testing.T, dir string) []string {
	t.Helper()
	found := map[string]bool{}
	note := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil && s != "" {
				found[s] = true
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || filepath.Base(name) == "metrics.go" {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Reason" {
					note(n.Value)
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if sel, ok := left.(*ast.SelectorExpr); ok && sel.Sel.Name == "Reason" && len(n.Rhs) == len(n.Lhs) {
						note(n.Rhs[i])
					}
				}
			case *ast.FuncDecl:
				if n.Name.Name != "classify" && n.Name.Name != "Reason" || n.Body == nil {
					return true
				}
				ast.Inspect(n.Body, func(n ast.Node) bool {
					if r, ok := n.(*ast.ReturnStmt); ok {
						for _, e := range r.Results {
							note(e)
						}
					}
					return true
				})
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// TestKnown_EveryReasonOfAPNs reads in the library what Apple may say.
func TestKnown_EveryReasonOfAPNs(t *testing.T) {
	pkg, err := build.Import("github.com/sideshow/apns2", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, "response.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") || len(spec.Values) != 1 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		reason, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		for _, provider := range []string{push.ProviderAPNs, push.ProviderAPNsSandbox} {
			if !Known(provider, reason) {
				t.Errorf("there are no words for %s", reason)
			}
		}
		return true
	})
	if n < 20 {
		t.Errorf("%d reasons were found", n)
	}
}

// TestKnown_EveryReasonOfFCM: the error codes of FCM's HTTP v1, the canonical ones
// that stand in when there is none, and those of OAuth 2.0 (RFC 6749 §5.2).
func TestKnown_EveryReasonOfFCM(t *testing.T) {
	for reason := range strings.FieldsSeq(`
		UNSPECIFIED_ERROR INVALID_ARGUMENT UNREGISTERED SENDER_ID_MISMATCH QUOTA_EXCEEDED UNAVAILABLE INTERNAL THIRD_PARTY_AUTH_ERROR
		NOT_FOUND PERMISSION_DENIED UNAUTHENTICATED RESOURCE_EXHAUSTED FAILED_PRECONDITION DEADLINE_EXCEEDED
		invalid_grant invalid_client unauthorized_client invalid_scope invalid_request unsupported_grant_type access_denied InvalidMessage`) {
		if !Known(push.ProviderFCM, reason) {
			t.Errorf("there are no words for %s", reason)
		}
	}
}

// TestOutcome_EveryClass: whatever a push service says, an operator gets words, in
// whole sentences.
func TestOutcome_EveryClass(t *testing.T) {
	for c := push.OK; c <= push.Forbidden; c++ {
		for _, provider := range []string{"apns", "apns.dev", "fcm", "webpush", "acme", ""} {
			for _, reason := range []string{"", "SomethingNew", "Timeout"} {
				w := Outcome(provider, push.Outcome{Class: c, Reason: reason, Attempts: 1})
				if w.Said == "" || !strings.HasSuffix(w.Said, ".") || w.Do != "" && !strings.HasSuffix(w.Do, ".") {
					t.Errorf("%s %s %q: %+v", provider, c, reason, w)
				}
			}
		}
	}
	if w := Outcome("apns", push.Outcome{}); w.Said == "" {
		t.Error("no words for no class")
	}
}

func TestOutcome(t *testing.T) {
	for _, tt := range []struct {
		name     string
		provider string
		o        push.Outcome
		said, do string
	}{
		{"token of the other environment", "apns", push.Outcome{Class: push.Suspect, Reason: "BadDeviceToken", Attempts: 1}, "in the environment", "may as well be the credential"},
		{"token that is dead", "apns", push.Outcome{Class: push.Suspect, Reason: "BadDeviceToken", Attempts: 1, Proven: true}, "in the environment", "it is this token"},
		{"key and team", "apns.dev", push.Outcome{Class: push.Credential, Reason: "InvalidProviderToken", Attempts: 1}, "does not accept the token", "key_id, team_id"},
		{"an earlier refusal", "fcm", push.Outcome{Class: push.Credential, Reason: "invalid_grant"}, "Nothing was sent", "NTP"},
		{"the same word of another service", "webpush", push.Outcome{Class: push.Throttled, Reason: "TooManyRequests", Attempts: 1}, "this browser", "Wait"},
		{"VoIP for a refresh", "apns", push.Outcome{Class: push.Forbidden, Reason: "NoTokenForKind"}, "calls alone", "rings"},
		{"taken", "fcm", push.Outcome{Class: push.OK, Attempts: 1}, "took the push", "reveille wake"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := Outcome(tt.provider, tt.o)
			if !strings.Contains(w.Said, tt.said) || !strings.Contains(w.Do, tt.do) {
				t.Errorf("said %q, do %q; want %q and %q in them", w.Said, w.Do, tt.said, tt.do)
			}
		})
	}
}
