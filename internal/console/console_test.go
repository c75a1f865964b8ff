package console_test

import (
	"html"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"reveille/internal/console"
	"reveille/internal/console/consoletest"
	"reveille/internal/contacts"
	"reveille/internal/timeline"
)

// A browser visits a console without a network: it keeps cookies and does not follow
// redirections.
type browser struct {
	t      *testing.T
	c      http.Handler
	scheme string
	jar    *cookiejar.Jar
	header http.Header
	remote string
}

// open returns a browser of a console of s.
func open(t *testing.T, s *consoletest.Server) *browser {
	t.Helper()
	c, err := console.New(console.Options{Source: s.Source(), Door: s, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	return another(t, c)
}

func another(t *testing.T, c http.Handler) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, c: c, scheme: "https", jar: jar, header: http.Header{}, remote: "192.0.2.1:1234"}
}

// An answer is what a browser got.
type answer struct {
	status  int
	header  http.Header
	cookies []*http.Cookie
	body    string
}

func (b *browser) do(method, path string, form url.Values) answer {
	b.t.Helper()
	u, err := url.Parse(b.scheme + "://reveille.example" + path)
	if err != nil {
		b.t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(b.t.Context(), method, u.String(), strings.NewReader(form.Encode()))
	r.RemoteAddr = b.remote
	maps.Copy(r.Header, b.header)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, c := range b.jar.Cookies(u) {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	b.c.ServeHTTP(w, r)
	resp := w.Result()
	b.jar.SetCookies(u, resp.Cookies())
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, resp.Cookies(), string(body)}
}

func (b *browser) get(path string) answer { b.t.Helper(); return b.do("GET", path, nil) }

func (b *browser) post(path string, fields ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.do("POST", path, form)
}

// login logs in, which must work.
func (b *browser) login(token string) *browser {
	b.t.Helper()
	if a := b.post("/console/login", "token", token); a.status != http.StatusSeeOther {
		b.t.Fatalf("log in: %d %s", a.status, a.body)
	}
	return b
}

var formToken = regexp.MustCompile(`name="form" value="([0-9a-f]{32})"`)

// form returns the form token of a page.
func (b *browser) form(path string) string {
	b.t.Helper()
	m := formToken.FindStringSubmatch(b.get(path).body)
	if m == nil {
		b.t.Fatalf("%s has no form", path)
	}
	return m[1]
}

// paths are all pages that an admin sees.
func paths() []string {
	return []string{
		"/console/", "/console/waiting", "/console/calls", "/console/calls?outcome=failed", "/console/calls/" + consoletest.AnsweredID, "/console/calls/" + consoletest.FailedID,
		"/console/calls/" + consoletest.LateID, "/console/calls/" + consoletest.ParkedID, "/console/users", "/console/users?q=nobody",
		"/console/user?aor=" + url.QueryEscape(consoletest.Alice), "/console/user?aor=nobody@example.com", "/console/drop?aor=alice@example.com&binding=" + consoletest.AliceID,
		"/console/services", "/console/messages", "/console/events", "/console/events?type=push", "/console/bans", "/console/audit", "/console/configuration",
	}
}

func TestPages(t *testing.T) {
	for name, s := range map[string]*consoletest.Server{"an afternoon": consoletest.New(consoletest.Noon), "nothing yet": consoletest.NewEmpty(consoletest.Noon)} {
		t.Run(name, func(t *testing.T) {
			b := open(t, s).login(consoletest.AdminToken)
			for _, path := range paths() {
				a := b.get(path)
				if a.status != http.StatusOK && (name == "an afternoon" || a.status != http.StatusNotFound && a.status != http.StatusSeeOther) {
					t.Errorf("%s: %d %.300s", path, a.status, a.body)
				}
				if strings.Contains(a.body, "ZgotmplZ") || strings.Contains(a.body, "&lt;no value&gt;") {
					t.Errorf("%s: the template is wrong", path)
				}
			}
		})
	}
}

// No page shows how Go prints a struct, a map or a pointer: a template that names a thing
// in place of a field of it does that, and nothing else complains.
func TestPages_NoGoNotation(t *testing.T) {
	notation := regexp.MustCompile(`map\[|0x[0-9a-f]{6}|\[\]|&lt;nil&gt;|%!|\{[^{}:]*\s[^{}:]*sips?:|>\s*(?:&amp;)?\{|[0-9] [+-][0-9]{4} UTC`)
	text := regexp.MustCompile(`>[^<]*`)
	for name, s := range map[string]*consoletest.Server{"an afternoon": consoletest.New(consoletest.Noon), "nothing yet": consoletest.NewEmpty(consoletest.Noon)} {
		b := open(t, s).login(consoletest.AdminToken)
		form := b.form("/console/")
		shown := map[string]string{}
		for _, path := range paths() {
			shown[path] = b.get(path).body
		}
		for _, path := range []string{"/console/wake", "/console/push"} {
			shown[path] = b.post(path, "aor", consoletest.Alice, "kind", "call", "form", form).body
		}
		// The configuration is YAML, which has braces and brackets of its own.
		delete(shown, "/console/configuration")
		for path, page := range shown {
			for _, said := range text.FindAllString(page, -1) {
				if notation.MatchString(said) {
					t.Errorf("%s, %s: %.200q", name, path, said)
				}
			}
		}
	}
}

// The overview shows what failed alike once, however often it did.
func TestOverview_FailuresOnce(t *testing.T) {
	page := open(t, consoletest.New(consoletest.Noon)).login(consoletest.ReadToken).get("/console/").body
	const same = "FCM took the push and the phone did not come within 25 s."
	if n := strings.Count(page, same); n != 1 {
		t.Errorf("%q stands there %d times", same, n)
	}
	if !strings.Contains(page, `4<span class="why">since`) {
		t.Error("the page does not say how often")
	}
}

// What a stranger wrote is text on every page.
func TestPages_HostileNames(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'` + "\u202e{{.}}"
	s := consoletest.New(time.Now)
	const aor = "sip:mallory2@example.com"
	s.Add(aor, contacts.Contact{ID: "b" + evil, UserAgent: evil, Contact: "sip:" + evil, Flow: evil, Instance: evil, Provider: evil, State: contacts.Asleep, Modified: time.Now()}, timeline.Record{
		Summary: timeline.Summary{
			ID: "hostile", CallID: evil, Method: "INVITE" + evil, From: evil, To: aor, AOR: aor, Began: time.Now(), Ended: time.Now(), State: timeline.StateEnded, Outcome: timeline.OutcomeFailed,
			Reason: evil, Status: 480, Verdict: &timeline.Verdict{Said: evil, Do: evil}, Devices: []timeline.Device{{Binding: "b" + evil, Class: evil, Reason: evil}},
		},
		Steps: []timeline.Step{{Kind: timeline.StepReceived, Text: evil, Flow: evil}, {Kind: timeline.StepAttempt, Reason: evil, Class: evil}, {Kind: timeline.StepFailed, Reason: evil}},
	})
	s.Park(timeline.Waiting{ID: evil, From: evil, AOR: aor, Method: evil, Provider: evil, Class: evil, Since: time.Now(), Deadline: time.Now().Add(time.Minute)})
	b := open(t, s).login(consoletest.AdminToken)
	for _, path := range append(paths(), "/console/calls/hostile", "/console/user?aor="+url.QueryEscape(aor), "/console/users?q="+url.QueryEscape(evil), "/console/events?aor="+url.QueryEscape(evil),
		"/console/calls?call_id="+url.QueryEscape(evil), "/console/drop?aor="+url.QueryEscape(aor)+"&binding="+url.QueryEscape("b"+evil), "/console/"+url.PathEscape(evil)) {
		a := b.get(path)
		if strings.Contains(a.body, "<script>") || strings.Contains(a.body, "<img src=x") || a.status >= 500 {
			t.Errorf("%s: %d, and what a stranger wrote is markup", path, a.status)
		}
	}
}

// Every answer forbids script and style in pages, and to be shown in a frame.
func TestAnswers_Policy(t *testing.T) {
	s := consoletest.New(time.Now)
	b := open(t, s)
	answers := map[string]answer{
		"login": b.get("/console/login"), "outside": b.get("/console/calls"), "wrong token": b.post("/console/login", "token", "x"), "missing asset": b.get("/console/assets/x.js"),
		"theme": b.post("/console/theme", "theme", "dark"), "no method": b.do("DELETE", "/console/calls", nil),
	}
	b.login(consoletest.AdminToken)
	for _, path := range append(paths(), "/console/nowhere") {
		answers[path] = b.get(path)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="(/console/assets/[^"]+)"`).FindAllStringSubmatch(answers["/console/"].body, -1) {
		a := b.get(m[1])
		if a.status != http.StatusOK || !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %s", m[1], a.status, a.header.Get("Cache-Control"))
		}
		answers[m[1]] = a
	}
	inline := regexp.MustCompile(`(?i)<style|<script>|<script type="module">|\sstyle=|\son[a-z]+=|javascript:`)
	for name, a := range answers {
		policy := a.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy lacks %s: %q", name, want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %q, %v", name, policy, a.header)
		}
		if strings.HasPrefix(a.header.Get("Content-Type"), "text/html") && inline.MatchString(a.body) {
			t.Errorf("%s has script or style of its own: %s", name, inline.FindString(a.body))
		}
		if !strings.Contains(name, "/assets/") && a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept: %s", name, a.header.Get("Cache-Control"))
		}
	}
}

// What a role may not do is not shown, and not done when it is asked for all the same.
func TestRoles(t *testing.T) {
	const user = "/console/user?aor=alice@example.com"
	for _, tt := range []struct {
		name, token          string
		operates, configures bool
	}{
		{"read", consoletest.ReadToken, false, false},
		{"operate", consoletest.OperateToken, true, false},
		{"admin", consoletest.AdminToken, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := consoletest.New(time.Now)
			b := open(t, s).login(tt.token)
			form := b.form("/console/")
			page, bans := b.get(user).body, b.get("/console/bans").body
			if shown := strings.Contains(page, "Wake now") || strings.Contains(page, "/console/drop") || strings.Contains(bans, "/console/lift"); shown != tt.operates {
				t.Errorf("buttons are shown: %t", shown)
			}
			if shown := strings.Contains(page, "/console/configuration"); shown != tt.configures {
				t.Errorf("the configuration is in the menu: %t", shown)
			}
			if ok := b.get("/console/configuration").status == http.StatusOK; ok != tt.configures {
				t.Errorf("the configuration is shown: %t", ok)
			}
			want := map[bool]int{false: http.StatusForbidden, true: http.StatusOK}[tt.operates]
			for _, c := range []struct {
				path   string
				fields []string
				done   int
			}{
				{"/console/wake", []string{"aor", consoletest.Alice}, http.StatusOK},
				{"/console/push", []string{"aor", consoletest.Alice, "kind", "call"}, http.StatusOK},
				{"/console/lift", []string{"source", "203.0.113.66"}, http.StatusSeeOther},
				{"/console/drop", []string{"aor", consoletest.Alice, "binding", consoletest.AliceID}, http.StatusSeeOther},
			} {
				want := want
				if want == http.StatusOK {
					want = c.done
				}
				if a := b.post(c.path, append(c.fields, "form", form)...); a.status != want {
					t.Errorf("POST %s: %d, want %d", c.path, a.status, want)
				}
			}
			if a := b.get("/console/drop?aor=alice@example.com&binding=" + consoletest.AliceTab); (a.status == http.StatusOK) != tt.operates {
				t.Errorf("the question whether to drop: %d", a.status)
			}
			if left := len(s.Bindings(consoletest.Alice)); (left == 1) != tt.operates {
				t.Errorf("alice has %d phones", left)
			}
			if changes := s.Source().Audit(10); (len(changes) == 7) != tt.operates {
				t.Errorf("%d changes in the audit log", len(changes))
			}
		})
	}
}

func TestChanges_ShowWhatCameOfThem(t *testing.T) {
	s := consoletest.New(time.Now)
	b := open(t, s).login(consoletest.OperateToken)
	form := b.form("/console/")
	for _, tt := range []struct {
		name, path string
		fields     []string
		status     int
		says       string
	}{
		{"wake", "/console/wake", []string{"aor", consoletest.Alice}, 200, "It was back after 2.14 s."},
		{"wake nobody", "/console/wake", []string{"aor", "sip:nobody@example.com"}, 422, "No phone that a push wakes is registered."},
		{"wake a stranger", "/console/wake", []string{"aor", "sip:nobody@elsewhere.example"}, 404, "No such user"},
		{"push", "/console/push", []string{"aor", consoletest.Alice, "kind", "call"}, 200, "The push service took the push."},
		{"push of no kind", "/console/push", []string{"aor", consoletest.Alice, "kind", "x"}, 422, "call, message or refresh"},
		{"drop what is gone", "/console/drop", []string{"aor", consoletest.Alice, "binding", "x"}, 303, ""},
		{"lift what is no address", "/console/lift", []string{"source", "x"}, 400, "is no address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := b.post(tt.path, append(tt.fields, "form", form)...)
			if a.status != tt.status || !strings.Contains(a.body, tt.says) {
				t.Errorf("%d, want %d and %q: %.500s", a.status, tt.status, tt.says, a.body)
			}
		})
	}
}

// A phone is shown with what it registered, and no more.
func TestUser_Fields(t *testing.T) {
	s := consoletest.New(time.Now)
	const prid = "a-token-that-nobody-may-see"
	s.Add("sip:zoe@example.com", contacts.Contact{
		ID: "1", Contact: "sip:zoe@192.0.2.99:5060", State: contacts.Asleep, Provider: "fcm", Modified: time.Now(), Path: []string{"sip:edge.example.com;lr"},
		Attributes: map[string]string{"x-model": "P9"}, Push: &contacts.PushParams{Provider: "fcm", PRID: prid},
	}, timeline.Record{})
	page := open(t, s).login(consoletest.AdminToken).get("/console/user?aor=zoe@example.com").body
	for _, want := range []string{"<code>sip:zoe@192.0.2.99:5060</code>", "<code>sip:edge.example.com;lr</code>", "x-model", "P9", "FCM"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page, prid) {
		t.Error("the page shows a push token")
	}
}

func TestSearch(t *testing.T) {
	b := open(t, consoletest.New(time.Now)).login(consoletest.ReadToken)
	for q, want := range map[string]string{
		"alice@example.com":     "/console/user?aor=sip%3Aalice%40example.com",
		"sip:alice@example.com": "/console/user?aor=sip%3Aalice%40example.com",
		"ali":                   "/console/users?q=ali",
		"x@elsewhere.example":   "/console/users?q=x%40elsewhere.example",
		"":                      "/console/users?q=",
	} {
		if a := b.get("/console/search?q=" + url.QueryEscape(q)); a.header.Get("Location") != want {
			t.Errorf("search %q leads to %s, want %s", q, a.header.Get("Location"), want)
		}
	}
}

func TestCalls_Pages(t *testing.T) {
	b := open(t, consoletest.New(time.Now)).login(consoletest.ReadToken)
	older := regexp.MustCompile(`href="(calls\?[^"]*before=[^"]*)"`)
	m := older.FindStringSubmatch(b.get("/console/calls").body)
	if m == nil {
		t.Fatal("there is no second page")
	}
	second := b.get("/console/" + html.UnescapeString(m[1])).body
	if !strings.Contains(second, "Latest") || older.MatchString(second) {
		t.Errorf("the second page is not the last: %.300s", second)
	}
}
