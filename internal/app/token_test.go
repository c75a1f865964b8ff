package app

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/internal/phone"
)

var threeUsers = strings.Replace(usersYAML, "users: [", "users: [{name: carol, password: secret}, ", 1)

const tokenOfThePhone = "token-of-the-phone"

// handOver has bob log in on the phone of alice, who has not logged out. It returns
// his phone, and one of carol.
func handOver(r *rig) (bob, carol *phone.Phone) {
	r.sleeper("alice", "tcp", tokenOfThePhone)
	at := time.Now().Add(2 * time.Millisecond)
	r.eventually("bob comes later", func() bool { return time.Now().After(at) })
	bob, carol = r.sleeper("bob", "tcp", tokenOfThePhone), r.phone("carol", "tcp", "")
	r.register(carol)
	return bob, carol
}

// A call to the former user of a phone neither wakes nor rings it; one to the new
// user does.
func TestTokenOwner_Last(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]string{"memory": "store: {}", "disk": storeYAML(filepath.Join(t.TempDir(), "store"))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, `push: {token_owner: last, apps: @apps}`, threeUsers, store)
			_, carol := handOver(r)
			r.eventually("alice has no phone", func() bool {
				rec, err := r.Store().Get(t.Context(), "sip:alice@example.com")
				return err == nil && len(rec.Bindings) == 0
			})
			var refused *phone.StatusError
			if _, err := carol.Call(r.within(), "sip:alice@example.com"); !errors.As(err, &refused) || refused.Code != 480 {
				t.Errorf("the call to alice: %v, want 480", err)
			}
			if n := r.pushes(tokenOfThePhone); n != 0 {
				t.Errorf("%d pushes for alice, want none", n)
			}
			call, err := carol.Call(r.within(), "sip:bob@example.com")
			if err != nil {
				t.Fatalf("the call to bob: %v", err)
			}
			if err := call.Bye(r.within()); err != nil {
				t.Error(err)
			}
			if n := r.pushes(tokenOfThePhone); n != 1 {
				t.Errorf("%d pushes for bob, want one", n)
			}
		})
	}
}

// Without the option a phone may have several users.
func TestTokenOwner_Any(t *testing.T) {
	t.Parallel()
	r := newRig(t, threeUsers)
	bob, carol := handOver(r)
	ctx, cancel := context.WithCancel(t.Context())
	called := make(chan error, 1)
	go func() {
		_, err := carol.Call(ctx, "sip:alice@example.com")
		called <- err
	}()
	r.eventually("a call to alice wakes the phone", func() bool { return bob.Count(phone.Registered) == 2 })
	cancel()
	if err := <-called; err == nil {
		t.Error("alice answered on a phone on which bob is logged in")
	}
}
