//go:build browser || firefox

package browser

import (
	"time"

	"reveille/push/pushsim"
)

// patience bounds every wait for the browser.
const patience = 15 * time.Second

// A webBrowser is a running one. It outlives its pages, as it does on a phone.
type webBrowser interface {
	// open opens a page.
	open(url string) *tab
	// deliver hands it a push that its push service took.
	deliver(pushsim.Push)
	// notification waits for the one that the service worker shows and returns
	// the page that clicking on it opens.
	notification() (url string)
}

// A driver acts in one page of a browser.
type driver interface {
	// eval returns the text that an expression of JavaScript has as its value.
	eval(expression string) (string, error)
	// fill writes into the field with this name.
	fill(field, text string) error
	// click waits until what a selector finds is there and clicks on it.
	click(selector string) error
	close() error
}

// A tab is an open page of the phone.
type tab struct {
	r *rig
	d driver
}

// sleep closes the page: its connection ends, and the server is told nothing
// else.
func (p *tab) sleep() {
	p.r.t.Helper()
	connection := p.r.connection("alice")
	if err := p.d.close(); err != nil {
		p.r.t.Fatalf("close the page: %v", err)
	}
	if !within(patience, func() bool { return p.r.closed(connection) }) {
		p.r.t.Fatal("the page's connection does not end")
	}
}

// login fills in the form and waits until the phone is registered.
func (p *tab) login() {
	p.r.t.Helper()
	for _, f := range []struct{ name, text string }{{"address", "alice@example.com"}, {"password", "secret"}, {"server", p.r.wss}} {
		if err := p.d.fill(f.name, f.text); err != nil {
			p.r.t.Fatalf("fill in the %s: %v", f.name, err)
		}
	}
	if err := p.d.click("#login button"); err != nil {
		p.r.t.Fatalf("log in: %v", err)
	}
	p.expect("state", "registered")
}

// click waits until a button is enabled and clicks on it.
func (p *tab) click(id string) {
	p.r.t.Helper()
	if err := p.d.click("#" + id + ":enabled"); err != nil {
		p.r.t.Fatalf("click on %s: %v", id, err)
	}
}

// expect waits until an output of the page says so.
func (p *tab) expect(output, want string) {
	p.r.t.Helper()
	var got string
	if !within(patience, func() bool {
		got = p.eval(`document.getElementById("` + output + `").value`)
		return got == want
	}) {
		p.r.t.Fatalf("%s is %q, want %q", output, got, want)
	}
}

// eval returns the text that an expression of JavaScript has as its value.
func (p *tab) eval(expression string) string {
	p.r.t.Helper()
	text, err := p.d.eval(expression)
	if err != nil {
		p.r.t.Fatalf("%s: %v", expression, err)
	}
	return text
}
