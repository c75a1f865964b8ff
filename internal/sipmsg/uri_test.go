package sipmsg

import (
	"strings"
	"testing"
)

func TestParseURI(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want URI // without raw
		err  error
	}{
		{name: "host alone", in: "sip:lab.test", want: URI{Scheme: "sip", Host: "lab.test"}},
		{
			name: "all parts",
			in:   "SIPS:nina:pw@Lab.Test:5071;transport=tcp;lr?a=b&c=d",
			want: URI{
				Scheme: "SIPS", User: "nina", Password: "pw", Host: "Lab.Test", Port: "5071",
				Params: ";transport=tcp;lr", Headers: "?a=b&c=d",
			},
		},
		{name: "IPv6 and port", in: "sip:nina@[2001:db8::1]:5060", want: URI{Scheme: "sip", User: "nina", Host: "[2001:db8::1]", Port: "5060"}},
		{name: "number sign in user", in: "sip:*21#@lab.test", want: URI{Scheme: "sip", User: "*21#", Host: "lab.test"}},
		{name: "question mark in user", in: "sip:a?b@lab.test", want: URI{Scheme: "sip", User: "a?b", Host: "lab.test"}},
		{
			name: "push token with raw characters", in: "sip:n@h;pn-prid=ab:c/+d==;pn-provider",
			want: URI{Scheme: "sip", User: "n", Host: "h", Params: ";pn-prid=ab:c/+d==;pn-provider"},
		},
		{name: "empty parameters are skipped", in: "sip:n@h;;lr;", want: URI{Scheme: "sip", User: "n", Host: "h", Params: ";;lr;"}},
		{name: "tel", in: "tel:+49-30-555;phone-context=x", want: URI{Scheme: "tel", Opaque: "+49-30-555;phone-context=x"}},
		{name: "urn", in: "urn:service:sos", want: URI{Scheme: "urn", Opaque: "service:sos"}},
		{name: "empty", in: "", err: errURIScheme},
		{name: "no scheme", in: "nina@lab.test", err: errURIScheme},
		{name: "scheme starts with a digit", in: "1sip:lab.test", err: errURIScheme},
		{name: "scheme alone", in: "sip:", err: errURI},
		{name: "space", in: "sip:ni na@lab.test", err: errURI},
		{name: "CRLF", in: "sip:nina@lab.test\r\nX: y", err: errURI},
		{name: "NUL", in: "sip:nina\x00@lab.test", err: errURI},
		{name: "angle bracket", in: "sip:nina@lab.test>", err: errURI},
		{name: "quote", in: "sip:\"nina\"@lab.test", err: errURI},
		{name: "empty user", in: "sip:@lab.test", err: errURIUser},
		{name: "two at signs", in: "sip:a@b@lab.test", err: errURIHost},
		{name: "no host", in: "sip:nina@", err: errURIHost},
		{name: "no host but port", in: "sip::5060", err: errURIHost},
		{name: "empty port", in: "sip:lab.test:", err: errURIPort},
		{name: "port zero", in: "sip:lab.test:0", want: URI{Scheme: "sip", Host: "lab.test", Port: "0"}},
		{name: "port too large", in: "sip:lab.test:65536", err: errURIPort},
		{name: "port in words", in: "sip:lab.test:sip", err: errURIPort},
		{name: "bracket not closed", in: "sip:[2001:db8::1", err: errURIHost},
		{name: "IPv4 in brackets", in: "sip:[198.51.100.4]", err: errURIHost},
		{name: "text behind the bracket", in: "sip:[2001:db8::1]x", err: errURIHost},
		{name: "parameter without name", in: "sip:lab.test;=x", err: errParam},
		{name: "too many parameters", in: "sip:lab.test" + strings.Repeat(";a", 65), err: errTooManyParams},
		{name: "too many headers", in: "sip:lab.test?a" + strings.Repeat("&a", 64), err: errTooManyParams},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseURI(tc.in)
			if err != tc.err {
				t.Fatalf("ParseURI(%q) error = %v, want %v", tc.in, err, tc.err)
			}
			if err == nil && got.String() != tc.in {
				t.Errorf("String() = %q, want %q", got.String(), tc.in)
			}
			// A URI put together from parts reads the same.
			if err == nil && tc.want.String() != tc.in {
				t.Errorf("String() of the parts = %q, want %q", tc.want.String(), tc.in)
			}
			got.raw = ""
			if got != tc.want {
				t.Errorf("ParseURI(%q) = %#v, want %#v", tc.in, got, tc.want)
			}
		})
	}
}

func TestURI_Param(t *testing.T) {
	u, err := ParseURI("sip:n@h;Transport=TCP;lr;x=1;x=2;%61b=%63;empty=?h=1")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, value string
		ok          bool
	}{
		{"transport", "TCP", true},
		{"LR", "", true},
		{"x", "1", true},
		{"ab", "%63", true},
		{"empty", "", true},
		{"h", "", false},
		{"", "", false},
	}
	for _, tc := range tests {
		if v, ok := u.Param(tc.name); v != tc.value || ok != tc.ok {
			t.Errorf("Param(%q) = %q, %v, want %q, %v", tc.name, v, ok, tc.value, tc.ok)
		}
	}
}

func TestURI_Without(t *testing.T) {
	tests := []struct {
		name  string
		in    string
		names []string
		want  string
	}{
		{"nothing to remove", "sip:n@h;a=1?x=y", []string{"b"}, "sip:n@h;a=1?x=y"},
		{"first", "sip:n@h;A=1;b;c=3?x=y", []string{"a"}, "sip:n@h;b;c=3?x=y"},
		{"last", "sip:n@h;a=1;b;c=3", []string{"C"}, "sip:n@h;a=1;b"},
		{"all occurrences", "sip:n@h;a=1;b;a", []string{"a"}, "sip:n@h;b"},
		{"several", "sip:n@h;pn-provider=fcm;ob;pn-prid=x;pn-param=y", []string{"pn-provider", "pn-prid", "pn-param"}, "sip:n@h;ob"},
		{"escaped name", "sip:n@h;pn%2Dprid=x;ob", []string{"pn-prid"}, "sip:n@h;ob"},
		{"user part is not touched", "sip:n;a=1@h;a=2", []string{"a"}, "sip:n;a=1@h"},
		{"other scheme", "tel:+1;a=1", []string{"a"}, "tel:+1;a=1"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			u, err := ParseURI(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := u.WithoutParams(tc.names...); got != tc.want {
				t.Errorf("WithoutParams(%v) = %q, want %q", tc.names, got, tc.want)
			}
		})
	}
	u, _ := ParseURI("sip:n@h;a?x=y")
	if got := u.WithoutHeaders(); got != "sip:n@h;a" {
		t.Errorf("WithoutHeaders() = %q", got)
	}
}

func TestURI_Kinds(t *testing.T) {
	for in, want := range map[string]struct{ sip, sips bool }{
		"sip:h": {true, false}, "SIPS:h": {true, true}, "tel:+1": {}, "sipx:h": {},
	} {
		u, err := ParseURI(in)
		if err != nil {
			t.Fatal(err)
		}
		if u.IsSIP() != want.sip || u.IsSIPS() != want.sips || u.IsZero() {
			t.Errorf("%s: IsSIP %v, IsSIPS %v, IsZero %v", in, u.IsSIP(), u.IsSIPS(), u.IsZero())
		}
	}
	var zero URI
	if !zero.IsZero() || zero.IsSIP() || zero.String() != "" || zero.PortNum() != 0 || !zero.Equal(zero) {
		t.Error("the zero URI is not none")
	}
	if _, ok := zero.HostAddr(); ok {
		t.Error("the zero URI has an address")
	}
	if _, ok := zero.Param("x"); ok || zero.WithoutParams("x") != "" || zero.WithoutHeaders() != "" {
		t.Error("the zero URI has parameters")
	}
}

func TestURI_HostAddr(t *testing.T) {
	for host, want := range map[string]string{
		"198.51.100.4": "198.51.100.4", "[2001:db8::1]": "2001:db8::1", "[::ffff:198.51.100.4]": "::ffff:198.51.100.4",
		"lab.test": "", "4.lab.test": "", "198.51.100": "", "198.51.100.4.": "",
	} {
		u, err := ParseURI("sip:" + host)
		if err != nil {
			t.Fatal(err)
		}
		addr, ok := u.HostAddr()
		if ok != (want != "") || ok && addr.String() != want {
			t.Errorf("HostAddr of %s = %v, %v, want %q", host, addr, ok, want)
		}
	}
}

func TestURI_Equal_RFC3261_19_1_4(t *testing.T) {
	tests := []struct {
		name string
		a, b string
		want bool
	}{
		// The ideas of the section's lists of equal and unequal URIs.
		{"escape of a character that is not reserved", "sip:%6Eina@Lab.test;transport=TCP", "sip:nina@lAb.TEST;Transport=tcp", true},
		{"unknown parameter on one side", "sip:otto@lab.test", "sip:otto@lab.test;fresh=5", true},
		{"unknown parameters on either side", "sip:otto@lab.test;security=on", "sip:otto@lab.test;fresh=5", true},
		{"unknown parameter differs", "sip:otto@lab.test;security=on", "sip:otto@lab.test;security=off", false},
		{
			"order of parameters", "sip:lab.test;transport=tcp;method=REGISTER?to=sip:o%40lab.test",
			"sip:lab.test;method=REGISTER;transport=tcp?to=sip:o%40lab.test", true,
		},
		{"order of headers", "sip:nina@lab.test?subject=a%20b&priority=urgent", "sip:nina@lab.test?priority=urgent&subject=a%20b", true},
		{"case of the user", "SIP:NINA@lab.test;transport=udp", "sip:nina@lab.test;transport=udp", false},
		{"default port", "sip:otto@lab.test", "sip:otto@lab.test:5060", false},
		{"transport on one side", "sip:otto@lab.test", "sip:otto@lab.test;transport=udp", false},
		{"transport tcp on one side", "sip:otto@lab.test", "sip:otto@lab.test;transport=tcp", false},
		{"port and transport on one side", "sip:otto@lab.test", "sip:otto@lab.test:6001;transport=tcp", false},
		{"header on one side", "sip:otto@lab.test", "sip:otto@lab.test?Subject=next", false},
		{"name and its address", "sip:otto@phone.lab.test", "sip:otto@198.51.100.4", false},
		// The rules that they leave out.
		{"sip and sips", "sip:otto@lab.test", "sips:otto@lab.test", false},
		{"user on one side", "sip:lab.test", "sip:otto@lab.test", false},
		{"password differs in case", "sip:o:PW@lab.test", "sip:o:pw@lab.test", false},
		{"password on one side", "sip:o@lab.test", "sip:o:pw@lab.test", false},
		{"empty password on one side", "sip:o@lab.test", "sip:o:@lab.test", false},
		{"port zero and none", "sip:o@lab.test:0", "sip:o@lab.test", false},
		{"leading zero in the port", "sip:o@lab.test:05060", "sip:o@lab.test:5060", true},
		{"user parameter on one side", "sip:1@lab.test", "sip:1@lab.test;user=ip", false},
		{"ttl on one side", "sip:o@lab.test", "sip:o@lab.test;ttl=1", false},
		{"method on one side", "sip:o@lab.test;method=INVITE", "sip:o@lab.test", false},
		{"maddr on one side", "sip:o@lab.test;maddr=198.51.100.4", "sip:o@lab.test", false},
		{"reserved character and its escape", "sip:a;b@lab.test", "sip:a%3Bb@lab.test", false},
		{"escapes of a reserved character differ in case", "sip:a%3bb@lab.test", "sip:a%3Bb@lab.test", true},
		{"escaped percent", "sip:a%2541@lab.test", "sip:a%41@lab.test", false},
		{"escaped percent and one that starts no escape", "sip:a%25zz@lab.test", "sip:a%zz@lab.test", false},
		{"case of a parameter's value", "sip:o@lab.test;x=ABC", "sip:o@lab.test;X=abc", true},
		{"escape in a parameter", "sip:o@lab.test;pn-prid=a%2Ab", "sip:o@lab.test;pn-prid=a*b", true},
		{"valueless against empty", "sip:o@lab.test;pn-provider", "sip:o@lab.test;pn-provider=", true},
		{"repeated parameter: the first one counts", "sip:o@lab.test;x=1;x=2", "sip:o@lab.test;x=1", true},
		{"headers repeated in the same order", "sip:lab.test?r=1&r=2", "sip:lab.test?r=1&r=2", true},
		{"headers repeated in another order", "sip:lab.test?r=1&r=2", "sip:lab.test?r=2&r=1", false},
		{"header repeated on one side", "sip:lab.test?r=1&r=1", "sip:lab.test?r=1", false},
		{"empty headers", "sip:lab.test?", "sip:lab.test", true},
		{"ways to write IPv6", "sip:o@[2001:DB8::0:1]", "sip:o@[2001:db8:0::1]", true},
		{"Kelvin sign is no k", "sip:o@lab.test;\u212aey=1", "sip:o@lab.test;key=2", true},
		{"other schemes", "TEL:+49", "tel:+49", true},
		{"other schemes differ", "tel:+49", "tel:+48", false},
		{"sip and another scheme", "sip:o@lab.test", "tel:+48", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			a, err := ParseURI(tc.a)
			if err != nil {
				t.Fatal(err)
			}
			b, err := ParseURI(tc.b)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.Equal(b); got != tc.want {
				t.Errorf("%s Equal %s = %v, want %v", a, b, got, tc.want)
			}
			if got := b.Equal(a); got != tc.want {
				t.Errorf("%s Equal %s = %v, want %v", b, a, got, tc.want)
			}
			if !a.Equal(a) || !b.Equal(b) {
				t.Error("a URI is not equal to itself")
			}
		})
	}
}

func TestCanonicalAOR_RFC3261_10_3_5(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{"plain", "sip:nina@lab.test", "sip:nina@lab.test"},
		{"parameters, port and headers go", "sip:nina@lab.test:5062;user=phone;transport=tcp?a=b", "sip:nina@lab.test"},
		{"password goes", "sip:nina:pw@lab.test", "sip:nina@lab.test"},
		{"sips is sip", "SIPS:nina@lab.test", "sip:nina@lab.test"},
		{"host in lower case, user not", "sip:Nina@LAB.Test.", "sip:Nina@lab.test"},
		{"needless escapes go", "sip:%6Eina%2B@lab.test", "sip:nina+@lab.test"},
		{"needed escapes stay", "sip:a%40b%3ac%00@lab.test", "sip:a%40b%3Ac%00@lab.test"},
		{"percent sign", "sip:a%25b@lab.test", "sip:a%25b@lab.test"},
		{"UTF-8 is escaped", "sip:ü@lab.test", "sip:%C3%BC@lab.test"},
		{"no user", "sip:lab.test", "sip:lab.test"},
		{"IPv6", "sip:n@[2001:DB8:0::1]:5060", "sip:n@[2001:db8::1]"},
		{"user parameters stay", "sip:+49;isub=1@lab.test", "sip:+49;isub=1@lab.test"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			u, err := ParseURI(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := CanonicalAOR(u)
			if got != tc.want || err != nil {
				t.Errorf("CanonicalAOR(%q) = %q, %v, want %q", tc.in, got, err, tc.want)
			}
		})
	}
	tel, _ := ParseURI("tel:+49")
	if got, err := CanonicalAOR(tel); err != ErrNotSIPURI {
		t.Errorf("CanonicalAOR(tel:+49) = %q, %v, want ErrNotSIPURI", got, err)
	}
}

func TestEscape(t *testing.T) {
	if got, want := EscapeParam("https://p.test/a?b=c;d,e%#é"), "https://p.test/a%3Fb%3Dc%3Bd%2Ce%25%23%C3%A9"; got != want {
		t.Errorf("EscapeParam = %q, want %q", got, want)
	}
	if got, want := Unescape("%41%zz%4%%25%0d"), "A%zz%4%%\r"; got != want {
		t.Errorf("Unescape = %q, want %q", got, want)
	}
	token := "APA91b:x_-/+$&[]"
	if got := EscapeParam(token); got != token {
		t.Errorf("EscapeParam(%q) = %q, want it unchanged", token, got)
	}
}

func FuzzURI(f *testing.F) {
	for _, s := range []string{
		"sip:nina@lab.test", "sips:a:b@[2001:db8::1]:5061;transport=tcp;lr?x=y&z", "tel:+49;x=1",
		"sip:a%3Bb%00@h;;x=%41;x=2;transport", "sip:h?", "sip:h?a&a=1&b", "SIP:+1;ext=2@1.2.3.4:05", "urn:x",
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, s, s2 string) {
		u, err := ParseURI(s)
		if err != nil {
			return
		}
		again, err := ParseURI(u.String())
		if err != nil || again != u {
			t.Fatalf("ParseURI(%q) = %#v, %v, want %#v", u.String(), again, err, u)
		}
		if !u.Equal(u) {
			t.Errorf("%q is not equal to itself", s)
		}
		if u.IsSIP() {
			parts := u
			parts.raw = ""
			if !u.hasPassword() || u.Password != "" {
				if parts.String() != s {
					t.Errorf("parts of %q make %q", s, parts)
				}
			}
			aor, err := CanonicalAOR(u)
			if err != nil {
				t.Fatalf("CanonicalAOR(%q): %v", s, err)
			}
			key, err := ParseURI(aor)
			if err != nil {
				t.Fatalf("CanonicalAOR(%q) = %q is no URI: %v", s, aor, err)
			}
			if twice, _ := CanonicalAOR(key); twice != aor {
				t.Errorf("CanonicalAOR(%q) = %q, of that %q", s, aor, twice)
			}
			if cut, err := ParseURI(u.WithoutParams("x", "transport")); err != nil {
				t.Errorf("WithoutParams of %q: %v", s, err)
			} else if _, ok := cut.Param("x"); ok {
				t.Errorf("WithoutParams left x in %q", cut)
			}
		}
		v, err := ParseURI(s2)
		if err != nil {
			return
		}
		if u.Equal(v) != v.Equal(u) {
			t.Errorf("Equal is not symmetric for %q and %q", u, v)
		}
	})
}
