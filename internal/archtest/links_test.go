package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// link is one to another place of the repository, with or without a heading.
var link = regexp.MustCompile(`\]\(([^():\s]*?)(#[^()\s]*)?\)|<[^<>]*(?:src|href)="([^":]+)"`)

// TestDocs_Links follows the links between documents, to the heading.
func TestDocs_Links(t *testing.T) {
	docs, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	top, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, doc := range append(docs, top...) {
		rel, err := filepath.Rel(root, doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(readFile(t, rel), -1) {
			found++
			to := filepath.Join(filepath.Dir(rel), m[1]+m[3])
			if m[1]+m[3] == "" {
				to = rel
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s: %s is not there", rel, m[0])
				continue
			}
			if anchor := strings.TrimPrefix(m[2], "#"); anchor != "" && !slices.Contains(headings(readFile(t, to)), anchor) {
				t.Errorf("%s: %s: %s has no such heading", rel, m[0], to)
			}
		}
	}
	if found < 20 {
		t.Errorf("found %d links only", found)
	}
}

// headings are the anchors of a document, as web pages of repositories make them.
func headings(text string) (anchors []string) {
	for line := range strings.Lines(text) {
		title, ok := strings.CutPrefix(strings.TrimLeft(strings.TrimSuffix(line, "\n"), "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		anchors = append(anchors, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title))
	}
	return anchors
}
