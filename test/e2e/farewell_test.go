//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// The caller gave up before the phone woke: the app finds the call that it was woken
// for, and that it has ended.
func TestCallThatEndedBeforeThePhoneWoke(t *testing.T) {
	t.Parallel()
	s := start(t, options{farewell: "branch"})
	// Its connection ends with it, so that nothing but the push can reach it.
	alice := s.linphone("alice", "tcp", "tok:secret-token-late", false).register()
	bob := s.linphone("bob", "udp", "", false).register()
	alice.kill()
	pushed := make(chan struct{})
	s.onPush(alice.token, func() { close(pushed) })
	bob.do("call sip:alice@example.com")
	select {
	case <-pushed:
	case <-time.After(10 * time.Second):
		t.Fatal("no push")
	}
	s.eventually("the push is known to be taken", 5*time.Second, func() bool {
		return strings.Contains(s.log.String(), "class=ok")
	})
	bob.do("terminate")
	s.eventually("the caller is done", 10*time.Second, bob.idle)
	alice.wake()
	s.eventually("the phone hears of the call", 15*time.Second, func() bool { return alice.invites() == 1 })
	s.eventually("and that it has ended", 10*time.Second, func() bool {
		return strings.Contains(alice.wire(), "\nCANCEL ") && strings.Contains(alice.wire(), "\nSIP/2.0 487 ")
	})
	if !strings.Contains(alice.wire(), "\nX-Push-ID: ") {
		t.Error("the INVITE does not name the push")
	}
	if strings.Contains(bob.wire(), "\nSIP/2.0 180 ") {
		t.Error("the caller hears of a call that is not its own")
	}
}
