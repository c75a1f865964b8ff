package push

import (
	"slices"
	"strings"
)

// This file is about devices with two tokens, of which one may die alone.

// alone lets a single remote token be used for everything: such a device has no
// PushKit, or none any more, and calls may show an alert.
func alone(tokens []Token) []Token {
	if len(tokens) == 1 && tokens[0].Use == Remote {
		tokens[0].Use = Any
	}
	return tokens
}

// Living returns the tokens of a device that are not dead, in place of those that
// Parse returned.
func Living(tokens []Token, dead func(prid string) bool) []Token {
	return alone(slices.DeleteFunc(slices.Clone(tokens), func(t Token) bool { return dead(t.PRID) }))
}

// WithoutToken returns what is left of a pn-prid when one of its tokens, as Parse
// returned it, is dead: "" if that was all, and prid if it is none of them. The
// tokens that are left keep the names of their services, so that pn-param can stay
// as it is.
func (p Params) WithoutToken(prid, dead string) string {
	if !p.Apple() {
		if prid == dead {
			return ""
		}
		return prid
	}
	var left []string
	for part := range strings.SplitSeq(prid, "&") {
		if tok, _, _ := strings.Cut(part, ":"); tok != dead {
			left = append(left, part)
		}
	}
	return strings.Join(left, "&")
}
