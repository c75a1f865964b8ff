//go:build browser

package console

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"reveille/internal/admin"
	"reveille/internal/console"
	"reveille/internal/console/consoletest"
	"reveille/internal/signon"
	"reveille/internal/signon/signontest"
)

// Somebody logs in at a provider, which is another site and asks first, with the keys
// alone, and is led back to the page that was wanted.
func TestSignOn(t *testing.T) {
	axe := loadAxe(t)
	s := consoletest.New(time.Now)
	var signOn atomic.Pointer[console.SignOn]
	url := serveConsole(t, console.Options{Source: s.Source(), Door: s, SignOn: signOn.Load})
	p := signontest.New(t, url+console.CallbackPath)
	p.Ask()
	client, err := signon.New(signon.Options{
		Issuer: p.Issuer(), ClientID: signontest.ClientID, ClientSecret: signontest.ClientSecret, RedirectURL: url + console.CallbackPath,
		NameClaim: "preferred_username", RoleClaim: "groups",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	roles := map[string]admin.Role{"voice-admins": admin.Operate}
	signOn.Store(&console.SignOn{Client: client, Roles: roles, Longest: time.Hour})
	b := open(t, url)
	for _, colours := range []string{"light", "dark"} {
		b.look(colours, 360, 780)
		b.visit("/console/bans?x=1&y=2")
		b.until(`location.pathname === '/console/login' && document.activeElement.textContent === 'Single sign-on'`)
		b.accessible(axe, "login, "+colours)
		b.sound("login, " + colours)
	}
	b.do(chromedp.KeyEvent("\r"))
	b.until(`document.querySelector('#approve')`)
	b.do(chromedp.Click(chromedp.CSS("#approve")))
	b.until(`location.pathname + location.search === '/console/bans?x=1&y=2' && document.querySelector('.who strong').textContent === 'erin'`)
	b.sound("logged in")
	b.look("light", 1280, 900)
	b.do(chromedp.Click(chromedp.CSS(".who button")))
	b.until(`location.pathname === '/console/login'`)

	signOn.Store(&console.SignOn{Client: client, Roles: map[string]admin.Role{"others": admin.Read}, Longest: time.Hour})
	b.visit("/console/")
	b.do(chromedp.Click(chromedp.CSS("a.first")))
	b.until(`document.querySelector('#approve')`)
	b.do(chromedp.Click(chromedp.CSS("#approve")))
	b.until(`document.querySelector('[role=alert]')?.textContent.startsWith('You are erin, and have no role here')`)
	b.accessible(axe, "no role")
	b.sound("no role")
}
