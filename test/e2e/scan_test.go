//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// sipvicious runs one of the tools of SIPVicious against the server and returns
// what it says. These tools look for servers (svmap), users (svwar) and passwords
// (svcrack), and say who they are in User-Agent.
func (s *server) sipvicious(tool string, args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	args = append([]string{"-p", port, "-P", fmt.Sprint(freePort(s.t)), "-b", "127.0.0.1"}, append(args, host)...)
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = s.t.TempDir()
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		s.t.Fatalf("%s did not end: %v\n%s", tool, err, out)
	}
	s.t.Logf("%s %s\n%s", tool, strings.Join(args, " "), out)
	return string(out)
}

// nothing is what the tools say when they have found nothing.
const nothing = "found nothing"

// watched is a guard for scanners on this machine.
func watched(more string) options {
	return options{guard: "{exempt: []" + more + "}", algorithms: "MD5"}
}

// disguised is the same for scanners that give another name, as their users can
// have them do: the tools from Debian are not listed.
const disguised = ", scanners: []"

func TestScan_ServerIsNotFound(t *testing.T) {
	for _, tt := range []struct {
		name, guard string
		found       bool
	}{
		{"by its name", "", false},
		{"in disguise, by domains alone", disguised + ", hosts: domains", false},
		// Shows that the others can fail.
		{"in disguise", disguised, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // the tools wait most of the time
			s := start(t, watched(tt.guard))
			for _, method := range []string{"OPTIONS", "REGISTER", "INVITE"} {
				out := s.sipvicious("svmap", "-m", method)
				if found := !strings.Contains(out, nothing); found != tt.found {
					t.Errorf("svmap -m %s found the server = %t, want %t", method, found, tt.found)
				}
			}
		})
	}
}

func TestScan_UsersAreNotTold(t *testing.T) {
	for name, guard := range map[string]string{"by its name": "", "in disguise": disguised} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the tools wait most of the time
			s := start(t, watched(guard))
			users := s.file("users.txt", []byte("nobody\nalice\n100\nbob\n"))
			for _, method := range []string{"REGISTER", "INVITE", "OPTIONS"} {
				for _, force := range []bool{false, true} {
					args := []string{"-d", users, "-m", method, "--domain=example.com"}
					if force {
						args = append(args, "--force")
					}
					if out := s.sipvicious("svwar", args...); !strings.Contains(out, nothing) {
						t.Errorf("svwar %s tells users", args)
					}
				}
			}
		})
	}
}

func TestScan_PasswordIsNotFound(t *testing.T) {
	var guesses strings.Builder
	for i := range 60 {
		fmt.Fprintf(&guesses, "guess%d\n", i)
	}
	for _, tt := range []struct {
		name, guard, guesses string
		found                bool
	}{
		{"by its name", "", "secret\n", false},
		{"in disguise, one of many guesses", disguised, guesses.String() + "secret\n", false},
		// Shows that the others can fail.
		{"in disguise, at once", disguised, "secret\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // the tools wait most of the time
			s := start(t, watched(tt.guard))
			out := s.sipvicious("svcrack", "-u", "alice", "-d", s.file("guesses.txt", []byte(tt.guesses)), "--domain=example.com")
			if found := !strings.Contains(out, nothing); found != tt.found {
				t.Errorf("svcrack found the password = %t, want %t", found, tt.found)
			}
		})
	}
}
