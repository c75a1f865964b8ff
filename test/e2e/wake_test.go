//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"reveille/push/pushsim"
)

// The main job: a sleeping phone rings, is answered, and the call ends from
// either side.
func TestSleepingPhoneRings(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		for _, hangUp := range []string{"caller", "callee"} {
			t.Run(transport+", "+hangUp+" hangs up", func(t *testing.T) {
				t.Parallel()
				s := start(t, options{})
				alice := s.linphone("alice", transport, "tok:secret-token-1", true).register()
				bob := s.linphone("bob", transport, "", false).register()
				alice.kill()
				s.onPush(alice.token, alice.wake)
				if got := bob.do("call sip:alice@example.com"); !strings.Contains(got, "Status: Ok") {
					t.Fatalf("call: %s", got)
				}
				s.eventually("both talk", 20*time.Second, func() bool { return bob.talks() && alice.talks() })
				if n := alice.invites(); n != 1 {
					t.Errorf("the phone saw %d INVITEs, want 1", n)
				}
				if n := s.pushes(alice.token); n != 1 {
					t.Errorf("%d pushes, want 1", n)
				}
				if hangUp == "caller" {
					bob.do("terminate")
				} else {
					alice.do("terminate")
				}
				s.eventually("the call ends on both sides", 10*time.Second, func() bool { return bob.idle() && alice.idle() })
			})
		}
	}
}

func TestMessageToASleepingPhone(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	alice := s.linphone("alice", "udp", "tok:secret-token-2", true).register()
	bob := s.linphone("bob", "udp", "", false).register()
	alice.kill()
	s.onPush(alice.token, alice.wake)
	bob.do("message sip:alice@example.com wake-up-text")
	s.eventually("the text arrives", 20*time.Second, func() bool { return strings.Contains(alice.wire(), "wake-up-text") })
	s.eventually("the sender is told", 10*time.Second, func() bool {
		return strings.Contains(s.log.String(), `msg="request answered"`) && strings.Contains(s.log.String(), "method=MESSAGE")
	})
}

func TestTokenRotatedWhileParked(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	alice := s.linphone("alice", "udp", "tok:secret-token-old", true).register()
	bob := s.linphone("bob", "udp", "", false).register()
	alice.kill()
	s.onPush("tok:secret-token-old", func() {
		alice.token = "tok:secret-token-new"
		alice.wake()
	})
	bob.do("call sip:alice@example.com")
	s.eventually("both talk", 20*time.Second, func() bool { return bob.talks() && alice.talks() })
	if n := alice.invites(); n != 1 {
		t.Errorf("the phone saw %d INVITEs, want 1", n)
	}
}

func TestDeskPhoneAndMobileInOneAOR(t *testing.T) {
	t.Parallel()
	// baresip 1.0 is offered MD5 alone, linphone takes SHA-256.
	s := start(t, options{})
	alice := s.linphone("alice", "udp", "tok:secret-token-3", true).register()
	desk := s.baresip("alice", "udp")
	bob := s.linphone("bob", "udp", "", false).register()
	alice.kill()
	s.onPush(alice.token, alice.wake)
	bob.do("call sip:alice@example.com")
	s.eventually("the desk phone rings", 10*time.Second, desk.rang)
	s.eventually("bob and the mobile talk", 20*time.Second, func() bool { return bob.talks() && alice.talks() })
	s.eventually("the desk phone is told to stop", 10*time.Second, desk.stopped)
}

func TestProviderSaysGone(t *testing.T) {
	t.Parallel()
	s := start(t, options{})
	// Its connection ends with it, so that nothing but the push can reach it.
	alice := s.linphone("alice", "tcp", "tok:secret-token-gone", true).register()
	bob := s.linphone("bob", "udp", "", false).register()
	alice.kill()
	s.sim.SetFault(alice.token, pushsim.Fault{Kind: pushsim.Gone})
	began := time.Now()
	bob.do("call sip:alice@example.com")
	s.eventually("the caller is told at once", 5*time.Second, func() bool { return strings.Contains(bob.wire(), "SIP/2.0 480 ") })
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("the caller waited %s", d)
	}
	// The dead token is pushed to no more.
	before := len(s.sim.Pushes())
	bob.do("call sip:alice@example.com")
	s.eventually("the second call fails, too", 5*time.Second, func() bool { return strings.Count(bob.wire(), "\nSIP/2.0 480 ") >= 2 })
	if after := len(s.sim.Pushes()); after != before {
		t.Errorf("%d more requests to the push service for a dead token", after-before)
	}
}

// SIPp calls a phone that never wakes, and one that it gives up on.
func TestSIPpCallers(t *testing.T) {
	tests := []struct{ name, scenario, log string }{
		{"nobody wakes", "nowake.xml", "status=480"},
		{"the caller gives up while the phone sleeps", "cancel.xml", "status=487"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, options{open: true, wait: "2s"})
			alice := s.linphone("alice", "tcp", "tok:secret-token-4", true).register()
			alice.kill()
			s.sipp(tt.scenario)
			if got := s.log.String(); !strings.Contains(got, tt.log) {
				t.Errorf("the server's log does not say %s", tt.log)
			}
			// It wakes too late: nothing is sent to it.
			alice.register()
			if n := alice.invites(); n != 0 {
				t.Errorf("the phone saw %d INVITEs after the call was over", n)
			}
		})
	}
}

func (s *server) String() string { return fmt.Sprintf("server at %s", s.addr) }
