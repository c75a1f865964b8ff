//go:build browser

package console

import (
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"reveille/internal/console/consoletest"
	"reveille/internal/timeline"
)

// pages are all there are, by name.
func pages() []struct{ name, path string } {
	user := "/console/user?aor=" + url.QueryEscape(consoletest.Alice)
	return []struct{ name, path string }{
		{"overview", "/console/"}, {"waiting", "/console/waiting"}, {"calls", "/console/calls"}, {"call answered", "/console/calls/" + consoletest.AnsweredID},
		{"call refused", "/console/calls/" + consoletest.FailedID}, {"call that waits", "/console/calls/" + consoletest.ParkedID}, {"users", "/console/users"},
		{"no users", "/console/users?q=nobody"}, {"user", user}, {"user without phones", "/console/user?aor=nobody@example.com"},
		{"drop", "/console/drop?aor=alice@example.com&binding=" + consoletest.AliceID}, {"services", "/console/services"}, {"messages", "/console/messages"},
		{"events", "/console/events"}, {"bans", "/console/bans"}, {"audit", "/console/audit"}, {"configuration", "/console/configuration"}, {"nowhere", "/console/nowhere"},
	}
}

// Every page is sound and shuts nobody out, on a desk and on a phone, light and dark.
func TestPages(t *testing.T) {
	axe := loadAxe(t)
	b := open(t, serve(t, consoletest.New(consoletest.Noon), consoletest.Noon))
	b.visit("/console/login")
	b.sound("login")
	b.accessible(axe, "login")
	b.login(consoletest.AdminToken)
	for _, p := range pages() {
		b.look("light", 1280, 900)
		b.visit(p.path)
		b.accessible(axe, p.name+", light")
		b.sound(p.name + ", light")
		b.look("dark", 360, 780)
		b.sound(p.name + ", on a phone")
		b.accessible(axe, p.name+", dark, on a phone")
	}
	b.visit("/console/")
	b.do(chromedp.Click(chromedp.CSS(".menu-button")), chromedp.WaitVisible(chromedp.CSS("#menu")))
	b.accessible(axe, "the menu of a phone")
}

// A server that has just started has no figures, and says so.
func TestPages_NothingYet(t *testing.T) {
	axe := loadAxe(t)
	b := open(t, serve(t, consoletest.NewEmpty(consoletest.Noon), consoletest.Noon)).login(consoletest.AdminToken)
	b.look("light", 360, 780)
	for _, path := range []string{"/console/", "/console/waiting", "/console/calls", "/console/users", "/console/services", "/console/messages", "/console/events", "/console/bans", "/console/audit"} {
		b.visit(path)
		b.sound(path)
		b.accessible(axe, path)
	}
}

// The keys find a user and go from page to page, and can be turned off.
func TestKeys(t *testing.T) {
	b := open(t, serve(t, consoletest.New(time.Now), nil)).login(consoletest.ReadToken)
	b.until(`document.readyState === 'complete'`)
	b.do(chromedp.KeyEvent("/"))
	b.until(`document.activeElement.id === 'q'`)
	// DevTools type the character although its key was taken; keyboards do not.
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.value = ''`), chromedp.KeyEvent("alice@example.com\r"))
	b.until(`location.pathname === '/console/user' && document.querySelector('h1').textContent === 'alice@example.com' && document.readyState === 'complete'`)
	b.do(chromedp.KeyEvent("gc"))
	b.until(`location.pathname === '/console/calls' && document.readyState === 'complete'`)
	b.do(chromedp.KeyEvent("?"))
	b.until(`document.querySelector('#help').open`)
	b.do(chromedp.Click(chromedp.CSS("#keys")), chromedp.KeyEvent("\x1b"))
	b.until(`!document.querySelector('#help').open`)
	b.do(chromedp.KeyEvent("go?"))
	b.until(`location.pathname === '/console/calls' && !document.querySelector('#help').open`)
	b.sound("keys")
}

// A call that waits appears and is gone without anybody loading a page.
func TestWaiting_Live(t *testing.T) {
	s := consoletest.NewEmpty(time.Now)
	b := open(t, serve(t, s, nil)).login(consoletest.ReadToken)
	b.visit("/console/waiting")
	b.until(`document.body.innerText.includes('Nobody waits')`)
	b.do(chromedp.Evaluate[chromedp.Void](`window.same = true`))
	s.Park(timeline.Waiting{
		ID: "w1", Method: "INVITE", From: "sip:bob@example.com", AOR: "sip:carol@example.com", Provider: "apns", Since: time.Now(), Deadline: time.Now().Add(25 * time.Second),
	})
	b.until(`document.querySelector('main').innerText.includes('carol@example.com') && document.querySelector('#menu .count')`)
	b.until(`parseInt(document.querySelector('time[data-left]').textContent) < 24`)
	s.Unpark("w1")
	b.until(`document.body.innerText.includes('Nobody waits') && !document.querySelector('#menu .count')`)
	if b.eval(`String(window.same)`) != "true" {
		t.Error("the page was loaded again")
	}
	b.sound("waiting")
}

// What somebody does on a page stays as it is when the page is brought up to date.
func TestOverview_UpdatesDisturbNobody(t *testing.T) {
	s := consoletest.New(time.Now)
	b := open(t, serve(t, s, nil)).login(consoletest.ReadToken)
	b.look("light", 1280, 500)
	b.visit("/console/")
	b.do(chromedp.Evaluate[chromedp.Void](`(() => {
		document.querySelector('#q').value = 'ali'
		const details = document.querySelector('#wakes-table')
		details.open = true
		getSelection().setBaseAndExtent(document.querySelector('#failed-h'), 0, document.querySelector('#services-h'), 1)
		details.querySelector('summary').focus()
		scrollTo(0, 200)
	})()`))
	const state = `JSON.stringify([document.querySelector('#q').value, document.querySelector('#wakes-table').open, document.activeElement.parentElement.id, scrollY, String(getSelection()).length])`
	before := b.eval(state)
	s.Park(timeline.Waiting{ID: "w1", Method: "INVITE", From: "sip:bob@example.com", AOR: "sip:carol@example.com", Provider: "apns", Since: time.Now(), Deadline: time.Now().Add(time.Minute)})
	b.until(`document.querySelector('main').innerText.includes('carol@example.com')`)
	if after := b.eval(state); after != before {
		t.Errorf("what was typed, opened, focused, scrolled to and selected: %s, then %s", before, after)
	}
}

// Operators wake a user's phones, and drop a registration after they were asked.
func TestUser_WakeAndDrop(t *testing.T) {
	s := consoletest.New(time.Now)
	b := open(t, serve(t, s, nil)).login(consoletest.OperateToken)
	b.visit("/console/user?aor=alice@example.com")
	b.do(chromedp.Click(chromedp.CSS("button.first")))
	b.until(`document.body.innerText.includes('It was back after 2.14 s.')`)
	b.sound("wake")
	b.do(chromedp.Click(chromedp.CSS("a.danger")))
	b.until(`location.pathname === '/console/drop'`)
	b.do(chromedp.Click(chromedp.CSS("button.danger")))
	b.until(`document.body.innerText.includes('The registration is gone.')`)
	if n := len(s.Bindings(consoletest.Alice)); n != 1 {
		t.Errorf("alice has %d phones", n)
	}
	b.sound("drop")
}

// The colours that somebody chose stay, whatever the machine is set to.
func TestTheme(t *testing.T) {
	b := open(t, serve(t, consoletest.New(time.Now), nil)).login(consoletest.ReadToken)
	b.look("light", 1280, 900)
	background := `getComputedStyle(document.body).backgroundColor`
	light := b.eval(background)
	b.do(chromedp.Click(chromedp.CSS("[name=theme]")))
	b.until(`document.documentElement.dataset.theme === 'dark'`)
	if dark := b.eval(background); dark == light {
		t.Errorf("dark is %s, as light", dark)
	}
	b.visit("/console/calls")
	b.until(`document.documentElement.dataset.theme === 'dark'`)
}

// Who logs out is asked for a token again, and so is the page that was left open.
func TestLogout(t *testing.T) {
	s := consoletest.New(time.Now)
	b := open(t, serve(t, s, nil)).login(consoletest.ReadToken)
	b.look("light", 1280, 900)
	b.visit("/console/waiting")
	s.Revoke(consoletest.ReadToken)
	b.until(`location.pathname === '/console/login'`)
	b.login(consoletest.AdminToken)
	b.visit("/console/")
	b.do(chromedp.Click(chromedp.CSS(".who button")))
	b.until(`location.pathname === '/console/login'`)
}
