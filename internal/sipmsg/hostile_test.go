package sipmsg

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile are messages of 60 KB that are built to make a parser look at the same
// bytes again and again, or to put by more than it was given.
func hostile() map[string]string {
	const size = 60000
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	return map[string]string{
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
		"comments":                 plain("REGISTER", "sip:h", "User-Agent: "+fill("(")),
		"quotes in Via":            plain("REGISTER", "sip:h", "Via: SIP/2.0/UDP h;x="+fill(`"\\"`)),
		"Routes":                   plain("REGISTER", "sip:h", "Route: "+fill("<sip:h;lr>,")+"<sip:h;lr>"),
		"parameters in Via":        plain("REGISTER", "sip:h", "Via: SIP/2.0/UDP h"+fill(";a=b")),
		"long Call-ID":             plain("REGISTER", "sip:h", "Call-ID: "+fill("x")),
		"credentials":              plain("REGISTER", "sip:h", "Authorization: Digest "+fill(`a="b",`)+"a=b"),
	}
}

// TestParse_HostileMemory: what a message takes is bounded by its length, whatever
// it holds: the copy of it, an outline, and the values in the lists of header
// fields, at most maxValues of each.
func TestParse_HostileMemory(t *testing.T) {
	for name, raw := range hostile() {
		t.Run(name, func(t *testing.T) {
			b := []byte(raw)
			const runs = 5
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for range runs {
				m, err := Parse(b, testSource)
				if m != nil && err != nil {
					m.AppendReply(nil, ErrorReply(err, "t"))
				}
			}
			runtime.ReadMemStats(&after)
			bytes, objects := int(after.TotalAlloc-before.TotalAlloc)/runs, int(after.Mallocs-before.Mallocs)/runs
			t.Logf("%d bytes in: %d bytes in %d pieces", len(raw), bytes, objects)
			if limit := 6 * len(raw); bytes > limit {
				t.Errorf("%d bytes, want at most %d", bytes, limit)
			}
			if objects > 50 {
				t.Errorf("%d pieces of memory, want at most 50", objects)
			}
		})
	}
}

// TestParse_HostileCost: each costs what its length costs; the bound is generous
// enough for a slow machine, and far below what a quadratic pass over 60 KB takes.
func TestParse_HostileCost(t *testing.T) {
	for name, raw := range hostile() {
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
