//go:build browser || firefox

package browser

import (
	"testing"

	"reveille/internal/phone"
)

// A page watches the registration of its user, by a subscriber that others wrote.
func TestPageWatchesItsRegistration_RFC3680(t *testing.T) {
	r := newRig(t, stacks()[1], "registrar: {reg_event: {interval: 0s}}")
	c := r.browser()
	page := c.open(r.page + "?watch")
	page.login()
	page.expect("watched", "1 phones")
	p := r.phone(phone.Options{User: "alice"})
	page.expect("watched", "2 phones")
	if err := p.Unregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	page.expect("watched", "1 phones")
}
