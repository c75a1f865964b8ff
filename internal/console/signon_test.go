package console_test

import (
	"bytes"
	"encoding/base64"
	"html"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"reveille/internal/admin"
	"reveille/internal/console"
	"reveille/internal/console/consoletest"
	"reveille/internal/signon"
	"reveille/internal/signon/signontest"
)

// callback is where the provider of the tests sends browsers back to.
const callback = "https://reveille.example" + console.CallbackPath

// A desk is a browser, a console and a provider.
type desk struct {
	*browser
	provider *signontest.Provider
	signOn   atomic.Pointer[console.SignOn]
	log      bytes.Buffer // what the console and its client write while nothing else goes on
	late     atomic.Bool  // it is eleven minutes later
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{provider: signontest.New(t, callback)}
	d.use(t, signon.Options{}, nil)
	s := consoletest.New(time.Now)
	d.browser = another(t, d.console(t, s, s))
	return d
}

func (d *desk) console(t *testing.T, s *consoletest.Server, door console.Door) *console.Console {
	t.Helper()
	c, err := console.New(console.Options{Source: s.Source(), Door: door, SignOn: d.signOn.Load, Now: d.now, Logger: d.logger()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (d *desk) now() time.Time {
	if d.late.Load() {
		return time.Now().Add(11 * time.Minute)
	}
	return time.Now()
}

// plant puts a cookie of a login into the browser.
func (d *desk) plant(value string) {
	d.jar.SetCookies(site(), []*http.Cookie{{Name: "__Host-reveille-login", Value: value, Path: "/", Secure: true}})
}

// site is where the console is.
func site() *url.URL { return &url.URL{Scheme: "https", Host: "reveille.example", Path: "/"} }

func (d *desk) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&d.log, nil)) }

// use configures the login: what o leaves out is as the provider of the tests wants it.
func (d *desk) use(t *testing.T, o signon.Options, roles map[string]admin.Role) {
	t.Helper()
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&o.Issuer, d.provider.Issuer())
	set(&o.ClientID, signontest.ClientID)
	set(&o.ClientSecret, signontest.ClientSecret)
	set(&o.RedirectURL, callback)
	set(&o.NameClaim, "preferred_username")
	set(&o.RoleClaim, "groups")
	o.Logger = d.logger()
	client, err := signon.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if roles == nil {
		roles = map[string]admin.Role{"voice": admin.Read, "voice-night": admin.Operate, "voice-admins": admin.Admin}
	}
	d.signOn.Store(&console.SignOn{Client: client, Roles: roles, Longest: 8 * time.Hour})
}

// begin goes to the provider, and returns where that sends the browser back to.
func (d *desk) begin(next string) (back string) {
	d.t.Helper()
	a := d.get("/console/login/sso?next=" + url.QueryEscape(next))
	if a.status != http.StatusSeeOther {
		d.t.Fatalf("begin: %d %s", a.status, a.body)
	}
	return d.visit(a.header.Get("Location"))
}

// visit opens a page of the provider, which must send the browser back.
func (d *desk) visit(at string) (back string) {
	d.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(at)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	to := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, callback+"?") {
		d.t.Fatalf("the provider answers %s to %s, and sends to %q", resp.Status, at, to)
	}
	return strings.TrimPrefix(to, "https://reveille.example")
}

// signIn logs in at the provider; it must work.
func (d *desk) signIn(next string) answer {
	d.t.Helper()
	a := d.get(d.begin(next))
	if a.status != http.StatusOK || !d.in() {
		d.t.Fatalf("log in: %d %s", a.status, words(a.body))
	}
	return a
}

// in reports whether somebody is logged in.
func (b *browser) in() bool { return b.get("/console/").status == http.StatusOK }

var alert = regexp.MustCompile(`role="alert">([^<]*)<`)

// words is what a page says to somebody who was not let in.
func words(page string) string {
	m := alert.FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// Somebody logs in at the provider, is known by name, does what the role allows, and
// logs out.
func TestSignOn(t *testing.T) {
	for _, alg := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256} {
		t.Run(string(alg), func(t *testing.T) {
			d := newDesk(t)
			d.provider.Rotate(alg)
			page := d.get("/console/login?next=/console/bans").body
			if !strings.Contains(page, `href="https://reveille.example/console/login/sso?next=%2fconsole%2fbans"`) && !strings.Contains(page, `href="https://reveille.example/console/login/sso?next=%2Fconsole%2Fbans"`) {
				t.Errorf("no way to the provider: %s", page)
			}
			if !strings.Contains(page, `name="token"`) {
				t.Error("no way to log in with a token")
			}
			a := d.signIn("/console/bans")
			if a.header.Get("Refresh") != "0; url=/console/bans" || !strings.Contains(a.body, `href="/console/bans"`) {
				t.Errorf("it leads to %q", a.header.Get("Refresh"))
			}
			page = d.get("/console/configuration").body
			if !strings.Contains(page, "<strong>erin</strong>") || !strings.Contains(page, "admin") || !strings.Contains(page, "Log out") {
				t.Errorf("who is that: %.3000s", page)
			}
			if a := d.post("/console/lift", "source", "203.0.113.66", "form", d.form("/console/bans")); a.status != http.StatusSeeOther {
				t.Errorf("lift a ban: %d", a.status)
			}
			if page := d.get("/console/audit").body; !strings.Contains(page, "erin") || !strings.Contains(page, "lift-ban") || !strings.Contains(page, "admin, single sign-on") {
				t.Error("the audit log does not say who it was")
			}
			if !strings.Contains(d.log.String(), "subject=248289761001") {
				t.Errorf("the log does not say whom the provider means: %s", d.log.String())
			}
			d.post("/console/logout", "form", d.form("/console/"))
			if d.in() {
				t.Error("logged out, and still in")
			}
		})
	}
}

// Nothing of the provider's stands in a log, a page or a cookie.
func TestSignOn_TellsNoSecrets(t *testing.T) {
	d := newDesk(t)
	back := d.begin("/console/")
	code := query(t, back).Get("code")
	a := d.get(back)
	said := a.body + d.log.String()
	for _, c := range a.cookies {
		said += c.String()
	}
	d.provider.Do(signontest.Wrong{Answer: func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"error": "bad code `+r.PostFormValue("code")+`"}`, http.StatusBadRequest)
	}})
	back = d.begin("/console/")
	second := query(t, back).Get("code")
	said += d.get(back).body + d.log.String()
	for _, secret := range []string{code, second, "an-access-token", "eyJ", signontest.ClientSecret} {
		if strings.Contains(said, secret) {
			t.Errorf("%q is told: %s", secret, said)
		}
	}
	if !strings.Contains(said, "console login failed") {
		t.Errorf("nothing is told: %s", said)
	}
}

func query(t *testing.T, to string) url.Values {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// What the provider, or somebody in its place, sends wrong lets nobody in.
func TestSignOn_WrongTokens_OIDC_3_1_3_7(t *testing.T) {
	foreign := signontest.NewKey(t, jose.ES256)
	token := func(change func(map[string]any)) signontest.Wrong { return signontest.Wrong{Token: change} }
	put := func(name string, value any) signontest.Wrong {
		return token(func(c map[string]any) { c[name] = value })
	}
	sign := func(key jose.SigningKey) signontest.Wrong {
		return signontest.Wrong{Sign: func(c map[string]any) string {
			signed, err := signontest.Sign(key, c)
			if err != nil {
				t.Error(err)
			}
			return signed
		}}
	}
	for _, tt := range []struct {
		name  string
		wrong signontest.Wrong
		logs  string
	}{
		{"another nonce", put("nonce", "another"), "another nonce"},
		{"no nonce", token(func(c map[string]any) { delete(c, "nonce") }), "another nonce"},
		{"another audience", put("aud", "somebody-else"), "expected audience"},
		{"no audience", token(func(c map[string]any) { delete(c, "aud") }), "expected audience"},
		{"issued to another client", token(func(c map[string]any) { c["aud"], c["azp"] = []string{"other", signontest.ClientID}, "other" }), "issued to another client"},
		{"another issuer", put("iss", "https://evil.example"), "different provider"},
		{"expired", put("exp", time.Now().Add(-time.Minute).Unix()), "expired at"},
		{"no end", token(func(c map[string]any) { delete(c, "exp") }), "expired at"},
		{"not good yet", put("nbf", time.Now().Add(time.Hour).Unix()), "before the nbf"},
		{"nobody", put("sub", ""), "names nobody"},
		{"a key of nobody's", sign(jose.SigningKey{Algorithm: jose.ES256, Key: foreign}), "failed to verify"},
		{"the client's secret as a key", sign(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(signontest.ClientSecret + "................")}), "malformed jwt"},
		{"no signature", signontest.Wrong{Sign: func(map[string]any) string {
			return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x"}`)) + "."
		}}, "malformed jwt"},
		{"no token at all", signontest.Wrong{Answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"access_token": "x", "token_type": "Bearer"}`))
		}}, "no ID token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.provider.Do(tt.wrong)
			a := d.get(d.begin("/console/"))
			if a.status != http.StatusUnauthorized || !strings.HasPrefix(words(a.body), "The provider's answer is not valid.") {
				t.Errorf("%d %s", a.status, words(a.body))
			}
			if d.in() {
				t.Error("let in")
			}
			if !strings.Contains(d.log.String(), tt.logs) {
				t.Errorf("the log lacks %q: %s", tt.logs, d.log.String())
			}
			d.provider.Do(signontest.Wrong{})
			d.signIn("/console/")
		})
	}
}

// Only the browser that began a login can finish it, once, and not for ever.
func TestSignOn_Callback_RFC6749_10_12(t *testing.T) {
	begunElsewhere := "This login was not begun in this browser"
	for _, tt := range []struct {
		name   string
		back   func(*desk, url.Values)
		status int
		says   string
	}{
		{"another state", func(_ *desk, q url.Values) { q.Set("state", "another") }, http.StatusBadRequest, begunElsewhere},
		{"no state", func(_ *desk, q url.Values) { q.Del("state") }, http.StatusBadRequest, begunElsewhere},
		{"no cookie", func(d *desk, _ url.Values) { d.jar = another(d.t, d.c).jar }, http.StatusBadRequest, begunElsewhere},
		{"a forged cookie", func(d *desk, _ url.Values) { d.plant(strings.Repeat("A", 200)) }, http.StatusBadRequest, begunElsewhere},
		{"a cookie that is no text", func(d *desk, _ url.Values) { d.plant("%") }, http.StatusBadRequest, begunElsewhere},
		{"the cookie of another login", func(d *desk, _ url.Values) { d.begin("/console/") }, http.StatusBadRequest, begunElsewhere},
		{"too late", func(d *desk, _ url.Values) { d.late.Store(true) }, http.StatusBadRequest, begunElsewhere},
		{"no code", func(_ *desk, q url.Values) { q.Del("code") }, http.StatusUnauthorized, "not valid"},
		{"another code", func(_ *desk, q url.Values) { q.Set("code", "guessed") }, http.StatusUnauthorized, "not valid"},
		{"another provider", func(_ *desk, q url.Values) { q.Set("iss", "https://evil.example") }, http.StatusUnauthorized, "not valid"},
		{"the person said no", func(_ *desk, q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, http.StatusForbidden, "The provider did not let you in (access_denied)."},
		{"words of a stranger's", func(_ *desk, q url.Values) { q.Set("error", "Call +1 900 555 0199 now") }, http.StatusForbidden, "The provider did not let you in (without a reason)."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			back, q, _ := strings.Cut(d.begin("/console/"), "?")
			values, err := url.ParseQuery(q)
			if err != nil {
				t.Fatal(err)
			}
			tt.back(d, values)
			a := d.get(back + "?" + values.Encode())
			if a.status != tt.status || !strings.Contains(words(a.body), tt.says) {
				t.Errorf("%d %q", a.status, words(a.body))
			}
			d.late.Store(false)
			if d.in() {
				t.Error("let in")
			}
		})
	}
}

// A callback that is sent again, with all that the browser had, lets nobody in: not even
// if the provider takes the code again.
func TestSignOn_Replay(t *testing.T) {
	for name, again := range map[string]bool{"codes are good once": false, "codes are good for ever": true} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.provider.Do(signontest.Wrong{Again: again})
			back := d.begin("/console/")
			kept := d.jar.Cookies(site())
			if a := d.get(back); a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, words(a.body))
			}
			thief := another(t, d.c)
			thief.jar.SetCookies(site(), kept)
			if a := thief.get(back); a.status != http.StatusUnauthorized || thief.in() {
				t.Errorf("a second time: %d", a.status)
			}
			if a := d.get(back); a.status != http.StatusBadRequest || !d.in() {
				t.Errorf("the page loaded again: %d", a.status)
			}
		})
	}
}

// Nobody is sent to another server afterwards, or in circles.
func TestSignOn_LeadsHere(t *testing.T) {
	d := newDesk(t)
	for next, want := range map[string]string{
		"": "/console/", "/console/calls?outcome=failed": "/console/calls?outcome=failed", "https://evil.example/console/": "/console/",
		"//evil.example/console/": "/console/", "/console/login": "/console/", "javascript:alert(1)": "/console/", "/console/" + strings.Repeat("x", 5000): "/console/",
	} {
		if a := d.signIn(next); a.header.Get("Refresh") != "0; url="+want {
			t.Errorf("next %.50q leads to %s", next, a.header.Get("Refresh"))
		}
	}
}

// The cookie of a login is the browser's alone, and comes back from another site; so is
// that of the session, which does not.
func TestSignOn_Cookies(t *testing.T) {
	for scheme, name := range map[string]string{"https": "__Host-reveille-login", "http": "reveille-login"} {
		d := newDesk(t)
		d.scheme = scheme
		d.provider.SetRedirect(scheme + "://reveille.example" + console.CallbackPath)
		d.use(t, signon.Options{RedirectURL: scheme + "://reveille.example" + console.CallbackPath}, nil)
		a := d.get("/console/login/sso")
		if len(a.cookies) != 1 {
			t.Fatalf("%s: %v", scheme, a.cookies)
		}
		c := a.cookies[0]
		if c.Name != name || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != (scheme == "https") || c.Path != "/" || c.Domain != "" || c.MaxAge != 600 {
			t.Errorf("%s: %v", scheme, c)
		}
		for _, known := range []string{"state", "nonce"} {
			if strings.Contains(c.Value, query(t, a.header.Get("Location")).Get(known)) {
				t.Errorf("%s: the cookie shows the %s", scheme, known)
			}
		}
	}
	// A proxy in front speaks TLS.
	d := newDesk(t)
	d.scheme = "http"
	if c := d.get("/console/login/sso").cookies[0]; !c.Secure || c.Name != "__Host-reveille-login" {
		t.Errorf("behind a proxy: %v", c)
	}
	d = newDesk(t)
	a := d.signIn("/console/")
	if len(a.cookies) != 2 || a.cookies[0].MaxAge >= 0 || a.cookies[1].SameSite != http.SameSiteStrictMode {
		t.Errorf("afterwards: %v", a.cookies)
	}
}

// What a person may do is what the highest of the claim's values allows. Who has none is
// told so in words, and nothing is kept.
func TestSignOn_Roles(t *testing.T) {
	person := func(name string, value any) map[string]any {
		return map[string]any{"preferred_username": "frank", name: value}
	}
	const none = "You are frank, and have no role here: no value of the claim"
	for _, tt := range []struct {
		name   string
		claim  string
		claims map[string]any
		role   admin.Role
		says   string
	}{
		{"one of a list", "groups", person("groups", []string{"staff", "voice"}), admin.Read, ""},
		{"the highest of a list", "groups", person("groups", []string{"voice-night", "voice"}), admin.Operate, ""},
		{"a text", "groups", person("groups", "voice-admins"), admin.Admin, ""},
		{"in an object", "realm_access.roles", person("realm_access", map[string]any{"roles": []string{"voice"}}), admin.Read, ""},
		{"a name with dots", "https://example.com/roles", person("https://example.com/roles", []string{"voice"}), admin.Read, ""},
		{"an address that was verified", "email", map[string]any{"email": "voice", "email_verified": true}, admin.Read, ""},
		{"an address that was not", "email", map[string]any{"preferred_username": "frank", "email": "voice", "email_verified": false}, 0, none},
		{"an address nobody asked about", "email", person("email", "voice"), 0, none},
		{"none of them", "groups", person("groups", []string{"staff"}), 0, none},
		{"an empty list", "groups", person("groups", []string{}), 0, none},
		{"no claim", "groups", person("x", "voice"), 0, none},
		{"a number", "groups", person("groups", 1), 0, none},
		{"a list of lists", "groups", person("groups", []any{[]string{"voice"}}), 0, none},
		{"a part of a name", "groups", person("groups", "voi"), 0, none},
		{"another case", "groups", person("groups", "VOICE"), 0, none},
		{"nothing", "groups", person("groups", ""), 0, none},
		{"a name that is none", "groups", map[string]any{"preferred_username": " \u202e\n", "sub": "s-1"}, 0, "You are s-1,"},
		{"a name with a line end", "groups", map[string]any{"preferred_username": "frank\nroot"}, 0, "You are frankroot,"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.use(t, signon.Options{RoleClaim: tt.claim}, nil)
			d.provider.Set(tt.claims)
			a := d.get(d.begin("/console/"))
			if tt.role == 0 {
				if a.status != http.StatusForbidden || !strings.Contains(words(a.body), tt.says) || len(a.cookies) != 1 || a.cookies[0].Value != "" || d.in() {
					t.Errorf("%d %q %v", a.status, words(a.body), a.cookies)
				}
				return
			}
			page := d.get("/console/").body
			if !strings.Contains(page, `<span class="muted">`+tt.role.String()+`</span>`) {
				t.Errorf("%d %q, not %s", a.status, words(a.body), tt.role)
			}
		})
	}
}

// What an ID token does not say the provider is asked for.
func TestSignOn_UserInfo_OIDC_5_3(t *testing.T) {
	for _, tt := range []struct {
		name string
		more map[string]any
		in   bool
	}{
		{"it says", map[string]any{"sub": "s-1", "groups": []string{"voice"}}, true},
		{"it says of another", map[string]any{"sub": "s-2", "groups": []string{"voice"}}, false},
		{"it does not say", map[string]any{"sub": "s-1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t)
			d.provider.SetUserInfo(tt.more)
			d.provider.Set(map[string]any{"sub": "s-1", "preferred_username": "frank"})
			d.get(d.begin("/console/"))
			if in := d.in(); in != tt.in {
				t.Errorf("in: %t, %s", in, d.log.String())
			}
		})
	}
}

// Keys change, and those who log in notice nothing.
func TestSignOn_KeyRotation_OIDC_10_1_1(t *testing.T) {
	d := newDesk(t)
	d.signIn("/console/")
	d.signIn("/console/")
	if n := d.provider.Asked("/keys"); n != 1 {
		t.Errorf("the keys were asked for %d times", n)
	}
	for _, alg := range []jose.SignatureAlgorithm{jose.ES256, jose.RS256} {
		d.provider.Rotate(alg)
		d.signIn("/console/")
	}
	if n := d.provider.Asked("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("the provider was asked %d times about itself", n)
	}
}

// A session ends with what it stands on: the role of a group, the provider.
func TestSignOn_Reload(t *testing.T) {
	d := newDesk(t)
	d.signIn("/console/")
	role := func(want admin.Role) {
		t.Helper()
		if page := d.get("/console/").body; !strings.Contains(page, `<span class="muted">`+want.String()+`</span>`) {
			t.Errorf("the role is not %s", want)
		}
	}
	d.use(t, signon.Options{}, map[string]admin.Role{"voice-admins": admin.Read})
	role(admin.Read)
	d.use(t, signon.Options{}, map[string]admin.Role{"voice-admins": admin.Operate})
	role(admin.Operate)
	d.use(t, signon.Options{}, map[string]admin.Role{"voice": admin.Read})
	if d.in() {
		t.Error("the session outlives the role")
	}
	d.use(t, signon.Options{}, nil)
	d.signIn("/console/")
	d.use(t, signon.Options{ClientID: "another"}, nil)
	if d.in() {
		t.Error("the session outlives the client")
	}
	d.use(t, signon.Options{}, nil)
	d.signIn("/console/")
	d.signOn.Store(nil)
	if d.in() {
		t.Error("the session outlives the provider")
	}
	for _, path := range []string{"/console/login/sso", console.CallbackPath} {
		if a := d.get(path); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if page := d.get("/console/login").body; strings.Contains(page, "Single sign-on") {
		t.Error("a way to a provider that there is not")
	}
	// A login that was begun goes on over a reload.
	d.use(t, signon.Options{}, nil)
	back := d.begin("/console/")
	d.use(t, signon.Options{}, nil)
	if a := d.get(back); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, words(a.body))
	}
}

// A provider that is down keeps nobody with a token out, and is asked again.
func TestSignOn_ProviderDown(t *testing.T) {
	d := newDesk(t)
	d.provider.SetDown(true)
	a := d.get("/console/login/sso")
	if a.status != http.StatusServiceUnavailable || !strings.HasPrefix(words(a.body), "The provider cannot be asked now.") || a.header.Get("Retry-After") != "5" || len(a.cookies) > 0 {
		t.Errorf("%d %q", a.status, words(a.body))
	}
	if strings.Contains(words(a.body), "127.0.0.1") || !strings.Contains(d.log.String(), "OpenID provider not found") {
		t.Errorf("the page says %q, the log %s", words(a.body), d.log.String())
	}
	d.login(consoletest.ReadToken)
	// It goes down between the two steps.
	d.provider.SetDown(false)
	d.use(t, signon.Options{}, nil)
	d.jar = another(t, d.c).jar
	back := d.begin("/console/")
	d.provider.SetDown(true)
	if a := d.get(back); a.status != http.StatusServiceUnavailable || d.in() {
		t.Errorf("%d %q", a.status, words(a.body))
	}
	d.provider.SetDown(false)
	d.signIn("/console/")
}

// A lock is a door that counts.
type lock struct {
	*consoletest.Server
	failed int
	locked error
}

func (l *lock) Locked(*http.Request) error { return l.locked }
func (l *lock) Failed(*http.Request)       { l.failed++ }

// Codes are guessed no more often than tokens; who says no at the provider, or finds it
// down, has guessed nothing.
func TestSignOn_TooManyTries(t *testing.T) {
	d := newDesk(t)
	l := &lock{Server: consoletest.New(time.Now)}
	d.browser = another(t, d.console(t, l.Server, l))
	guess := func(what, value string) answer {
		back, q, _ := strings.Cut(d.begin("/console/"), "?")
		values, err := url.ParseQuery(q)
		if err != nil {
			t.Fatal(err)
		}
		values.Del("code")
		values.Set(what, value)
		return d.get(back + "?" + values.Encode())
	}
	if guess("code", "guessed"); l.failed != 1 {
		t.Errorf("a guess counts as %d", l.failed)
	}
	if guess("error", "access_denied"); l.failed != 1 {
		t.Errorf("who said no has failed %d times", l.failed-1)
	}
	l.locked = &admin.Locked{For: 5500 * time.Millisecond}
	asked := d.provider.Asked("/token")
	if a := guess("code", "guessed"); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "6" || d.provider.Asked("/token") != asked {
		t.Errorf("%d %s", a.status, words(a.body))
	}
	l.locked = nil
	if d.signIn("/console/"); l.failed != 1 {
		t.Errorf("a login counts as %d failures", l.failed-1)
	}
}

// A session ends after the time that is configured, however it is used, and never later
// than others.
func TestSignOn_SessionEnds(t *testing.T) {
	for _, tt := range []struct{ configured, ends time.Duration }{{20 * time.Minute, 20 * time.Minute}, {10 * time.Hour, 10 * time.Hour}, {100 * time.Hour, console.LongestTime}} {
		d := newDesk(t)
		now := time.Now()
		s := consoletest.New(time.Now)
		c, err := console.New(console.Options{Source: s.Source(), Door: s, SignOn: d.signOn.Load, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		d.browser = another(t, c)
		on := *d.signOn.Load()
		on.Longest = tt.configured
		d.signOn.Store(&on)
		d.signIn("/console/")
		began := now
		for now.Sub(began) < tt.ends-time.Second {
			now = now.Add(min(25*time.Minute, tt.ends-time.Second-now.Sub(began)))
			if !d.in() {
				t.Fatalf("%v: it ended after %v", tt.configured, now.Sub(began))
			}
		}
		if now = now.Add(time.Second); d.in() {
			t.Errorf("%v: it goes on after %v", tt.configured, now.Sub(began))
		}
	}
}
