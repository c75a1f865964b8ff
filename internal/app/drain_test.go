package app

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"reveille/internal/phone"
)

const carolYAML = `auth: {mode: {registrar: required, proxy: required}, users: [{name: alice, password: secret}, {name: bob, password: secret}, {name: carol, password: secret}], limit: {per_source: 0}}`

// TestStop_LetsCallsFinish: a call that waits for a phone when the server is told to end
// still gets to it, calls that are up are hung up in order, and new ones go elsewhere.
func TestStop_LetsCallsFinish(t *testing.T) {
	r := newRig(t, carolYAML, "stop: {drain: 1m}")
	const token = "token-of-alice"
	alice := r.phone("alice", "tcp", token)
	r.register(alice)
	alice.Sleep()
	bob, carol := r.phone("bob", "tcp", ""), r.phone("carol", "tcp", "")
	r.register(bob)
	r.register(carol)
	up, err := bob.Call(r.within(), "sip:carol@example.com")
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("carol's phone has the ACK", func() bool { return carol.Count(phone.Confirmed) == 1 })
	answer := make(chan error, 1)
	go func() {
		_, err := bob.Call(r.within(), "sip:alice@example.com")
		answer <- err
	}()
	r.eventually("the call waits", func() bool { return r.Parked() == 1 && r.pushes(token) == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop(r.within()) }()
	r.eventually("the server says that it ends", func() bool {
		code, _, err := r.get("/readyz")
		return err == nil && code == http.StatusServiceUnavailable
	})
	stranger := r.dial("udp")
	for _, method := range []string{"INVITE", "MESSAGE", "OPTIONS"} {
		r.eventually(method+" is refused", func() bool {
			stranger.send(stranger.request(method, "sip:alice@example.com"))
			got := stranger.response()
			return strings.HasPrefix(got, "SIP/2.0 503 ") && strings.Contains(got, "\r\nRetry-After: ")
		})
	}
	if err := up.Bye(r.within()); err != nil {
		t.Errorf("BYE while the server ends: %v", err)
	}
	if err := alice.Wake(r.within()); err != nil {
		t.Errorf("REGISTER while the server ends: %v", err)
	}
	if err := <-answer; err != nil {
		t.Errorf("the call that waited: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v", err)
	}
	if r.Parked() != 0 {
		t.Errorf("%d requests still wait", r.Parked())
	}
}

// TestStop_DrainIsBounded: what is left when the time is over is answered, and a
// phone that rings stops.
func TestStop_DrainIsBounded(t *testing.T) {
	r := newRig(t, carolYAML, "stop: {drain: 100ms}")
	const token = "token-of-alice"
	alice := r.phone("alice", "tcp", token)
	r.register(alice)
	alice.Sleep()
	carol := r.phone("carol", "tcp", "", func(o *phone.Options) { o.Ring = time.Hour })
	r.register(carol)
	bob := r.phone("bob", "tcp", "")
	r.register(bob)
	answers := make(chan error, 2)
	for _, to := range []string{"alice", "carol"} {
		go func() {
			_, err := bob.Call(r.within(), "sip:"+to+"@example.com")
			answers <- err
		}()
	}
	r.eventually("one waits and one rings", func() bool { return r.Parked() == 1 && carol.Count(phone.Invited) == 1 })
	if err := r.Stop(r.within()); err != nil {
		t.Errorf("Stop = %v", err)
	}
	for range 2 {
		if err := <-answers; err == nil || !strings.Contains(err.Error(), "480") {
			t.Errorf("the caller heard %v, want 480", err)
		}
	}
	r.eventually("carol's phone stops ringing", func() bool { return carol.Count(phone.Cancelled) == 1 })
}
