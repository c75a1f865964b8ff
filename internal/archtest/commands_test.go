package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// reason stands in the place of marker where a block cannot be run: it says why.
var reason = regexp.MustCompile(`^<!-- not run: (.+) -->$`)

// place is a file or folder of the repository in a reason.
var place = regexp.MustCompile(`[a-zA-Z.]+(?:/[\w.-]+)+|\w+\.md`)

// documents are the Markdown files at the root and in docs.
func documents(t *testing.T) (names []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			rel, err := filepath.Rel(root, name)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, rel)
		}
	}
	return names
}

// TestSnippets_RunOrSayWhyNot: every shell block of a document is run by
// TestSnippets_Run, or says above it why not.
func TestSnippets_RunOrSayWhyNot(t *testing.T) {
	blocks := 0
	for _, doc := range documents(t) {
		lines := strings.Split(readFile(t, doc), "\n")
		for i, line := range lines {
			if line != "```sh" {
				continue
			}
			blocks++
			if i > 0 && lines[i-1] == marker {
				continue
			}
			var m []string
			if i > 0 {
				m = reason.FindStringSubmatch(lines[i-1])
			}
			if m == nil {
				t.Errorf("%s:%d: write %s above it, or <!-- not run: why -->", doc, i+1, marker)
				continue
			}
			for _, name := range place.FindAllString(m[1], -1) {
				if _, err := os.Stat(filepath.Join(root, name)); err != nil {
					t.Errorf("%s:%d names %s, which is not there", doc, i+1, name)
				}
			}
		}
	}
	if blocks < 20 {
		t.Errorf("found %d blocks only", blocks)
	}
}

// A command of the program, as docs/cli.md has it, which is made from the program.
type command struct {
	flags map[string]bool
	// parent says that there are commands below it.
	parent bool
}

var (
	commandTitle = regexp.MustCompile(`(?m)^## (reveille(?: [a-z-]+)*)$`)
	flagRow      = regexp.MustCompile("(?m)^\\| `((?:-\\w, )?--[a-z0-9-]+)")
	flagWord     = regexp.MustCompile(`(?:^|[\s\[])(--?[a-zA-Z][a-z0-9-]*)`)
	subcommand   = regexp.MustCompile(`^[a-z-]+$`)
	inline       = regexp.MustCompile("`(reveille [^`\n]+)`")
)

// commands reads docs/cli.md.
func commands(t *testing.T) map[string]command {
	t.Helper()
	const serverFlags = "## Flags that name a server"
	text := readFile(t, "docs/cli.md")
	all := map[string]command{}
	_, common, ok := strings.Cut(text, serverFlags)
	if !ok {
		t.Fatalf("docs/cli.md lacks %q", serverFlags)
	}
	common, _, _ = strings.Cut(common, "\n## ")
	titles := commandTitle.FindAllStringSubmatchIndex(text, -1)
	for i, at := range titles {
		end := len(text)
		if i+1 < len(titles) {
			end = titles[i+1][0]
		}
		name, section := text[at[2]:at[3]], text[at[1]:end]
		if strings.Contains(section, "Takes the flags that name a server, too.") {
			section += common
		}
		c := command{flags: map[string]bool{"--help": true, "-h": true}}
		for _, m := range flagRow.FindAllStringSubmatch(section, -1) {
			for flag := range strings.SplitSeq(m[1], ", ") {
				c.flags[flag] = true
			}
		}
		all[name] = c
		if up := name[:strings.LastIndexByte(name, ' ')]; up != "reveille" {
			parent := all[up]
			parent.parent = true
			all[up] = parent
		}
	}
	return all
}

// TestDocs_Commands holds each command that a document shows, whether it is run or not,
// to the commands and flags that the program has.
func TestDocs_Commands(t *testing.T) {
	known := commands(t)
	shown := 0
	for _, doc := range documents(t) {
		if doc == "docs/cli.md" || doc == "CHANGELOG.md" {
			continue
		}
		text := readFile(t, doc)
		var lines []string
		for _, m := range inline.FindAllStringSubmatch(text, -1) {
			lines = append(lines, m[1])
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "reveille ") {
				line, _, _ = strings.Cut(line, "  #")
				line, _, _ = strings.Cut(line, " | ")
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		for _, line := range lines {
			name, c, ok := longest(known, line)
			if !ok {
				continue // A sentence that begins with the name.
			}
			shown++
			if rest := strings.Fields(strings.TrimPrefix(line, name)); c.parent && len(rest) > 0 && subcommand.MatchString(rest[0]) {
				t.Errorf("%s: %s: there is no such command", doc, line)
			}
			for _, m := range flagWord.FindAllStringSubmatch(line, -1) {
				if !c.flags[m[1]] {
					t.Errorf("%s: %s: %s has no %s", doc, line, name, m[1])
				}
			}
		}
	}
	if shown < 50 {
		t.Errorf("found %d commands only", shown)
	}
}

// longest is the command that a line begins with.
func longest(known map[string]command, line string) (name string, c command, ok bool) {
	words := strings.Fields(line)
	for n := min(len(words), 4); n > 1; n-- {
		name = strings.Join(words[:n], " ")
		if c, ok = known[name]; ok {
			return name, c, true
		}
	}
	return "", command{}, false
}
