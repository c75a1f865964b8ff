//go:build browser || firefox

package browser

import (
	"context"
	"errors"
	"testing"
	"time"

	"reveille/internal/phone"
)

// eachStack runs a test with the page of each library.
func eachStack(t *testing.T, test func(*rig)) {
	for _, s := range stacks() {
		t.Run(s.name, func(t *testing.T) { test(newRig(t, s)) })
	}
}

// The main job: a page that is closed rings, is answered, and the call ends from
// either side.
func TestClosedPageRings(t *testing.T) { eachStack(t, closedPageRings) }

func closedPageRings(r *rig) {
	t := r.t
	bob, c := r.bob(), r.browser()
	page := c.open(r.page)
	page.login()
	if key, want := page.eval(subscribedKey), r.sim.Credentials().VAPIDPublic(); key != want {
		t.Errorf("the page subscribed with the key %q, want that of the server, %q", key, want)
	}
	for _, end := range []string{"callee", "caller"} {
		page.sleep()
		calling := r.call(bob)
		push := r.push()
		if said := push.Payload != ""; said != (encrypts && r.stack.keys) || push.Priority != "high" {
			t.Errorf("push with payload %t and urgency %q, want one if the page gave keys, and high", said, push.Priority)
		}
		c.deliver(push)
		page = c.open(c.notification())
		call := calling.answered(t)
		page.expect("state", "in a call")
		if end == "callee" {
			page.click("hangup")
			select {
			case <-call.Ended():
			case <-time.After(patience):
				t.Fatal("the caller is not told that the page hung up")
			}
		} else if err := call.Bye(t.Context()); err != nil {
			t.Fatalf("BYE: %v", err)
		}
		page.expect("state", "registered")
	}
	if n := len(r.sim.Pushes()); n != 2 {
		t.Errorf("%d pushes for two calls", n)
	}
}

// A page that is open is called on its connection.
func TestOpenPageRings(t *testing.T) { eachStack(t, openPageRings) }

func openPageRings(r *rig) {
	t := r.t
	bob, c := r.bob(), r.browser()
	page := c.open(r.page)
	page.login()
	calling := r.call(bob)
	page.expect("state", "ringing")
	page.click("answer")
	calling.answered(t)
	page.expect("state", "in a call")
	page.click("hangup")
	page.expect("state", "registered")
}

func TestMessageToAClosedPage(t *testing.T) { eachStack(t, messageToAClosedPage) }

func messageToAClosedPage(r *rig) {
	t := r.t
	bob, c := r.bob(), r.browser()
	page := c.open(r.page)
	page.login()
	page.sleep()
	sent := make(chan error, 1)
	go func() { sent <- bob.Message(t.Context(), "sip:alice@example.com", "wake-up-text") }()
	c.deliver(r.push())
	page = c.open(c.notification())
	page.expect("message", "wake-up-text")
	if err := <-sent; err != nil {
		t.Errorf("the sender is told %v", err)
	}
}

func TestLoggedOutPageIsNotCalled(t *testing.T) { eachStack(t, loggedOutPageIsNotCalled) }

func loggedOutPageIsNotCalled(r *rig) {
	t := r.t
	bob, c := r.bob(), r.browser()
	page := c.open(r.page)
	page.login()
	page.click("logout")
	page.expect("state", "logged out")
	_, err := bob.Call(t.Context(), "sip:alice@example.com")
	if status, ok := errors.AsType[*phone.StatusError](err); !ok || status.Code != 480 {
		t.Errorf("a call ends with %v, want 480", err)
	}
	if n := len(r.sim.Pushes()); n != 0 {
		t.Errorf("%d pushes", n)
	}
}

// A calling is a call of bob's that is under way.
type calling struct {
	call chan *phone.Call
	err  chan error
}

func (r *rig) call(bob *phone.Phone) *calling {
	c := &calling{call: make(chan *phone.Call, 1), err: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	r.t.Cleanup(cancel)
	go func() {
		call, err := bob.Call(ctx, "sip:alice@example.com")
		if err != nil {
			c.err <- err
			return
		}
		c.call <- call
	}()
	return c
}

func (c *calling) answered(t *testing.T) *phone.Call {
	t.Helper()
	select {
	case call := <-c.call:
		return call
	case err := <-c.err:
		t.Fatalf("the call fails: %v", err)
	case <-time.After(2 * patience):
		t.Fatal("the call is not answered")
	}
	return nil
}
