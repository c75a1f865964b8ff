package push

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse_RFC8599_10_to_12(t *testing.T) {
	for _, c := range []struct {
		name                  string
		provider, param, prid string
		want                  Params
		tokens                []Token
		err                   error
	}{
		{
			name: "apns, as in the RFC", provider: "apns", param: "DEF123GHIJ.com.example.yourexampleapp.voip", prid: "00fc13adff78512",
			want: Params{"apns", "DEF123GHIJ.com.example.yourexampleapp.voip"}, tokens: []Token{{"00fc13adff78512", VoIP}},
		},
		{
			name: "apns, no service", provider: "APNS", param: "T.com.example.App", prid: "ab",
			want: Params{"apns", "T.com.example.App"}, tokens: []Token{{"ab", Any}},
		},
		{
			name: "apns, remote alone is for all", provider: "apns", param: "T.b.remote", prid: "ab:remote",
			want: Params{"apns", "T.b.remote"}, tokens: []Token{{"ab", Any}},
		},
		{
			name: "two tokens", provider: "apns", param: "T.b.voip&remote", prid: "aa:voip&bb:remote",
			want: Params{"apns", "T.b.voip&remote"}, tokens: []Token{{"aa", VoIP}, {"bb", Remote}},
		},
		{
			name: "two tokens, other order, sandbox", provider: "apns.dev", param: "T.b.remote&voip", prid: "bb:remote&aa:voip",
			want: Params{"apns.dev", "T.b.voip&remote"}, tokens: []Token{{"aa", VoIP}, {"bb", Remote}},
		},
		{
			name: "two services, one bare token is taken for the stricter", provider: "apns", param: "T.b.voip&remote", prid: "aa",
			want: Params{"apns", "T.b.voip&remote"}, tokens: []Token{{"aa", VoIP}},
		},
		{name: "apns without param", provider: "apns", prid: "ab", err: ErrNoParam},
		{name: "apns without bundle", provider: "apns", param: "TEAM", prid: "ab", err: ErrParam},
		{name: "apns, empty team", provider: "apns", param: ".b.voip", prid: "ab", err: ErrParam},
		{name: "apns, only dots", provider: "apns", param: "T...", prid: "ab", err: ErrParam},
		{name: "empty token", provider: "apns", param: "T.b.voip", prid: "aa:voip&", err: ErrPRID},
		{name: "same service twice", provider: "apns", param: "T.b.voip", prid: "aa:voip&bb:voip", err: ErrPRID},
		{name: "unknown service", provider: "apns", param: "T.b.voip", prid: "aa:watch", err: ErrPRID},
		{
			name: "fcm", provider: "fcm", param: "my-project", prid: "abc:APA91b&x",
			want: Params{"fcm", "my-project"}, tokens: []Token{{"abc:APA91b&x", Any}},
		},
		{name: "fcm without param", provider: "fcm", prid: "abc", err: ErrNoParam},
		{
			name: "webpush", provider: "webpush", prid: "https://push.example.net/abc?d=1",
			want: Params{Provider: "webpush"}, tokens: []Token{{"https://push.example.net/abc?d=1", Any}},
		},
		{name: "webpush with param", provider: "webpush", param: "x", prid: "https://push.example.net/", err: ErrParam},
		{
			name: "private", provider: "Acme", prid: "id",
			want: Params{Provider: "acme"}, tokens: []Token{{"id", Any}},
		},
		{name: "no provider", param: "x", prid: "y", err: ErrNoProvider},
		{name: "provider with a quote", provider: `a"b`, prid: "y", err: ErrProvider},
		{name: "provider beyond ASCII", provider: "\xff", prid: "y", err: ErrProvider},
		{name: "long provider", provider: strings.Repeat("x", maxProvider+1), prid: "y", err: ErrProvider},
		{name: "no prid", provider: "fcm", param: "p", err: ErrNoPRID},
		{name: "long prid", provider: "fcm", param: "p", prid: strings.Repeat("x", maxPRID+1), err: ErrPRID},
		{name: "long param", provider: "fcm", param: strings.Repeat("x", maxParam+1), prid: "x", err: ErrParam},
		{name: "line break", provider: "fcm", param: "p", prid: "a\r\nb", err: ErrPRID},
		{name: "NUL", provider: "fcm", param: "p\x00", prid: "a", err: ErrParam},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, tokens, err := Parse(c.provider, c.param, c.prid)
			if !errors.Is(err, c.err) {
				t.Fatalf("Parse = %v, want %v", err, c.err)
			}
			if d := cmp.Diff(c.want, p); d != "" {
				t.Errorf("params (-want +got):\n%s", d)
			}
			if d := cmp.Diff(c.tokens, tokens); d != "" {
				t.Errorf("tokens (-want +got):\n%s", d)
			}
			if err != nil && len(c.prid) > 3 && strings.Contains(err.Error(), c.prid) {
				t.Errorf("error quotes the PRID: %v", err)
			}
		})
	}
}

func TestParams_Topic_RFC8599_10(t *testing.T) {
	for _, c := range []struct {
		param string
		use   Use
		want  string
	}{
		{"DEF123GHIJ.com.example.yourexampleapp.voip", VoIP, "com.example.yourexampleapp.voip"},
		{"T.b.c.voip&remote", VoIP, "b.c.voip"},
		{"T.b.c.voip&remote", Remote, "b.c"},
		{"T.b.c.remote", Any, "b.c"},
		{"T.b.c", Any, "b.c"},
	} {
		p := Params{Provider: "apns", Param: c.param}
		if got := p.Topic(c.use); got != c.want {
			t.Errorf("Topic(%q, %v) = %q, want %q", c.param, c.use, got, c.want)
		}
	}
	if got := (Params{Provider: "apns.dev", Param: "TEAM.b"}).Team(); got != "TEAM" {
		t.Errorf("team = %q, want TEAM", got)
	}
	if got := (Params{Provider: "fcm", Param: "a.b"}).Team(); got != "" {
		t.Errorf("team of fcm = %q, want none", got)
	}
}

// What Parse returns is what it would return again: bindings are compared by it.
func FuzzParse(f *testing.F) {
	f.Add("apns", "T.b.remote&voip", "b:remote&a:voip")
	f.Add("apns", "T.b.voip", "00fc13adff78512")
	f.Add("fcm", "project", "a:b&c")
	f.Add("webpush", "", "https://push.example.net/x")
	f.Fuzz(func(t *testing.T, provider, param, prid string) {
		p, tokens, err := Parse(provider, param, prid)
		if err != nil {
			return
		}
		if len(tokens) == 0 || len(tokens) > 3 {
			t.Fatalf("%d tokens", len(tokens))
		}
		again, tokens2, err := Parse(p.Provider, p.Param, prid)
		if err != nil || again != p || !cmp.Equal(tokens, tokens2) {
			t.Errorf("Parse(Parse) = %+v, %v, %v; want %+v", again, tokens2, err, p)
		}
		for _, tok := range tokens {
			if tok.PRID == "" {
				t.Error("empty token")
			}
			if p.Apple() && strings.HasSuffix(p.Topic(tok.Use), ".voip") != (tok.Use == VoIP) && !strings.Contains(p.Param, ".voip") {
				t.Errorf("topic %q for a token of use %v", p.Topic(tok.Use), tok.Use)
			}
		}
	})
}

func TestParams_WithoutToken(t *testing.T) {
	for _, c := range []struct{ provider, prid, dead, want string }{
		{"apns", "aa:voip&bb:remote", "aa", "bb:remote"},
		{"apns.dev", "aa:voip&bb:remote", "bb", "aa:voip"},
		{"apns", "aa:voip", "aa", ""},
		{"apns", "aa", "aa", ""},
		{"apns", "aa:voip&bb:remote", "cc", "aa:voip&bb:remote"},
		{"apns", "aa:voip&aa:remote", "aa", ""},
		// Others have one, which may hold anything.
		{"fcm", "aa:voip&bb:remote", "aa", "aa:voip&bb:remote"},
		{"fcm", "aa:voip&bb:remote", "aa:voip&bb:remote", ""},
	} {
		p := Params{Provider: c.provider, Param: "T.b.voip&remote"}
		if got := p.WithoutToken(c.prid, c.dead); got != c.want {
			t.Errorf("%s %s without %s = %q, want %q", c.provider, c.prid, c.dead, got, c.want)
		}
	}
}

func TestLiving_ALoneRemoteTokenIsForCallsToo(t *testing.T) {
	tokens := []Token{{"aa", VoIP}, {"bb", Remote}}
	if d := cmp.Diff([]Token{{"bb", Any}}, Living(tokens, func(prid string) bool { return prid == "aa" })); d != "" {
		t.Errorf("living tokens (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]Token{{"aa", VoIP}, {"bb", Remote}}, tokens); d != "" {
		t.Errorf("the argument was changed (-want +got):\n%s", d)
	}
}

func TestRoutes_FirstAppThatFits(t *testing.T) {
	s := &fake{}
	rs, err := newRoutes([]App{
		{Name: "exact", Provider: "apns", ParamPattern: "T.com.example.phone.pro.voip", Sender: s},
		{Name: "glob", Provider: "APNS", ParamPattern: "T.com.example.*", Sender: s},
		{Name: "default", Provider: "apns", Sender: s},
		{Name: "late", Provider: "apns", ParamPattern: "T.org.example.late", Sender: s},
		{Name: "web", Provider: "webpush", Sender: s},
		{Name: "project", Provider: "fcm", ParamPattern: "project-1", Sender: s},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ provider, param, want string }{
		{"apns", "T.com.example.phone.pro.voip", "exact"},
		{"apns", "T.com.example.phone.pro.voip&remote", "exact"},
		{"apns", "T.com.example.app.voip", "glob"},
		{"apns", "T.org.example.app.voip", "default"},
		{"apns", "T.org.example.late", "default"},
		{"webpush", "", "web"},
		{"fcm", "project-1", "project"},
		{"fcm", "project-2", ""},
		{"fcm", "", ""},
		{"apns.dev", "T.com.example.app.voip", ""},
	} {
		got := ""
		if r := rs.find(Params{c.provider, c.param}); r != nil {
			got = r.app.Name
		}
		if got != c.want {
			t.Errorf("find(%s, %s) = %q, want %q", c.provider, c.param, got, c.want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true},
		{"*", "a/b.c", true},
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"a*", "a", true},
		{"a*", "abc", true},
		{"a*", "ba", false},
		{"*a", "ba", true},
		{"*a", "ab", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a1b2c", true},
		{"a*b*c", "acb", false},
		{"a*b*c", "abcbc", true},
		{"*.voip", "T.b.voip", true},
		{"[a]?", "[a]?", true},
		{"[a]?", "ab", false},
		{"**", "x", true},
	} {
		if got := match(c.pattern, c.s); got != c.want {
			t.Errorf("match(%q, %q) = %t, want %t", c.pattern, c.s, got, c.want)
		}
	}
}

// byValue is a Sender that cannot be compared.
type byValue struct {
	*fake
	_ []int
}

func TestNewDispatcher_NamesAllProblems(t *testing.T) {
	s := &fake{}
	apps := []App{
		{Name: "twice", Provider: "fcm", Sender: s},
		{Name: "twice", Provider: "fcm", Sender: s},
		{Provider: "fcm", Sender: s},
		{Name: "no-provider", Sender: s},
		{Name: "no-sender", Provider: "fcm"},
		{Name: "negative", Provider: "fcm", Sender: s, QueueLen: -1},
		{Name: "value", Provider: "fcm", Sender: byValue{fake: s}},
	}
	_, err := NewDispatcher(Options{Apps: apps})
	if err == nil {
		t.Fatal("no error")
	}
	if same := Check(apps); same == nil || same.Error() != err.Error() {
		t.Errorf("Check = %v, NewDispatcher = %v", same, err)
	}
	if err := Check([]App{{Name: "good", Provider: "fcm", Sender: s}}); err != nil {
		t.Errorf("Check = %v", err)
	}
	for _, want := range []string{"used twice", "name missing", "provider missing", "sender missing", "negative", "comparable"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q: %v", want, err)
		}
	}
}

// keyed is a Sender with a VAPID key.
type keyed struct{ fake }

func (*keyed) PublicKey() string { return "key" }

func TestDispatcher_WhatItSupports(t *testing.T) {
	d := newTestDispatcher(t,
		App{Name: "w", Provider: "webpush", Sender: &keyed{}},
		App{Name: "b", Provider: "fcm", ParamPattern: "project", Sender: &fake{}},
		App{Name: "a", Provider: "fcm", ParamPattern: "other", Sender: &fake{}})
	defer closeNow(t, d)
	if diff := cmp.Diff([]string{"fcm", "webpush"}, d.Providers()); diff != "" {
		t.Errorf("providers (-want +got):\n%s", diff)
	}
	for param, want := range map[string]string{"project": "b", "other": "a", "nobody": ""} {
		if app := d.App(Params{"fcm", param}); app != want {
			t.Errorf("App of fcm and %s = %q, want %q", param, app, want)
		}
	}
	if !d.Supports(Params{"fcm", "project"}) || d.Supports(Params{"fcm", "nobody"}) || d.Supports(Params{"apns", "T.b"}) {
		t.Error("Supports does not follow the patterns")
	}
	if d.VAPIDKey(Params{Provider: "webpush"}) != "key" || d.VAPIDKey(Params{"fcm", "project"}) != "" || d.VAPIDKey(Params{Provider: "x"}) != "" {
		t.Error("VAPID key is not that of webpush alone")
	}
	want := []LaneHealth{{App: "a", Provider: "fcm", Limit: 1}, {App: "b", Provider: "fcm", Limit: 1}, {App: "w", Provider: "webpush", Limit: 1}}
	if diff := cmp.Diff(want, d.Health()); diff != "" {
		t.Errorf("health (-want +got):\n%s", diff)
	}
}

func TestToken_IsNeverLogged(t *testing.T) {
	var b bytes.Buffer
	r := fcmRequest("very-secret")
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "token", r.Tokens[0])
	if strings.Contains(b.String(), "secret") {
		t.Errorf("log tells the token: %s", b.String())
	}
}

func TestPayload_SaysNothingAboutTheCaller(t *testing.T) {
	r := fcmRequest("t")
	r.PushID, r.Deadline = "p1", time.Unix(1000, 5)
	want := map[string]string{"kind": "call", "push_id": "p1", "expires_at": "1000"}
	if d := cmp.Diff(want, Payload(r)); d != "" {
		t.Errorf("payload (-want +got):\n%s", d)
	}
	r.Data = map[string]string{"caller": "Bob", "kind": "x"}
	want["caller"] = "Bob"
	if d := cmp.Diff(want, Payload(r)); d != "" {
		t.Errorf("payload with data (-want +got):\n%s", d)
	}
}

func TestCollapseID_RFC8030_5_4(t *testing.T) {
	a, b := fcmRequest("t"), fcmRequest("u")
	b.Kind = Cancel
	if CollapseID(a) != CollapseID(b) {
		t.Error("a cancel does not replace its call")
	}
	b.CallID = "c2"
	if CollapseID(a) == CollapseID(b) {
		t.Error("two calls replace each other")
	}
	r := fcmRequest("t")
	r.CallID, r.Kind = "", Refresh
	for _, id := range []string{CollapseID(a), CollapseID(r)} {
		if len(id) != 32 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("collapse ID = %q, want 32 characters of base64url", id)
		}
	}
}

func TestTTL(t *testing.T) {
	now := time.Unix(1000, 0)
	for left, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, time.Millisecond: time.Second, time.Second: time.Second, 1500 * time.Millisecond: 2 * time.Second,
	} {
		r := &Request{Deadline: now.Add(left)}
		if got := TTL(r, now); got != want {
			t.Errorf("TTL with %v left = %v, want %v", left, got, want)
		}
	}
	if got := TTL(&Request{}, now); got != defaultDeadline {
		t.Errorf("TTL without deadline = %v, want %v", got, defaultDeadline)
	}
}

func TestNames(t *testing.T) {
	for k := Call; k <= Cancel; k++ {
		if k.String() == "unknown" || k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
	for c := OK; c <= Forbidden; c++ {
		if c.String() == "unknown" || c.String() == "" {
			t.Errorf("class %d has no name", c)
		}
	}
	if s := fmt.Sprint(Kind(0), Class(0), Kind(99), Class(99)); s != "unknown unknown unknown unknown" {
		t.Errorf("names of nothing = %q", s)
	}
}

func TestTagValue_RFC8599_9(t *testing.T) {
	for s, want := range map[string]bool{
		"apns": true, "apns.dev": true, "BPub-Key_0~": true, "": false, `a"b`: false, "a b": false, "a;b": false, "!a": false, "a\r": false, "ä": false,
	} {
		if got := TagValue(s); got != want {
			t.Errorf("TagValue(%q) = %v, want %v", s, got, want)
		}
	}
}
