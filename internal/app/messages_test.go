package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"reveille/internal/phone"
)

const messagesYAML = "messages: {policy: store}"

// read is what a phone was told by MESSAGEs.
type read struct {
	mu    sync.Mutex
	texts []string
}

// on makes the phone tell of its messages.
func (r *read) on(o *phone.Options) {
	o.On = func(e phone.Event) {
		if e.Kind == phone.Messaged {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.texts = append(r.texts, e.Body)
		}
	}
}

func (r *read) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.texts)
}

// TestMessages_SurviveAKill: messages whose sender has a 202 are there for the next
// process, and the phone gets them, in order.
func TestMessages_SurviveAKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	r := newRig(t, storeYAML(dir), messagesYAML)
	asleep := r.phone("alice", "tcp", "")
	r.register(asleep)
	asleep.Close() // It is gone without a word.
	bob := r.phone("bob", "tcp", "")
	r.register(bob)
	var want []string
	for n := range 5 {
		text := fmt.Sprint("message ", n)
		if err := bob.Message(r.within(), asleep.AOR(), text); err != nil {
			t.Fatal(err)
		}
		want = append(want, text)
	}
	if n := r.metric("reveille_mailbox_waiting"); n != 5 {
		t.Errorf("%v wait, want 5", n)
	}
	if m := r.waitingMessages().List(); len(m) != 1 || m[0].User != asleep.AOR() || m[0].Messages != 5 || m[0].Oldest.IsZero() {
		t.Errorf("list %+v", m)
	}
	left := killed(t, dir)
	if err := os.CopyFS(filepath.Join(left, "messages"), os.DirFS(filepath.Join(dir, "messages"))); err != nil {
		t.Fatal(err)
	}
	// Whatever the policy is now.
	again := newRig(t, storeYAML(left))
	var got read
	alice := again.phone("alice", "tcp", "", got.on)
	again.register(alice)
	again.eventually("the phone has them all", func() bool { return len(got.all()) >= 5 })
	if all := got.all(); !slices.Equal(all, want) {
		t.Errorf("got %q, want %q", all, want)
	}
	again.eventually("nothing waits", func() bool { return again.metric("reveille_mailbox_waiting") == 0 })
	if n := again.metric("reveille_mailbox_messages_total", "delivered"); n != 5 {
		t.Errorf("%v delivered", n)
	}
}

// TestMessages_WakeThePhone: the message pushes, and the phone that comes back has it.
func TestMessages_WakeThePhone(t *testing.T) {
	t.Parallel()
	r := newRig(t, storeYAML(filepath.Join(t.TempDir(), "store")), messagesYAML)
	var got read
	alice := r.phone("alice", "tcp", "token-of-alice", got.on)
	r.register(alice)
	alice.Sleep()
	r.onPush("token-of-alice", func() {
		if err := alice.Wake(r.t.Context()); err != nil && r.t.Context().Err() == nil {
			r.t.Errorf("wake: %v", err)
		}
	})
	bob := r.phone("bob", "tcp", "")
	r.register(bob)
	if err := bob.Message(r.within(), alice.AOR(), "hello"); err != nil {
		t.Fatal(err)
	}
	r.eventually("the phone has it", func() bool { return slices.Equal(got.all(), []string{"hello"}) })
	r.eventually("it is delivered", func() bool { return r.metric("reveille_mailbox_messages_total", "delivered") == 1 })
}

// TestMessages_StrangersKeepNothing: whoever cannot be told apart gets no room on the
// disk.
func TestMessages_StrangersKeepNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, storeYAML(filepath.Join(t.TempDir(), "store")), messagesYAML, openYAML)
	bob := r.phone("bob", "tcp", "")
	r.register(bob)
	var refused *phone.StatusError
	if err := bob.Message(r.within(), "sip:alice@example.com", "hello"); !errors.As(err, &refused) || refused.Code != 480 {
		t.Errorf("Message = %v, want 480", err)
	}
	if n := r.metric("reveille_mailbox_waiting"); n != 0 {
		t.Errorf("%v wait", n)
	}
}

func TestMessages_NoneByDefault(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if r.mailbox != nil || r.waitingMessages() != nil {
		t.Error("a mailbox without a policy")
	}
}
