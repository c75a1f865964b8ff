//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var accepted = regexp.MustCompile(`msg="request answered" .*method=MESSAGE .*status=202`)

// Messages for a phone that sleeps, and for one that has never been there, are taken
// with 202. They outlive the server, and the phone has them in order when it comes.
func TestMessages_StoredAcrossAKill(t *testing.T) {
	for name, open := range map[string]func(s *server) (appear func() (seen func() string)){
		"linphone-daemon, asleep": func(s *server) func() func() string {
			p := s.linphone("alice", "tcp", "tok:secret-token-stored", true).register()
			p.kill()
			return func() func() string {
				p.wake()
				return p.wire
			}
		},
		"baresip, never seen": func(s *server) func() func() string {
			return func() func() string { return s.baresip("alice", "udp").out.String }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, options{more: "store: {dir: state}\nmessages: {policy: store}"})
			appear := open(s)
			bob := newBob(s)
			var texts []string
			write := func() {
				for range 3 {
					text := fmt.Sprintf("text-%d-of-bob", len(texts)+1)
					texts = append(texts, text)
					bob.write(text)
				}
				s.eventually("202 for each", patience, func() bool { return len(accepted.FindAllString(s.log.String(), -1)) == len(texts) })
			}
			write()
			s.crash()
			write()
			s.crash()
			seen := appear()
			s.eventually("the phone has them all", patience, func() bool { return strings.Contains(seen(), texts[len(texts)-1]) })
			rest := seen()
			for _, text := range texts {
				_, after, ok := strings.Cut(rest, text)
				if !ok {
					t.Fatalf("%s did not come, or not in its turn:\n%s", text, seen())
				}
				rest = after
			}
			s.eventually("nothing waits", patience, func() bool { return strings.Contains(s.get("/metrics"), "\nreveille_mailbox_waiting 0\n") })
		})
	}
}
