package auth

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/icholy/digest"

	"reveille/internal/sipmsg"
)

// lines lists the algorithms of a challenge in the order of its lines.
func lines(t *testing.T, d Decision) (algorithms []string) {
	t.Helper()
	for _, h := range d.Reply.Headers {
		chal, err := digest.ParseChallenge(h.Value)
		if err != nil {
			t.Fatalf("challenge %q: %v", h.Value, err)
		}
		algorithms = append(algorithms, chal.Algorithm)
	}
	return algorithms
}

func TestOffers_RFC8760_2_4(t *testing.T) {
	md5Only := newUsers(t, Account{Name: "old", HA1MD5: MD5.HA1("old", "r", "pw")})
	offers := []Offer{
		{UserAgent: regexp.MustCompile(`^baresip v?1\.`), Algorithms: []Algorithm{MD5}},
		{Listener: "lan", UserAgent: regexp.MustCompile(`^Old`), Algorithms: []Algorithm{MD5, SHA256}},
		{Listener: "lan", Algorithms: algorithms()},
		{UserAgent: regexp.MustCompile(`^$|the end$`), Algorithms: []Algorithm{SHA512256}},
	}
	for _, tt := range []struct {
		name, listener, userAgent string
		source                    Source
		want                      []string
	}{
		{name: "no offer", listener: "main", userAgent: "JsSIP 3.13", want: []string{"SHA-256", "MD5"}},
		{name: "by user agent", listener: "main", userAgent: "baresip v1.0.0 (x86_64/linux)", want: []string{"MD5"}},
		{name: "by listener", listener: "lan", userAgent: "JsSIP 3.13", want: []string{"SHA-512-256", "SHA-256", "MD5"}},
		{name: "by both", listener: "lan", userAgent: "Old phone", want: []string{"MD5", "SHA-256"}},
		{name: "the first that matches", listener: "lan", userAgent: "baresip 1.0", want: []string{"MD5"}},
		{name: "without a user agent", listener: "main", want: []string{"SHA-512-256"}},
		{name: "what users can be verified with", listener: "lan", source: md5Only, want: []string{"MD5"}},
		{name: "an offer of which nothing is left", listener: "main", source: md5Only, want: []string{"MD5"}},
		{name: "the end is not looked at", listener: "main", userAgent: strings.Repeat("x", maxUserAgent) + " the end", want: []string{"SHA-256", "MD5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := newAuth(t, func(o *Options) {
				o.Realm, o.Domains, o.Offers = "r", map[string]string{"example.com": ""}, offers
				o.Source = newUsers(t, Account{Name: "alice", Password: "secret"})
				if tt.source != nil {
					o.Source = tt.source
				}
			})
			f := phone
			f.Listener = tt.listener
			var headers []string
			if tt.userAgent != "" {
				headers = append(headers, "User-Agent: "+tt.userAgent)
			}
			d := a.Check(t.Context(), register(t, headers...), f, Registrar, noon)
			if diff := cmp.Diff(tt.want, lines(t, d)); diff != "" {
				t.Fatalf("offered (-want +got):\n%s", diff)
			}
			// What is not offered to this client is not accepted from it, on
			// either way.
			user, password := "alice", "secret"
			if tt.source != nil {
				user, password = "old", "pw"
			}
			all, _ := newAuth(t, func(o *Options) {
				o.Realm, o.Domains, o.Algorithms = "r", a.o.Domains, algorithms()
				o.NonceKey, o.Source = a.nonces.key, newUsers(t, Account{Name: user, Password: password})
			})
			challenge := all.Check(t.Context(), register(t), f, Registrar, noon)
			for _, alg := range algorithms() {
				offered := strings.Contains(strings.Join(tt.want, " "), alg.String())
				m := register(t, append(headers, login{user: user, password: password, alg: alg, count: int(alg)}.answer(t, challenge))...)
				_, recognised := recognise(t, a, m, f, noon)
				if got := a.Check(t.Context(), m, f, Registrar, noon); (got.Outcome == Allowed) != offered || recognised != offered {
					t.Errorf("%v, offered %v: %v, recognised %v", alg, offered, got.Reason, recognised)
				}
			}
		})
	}
}

func TestQOP_RFC7616_3_4(t *testing.T) {
	const body = "v=0\r\n"
	hash := func(s string) string { return string(SHA256.appendHex(nil, []byte(s))) }
	// answer computes the response by hand for one quality.
	answer := func(chal *digest.Challenge, qop, body string) string {
		ha1, a2 := SHA256.HA1("alice", "example.com", "secret"), "INVITE:sip:bob@example.com"
		params, middle := "", ""
		switch qop {
		case "auth-int":
			a2 += ":" + hash(body)
			fallthrough
		case "auth":
			params, middle = fmt.Sprintf(`, qop=%s, nc=00000001, cnonce="c"`, qop), "00000001:c:"+qop+":"
		}
		return fmt.Sprintf(`Proxy-Authorization: Digest username="alice", realm="example.com", nonce="%s", uri="sip:bob@example.com", algorithm=SHA-256, response="%s"%s`,
			chal.Nonce, hash(ha1+":"+chal.Nonce+":"+middle+hash(a2)), params)
	}
	for _, tt := range []struct {
		name, offered string
		qop           []QOP
		quality       string
		signed, sent  string
		outcome       Outcome
		reason        Reason
	}{
		{name: "auth", offered: "auth", quality: "auth", sent: body, outcome: Allowed, reason: ReasonUser},
		{name: "auth-int that was not offered", offered: "auth", quality: "auth-int", signed: body, sent: body, outcome: Refused, reason: ReasonMalformed},
		{name: "auth-int", offered: "auth,auth-int", qop: []QOP{QOPAuth, QOPAuthInt}, quality: "auth-int", signed: body, sent: body, outcome: Allowed, reason: ReasonUser},
		{name: "auth-int with no body", offered: "auth,auth-int", qop: []QOP{QOPAuth, QOPAuthInt}, quality: "auth-int", outcome: Allowed, reason: ReasonUser},
		{name: "another body", offered: "auth-int,auth", qop: []QOP{QOPAuthInt, QOPAuth}, quality: "auth-int", signed: body, sent: "v=1\r\n", outcome: Challenged, reason: ReasonPassword},
		{name: "none", offered: "auth", sent: body, outcome: Allowed, reason: ReasonUser},
		{name: "auth where only auth-int is", offered: "auth-int", qop: []QOP{QOPAuthInt}, quality: "auth", outcome: Refused, reason: ReasonMalformed},
		{name: "none where only auth-int is", offered: "auth-int", qop: []QOP{QOPAuthInt}, outcome: Refused, reason: ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := newAuth(t, func(o *Options) { o.QOP = tt.qop })
			invite := func(body string, headers ...string) *sipmsg.Message {
				m := message(t, "INVITE", "sip:bob@example.com", "sip:alice@example.com", "sip:bob@example.com", headers...)
				raw := strings.Replace(m.Raw(), "Content-Length: 0\r\n\r\n", fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body), 1)
				m, err := sipmsg.Parse([]byte(raw), phone.Remote)
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
			first := a.Check(t.Context(), invite(tt.sent), phone, Proxy, noon)
			chal, err := digest.ParseChallenge(first.Reply.Headers[0].Value)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(chal.QOP, ","); got != tt.offered {
				t.Errorf("qop=%q, want %q", got, tt.offered)
			}
			d := a.Check(t.Context(), invite(tt.sent, answer(chal, tt.quality, tt.signed)), phone, Proxy, noon)
			if d.Outcome != tt.outcome || d.Reason != tt.reason {
				t.Errorf("outcome %v, reason %v, want %v, %v", d.Outcome, d.Reason, tt.outcome, tt.reason)
			}
		})
	}
}
