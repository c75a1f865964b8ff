package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/console"
	"reveille/internal/console/consoletest"
)

func TestLogin(t *testing.T) {
	for _, tt := range []struct {
		name, token string
		status      int
		says        string
	}{
		{"good", consoletest.ReadToken, http.StatusSeeOther, ""},
		{"with blanks around it", " " + consoletest.ReadToken + "\n", http.StatusSeeOther, ""},
		{"wrong", "guess", http.StatusUnauthorized, "The token is wrong."},
		{"none", "", http.StatusUnauthorized, "The token is wrong."},
		{"of a program", consoletest.EventsToken, http.StatusUnauthorized, "not for people"},
		{"one too many", "locked", http.StatusTooManyRequests, "too many failed tries"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, consoletest.New(time.Now))
			a := b.post("/console/login", "token", tt.token, "next", "/console/calls?outcome=failed")
			if a.status != tt.status || !strings.Contains(strings.ToLower(a.body), strings.ToLower(tt.says)) {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if tt.status == http.StatusTooManyRequests && a.header.Get("Retry-After") != "6" {
				t.Errorf("Retry-After: %s", a.header.Get("Retry-After"))
			}
			if in := b.get("/console/").status == http.StatusOK; in != (tt.status == http.StatusSeeOther) {
				t.Errorf("logged in: %t", in)
			}
			if tt.status == http.StatusSeeOther && a.header.Get("Location") != "/console/calls?outcome=failed" {
				t.Errorf("it leads to %s", a.header.Get("Location"))
			}
			if strings.Contains(a.body, tt.token) && tt.token != "" {
				t.Error("the page shows the token")
			}
		})
	}
}

// Nobody is sent to another server, or in circles.
func TestLogin_LeadsHere(t *testing.T) {
	for next, want := range map[string]string{
		"":                                  "/console/",
		"/console/bans":                     "/console/bans",
		"https://evil.example/console/":     "/console/",
		"//evil.example/console/":           "/console/",
		"/\\evil.example/console/":          "/console/",
		"/console/\\evil":                   "/console/",
		"/elsewhere":                        "/console/",
		"/console/login?next=/console/bans": "/console/",
		"javascript:alert(1)":               "/console/",
		"%zz":                               "/console/",
	} {
		b := open(t, consoletest.New(time.Now))
		if a := b.post("/console/login", "token", consoletest.ReadToken, "next", next); a.header.Get("Location") != want {
			t.Errorf("next %q leads to %s, want %s", next, a.header.Get("Location"), want)
		}
	}
}

func TestSession_Cookie(t *testing.T) {
	for scheme, name := range map[string]string{"https": "__Host-reveille", "http": "reveille"} {
		b := open(t, consoletest.New(time.Now))
		b.scheme = scheme
		a := b.post("/console/login", "token", consoletest.ReadToken)
		if len(a.cookies) != 1 {
			t.Fatalf("%s: %d cookies", scheme, len(a.cookies))
		}
		c := a.cookies[0]
		if c.Name != name || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != (scheme == "https") || c.Path != "/" || c.Domain != "" || len(c.Value) < 26 || c.MaxAge != 0 {
			t.Errorf("%s: %v", scheme, c)
		}
		if strings.Contains(c.String(), consoletest.ReadToken) {
			t.Errorf("%s: the cookie holds the token", scheme)
		}
	}
}

// A session ends when nobody uses it, and in the end always.
func TestSession_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, consoletest.New(time.Now)).login(consoletest.ReadToken)
		in := func() bool { return b.get("/console/").status == http.StatusOK }
		time.Sleep(console.IdleTime - time.Second)
		if !in() {
			t.Error("it ended before nobody used it for long")
		}
		time.Sleep(console.IdleTime)
		if in() {
			t.Error("it goes on although nobody used it")
		}
		b.login(consoletest.ReadToken)
		for began := time.Now(); time.Since(began) < console.LongestTime-time.Minute; time.Sleep(10 * time.Minute) {
			if !in() {
				t.Fatalf("it ended after %v although it was used", time.Since(began))
			}
		}
		time.Sleep(10 * time.Minute)
		if in() {
			t.Error("it goes on for ever")
		}
	})
}

// Who logs out, or whose token is taken out of the configuration, is out at once.
func TestSession_EndsAtOnce(t *testing.T) {
	s := consoletest.New(time.Now)
	b := open(t, s).login(consoletest.ReadToken)
	cookies := b.jar.Cookies(&url.URL{Scheme: "https", Host: "reveille.example", Path: "/"})
	if a := b.post("/console/logout", "form", b.form("/console/")); a.status != http.StatusSeeOther {
		t.Fatalf("log out: %d", a.status)
	}
	b.jar.SetCookies(&url.URL{Scheme: "https", Host: "reveille.example", Path: "/"}, cookies) // Whoever kept the cookie has nothing of it.
	if b.get("/console/").status == http.StatusOK {
		t.Error("the session goes on")
	}
	b.login(consoletest.ReadToken)
	s.Revoke(consoletest.ReadToken)
	if b.get("/console/").status == http.StatusOK {
		t.Error("the session outlives its token")
	}
}

// There are so many sessions; the one that was used least recently makes room.
func TestSessions_Bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := open(t, consoletest.New(time.Now)).login(consoletest.ReadToken)
		second := another(t, first.c).login(consoletest.ReadToken)
		for range console.MaxSessions - 2 {
			time.Sleep(time.Second)
			another(t, first.c).login(consoletest.ReadToken)
		}
		if first.get("/console/").status != http.StatusOK {
			t.Error("a session ended while there was room")
		}
		another(t, first.c).login(consoletest.ReadToken)
		if first.get("/console/").status != http.StatusOK || second.get("/console/").status == http.StatusOK {
			t.Error("another session made room than that which nobody used")
		}
	})
}

// A form that another site, or a page for another session, made does nothing.
func TestForms_Forged(t *testing.T) {
	s := consoletest.New(time.Now)
	b := open(t, s).login(consoletest.OperateToken)
	form := b.form("/console/")
	other := another(t, b.c).login(consoletest.OperateToken)
	drop := func(form string) int {
		return b.post("/console/drop", "aor", consoletest.Alice, "binding", consoletest.AliceID, "form", form).status
	}
	if got := drop(""); got != http.StatusForbidden {
		t.Errorf("without a form token: %d", got)
	}
	if got := drop(other.form("/console/")); got != http.StatusForbidden {
		t.Errorf("with that of another session: %d", got)
	}
	b.header.Set("Sec-Fetch-Site", "cross-site")
	if got := drop(form); got != http.StatusForbidden {
		t.Errorf("from another site: %d", got)
	}
	if a := b.post("/console/login", "token", consoletest.AdminToken); a.status != http.StatusForbidden {
		t.Errorf("a login from another site: %d", a.status)
	}
	if len(s.Bindings(consoletest.Alice)) != 2 {
		t.Fatal("the registration is gone")
	}
	b.header.Set("Sec-Fetch-Site", "same-origin")
	if got := drop(form); got != http.StatusSeeOther || len(s.Bindings(consoletest.Alice)) != 1 {
		t.Errorf("the real form: %d", got)
	}
}

// Who has a client certificate needs no login, and has no session to log out of.
func TestCertificate(t *testing.T) {
	s := consoletest.New(time.Now)
	b := open(t, s)
	b.header.Set("X-Test-Certificate", "ops.example.com")
	a := b.get("/console/")
	if a.status != http.StatusOK || !strings.Contains(a.body, "ops.example.com") || strings.Contains(a.body, "Log out") {
		t.Fatalf("%d %.300s", a.status, a.body)
	}
	form := b.form("/console/bans")
	if a := b.post("/console/lift", "source", "203.0.113.66", "form", form); a.status != http.StatusSeeOther {
		t.Errorf("lift a ban: %d", a.status)
	}
	b.header.Set("X-Test-Certificate", "other.example.com")
	if a := b.post("/console/lift", "source", "198.51.100.200", "form", form); a.status != http.StatusForbidden {
		t.Errorf("with the form of another: %d", a.status)
	}
}

func TestTheme(t *testing.T) {
	b := open(t, consoletest.New(time.Now)).login(consoletest.ReadToken)
	for _, tt := range []struct{ chosen, shown string }{{"dark", `data-theme="dark"`}, {"light", `data-theme="light"`}, {"", `<html lang="en" data-now`}, {"<evil>", `<html lang="en" data-now`}} {
		if a := b.post("/console/theme", "theme", tt.chosen, "here", "/console/calls?aor=x"); a.header.Get("Location") != "/console/calls?aor=x" {
			t.Errorf("it leads to %s", a.header.Get("Location"))
		}
		if page := b.get("/console/").body; !strings.Contains(page, tt.shown) {
			t.Errorf("%q: %.200s", tt.chosen, page)
		}
	}
}
