package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/icholy/digest"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

var phone = flow.Flow{Listener: "main", Transport: flow.UDP, Remote: netip.MustParseAddrPort("192.0.2.10:5060")}

type recorder []event.Event

func (r *recorder) Emit(e event.Event) { *r = append(*r, e) }

// take returns the events so far and forgets them.
func (r *recorder) take() []event.Event {
	all := *r
	*r = nil
	return all
}

func newAuth(t testing.TB, change func(*Options)) (*Authenticator, *recorder) {
	t.Helper()
	users, err := NewUsers("example.com", []Account{
		{Name: "alice", Password: "secret", AORs: []string{"sip:sales@example.com"}},
		{Name: "bob", Realm: "example.org", Password: "hunter2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	events := new(recorder)
	o := Options{
		Source:  users,
		Realm:   "example.com",
		Domains: map[string]string{"example.com": "", "Example.NET": "", "example.org": "example.org"},
		Sink:    events,
	}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a, events
}

// message builds a request. The header lines come in front of the body.
func message(t testing.TB, method, uri, from, to string, headers ...string) *sipmsg.Message {
	t.Helper()
	lines := ""
	for _, h := range headers {
		lines += h + "\r\n"
	}
	raw := fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"+
		"From: <%s>;tag=1\r\nTo: <%s>\r\nCall-ID: c1\r\nCSeq: 1 %s\r\n%sContent-Length: 0\r\n\r\n", method, uri, from, to, method, lines)
	m, err := sipmsg.Parse([]byte(raw), phone.Remote)
	if err != nil {
		t.Fatalf("parse %q: %v", raw, err)
	}
	return m
}

func register(t testing.TB, headers ...string) *sipmsg.Message {
	return message(t, "REGISTER", "sip:example.com", "sip:alice@example.com", "sip:alice@example.com", headers...)
}

// login answers a challenge with an independent implementation.
type login struct {
	user, password, method, uri string
	count                       int
	alg                         Algorithm
}

func (l login) answer(t testing.TB, d Decision) string {
	t.Helper()
	if l.method == "" {
		l.method = "REGISTER"
	}
	if l.uri == "" {
		l.uri = "sip:example.com"
	}
	if l.alg == 0 {
		l.alg = SHA256
	}
	for _, h := range d.Reply.Headers {
		chal, err := digest.ParseChallenge(h.Value)
		if err != nil {
			t.Fatalf("challenge %q: %v", h.Value, err)
		}
		if chal.Algorithm != l.alg.String() {
			continue
		}
		cred, err := digest.Digest(chal, digest.Options{Method: l.method, URI: l.uri, Username: l.user, Password: l.password, Count: max(l.count, 1)})
		if err != nil {
			t.Fatal(err)
		}
		name := "Authorization: "
		if h.Name == "Proxy-Authenticate" {
			name = "Proxy-Authorization: "
		}
		return name + cred.String()
	}
	t.Fatalf("no challenge for %v in %+v", l.alg, d.Reply)
	return ""
}

func wantDecision(t testing.TB, d Decision, outcome Outcome, reason Reason, code int) {
	t.Helper()
	if d.Outcome != outcome || d.Reason != reason || d.Reply.Code != code {
		t.Fatalf("decision: outcome %d, reason %v, %d %s; want %d, %v, %d", d.Outcome, d.Reason, d.Reply.Code, d.Reply.Reason, outcome, reason, code)
	}
}

func stale(d Decision) bool {
	return len(d.Reply.Headers) > 0 && strings.Contains(d.Reply.Headers[0].Value, "stale=true")
}

func TestChallenge_RFC8760_2_4(t *testing.T) {
	a, events := newAuth(t, nil)
	for _, tt := range []struct {
		name       string
		role       Role
		m          *sipmsg.Message
		code       int
		header     string
		realm      string
		algorithms []string
	}{
		{"registrar", Registrar, register(t), 401, "WWW-Authenticate", "example.com", []string{"SHA-256", "MD5"}},
		{"proxy", Proxy, message(t, "INVITE", "sip:x@example.org", "sip:alice@example.com", "sip:x@example.org"), 407, "Proxy-Authenticate", "example.com", []string{"SHA-256", "MD5"}},
		{"realm of another domain", Registrar, message(t, "REGISTER", "sip:EXAMPLE.org", "sip:b@example.com", "sip:b@EXAMPLE.org"), 401, "WWW-Authenticate", "example.org", []string{"SHA-256", "MD5"}},
		{"stranger", Proxy, message(t, "INVITE", "sip:a@example.com", "sip:eve@elsewhere.test", "sip:a@example.com"), 407, "Proxy-Authenticate", "example.com", []string{"SHA-256", "MD5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := a.Check(t.Context(), tt.m, phone, tt.role, noon)
			wantDecision(t, d, Challenged, ReasonNoCredentials, tt.code)
			var algorithms []string
			for _, h := range d.Reply.Headers {
				chal, err := digest.ParseChallenge(h.Value)
				if err != nil {
					t.Fatal(err)
				}
				if h.Name != tt.header || chal.Realm != tt.realm || chal.Stale || len(chal.QOP) != 1 || chal.QOP[0] != "auth" {
					t.Errorf("%s: %s", h.Name, h.Value)
				}
				algorithms = append(algorithms, chal.Algorithm)
			}
			if diff := cmp.Diff(tt.algorithms, algorithms); diff != "" {
				t.Errorf("algorithms (-want +got):\n%s", diff)
			}
		})
	}
	if got := events.take(); len(got) != 0 {
		t.Errorf("a first request without credentials is no failure: %v", got)
	}
}

// RFC 7616 §3.3: what is quoted and what not.
func TestChallenge_Quoting_RFC7616_3_3(t *testing.T) {
	got := challengeValue(SHA256, "example.com", "abc", "auth", true)
	want := `Digest realm="example.com", nonce="abc", algorithm=SHA-256, qop="auth", stale=true`
	if got != want {
		t.Errorf("challenge = %s, want %s", got, want)
	}
}

func TestAuthenticate_RightPassword(t *testing.T) {
	for _, alg := range algorithms() {
		t.Run(alg.String(), func(t *testing.T) {
			a, events := newAuth(t, func(o *Options) { o.Algorithms = algorithms() })
			first := a.Check(t.Context(), register(t), phone, Registrar, noon)
			m := register(t, login{user: "alice", password: "secret", alg: alg}.answer(t, first))
			d := a.Check(t.Context(), m, phone, Registrar, noon.Add(time.Second))
			wantDecision(t, d, Allowed, ReasonUser, 0)
			want := User{Name: "alice", Realm: "example.com", Profile: Profile{AORs: []usrloc.AOR{"sip:sales@example.com"}}}
			if diff := cmp.Diff(want, d.User); diff != "" || d.Trusted {
				t.Errorf("user (-want +got):\n%s", diff)
			}
			if got := events.take(); len(got) != 0 {
				t.Errorf("events: %v", got)
			}
		})
	}
}

func TestAuthenticate_ProxyReadsItsOwnHeader_RFC3261_22_3(t *testing.T) {
	a, _ := newAuth(t, nil)
	invite := func(headers ...string) *sipmsg.Message {
		return message(t, "INVITE", "sip:bob@example.com", "sip:alice@example.com", "sip:bob@example.com", headers...)
	}
	first := a.Check(t.Context(), invite(), phone, Proxy, noon)
	answer := login{user: "alice", password: "secret", method: "INVITE", uri: "sip:bob@example.com"}.answer(t, first)
	asRegistrar := strings.Replace(answer, "Proxy-Authorization", "Authorization", 1)
	wantDecision(t, a.Check(t.Context(), invite(asRegistrar), phone, Proxy, noon), Challenged, ReasonNoCredentials, 407)
	// Credentials for other realms come before and behind ours.
	other := `Proxy-Authorization: Digest username="x", realm="elsewhere", nonce="n", uri="sip:x", response="0"`
	wantDecision(t, a.Check(t.Context(), invite(other, answer, other), phone, Proxy, noon), Allowed, ReasonUser, 0)
}

func TestAuthenticate_OtherSchemes_RFC3261_22(t *testing.T) {
	a, _ := newAuth(t, nil)
	for _, h := range []string{"Authorization: Basic YWxpY2U6c2VjcmV0", "Authorization: Bearer abc", "Authorization: Digest"} {
		wantDecision(t, a.Check(t.Context(), register(t, h), phone, Registrar, noon), Challenged, ReasonNoCredentials, 401)
	}
}

// Nobody can find out by trying whether a user exists.
func TestAuthenticate_UnknownUserLooksLikeWrongPassword(t *testing.T) {
	a, events := newAuth(t, nil)
	first := a.Check(t.Context(), register(t), phone, Registrar, noon)
	shape := func(d Decision) string {
		s := fmt.Sprint(d.Reply.Code, d.Reply.Reason)
		for _, h := range d.Reply.Headers {
			chal, err := digest.ParseChallenge(h.Value)
			if err != nil {
				t.Fatal(err)
			}
			s += "|" + h.Name + strings.Replace(h.Value, chal.Nonce, fmt.Sprint(len(chal.Nonce)), 1)
		}
		return s
	}
	wrong := a.Check(t.Context(), register(t, login{user: "alice", password: "guess"}.answer(t, first)), phone, Registrar, noon)
	wantDecision(t, wrong, Challenged, ReasonPassword, 401)
	unknown := a.Check(t.Context(), register(t, login{user: "nobody", password: "guess"}.answer(t, first)), phone, Registrar, noon)
	wantDecision(t, unknown, Challenged, ReasonNoUser, 401)
	if shape(wrong) != shape(unknown) {
		t.Errorf("answers differ:\n%s\n%s", shape(wrong), shape(unknown))
	}
	want := []event.Event{
		event.AuthFailed{Method: "REGISTER", User: "alice", Realm: "example.com", Flow: phone, Reason: "password"},
		event.AuthFailed{Method: "REGISTER", User: "nobody", Realm: "example.com", Flow: phone, Reason: "no_user"},
	}
	if diff := cmp.Diff(want, events.take(), cmp.Comparer(func(a, b flow.Flow) bool { return a == b })); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// The decoy's hash, if somebody had it, is of no use.
	m := register(t, login{user: "nobody", password: "x"}.answer(t, first))
	r := a.newRequest(m, phone, Registrar, noon)
	if r.precheck() {
		t.Fatal("decided before the lookup")
	}
	forged := r.c
	var buf []byte
	buf = SHA256.appendHex(buf, []byte("REGISTER:"+forged.uri))
	forged.response = string(SHA256.appendHex(nil, []byte(strings.Join([]string{a.decoy.SHA256, forged.nonce, forged.nc, forged.cnonce, forged.qop, string(buf)}, ":"))))
	if !forged.matches(a.decoy.SHA256, "REGISTER", "") {
		t.Fatal("the forged response is not right")
	}
	r.c = forged
	r.lookup(t.Context())
	if r.d.Outcome != Challenged {
		t.Error("the decoy lets in")
	}
}

func TestAuthenticate_Stale_RFC7616_3_3(t *testing.T) {
	a, events := newAuth(t, nil)
	restarted, _ := newAuth(t, nil)
	first := a.Check(t.Context(), register(t), phone, Registrar, noon)
	right := login{user: "alice", password: "secret"}.answer(t, first)
	wrong := login{user: "alice", password: "guess"}.answer(t, first)
	late := noon.Add(DefaultNonceTTL)

	d := a.Check(t.Context(), register(t, right), phone, Registrar, late)
	wantDecision(t, d, Challenged, ReasonStale, 401)
	if !stale(d) {
		t.Errorf("right digest, old nonce: %v, want stale=true", d.Reply.Headers)
	}
	if got := events.take(); len(got) != 0 {
		t.Errorf("an old nonce is no failure: %v", got)
	}
	d = a.Check(t.Context(), register(t, wrong), phone, Registrar, late)
	wantDecision(t, d, Challenged, ReasonPassword, 401)
	if stale(d) {
		t.Error("wrong digest, old nonce: stale=true tells that the nonce was the problem")
	}
	// A nonce from before a restart: the phone must not ask for the password.
	d = restarted.Check(t.Context(), register(t, right), phone, Registrar, noon)
	wantDecision(t, d, Challenged, ReasonStale, 401)
	if !stale(d) {
		t.Error("right digest, nonce of another run: want stale=true")
	}
	// The answer to the new challenge works.
	again := register(t, login{user: "alice", password: "secret"}.answer(t, d))
	wantDecision(t, restarted.Check(t.Context(), again, phone, Registrar, noon), Allowed, ReasonUser, 0)
}

func TestAuthenticate_Replay_RFC7616_3_4(t *testing.T) {
	a, events := newAuth(t, nil)
	first := a.Check(t.Context(), register(t), phone, Registrar, noon)
	use := func(count int) *sipmsg.Message {
		return register(t, login{user: "alice", password: "secret", count: count}.answer(t, first))
	}
	captured := use(1)
	wantDecision(t, a.Check(t.Context(), captured, phone, Registrar, noon), Allowed, ReasonUser, 0)
	elsewhere := phone
	elsewhere.Remote = netip.AddrPortFrom(phone.Remote.Addr(), phone.Remote.Port()+1)
	d := a.Check(t.Context(), captured, elsewhere, Registrar, noon)
	wantDecision(t, d, Challenged, ReasonReplayed, 401)
	if !stale(d) {
		t.Error("a client that does not count must get another chance: want stale=true")
	}
	wantDecision(t, a.Check(t.Context(), use(2), phone, Registrar, noon), Allowed, ReasonUser, 0)
	wantDecision(t, a.Check(t.Context(), use(4), phone, Registrar, noon), Allowed, ReasonUser, 0)
	wantDecision(t, a.Check(t.Context(), use(3), phone, Registrar, noon), Allowed, ReasonUser, 0)
	wantDecision(t, a.Check(t.Context(), use(3), phone, Registrar, noon), Challenged, ReasonReplayed, 401)
	if got := events.take(); len(got) != 0 {
		t.Errorf("events: %v", got)
	}
}

// RFC 3261 §17.2.2: a phone that got no answer sends the same bytes again and gets
// the answer that it missed, not a challenge.
func TestAuthenticate_Retransmission_RFC3261_17_2_2(t *testing.T) {
	other, connection := phone, phone
	other.Listener = "other"
	connection.Transport, connection.Conn = flow.TCP, 1
	for _, tt := range []struct {
		name   string
		later  time.Duration
		first  flow.Flow
		second flow.Flow
		change func(login) login
		want   Reason
	}{
		{name: "at once", first: phone, second: phone, want: ReasonUser},
		{name: "the last copy", later: 32 * time.Second, first: phone, second: phone, want: ReasonUser},
		{name: "later than any copy", later: 33 * time.Second, first: phone, second: phone, want: ReasonReplayed},
		{name: "by another listener", first: phone, second: other, want: ReasonReplayed},
		{name: "on a connection", first: connection, second: connection, want: ReasonReplayed},
		{name: "other bytes", first: phone, second: phone, change: func(l login) login { l.uri = "sip:alice@example.com"; return l }, want: ReasonReplayed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := newAuth(t, nil)
			challenge := a.Check(t.Context(), register(t), tt.first, Registrar, noon)
			l := login{user: "alice", password: "secret", count: 1}
			m := register(t, l.answer(t, challenge))
			wantDecision(t, a.Check(t.Context(), m, tt.first, Registrar, noon), Allowed, ReasonUser, 0)
			if tt.change != nil {
				m = register(t, tt.change(l).answer(t, challenge))
			}
			if got := a.Check(t.Context(), m, tt.second, Registrar, noon.Add(tt.later)).Reason; got != tt.want {
				t.Errorf("the second one: %v, want %v", got, tt.want)
			}
		})
	}
}

// A wrong password must not use up the nonce, or anybody who sees a challenge
// could lock its owner out, nor may it cost memory.
func TestAuthenticate_FailuresCostNoMemory(t *testing.T) {
	a, _ := newAuth(t, nil)
	first := a.Check(t.Context(), register(t), phone, Registrar, noon)
	for i := range 100 {
		m := register(t, login{user: "alice", password: "guess", count: i + 1}.answer(t, first))
		wantDecision(t, a.Check(t.Context(), m, phone, Registrar, noon), Challenged, ReasonPassword, 401)
	}
	if n := len(a.replays.places); n != 0 {
		t.Errorf("%d nonces are remembered, want 0", n)
	}
	m := register(t, login{user: "alice", password: "secret"}.answer(t, first))
	wantDecision(t, a.Check(t.Context(), m, phone, Registrar, noon), Allowed, ReasonUser, 0)
}

func TestAuthenticate_WithoutQop_RFC8760_2_5(t *testing.T) {
	a, _ := newAuth(t, nil)
	first := a.Check(t.Context(), register(t), phone, Registrar, noon)
	chal, err := digest.ParseChallenge(first.Reply.Headers[1].Value)
	if err != nil {
		t.Fatal(err)
	}
	hash := func(s string) string { return string(MD5.appendHex(nil, []byte(s))) }
	response := hash(hash("alice:example.com:secret") + ":" + chal.Nonce + ":" + hash("REGISTER:sip:example.com"))
	m := register(t, fmt.Sprintf(`Authorization: Digest username="alice",realm="example.com",nonce="%s",uri="sip:example.com",response="%s"`, chal.Nonce, response))
	wantDecision(t, a.Check(t.Context(), m, phone, Registrar, noon), Allowed, ReasonUser, 0)
	// Without a count, a nonce is good for one request.
	elsewhere := phone
	elsewhere.Listener = "other"
	wantDecision(t, a.Check(t.Context(), m, elsewhere, Registrar, noon), Challenged, ReasonReplayed, 401)
}

func TestAuthenticate_AlgorithmNotOffered_RFC8760_2_4(t *testing.T) {
	both, _ := newAuth(t, nil)
	a, events := newAuth(t, func(o *Options) { o.Algorithms = []Algorithm{SHA256} })
	first := both.Check(t.Context(), register(t), phone, Registrar, noon)
	d := a.Check(t.Context(), register(t, login{user: "alice", password: "secret", alg: MD5}.answer(t, first)), phone, Registrar, noon)
	wantDecision(t, d, Challenged, ReasonAlgorithm, 401)
	if len(d.Reply.Headers) != 1 || !strings.Contains(d.Reply.Headers[0].Value, "algorithm=SHA-256") {
		t.Errorf("challenge: %v", d.Reply.Headers)
	}
	if got := events.take(); len(got) != 1 {
		t.Errorf("events: %v", got)
	}
}

func TestAuthenticate_OfferFitsConfigurationAndUsers(t *testing.T) {
	md5Only, err := NewUsers("example.com", []Account{{Name: "old", HA1MD5: MD5.HA1("old", "example.com", "pw")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		configured []Algorithm
		want       []string
	}{
		{"both", []Algorithm{SHA256, MD5}, []string{"algorithm=MD5"}},
		{"nothing in common", []Algorithm{SHA256}, []string{"algorithm=SHA-256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, _ := newAuth(t, func(o *Options) { o.Source, o.Algorithms = md5Only, tt.configured })
			d := a.Check(t.Context(), register(t), phone, Registrar, noon)
			if len(d.Reply.Headers) != len(tt.want) {
				t.Fatalf("challenges: %v", d.Reply.Headers)
			}
			for i, want := range tt.want {
				if !strings.Contains(d.Reply.Headers[i].Value, want) {
					t.Errorf("challenge %d: %s, want %s", i, d.Reply.Headers[i].Value, want)
				}
			}
			// A user without that hash is refused like one with a wrong password.
			m := register(t, login{user: "old", password: "pw", alg: map[bool]Algorithm{true: MD5, false: SHA256}[len(tt.configured) == 2]}.answer(t, d))
			if got := a.Check(t.Context(), m, phone, Registrar, noon); (got.Outcome == Allowed) != (len(tt.configured) == 2) {
				t.Errorf("outcome %d, reason %v", got.Outcome, got.Reason)
			}
		})
	}
}

func TestAuthenticate_DigestURI_RFC8760_2_6(t *testing.T) {
	for _, tt := range []struct {
		name, requestURI, uri string
		ok                    bool
	}{
		{"equal", "sip:bob@example.com", "sip:bob@example.com", true},
		{"rewritten on the way", "sip:bob@192.0.2.1:5070;line=1", "sip:bob@example.com", true},
		{"another domain of ours", "sip:bob@example.com", "sip:bob@EXAMPLE.net:5060;transport=tcp", true},
		{"own address", "sip:bob@example.com", "sip:203.0.113.1", true},
		{"call to elsewhere", "sip:bob@elsewhere.test", "sip:bob@elsewhere.test", true},
		{"call to elsewhere, parameters", "sip:bob@elsewhere.test;user=phone", "sip:bob@ELSEWHERE.test", true},
		{"telephone number", "tel:+123", "tel:+123", true},
		{"made for elsewhere", "sip:bob@example.com", "sip:bob@elsewhere.test", false},
		{"made for another user elsewhere", "sip:bob@elsewhere.test", "sip:eve@elsewhere.test", false},
		{"no URI", "sip:bob@example.com", "*", false},
		{"another number", "tel:+123", "tel:+124", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, events := newAuth(t, func(o *Options) { o.Own = func(host string) bool { return host == "203.0.113.1" } })
			invite := func(headers ...string) *sipmsg.Message {
				return message(t, "INVITE", tt.requestURI, "sip:alice@example.com", "sip:bob@example.com", headers...)
			}
			first := a.Check(t.Context(), invite(), phone, Proxy, noon)
			answer := login{user: "alice", password: "secret", method: "INVITE", uri: tt.uri}.answer(t, first)
			d := a.Check(t.Context(), invite(answer), phone, Proxy, noon)
			if tt.ok {
				wantDecision(t, d, Allowed, ReasonUser, 0)
				return
			}
			wantDecision(t, d, Refused, ReasonForeignURI, 400)
			if got := events.take(); len(got) != 1 {
				t.Errorf("events: %v", got)
			}
		})
	}
}

func TestAuthenticate_Malformed(t *testing.T) {
	a, _ := newAuth(t, nil)
	for _, h := range []string{
		`Authorization: Digest username="alice`,
		`Authorization: Digest username="alice", realm="example.com"`,
		`Authorization: Digest username="alice", realm="example.com", nonce="n", uri="sip:example.com", response="0", qop=auth`,
	} {
		wantDecision(t, a.Check(t.Context(), register(t, h), phone, Registrar, noon), Refused, ReasonMalformed, 400)
	}
}

func TestAuthenticate_ACKAndCANCELAreNeverChallenged_RFC3261_22_1(t *testing.T) {
	a, _ := newAuth(t, nil)
	request := func(method string, headers ...string) *sipmsg.Message {
		return message(t, method, "sip:bob@example.com", "sip:alice@example.com", "sip:bob@example.com", headers...)
	}
	first := a.Check(t.Context(), request("INVITE"), phone, Proxy, noon)
	l := login{user: "alice", password: "secret", method: "INVITE", uri: "sip:bob@example.com"}
	answer := l.answer(t, first)
	l.password = "guess"
	wrong := l.answer(t, first)
	for _, method := range []string{"ACK", "CANCEL"} {
		wantDecision(t, a.Check(t.Context(), request(method), phone, Proxy, noon), Refused, ReasonNoCredentials, 403)
		wantDecision(t, a.Check(t.Context(), request(method, wrong), phone, Proxy, noon), Refused, ReasonPassword, 403)
	}
	wantDecision(t, a.Check(t.Context(), request("INVITE", answer), phone, Proxy, noon), Allowed, ReasonUser, 0)
	// The ACK repeats the credentials of its INVITE, nc and all, however late.
	for _, late := range []time.Duration{0, time.Hour} {
		wantDecision(t, a.Check(t.Context(), request("ACK", answer), phone, Proxy, noon.Add(late)), Allowed, ReasonUser, 0)
	}
	// Whoever saw the INVITE cannot make a BYE of its credentials.
	wantDecision(t, a.Check(t.Context(), request("BYE", answer), phone, Proxy, noon), Challenged, ReasonPassword, 407)
}

func TestAuthenticate_Trusted(t *testing.T) {
	a, _ := newAuth(t, func(o *Options) { o.Trusted = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} })
	trunk := flow.Flow{Transport: flow.TCP, Remote: netip.MustParseAddrPort("[::ffff:198.51.100.3]:5060"), Conn: 1}
	d := a.Check(t.Context(), register(t), trunk, Registrar, noon)
	wantDecision(t, d, Allowed, ReasonTrusted, 0)
	if !d.Trusted || d.User.Name != "" {
		t.Errorf("decision: %+v", d)
	}
	wantDecision(t, a.Check(t.Context(), register(t), phone, Registrar, noon), Challenged, ReasonNoCredentials, 401)
}

func TestAuthenticate_FailureLimit(t *testing.T) {
	a, events := newAuth(t, func(o *Options) { o.Failures = LimitOptions{Rate: 0.1, Burst: 3} })
	first := a.Check(t.Context(), register(t), phone, Registrar, noon)
	wrong := register(t, login{user: "alice", password: "guess"}.answer(t, first))
	right := register(t, login{user: "alice", password: "secret"}.answer(t, first))
	for range 3 {
		wantDecision(t, a.Check(t.Context(), wrong, phone, Registrar, noon), Challenged, ReasonPassword, 401)
	}
	// From now on nothing is verified, so that guessing brings nothing.
	for _, m := range []*sipmsg.Message{wrong, right} {
		d := a.Check(t.Context(), m, phone, Registrar, noon)
		wantDecision(t, d, Refused, ReasonLimited, 480)
		if diff := cmp.Diff([]sipmsg.HeaderField{{Name: "Retry-After", Value: "5"}}, d.Reply.Headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	}
	if got := events.take(); len(got) != 3 {
		t.Errorf("%d events, want 3", len(got))
	}
	elsewhere := phone
	elsewhere.Remote = netip.MustParseAddrPort("192.0.2.11:5060")
	wantDecision(t, a.Check(t.Context(), right, elsewhere, Registrar, noon), Allowed, ReasonUser, 0)
	// A request without credentials is challenged as ever.
	wantDecision(t, a.Check(t.Context(), register(t), phone, Registrar, noon), Challenged, ReasonNoCredentials, 401)
	wantDecision(t, a.Check(t.Context(), wrong, phone, Registrar, noon.Add(10*time.Second)), Challenged, ReasonPassword, 401)
}

// TestAuthenticate_ForgedFailures: who guesses in datagrams of a forged address
// keeps nobody from logging in on a connection from there.
func TestAuthenticate_ForgedFailures(t *testing.T) {
	a, _ := newAuth(t, func(o *Options) { o.Failures = LimitOptions{Rate: 0.1, Burst: 1} })
	first := a.Check(t.Context(), register(t), phone, Registrar, noon)
	wrong := register(t, login{user: "alice", password: "guess"}.answer(t, first))
	right := register(t, login{user: "alice", password: "secret"}.answer(t, first))
	wantDecision(t, a.Check(t.Context(), wrong, phone, Registrar, noon), Challenged, ReasonPassword, 401)
	wantDecision(t, a.Check(t.Context(), right, phone, Registrar, noon), Refused, ReasonLimited, 480)
	connection := phone
	connection.Transport, connection.Conn = flow.TCP, 1
	wantDecision(t, a.Check(t.Context(), right, connection, Registrar, noon), Allowed, ReasonUser, 0)
}

// slow is a Source that answers when it is told to.
type slow struct {
	users   *Users
	release chan error
}

func (s slow) Algorithms(realm string) []Algorithm { return s.users.Algorithms(realm) }

func (s slow) Lookup(ctx context.Context, realm, user string) (Credentials, error) {
	select {
	case err := <-s.release:
		if err != nil {
			return Credentials{}, err
		}
		return s.users.Lookup(ctx, realm, user)
	case <-ctx.Done():
		return Credentials{}, ctx.Err()
	}
}

func TestAuthenticate_SlowSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var source slow
		a, _ := newAuth(t, func(o *Options) {
			source = slow{o.Source.(*Users), make(chan error)}
			o.Source, o.MaxLookups = source, 2
		})
		decisions := make(chan Decision, 10)
		ctx, cancel := context.WithCancel(t.Context())
		ask := func(m *sipmsg.Message) {
			a.Authenticate(ctx, m, phone, Registrar, noon, func(d Decision) { decisions <- d })
		}
		// What needs no lookup is decided at once.
		ask(register(t))
		first := <-decisions
		wantDecision(t, first, Challenged, ReasonNoCredentials, 401)

		use := func(count int) *sipmsg.Message {
			return register(t, login{user: "alice", password: "secret", count: count}.answer(t, first))
		}
		ask(use(1))
		ask(use(2))
		synctest.Wait()
		if len(decisions) != 0 {
			t.Fatal("decided before the source answered")
		}
		ask(use(3))
		d := <-decisions
		wantDecision(t, d, Refused, ReasonBusy, 500)
		if len(d.Reply.Headers) != 1 || d.Reply.Headers[0].Name != "Retry-After" {
			t.Errorf("headers: %v", d.Reply.Headers)
		}
		source.release <- nil
		wantDecision(t, <-decisions, Allowed, ReasonUser, 0)
		source.release <- errors.New("database down")
		wantDecision(t, <-decisions, Refused, ReasonUnavailable, 503)

		// There is room for two again.
		ask(use(4))
		ask(use(5))
		cancel()
		a.Wait()
		wantDecision(t, <-decisions, Refused, ReasonUnavailable, 503)
		wantDecision(t, <-decisions, Refused, ReasonUnavailable, 503)
	})
}

func TestAuthenticate_InlineForMemory(t *testing.T) {
	a, _ := newAuth(t, nil)
	first := a.Check(t.Context(), register(t), phone, Registrar, noon)
	m := register(t, login{user: "alice", password: "secret"}.answer(t, first))
	var got []Decision
	a.Authenticate(t.Context(), m, phone, Registrar, noon, func(d Decision) { got = append(got, d) })
	if len(got) != 1 || got[0].Outcome != Allowed {
		t.Errorf("decisions before Authenticate returned: %+v", got)
	}
	a.Wait()
}

// Where case does not count a user of a database who is called Alice there may use
// alice, as the AOR is then.
func TestMayUse_WhereCaseDoesNotCount(t *testing.T) {
	a, _ := newAuth(t, func(o *Options) { o.FoldUser = true })
	alice := User{Name: "Alice", Realm: "example.com", Profile: Profile{AORs: []usrloc.AOR{"sip:Sales@example.com"}}}
	for aor, want := range map[usrloc.AOR]bool{
		"sip:alice@example.com": true, "sip:sales@example.com": true, "sip:bob@example.com": false, "sip:alice@example.org": false,
	} {
		if got := a.MayUse(alice, aor); got != want {
			t.Errorf("MayUse(%s) = %v, want %v", aor, got, want)
		}
	}
}

func TestMayUse_RFC3261_10_3_4(t *testing.T) {
	a, events := newAuth(t, nil)
	alice := User{Name: "alice", Realm: "example.com", Profile: Profile{AORs: []usrloc.AOR{"sip:sales@example.com"}}}
	odd := User{Name: "a b", Realm: "example.com"}
	for _, tt := range []struct {
		user User
		aor  usrloc.AOR
		want bool
	}{
		{alice, "sip:alice@example.com", true},
		{alice, "sip:alice@example.net", true},
		{alice, "sip:sales@example.com", true},
		{alice, "sip:sales@example.net", false},
		{alice, "sip:alice@example.org", false}, // another realm
		{alice, "sip:alice@elsewhere.test", false},
		{alice, "sip:Alice@example.com", false},
		{alice, "sip:bob@example.com", false},
		{alice, "sip:example.com", false},
		{alice, "alice", false},
		{alice, "", false},
		{odd, "sip:a%20b@example.com", true},
		{User{}, "sip:@example.com", false},
		{User{Name: "bob", Realm: "example.org"}, "sip:bob@example.org", true},
		{User{Name: "bob", Realm: "example.org"}, "sip:bob@example.com", false},
	} {
		if got := a.MayUse(tt.user, tt.aor); got != tt.want {
			t.Errorf("MayUse(%s@%s, %s) = %v, want %v", tt.user.Name, tt.user.Realm, tt.aor, got, tt.want)
		}
		err := a.Authorize(Decision{User: tt.user}, tt.aor, "REGISTER", phone)
		if (err == nil) != tt.want || err != nil && err.Code != 403 {
			t.Errorf("Authorize(%s@%s, %s) = %v", tt.user.Name, tt.user.Realm, tt.aor, err)
		}
		if got := events.take(); len(got) == 0 != tt.want {
			t.Errorf("events: %v", got)
		}
	}
	if err := a.Authorize(Decision{Trusted: true}, "sip:anybody@example.com", "REGISTER", phone); err != nil {
		t.Errorf("a trusted peer: %v", err)
	}
	if err := a.Authorize(Decision{Outcome: Refused, Trusted: true}, "sip:alice@example.com", "REGISTER", phone); err == nil {
		t.Error("who was refused may use an AOR")
	}
}

func TestNew_Errors(t *testing.T) {
	users := new(Users)
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"no source", Options{Realm: "r"}, "Source is required"},
		{"no realm", Options{Source: users}, "a realm is required"},
		{"quote in a realm", Options{Source: users, Realm: `a"b`}, "holds a quote"},
		{"line end in a domain's realm", Options{Source: users, Realm: "r", Domains: map[string]string{"d": "a\r\nb"}}, "control character"},
		{"algorithm", Options{Source: users, Realm: "r", Algorithms: []Algorithm{7}}, "unknown or comes twice"},
		{"algorithm twice", Options{Source: users, Realm: "r", Algorithms: []Algorithm{MD5, MD5}}, "comes twice"},
		{"short key", Options{Source: users, Realm: "r", NonceKey: []byte("short")}, "5 bytes, want 16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	a, _ := newAuth(t, func(o *Options) { o.Registerer = reg })
	first := a.Check(t.Context(), register(t), phone, Registrar, noon)
	a.Check(t.Context(), register(t, login{user: "alice", password: "secret"}.answer(t, first)), phone, Registrar, noon)
	for reason, want := range map[Reason]float64{ReasonNoCredentials: 1, ReasonUser: 1, ReasonPassword: 0} {
		if got := testutil.ToFloat64(a.metrics.decisions[Registrar][reason]); got != want {
			t.Errorf("%v = %v, want %v", reason, got, want)
		}
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) != 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	for r := range numReasons {
		if r.String() == "" {
			t.Errorf("reason %d has no name", r)
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	for _, alg := range algorithms() {
		b.Run(alg.String(), func(b *testing.B) {
			a, _ := newAuth(b, func(o *Options) { o.Algorithms = algorithms() })
			first := a.Check(b.Context(), register(b), phone, Registrar, noon)
			l := login{user: "alice", password: "secret", alg: alg}
			messages := make([]*sipmsg.Message, 1000)
			for i := range messages {
				l.count = i + 1
				messages[i] = register(b, l.answer(b, first))
			}
			ctx := b.Context()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i == len(messages) {
					a.replays = newReplays(DefaultNonceTable)
					i = 0
				}
				if d := a.Check(ctx, messages[i], phone, Registrar, noon); d.Outcome != Allowed {
					b.Fatal(d.Reason)
				}
				i++
			}
		})
	}
	b.Run("challenge", func(b *testing.B) {
		a, _ := newAuth(b, nil)
		m := register(b)
		b.ReportAllocs()
		for b.Loop() {
			a.Check(b.Context(), m, phone, Registrar, noon)
		}
	})
}

// shapeOf is an answer less the nonce, which differs in all.
func shapeOf(t *testing.T, d Decision) string {
	t.Helper()
	s := fmt.Sprint(d.Outcome, d.Reply.Code, d.Reply.Reason)
	for _, h := range d.Reply.Headers {
		if chal, err := digest.ParseChallenge(h.Value); err == nil {
			h.Value = strings.Replace(h.Value, chal.Nonce, fmt.Sprint(len(chal.Nonce)), 1)
		}
		s += "|" + h.Name + ": " + h.Value
	}
	return s
}

// Whatever else is wrong, the answer does not tell whether there is such a user,
// nor which hashes are known of one.
func TestAuthenticate_AnswersDoNotTellWhoExists(t *testing.T) {
	users, err := NewUsers("example.com", []Account{
		{Name: "alice", Password: "secret"},
		{Name: "hashed", HA1MD5: MD5.HA1("hashed", "example.com", "secret")},
	})
	if err != nil {
		t.Fatal(err)
	}
	cut := func(h string) string { return strings.Replace(h, ", qop=auth, nc=00000001", ", qop=, nc=", 1) }
	for _, tt := range []struct {
		name   string
		source Source
		alg    Algorithm
		after  time.Duration
		change func(string) string
		f      func(*Options)
	}{
		{name: "wrong password", source: users, alg: MD5},
		{name: "an algorithm that one user's hash is not of", source: hasAll{users}, alg: SHA256},
		{name: "an algorithm that is not offered", source: users, alg: SHA512256},
		{name: "an old nonce", source: users, alg: MD5, after: time.Hour},
		{name: "a nonce of nobody's", source: users, alg: MD5, change: func(h string) string { return strings.Replace(h, `nonce="`, `nonce="x`, 1) }},
		{name: "incomplete", source: users, alg: MD5, change: cut},
		{name: "the users are not known", source: failing{users}, alg: MD5},
		{name: "too many failures", source: users, alg: MD5, f: func(o *Options) { o.Failures = LimitOptions{Rate: 0.001, Burst: 1} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, _ := newAuth(t, func(o *Options) {
				o.Source, o.NonceKey, o.Algorithms = hasAll{users}, []byte("0123456789abcdef"), algorithms()
			})
			first := all.Check(t.Context(), register(t), phone, Registrar, noon)
			shapes := map[string]string{}
			for _, user := range []string{"alice", "hashed", "nobody"} {
				a, _ := newAuth(t, func(o *Options) {
					o.Source, o.NonceKey = tt.source, []byte("0123456789abcdef")
					if tt.f != nil {
						tt.f(o)
					}
				})
				header := login{user: user, password: "guess", alg: tt.alg}.answer(t, first)
				if tt.change != nil {
					header = tt.change(header)
				}
				var d Decision
				for range 2 {
					d = a.Check(t.Context(), register(t, header), phone, Registrar, noon.Add(tt.after))
				}
				shapes[user] = shapeOf(t, d)
			}
			if shapes["alice"] != shapes["nobody"] || shapes["hashed"] != shapes["nobody"] {
				t.Errorf("answers differ:\n%s\n%s\n%s", shapes["alice"], shapes["hashed"], shapes["nobody"])
			}
		})
	}
}

// hasAll says that it has all hashes of all users.
type hasAll struct{ *Users }

func (hasAll) Algorithms(string) []Algorithm { return algorithms() }

// failing is a source that is down.
type failing struct{ *Users }

func (failing) Lookup(context.Context, string, string) (Credentials, error) {
	return Credentials{}, errors.New("down")
}

// The table of used nonces is bounded. A phone whose nonce had to be forgotten is
// asked again, and not for its password; nobody can use that nonce any more.
func TestAuthenticate_NonceTableOverflows_RFC7616_5_5(t *testing.T) {
	a, events := newAuth(t, func(o *Options) { o.NonceTable = 2 })
	use := func(challenge Decision, password string, count int) Decision {
		m := register(t, login{user: "alice", password: password, count: count}.answer(t, challenge))
		return a.Check(t.Context(), m, phone, Registrar, noon)
	}
	var challenges []Decision
	for i := range 3 {
		d := a.Check(t.Context(), register(t), phone, Registrar, noon.Add(time.Duration(i)))
		challenges = append(challenges, d)
		wantDecision(t, use(d, "secret", 1), Allowed, ReasonUser, 0)
	}
	if n := len(a.replays.places); n != 2 {
		t.Fatalf("%d nonces are remembered, want 2", n)
	}
	for _, count := range []int{1, 2} {
		d := use(challenges[0], "secret", count)
		wantDecision(t, d, Challenged, ReasonReplayed, 401)
		if !stale(d) {
			t.Error("want stale=true")
		}
	}
	if d := use(challenges[0], "guess", 3); stale(d) || d.Reason != ReasonPassword {
		t.Errorf("a wrong password with that nonce: %v, stale %v", d.Reason, stale(d))
	}
	wantDecision(t, use(challenges[2], "secret", 2), Allowed, ReasonUser, 0)
	if got := events.take(); len(got) != 1 {
		t.Errorf("events: %v, want the wrong password alone", got)
	}
}
