package auth

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// recognise asks as the fast path does about a REGISTER with that header line.
func recognise(t testing.TB, a *Authenticator, m *sipmsg.Message, f flow.Flow, now time.Time) (Proof, bool) {
	t.Helper()
	uri := m.RequestURI()
	q := Question{URI: &uri, Host: m.To().URI.Host, Raw: m.Raw()}
	q.Authorization, _ = m.Header(sipmsg.HdrAuthorization)
	q.UserAgent, _ = m.Header(sipmsg.HdrUserAgent)
	return a.Recognise(&q, f, now)
}

// TestRecognise_IsAuthenticate asks both ways about the same requests.
func TestRecognise_IsAuthenticate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		l      login
		change func(*Options)
		header func(string) string
		after  time.Duration
	}{
		{name: "right", l: login{user: "alice", password: "secret"}},
		{name: "md5", l: login{user: "alice", password: "secret", alg: MD5}},
		{name: "wrong password", l: login{user: "alice", password: "x"}},
		{name: "unknown user", l: login{user: "eve", password: "secret"}},
		{name: "foreign uri", l: login{user: "alice", password: "secret", uri: "sip:elsewhere.test"}},
		{name: "old nonce", l: login{user: "alice", password: "secret"}, after: DefaultNonceTTL},
		{name: "algorithm switched off", l: login{user: "alice", password: "secret", alg: MD5}, change: func(o *Options) { o.Algorithms = []Algorithm{SHA256} }},
		{name: "no credentials", l: login{user: "alice", password: "secret"}, header: func(string) string { return "X: y" }},
		{name: "basic", l: login{user: "alice", password: "secret"}, header: func(string) string { return "Authorization: Basic eDp5" }},
		{name: "malformed", l: login{user: "alice", password: "secret"}, header: func(h string) string { return h + "," + `a="` }},
		{name: "incomplete", l: login{user: "alice", password: "secret"}, header: func(h string) string { return strings.Replace(h, "cnonce", "xnonce", 1) }},
		{name: "other realm", l: login{user: "alice", password: "secret"}, header: func(h string) string { return strings.Replace(h, `realm="example.com"`, `realm="x"`, 1) }},
		{name: "trusted", l: login{user: "eve", password: "x"}, change: func(o *Options) { o.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := func(o *Options) { o.NonceKey = []byte("0123456789abcdef") }
			a, events := newAuth(t, key)
			header := tt.l.answer(t, a.Check(t.Context(), register(t), phone, Registrar, noon))
			if tt.header != nil {
				header = tt.header(header)
			}
			if tt.change != nil {
				a, events = newAuth(t, func(o *Options) { key(o); tt.change(o) })
			}
			events.take()
			m, now := register(t, header), noon.Add(tt.after)
			p, ok := recognise(t, a, m, phone, now)
			if n := len(events.take()); n != 0 {
				t.Errorf("Recognise made %d events", n)
			}
			d := a.Check(t.Context(), m, phone, Registrar, now)
			if ok != (d.Outcome == Allowed) {
				t.Fatalf("Recognise = %v, Authenticate: %v, %v", ok, d.Outcome, d.Reason)
			}
			if !ok {
				return
			}
			if p.d.Trusted != d.Trusted || p.d.Reason != d.Reason || p.d.User.Name != d.User.Name || p.d.User.Realm != d.User.Realm {
				t.Errorf("Recognise says %+v, Authenticate %+v", p.d, d)
			}
			if p.MayUse("sip:bob@example.org") != (a.Authorize(d, "sip:bob@example.org", "REGISTER", phone) == nil) || !p.MayUse("sip:alice@example.com") {
				t.Error("MayUse is not Authorize")
			}
			// Check has used the nonce, for the same request; a trusted peer has none.
			if p.print = 0; p.Spend() != d.Trusted {
				t.Error("a nonce was used twice")
			}
		})
	}
}

// What Recognise sees leaves no trace; Spend does, once.
func TestProof_Spend(t *testing.T) {
	connection := phone
	connection.Transport, connection.Conn = flow.TCP, 1
	reg := prometheus.NewRegistry()
	a, _ := newAuth(t, func(o *Options) { o.Registerer = reg })
	m := register(t, login{user: "alice", password: "secret"}.answer(t, a.Check(t.Context(), register(t), connection, Registrar, noon)))
	allowed := func() float64 { return testutil.ToFloat64(a.metrics.decisions[Registrar][ReasonUser]) }
	var last Proof
	for range 3 {
		var ok bool
		if last, ok = recognise(t, a, m, connection, noon); !ok {
			t.Fatal("not recognised")
		}
	}
	if allowed() != 0 {
		t.Errorf("counted %v before Spend", allowed())
	}
	if !last.Spend() || last.Spend() || allowed() != 1 {
		t.Errorf("Spend does not count once: %v", allowed())
	}
	if d := a.Check(t.Context(), m, connection, Registrar, noon); d.Reason != ReasonReplayed {
		t.Errorf("after Spend: %v", d.Reason)
	}
}

func TestRecognise_AllocatesNothing(t *testing.T) {
	a, _ := newAuth(t, func(o *Options) { o.Failures = LimitOptions{Rate: 1, Burst: 5} })
	m := register(t, login{user: "alice", password: "secret"}.answer(t, a.Check(t.Context(), register(t), phone, Registrar, noon)))
	uri := m.RequestURI()
	q := Question{URI: &uri, Host: "example.com"}
	q.Authorization, _ = m.Header(sipmsg.HdrAuthorization)
	q.UserAgent, _ = m.Header(sipmsg.HdrUserAgent)
	if n := testing.AllocsPerRun(100, func() {
		p, ok := a.Recognise(&q, phone, noon)
		if !ok || !p.MayUse("sip:alice@example.com") {
			t.Fatal("not recognised")
		}
		p.Spend()
	}); n != 0 && !poolsForget {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkRecognise has a phone register again and again with one nonce.
func BenchmarkRecognise(b *testing.B) {
	a, _ := newAuth(b, nil)
	first := a.Check(b.Context(), register(b), phone, Registrar, noon)
	l := login{user: "alice", password: "secret", alg: SHA256}
	questions := make([]Question, 1000)
	for i := range questions {
		l.count = i + 1
		m := register(b, l.answer(b, first))
		uri := m.RequestURI()
		questions[i] = Question{URI: &uri, Host: m.To().URI.Host, Raw: m.Raw()}
		questions[i].Authorization, _ = m.Header(sipmsg.HdrAuthorization)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i == len(questions) {
			a.replays = newReplays(DefaultNonceTable)
			i = 0
		}
		p, ok := a.Recognise(&questions[i], phone, noon)
		if !ok || !p.MayUse("sip:alice@example.com") || !p.Spend() {
			b.Fatal("not recognised")
		}
		i++
	}
}
