package main

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"reveille/internal/app"
	"reveille/usrloc"
	"reveille/usrloc/disk"
)

// A wire is a UDP socket on which a test speaks SIP to a server.
type wire struct {
	*net.UDPConn
	t *testing.T
}

func dialWire(t *testing.T, addr string) wire {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return wire{c.(*net.UDPConn), t}
}

// invite sends an INVITE to user.
func (w wire) invite(user, id string) {
	w.t.Helper()
	_, err := fmt.Fprintf(w, "INVITE sip:%[1]s@example.com SIP/2.0\r\nVia: SIP/2.0/UDP %[2]s;rport;branch=z9hG4bK%[3]s\r\nMax-Forwards: 70\r\n"+
		"From: <sip:caller@example.com>;tag=c\r\nTo: <sip:%[1]s@example.com>\r\nCall-ID: %[3]s\r\nCSeq: 1 INVITE\r\n"+
		"Contact: <sip:caller@%[2]s>\r\nContent-Length: 0\r\n\r\n", user, w.LocalAddr(), id)
	if err != nil {
		w.t.Fatal(err)
	}
}

// await reads until a message begins with start, and returns it.
func (w wire) await(start string) string {
	w.t.Helper()
	if err := w.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, 1<<16)
	for {
		n, err := w.Read(b)
		if err != nil {
			w.t.Fatalf("nothing came that begins with %q: %v", start, err)
		}
		if strings.HasPrefix(string(b[:n]), start) {
			return string(b[:n])
		}
	}
}

// ring answers an INVITE with 180.
func (w wire) ring(invite string) {
	w.t.Helper()
	answer := strings.Replace(invite[strings.Index(invite, "\r\n"):], "To: <sip:phone@example.com>", "To: <sip:phone@example.com>;tag=p", 1)
	if _, err := w.Write([]byte("SIP/2.0 180 Ringing" + answer)); err != nil {
		w.t.Fatal(err)
	}
}

// TestServe_TwoSignals ends a real process: the first signal leaves it the call that
// rings and refuses others, the second ends it, and whatever was acknowledged is kept.
func TestServe_TwoSignals(t *testing.T) {
	p := startProcess(t)
	users := dialWire(t, p.addr)
	for n := range 20 {
		if err := register(users, fmt.Sprintf("before%d", n), 1); err != nil {
			t.Fatal(err)
		}
	}
	phone, caller := dialWire(t, p.addr), dialWire(t, p.addr)
	if err := register(phone, "phone", 1); err != nil {
		t.Fatal(err)
	}
	caller.invite("phone", "ringing")
	phone.ring(phone.await("INVITE "))
	caller.await("SIP/2.0 180 ")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// A call that is refused tells that the signal was heard; one that is not fails
	// for want of such a user.
	for n, refused := 0, false; !refused; n++ {
		caller.invite("nobody", fmt.Sprintf("late%d", n))
		answer := caller.await("SIP/2.0 ")
		for strings.HasPrefix(answer, "SIP/2.0 100 ") {
			answer = caller.await("SIP/2.0 ")
		}
		refused = strings.HasPrefix(answer, "SIP/2.0 503 ")
	}
	for n := range 20 {
		if err := register(users, fmt.Sprintf("after%d", n), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("the process ended with %v, want exit code %d", err, exitFailed)
	}
	s, err := disk.Open(disk.Options{Dir: app.BindingsDir(p.store()), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := range 20 {
		for _, when := range []string{"before", "after"} {
			aor := usrloc.AOR(fmt.Sprintf("sip:%s%d@example.com", when, n))
			if rec, err := s.Get(t.Context(), aor); err != nil || len(rec.Bindings) != 1 {
				t.Errorf("%s was acknowledged and has %d bindings, %v", aor, len(rec.Bindings), err)
			}
		}
	}
}
