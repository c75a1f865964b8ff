package auth

import (
	"fmt"
	"strings"
	"testing"
)

// The published requests, with their corrections: erratum 4495 has the password
// of the first two, and by erratum 4897 the response of the third is one to
// SHA-512/256 as FIPS 180-4 defines it.
func TestMatches_Vectors_RFC7616_3_9(t *testing.T) {
	const (
		first = `username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", ` +
			`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, ` +
			`cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS", `
		second = `username="Jäsøn Doe", realm="api@example.org", uri="/doe.json", ` +
			`nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", nc=00000001, ` +
			`cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", qop=auth, opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", `
	)
	for _, tt := range []struct {
		alg              Algorithm
		params, password string
		response         string
	}{
		{MD5, first, "Circle of Life", "8ca523f5e9506fed4657c9700eebdbec"},
		{SHA256, first, "Circle of Life", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"},
		{SHA512256, second, "Secret, or not?", "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"},
	} {
		t.Run(tt.alg.String(), func(t *testing.T) {
			c := mustParse(t, tt.params+`algorithm=`+tt.alg.String()+`, response="`+tt.response+`"`)
			ha1 := tt.alg.HA1(c.username, c.realm, tt.password)
			if !c.matches(ha1, "GET", "") {
				t.Error("the right response does not match")
			}
			if c.matches(ha1, "POST", "") {
				t.Error("matches for another method")
			}
			if c.matches(tt.alg.HA1(c.username, c.realm, strings.ToLower(tt.password)), "GET", "") {
				t.Error("matches for another password")
			}
			c.response = strings.ToUpper(c.response)
			if !c.matches(ha1, "GET", "") {
				t.Error("the response in upper case does not match")
			}
			for i := range c.response {
				forged := c
				forged.response = c.response[:i] + string(rune('0'+(c.response[i]+1)%10)) + c.response[i+1:]
				if forged.response != c.response && forged.matches(ha1, "GET", "") {
					t.Errorf("matches although character %d differs", i)
				}
			}
			for _, r := range []string{"", c.response[1:], c.response + "0"} {
				if c.response = r; c.matches(ha1, "GET", "") {
					t.Errorf("matches a response of length %d", len(r))
				}
			}
		})
	}
}

// The well-known request of the first digest RFC, with its response as erratum
// 749 has it.
func TestMatches_WithoutQop_RFC2069_2_4(t *testing.T) {
	c := mustParse(t, `username="Mufasa",realm="testrealm@host.com",nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",`+
		`uri="/dir/index.html",response="1949323746fe6a43ef61f9606e7febea"`)
	if !c.matches(MD5.HA1("Mufasa", "testrealm@host.com", "CircleOfLife"), "GET", "") {
		t.Error("the right response does not match")
	}
	if c.nonceUses != 1 || c.algo != MD5 {
		t.Errorf("uses %d, algorithm %v, want 1 and MD5", c.nonceUses, c.algo)
	}
}

func TestMatches_AuthInt_RFC7616_3_4_3(t *testing.T) {
	const body = "v=0\r\n"
	ha1 := SHA256.HA1("alice", "r", "secret")
	c := mustParse(t, `username="alice",realm="r",nonce="n",uri="sip:r",algorithm=SHA-256,qop=auth-int,nc=0000000a,cnonce="c",response="x"`)
	hash := func(s string) string { return string(SHA256.appendHex(nil, []byte(s))) }
	c.response = hash(ha1 + ":n:0000000a:c:auth-int:" + hash("INVITE:sip:r:"+hash(body)))
	if !c.matches(ha1, "INVITE", body) {
		t.Error("the right response does not match")
	}
	if c.matches(ha1, "INVITE", body+"a=1\r\n") {
		t.Error("matches for another body")
	}
	c.response = hash(ha1 + ":n:0000000a:c:auth-int:" + hash("INVITE:sip:r:"+hash("")))
	if !c.matches(ha1, "INVITE", "") {
		t.Error("the empty body does not match")
	}
}

func mustParse(t *testing.T, params string) credentials {
	t.Helper()
	c, err := parseCredentials(params)
	if err != nil {
		t.Fatalf("parseCredentials(%q) = %v", params, err)
	}
	if problem := c.check(); problem != "" {
		t.Fatalf("check(%q) = %q", params, problem)
	}
	return c
}

func TestParseCredentials(t *testing.T) {
	const rest = `, realm="r", nonce="n", uri="sip:r", response="00"`
	for _, tt := range []struct {
		name, params string
		user         string
		algo         Algorithm
		uses         uint32
	}{
		{"plain", `username="alice"` + rest, "alice", MD5, 1},
		{"unquoted", `username=alice` + rest, "alice", MD5, 1},
		{"quoted algorithm, RFC 7616 §3.4", `username="alice", algorithm="SHA-256"` + rest, "alice", SHA256, 1},
		{"algorithm in lower case", `username="alice", algorithm=sha-256` + rest, "alice", SHA256, 1},
		{"unknown algorithm", `username="alice", algorithm=AKAv1-MD5` + rest, "alice", 0, 1},
		{"truncated SHA-512", `username="alice", algorithm=SHA-512-256` + rest, "alice", SHA512256, 1},
		{"session variant", `username="alice", algorithm=MD5-sess` + rest, "alice", 0, 1},
		{"quoted pair", `username="a\"l\\ice"` + rest, `a"l\ice`, MD5, 1},
		{"comma in quotes", `username="al,ice=1"` + rest, "al,ice=1", MD5, 1},
		{"names in upper case", `USERNAME="alice"` + rest, "alice", MD5, 1},
		{"white space", "username \t=  \"alice\"" + rest, "alice", MD5, 1},
		{"folded", "username=\"alice\"" + strings.ReplaceAll(rest, ", ", ",\r\n  "), "alice", MD5, 1},
		{"no white space", `username="alice"` + strings.ReplaceAll(rest, " ", ""), "alice", MD5, 1},
		{"trailing comma", `username="alice"` + rest + ",", "alice", MD5, 1},
		{"unknown parameters", `username="alice", opaque="", opaque="x", foo=bar` + rest, "alice", MD5, 1},
		{"quoted qop and nc", `username="alice", qop="auth", nc="0000001F", cnonce="c"` + rest, "alice", MD5, 31},
		{"non-ASCII name", `username="Jäsøn"` + rest, "Jäsøn", MD5, 1},
		{"userhash that is off", `username="alice", userhash=false` + rest, "alice", MD5, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mustParse(t, tt.params)
			if c.username != tt.user || c.algo != tt.algo || c.nonceUses != tt.uses {
				t.Errorf("got %q, %v, nc %d; want %q, %v, nc %d", c.username, c.algo, c.nonceUses, tt.user, tt.algo, tt.uses)
			}
			if c.realm != "r" || c.nonce != "n" || c.uri != "sip:r" || c.response != "00" {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestParseCredentials_Malformed(t *testing.T) {
	for _, tt := range []struct{ name, params string }{
		{"open quote", `username="alice`},
		{"open quote behind a pair", `username="alice\"`},
		{"no value", `username=`},
		{"no value but a comma", `username=, realm="r"`},
		{"no equals", `username`},
		{"no name", `="alice"`},
		{"no comma", `username="alice" realm="r"`},
		{"quote in a token", `username=al"ice`},
		{"control character in a token", "username=al\x00ice"},
		{"twice", `username="alice", username="bob"`},
		{"twice, another case", `username="alice", Username="alice"`},
		{"too many", strings.Repeat("a=b,", maxParams) + "c=d"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := parseCredentials(tt.params); err == nil {
				t.Errorf("parseCredentials(%q) = %+v, want an error", tt.params, c)
			}
		})
	}
}

func TestCheck_Problems_RFC7616_3_4(t *testing.T) {
	all := []string{`username="alice"`, `realm="r"`, `nonce="n"`, `uri="sip:r"`, `response="00"`}
	for i := range all {
		var some []string
		some = append(append(some, all[:i]...), all[i+1:]...)
		testProblem(t, strings.Join(some, ","), "Incomplete Credentials")
	}
	base := strings.Join(all, ",")
	testProblem(t, strings.Replace(base, "alice", "", 1), "Incomplete Credentials")
	testProblem(t, base+`,username*=UTF-8''alice`, "Username Form Not Offered")
	testProblem(t, base+`,userhash=true`, "Username Form Not Offered")
	testProblem(t, base+`,qop=auth-conf,nc=00000001,cnonce="c"`, "Unknown Quality of Protection")
	testProblem(t, base+`,qop=auth,cnonce="c"`, "Incomplete Credentials")
	testProblem(t, base+`,qop=auth,nc=00000001`, "Incomplete Credentials")
	for _, nc := range []string{"1", "000000001", "0000000g", "+0000001", "00000000"} {
		testProblem(t, base+`,qop=auth,cnonce="c",nc=`+nc, "Incomplete Credentials")
	}
}

func testProblem(t *testing.T, params, want string) {
	t.Helper()
	c, err := parseCredentials(params)
	if err != nil {
		t.Fatalf("parseCredentials(%q) = %v", params, err)
	}
	if got := c.check(); got != want {
		t.Errorf("check(%q) = %q, want %q", params, got, want)
	}
}

func TestDigestScheme(t *testing.T) {
	for _, tt := range []struct {
		value, want string
		ok          bool
	}{
		{`Digest username="a"`, `username="a"`, true},
		{"digest\tusername=a", "username=a", true},
		{"Digest\r\n a=b", "\n a=b", true},
		{"Digest", "", false},
		{"Digest=x", "", false},
		{"Digesty x", "", false},
		{"Basic YWxpY2U6c2VjcmV0", "", false},
		{"Bearer abc", "", false},
		{"", "", false},
	} {
		if got, ok := digestScheme(tt.value); got != tt.want || ok != tt.ok {
			t.Errorf("digestScheme(%q) = %q, %v, want %q, %v", tt.value, got, ok, tt.want, tt.ok)
		}
	}
}

// FuzzParseCredentials writes what it read and reads it again.
func FuzzParseCredentials(f *testing.F) {
	f.Add(`username="a\"b", realm="r", nonce="n", uri="sip:r", response="00", qop=auth, nc=00000001, cnonce="c", algorithm=MD5`)
	f.Add(`username=a,, realm`)
	f.Add("a = \"\\")
	f.Fuzz(func(t *testing.T, params string) {
		c, err := parseCredentials(params)
		if err != nil {
			return
		}
		problem := c.check()
		again, err := parseCredentials(printCredentials(&c))
		if err != nil {
			t.Fatalf("own output %q: %v", printCredentials(&c), err)
		}
		if got := again.check(); again != c || got != problem {
			t.Errorf("parse, print, parse:\n%+v, %q\n%+v, %q", c, problem, again, got)
		}
		c.matches(strings.Repeat("0", 64), "REGISTER", "")
	})
}

func printCredentials(c *credentials) string {
	var b strings.Builder
	put := func(bit uint16, name, value string) {
		if c.set&bit != 0 {
			value = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)
			fmt.Fprintf(&b, `%s="%s", `, name, value)
		}
	}
	put(hasUsername, "username", c.username)
	put(hasRealm, "realm", c.realm)
	put(hasNonce, "nonce", c.nonce)
	put(hasURI, "uri", c.uri)
	put(hasResponse, "response", c.response)
	put(hasAlgorithm, "algorithm", c.algorithm)
	put(hasQop, "qop", c.qop)
	put(hasNC, "nc", c.nc)
	put(hasCnonce, "cnonce", c.cnonce)
	put(hasUserhash, "userhash", fmt.Sprint(c.userhash))
	put(hasExtName, "username*", "x")
	return b.String()
}

func TestParseAlgorithm(t *testing.T) {
	for s, want := range map[string]Algorithm{"MD5": MD5, "md5": MD5, "SHA-256": SHA256, "sha-256": SHA256, "SHA256": 0, "": 0} {
		if got, ok := ParseAlgorithm(s); got != want || ok != (want != 0) {
			t.Errorf("ParseAlgorithm(%q) = %v, %v", s, got, ok)
		}
	}
	if got := Algorithm(9).String(); got != "algorithm(9)" {
		t.Errorf("String() = %q", got)
	}
}
