package pjsip

import "strings"

// maxNesting bounds how deep block comments may stand in each other.
const maxNesting = 128

// A stripper removes comments from the lines of one file: the rest of a line
// behind a semicolon, and blocks from ;-- to --; that may nest and span lines. A
// semicolon behind a backslash is text.
type stripper struct {
	depth int // of block comments
}

// line returns what is left of a line.
func (c *stripper) line(s string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(s, ';')
		if i < 0 {
			break
		}
		before, after := s[:i], s[i+1:]
		opens := strings.HasPrefix(after, "--") && !strings.HasPrefix(after, "---")
		switch {
		case c.depth == 0 && strings.HasSuffix(before, `\`):
			out.WriteString(before[:len(before)-1] + ";")
			s = after
		case opens && c.depth < maxNesting:
			if c.depth == 0 {
				out.WriteString(before)
			}
			c.depth++
			s = after[2:]
		case c.depth > 0:
			if strings.HasSuffix(before, "--") {
				c.depth--
			}
			s = after
		default:
			out.WriteString(before)
			return out.String()
		}
	}
	if c.depth == 0 {
		out.WriteString(s)
	}
	return out.String()
}
