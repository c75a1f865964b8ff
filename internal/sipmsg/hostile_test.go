package sipmsg

import (
	"strings"
	"testing"
	"time"
)

// TestParse_HostileCost parses messages of 60 KB that are built to make a parser
// look at the same bytes again and again. Each must cost what its length costs;
// the bound is generous enough for a slow machine, and far below what a
// quadratic pass over 60 KB takes.
func TestParse_HostileCost(t *testing.T) {
	const size = 60000
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	tests := map[string]string{
		"commas in Contact":        plain("REGISTER", "sip:h", "Contact: "+fill(",")),
		"stars in Contact":         plain("REGISTER", "sip:h", "Contact: "+fill("*,")+"*"),
		"short Contacts":           plain("REGISTER", "sip:h", "Contact: "+fill("a:b,")+"a:b"),
		"quotes in Contact":        plain("REGISTER", "sip:h", "Contact: "+fill(`"",`)+"a:b"),
		"unclosed quotes":          plain("REGISTER", "sip:h", "Contact: a:b,"+fill(`\"`)),
		"brackets in Contact":      plain("REGISTER", "sip:h", "Contact: "+fill("<,>")),
		"Vias in a list":           plain("REGISTER", "sip:h", "Via: "+fill("SIP/2.0/UDP h,")+"SIP/2.0/UDP h"),
		"parameters in From":       plain("REGISTER", "sip:h", "From: <sip:h>"+fill(";a")),
		"parameters in a URI":      plain("REGISTER", "sip:h"+fill(";a")),
		"headers in a URI":         plain("REGISTER", "sip:h", "Contact: <sip:h?"+fill("a&")+">"),
		"folds":                    plain("REGISTER", "sip:h", "Contact: <sip:h>;a"+fill("\r\n ")),
		"folds in an unknown line": plain("REGISTER", "sip:h", "X: a"+fill("\r\n ")+"b"),
		"CRs":                      plain("REGISTER", "sip:h", "X: a"+fill("\r")),
		"quoted NULs":              plain("REGISTER", "sip:h", "X: "+fill("\"\\\x00\"")),
		"unclosed quoted NULs":     plain("REGISTER", "sip:h", "X: "+fill("\"\\\x00")),
		"colons":                   plain("REGISTER", "sip:"+fill(":")),
		"at signs":                 plain("REGISTER", "sip:a"+fill("@")+"h"),
		"escapes":                  plain("REGISTER", "sip:"+fill("%41")+"@h"),
		"header lines":             plain("REGISTER", "sip:h", strings.Split(fill("X:|")+"X:", "|")...),
		"empty lines in front":     fill("\r\n") + plain("REGISTER", "sip:h"),
	}
	for name, raw := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			m, err := Parse([]byte(raw), testSource)
			if m != nil {
				m.AppendReply(nil, ErrorReply(err, "t"))
				m.RequestURI().Equal(m.RequestURI())
				m.HasToken(HdrContact, "x")
			}
			if m != nil && err == nil {
				forward(m, nil)
			}
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			} else {
				t.Logf("took %v: %v", took, err)
			}
		})
	}
}
