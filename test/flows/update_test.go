package flows

import (
	"fmt"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// An update gathers what was received in place of what a flow says.
type update struct {
	blocks map[int][]string // by the line of the step
}

// inventions are the parts of messages that the server makes up, and the first
// part of their names.
var inventions = []struct {
	name string
	part *regexp.Regexp
}{
	{"branch", regexp.MustCompile(`branch=(z9hG4bK[^-;,][^;,\s{}]+)`)},
	{"tag", regexp.MustCompile(`;tag=([^;,\s{}]{9,})`)},
	{"nonce", regexp.MustCompile(`[^c]nonce="([^"{}]+)"`)},
	{"route", regexp.MustCompile(`<sip:([^@>{}]{24,})@`)},
	{"purr", regexp.MustCompile(`sip\.pnspurr="([^"{}]+)"`)},
	{"push", regexp.MustCompile(`X-Push-ID: ([^\s{}]+)`)},
	{"push", regexp.MustCompile(`"push_id":"([^"{}]+)"`)},
}

var (
	lengths   = regexp.MustCompile(`^Content-Length: [1-9][0-9]*$`)
	ends      = regexp.MustCompile(`"expires_at":"[0-9]+"`)
	lifetimes = regexp.MustCompile(`"ttl":"[0-9]+s"`)
)

// replace keeps what was received, with names for what is known and for what is
// new.
func (u *update) replace(s step, v values, got []string) {
	var block []string
	for _, line := range got {
		if strings.HasPrefix(line, "Date: ") {
			line = "Date: {date}"
		}
		line = lengths.ReplaceAllString(line, "Content-Length: {length}")
		line = ends.ReplaceAllString(line, `"expires_at":"{seconds}"`)
		line = lifetimes.ReplaceAllStringFunc(line, func(s string) string {
			n, _ := strconv.Atoi(s[7 : len(s)-2])
			return fmt.Sprintf(`"ttl":"{%d-%d}s"`, max(n-5, 0), n)
		})
		for _, name := range byLength(v) {
			if len(v[name]) > 4 {
				line = strings.ReplaceAll(line, v[name], "{"+name+"}")
			}
		}
		for _, part := range inventions {
			for m := part.part.FindStringSubmatch(line); m != nil; m = part.part.FindStringSubmatch(line) {
				n := 1
				for v[fmt.Sprintf("%s-%d", part.name, n)] != "" {
					n++
				}
				name := fmt.Sprintf("%s-%d", part.name, n)
				v[name] = m[1]
				line = strings.ReplaceAll(line, m[1], "{"+name+"}")
			}
		}
		block = append(block, line)
	}
	u.blocks[s.line] = block
}

// byLength sorts the names so that the longest value comes first, and of equal
// ones the shortest name.
func byLength(v values) []string {
	var names []string
	for n := range v {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := names[i], names[j]
		if len(v[a]) != len(v[b]) {
			return len(v[a]) > len(v[b])
		}
		if len(a) != len(b) {
			return len(a) < len(b)
		}
		return a < b
	})
	return names
}

// write writes the file of a flow anew.
func (u *update) write(file string, s *script) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	old := strings.Split(string(text), "\n")
	var out []string
	at := 0
	for _, st := range s.steps {
		block, ok := u.blocks[st.line]
		if !ok {
			continue
		}
		out = append(out, old[at:st.line]...)
		for _, line := range block {
			if line != "" {
				line = "  " + line
			}
			out = append(out, line)
		}
		at = st.to - 1
	}
	return os.WriteFile(file, []byte(strings.Join(append(out, old[at:]...), "\n")), 0o644)
}
