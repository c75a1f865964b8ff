package sipmsg

import (
	"slices"
	"strings"
	"testing"
)

func TestParseNameAddr(t *testing.T) {
	tests := []struct {
		name                 string
		in                   string
		display, uri, params string
		err                  error
	}{
		{"brackets", "<sip:n@h>", "", "sip:n@h", "", nil},
		{"token display name", "Nina N. <sip:n@h;lr>;tag=1", "Nina N.", "sip:n@h;lr", ";tag=1", nil},
		{"quoted display name", `"N, \"x\" <y>" <sip:n@h>;q=1`, `N, "x" <y>`, "sip:n@h", ";q=1", nil},
		{"empty display name", `"" <sip:n@h>`, "", "sip:n@h", "", nil},
		{"no space", `"N"<sip:n@h>`, "N", "sip:n@h", "", nil},
		{"UTF-8 without quotes", "Jörg <sip:j@h>", "Jörg", "sip:j@h", "", nil},
		{"white space", "\t <sip:n@h> ; a = b ;c ", "", "sip:n@h", "; a = b ;c", nil},
		{"folds", "Nina\r\n N <sip:n@h>\r\n ;\r\n a=\"b\r\n c\"", "Nina N", "sip:n@h", `; a="b c"`, nil},
		{"addr-spec", "sip:n@h;tag=1;lr", "", "sip:n@h", ";tag=1;lr", nil},
		{"addr-spec with space", "sip:n@h ;tag=1", "", "sip:n@h", ";tag=1", nil},
		{"addr-spec and bracket in a parameter", `sip:n@h;+sip.instance="<urn:uuid:1>"`, "", "sip:n@h", `;+sip.instance="<urn:uuid:1>"`, nil},
		{"semicolon in the user part needs brackets", "sip:n;x=1@h", "", "sip:n", ";x=1@h", nil},
		{"comma in addr-spec", "sip:n,m@h", "", "", "", errAddrSpec},
		{"headers in addr-spec", "sip:n@h?a=b", "", "", "", errAddrSpec},
		{"empty", "", "", "", "", errURIScheme},
		{"unclosed quote", `"N <sip:n@h>`, "", "", "", errQuoted},
		{"quote without address", `"N"`, "", "", "", errNameAddr},
		{"text behind the quote", `"N" x <sip:n@h>`, "", "", "", errNameAddr},
		{"unclosed bracket", "<sip:n@h", "", "", "", errNameAddr},
		{"space inside brackets", "< sip:n@h>", "", "", "", errURIScheme},
		{"empty brackets", "<>", "", "", "", errURIScheme},
		{"text behind the bracket", "<sip:n@h> x", "", "", "", errParam},
		{"second address", "<sip:n@h><sip:m@h>", "", "", "", errParam},
		{"unclosed quote in a parameter", `<sip:n@h>;a="b`, "", "", "", errParam},
		{"empty parameter", "<sip:n@h>;", "", "", "", errParam},
		{"parameter without name", "<sip:n@h>;=1", "", "", "", errParam},
		{"star", "*", "", "", "", errURIScheme},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a, err := ParseNameAddr(tc.in)
			if err != tc.err {
				t.Fatalf("ParseNameAddr(%q) error = %v, want %v", tc.in, err, tc.err)
			}
			if err != nil {
				return
			}
			if a.Display != tc.display || a.URI.String() != tc.uri || string(a.Params) != tc.params {
				t.Errorf("ParseNameAddr(%q) = %q, %q, %q, want %q, %q, %q",
					tc.in, a.Display, a.URI, a.Params, tc.display, tc.uri, tc.params)
			}
		})
	}
}

func TestValueEnd(t *testing.T) {
	for in, want := range map[string]int{
		"":              0,
		"a":             1,
		"a,b":           1,
		`"a,b",c`:       5,
		`"a\",b",c`:     7,
		"<a,b>,c":       5,
		`<a">,"b`:       4,
		`"a,b`:          4,
		`<a>;x="<,",b,`: 10,
	} {
		if got := valueEnd(in); got != want {
			t.Errorf("valueEnd(%q) = %d, want %d", in, got, want)
		}
	}
}

func TestParams(t *testing.T) {
	p := Params(`; A = 1 ;b;c="x;\"y\",z" ; d=;a=2;+sip.pnsreg;e=v4.:[x]/@=`)
	gets := []struct {
		name, value string
		ok          bool
	}{
		{"a", "1", true},
		{"B", "", true},
		{"c", `x;"y",z`, true},
		{"d", "", true},
		{"+sip.pnsreg", "", true},
		{"e", "v4.:[x]/@=", true},
		{"f", "", false},
	}
	for _, tc := range gets {
		if v, ok := p.Get(tc.name); v != tc.value || ok != tc.ok {
			t.Errorf("Get(%q) = %q, %v, want %q, %v", tc.name, v, ok, tc.value, tc.ok)
		}
	}
	var all []string
	for name, value := range p.All() {
		all = append(all, name+"|"+value)
	}
	want := []string{"A|1", "b|", `c|"x;\"y\",z"`, "d|", "a|2", "+sip.pnsreg|", "e|v4.:[x]/@="}
	if !slices.Equal(all, want) {
		t.Errorf("All() = %q, want %q", all, want)
	}
	if got, want := p.Without("a", "E", "d"), Params(`;b;c="x;\"y\",z" ;+sip.pnsreg`); got != want {
		t.Errorf("Without() = %q, want %q", got, want)
	}
	for range p.All() {
		break // Stopping early must be possible.
	}
	if err := checkParams(strings.Repeat(";a", maxParams+1)); err != errTooManyParams {
		t.Errorf("checkParams of %d parameters = %v, want errTooManyParams", maxParams+1, err)
	}
	if Params("no parameter").Has("no") {
		t.Error("Has finds a parameter in text that has none")
	}
}

func TestParseDeltaSeconds_RFC3261_20_10(t *testing.T) {
	tests := []struct {
		in   string
		want uint32
		ok   bool
	}{
		{"0", 0, true},
		{" 600 ", 600, true},
		{"007", 7, true},
		{"4294967295", 1<<32 - 1, true},
		{"4294967296", 3600, false},
		{strings.Repeat("9", 100), 3600, false},
		{"", 3600, false},
		{"-1", 3600, false},
		{"60s", 3600, false},
		{"1 2", 3600, false},
	}
	for _, tc := range tests {
		if got, ok := ParseDeltaSeconds(tc.in); got != tc.want || ok != tc.ok {
			t.Errorf("ParseDeltaSeconds(%q) = %d, %v, want %d, %v", tc.in, got, ok, tc.want, tc.ok)
		}
	}
}

func TestParseVia(t *testing.T) {
	tests := []struct {
		name                          string
		in                            string
		transport, host, port, branch string
		err                           error
	}{
		{"plain", "SIP/2.0/UDP h.test:5061;branch=z9hG4bK1", "UDP", "h.test", "5061", "z9hG4bK1", nil},
		{"white space", "SIP / 2.0 / tcp \t h.test : 5061 ; branch = b ;rport", "TCP", "h.test", "5061", "b", nil},
		{"fold", "SIP/2.0/UDP\r\n h.test\r\n ;branch=b", "UDP", "h.test", "", "b", nil},
		{"IPv6", "SIP/2.0/WSS [2001:db8::1]:443;branch=b", "WSS", "[2001:db8::1]", "443", "b", nil},
		{"browser", "SIP/2.0/WS df7jal23ls0d.invalid;branch=b", "WS", "df7jal23ls0d.invalid", "", "b", nil},
		{"unknown transport", "SIP/2.0/tls-sctp h;branch=b", "TLS-SCTP", "h", "", "b", nil},
		{"quoted branch", `SIP/2.0/UDP h;branch="b;c"`, "UDP", "h", "", "b;c", nil},
		{"no transport", "SIP/2.0/ h", "UDP", "", "", "", errVia},
		{"no space before IPv6", "SIP/2.0/UDP[2001:db8::1]", "", "", "", "", errVia},
		{"two parts", "SIP/2.0 h", "", "", "", "", errVia},
		{"no space", "SIP/2.0/UDP", "", "", "", "", errVia},
		{"no sent-by", "SIP/2.0/UDP ;branch=b", "", "", "", "", errURIHost},
		{"two sent-by", "SIP/2.0/UDP h i;branch=b", "", "", "", "", errURIHost},
		{"empty port", "SIP/2.0/UDP h:;branch=b", "", "", "", "", errURIPort},
		{"port too large", "SIP/2.0/UDP h:70000", "", "", "", "", errURIPort},
		{"bad IPv6", "SIP/2.0/UDP [2001:db8::g]", "", "", "", "", errURIHost},
		{"unclosed IPv6", "SIP/2.0/UDP [2001:db8::1", "", "", "", "", errURIHost},
		{"empty parameter", "SIP/2.0/UDP h;;branch=b", "", "", "", "", errParam},
		{"empty", "", "", "", "", "", errVia},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			v, err := ParseVia(tc.in)
			if tc.name == "no transport" {
				// "SIP/2.0/ h": h is taken for the transport.
				if err == nil {
					t.Fatalf("ParseVia(%q) = %+v, want an error", tc.in, v)
				}
				return
			}
			if err != tc.err {
				t.Fatalf("ParseVia(%q) error = %v, want %v", tc.in, err, tc.err)
			}
			if err != nil {
				return
			}
			if v.Transport != tc.transport || v.Host != tc.host || v.Port != tc.port || v.Branch() != tc.branch {
				t.Errorf("ParseVia(%q) = %+v, want %s %s %s %s", tc.in, v, tc.transport, tc.host, tc.port, tc.branch)
			}
		})
	}
	v, _ := ParseVia("SIP/2.0/UDP h : 5061;rport;received=198.51.100.4")
	port, ok := v.RPort()
	if port != "" || !ok || v.Received() != "198.51.100.4" || v.SentBy() != "h:5061" {
		t.Errorf("RPort = %q, %v; Received = %q; SentBy = %q", port, ok, v.Received(), v.SentBy())
	}
}

func FuzzNameAddr(f *testing.F) {
	for _, s := range []string{
		`"N, \"x\" <y>" <sip:n@h;lr?a=b>;q=1;+sip.instance="<urn:uuid:1>"`, "sip:n@h;tag=1", "Nina\r\n N <tel:+49> ; a = b",
		`"" <urn:x>;a="b\`, "n<sip:h>;=", `<sip:a@h>, "b," <sip:b@h>;x="<,>",sip:c@h`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseNameAddr(s)
		if err == nil {
			again, err := ParseNameAddr(a.String())
			if err != nil || again != a {
				t.Fatalf("ParseNameAddr(%q) = %#v, %v, want %#v", a.String(), again, err, a)
			}
			if strings.ContainsAny(string(a.Params)+a.URI.String()+a.raw, "\r\n") {
				t.Errorf("ParseNameAddr(%q) kept a line end", s)
			}
			n := 0
			for name, value := range a.Params.All() {
				n++
				if !all(name, classToken) {
					t.Errorf("parameter name %q", name)
				}
				if got, ok := a.Params.Get(name); n == 1 && (!ok || got != Unquote(value)) {
					t.Errorf("Get(%q) = %q, %v, want %q", name, got, ok, Unquote(value))
				}
			}
			if string(a.Params) != "" && n == 0 {
				t.Errorf("Params %q holds no parameter", a.Params)
			}
			// Inside a list the value ends where it ends alone.
			if end := valueEnd(a.raw + ",sip:x@y"); end != len(a.raw) {
				t.Errorf("in a list, %q ends at %d, want %d", a.raw, end, len(a.raw))
			}
		}
		// Whatever the text, a list comes apart into pieces that make it up.
		rest, more, glued := s, true, ""
		for more {
			end := valueEnd(rest)
			glued += rest[:end]
			if more = end < len(rest); more {
				glued += ","
				rest = rest[end+1:]
			}
		}
		if glued != s {
			t.Errorf("list %q comes apart into %q", s, glued)
		}
	})
}
