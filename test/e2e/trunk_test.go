//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// trunkHost is where carriers are. Who trusts them trusts nobody else on this machine.
const trunkHost = "127.0.0.2"

// A carrier is a gateway that SIPp plays, on one address for as long as the test lasts.
type carrier struct {
	t                         *testing.T
	scenario, transport, addr string
	dir                       string
	cmd                       *exec.Cmd
}

// newCarrier starts a carrier. It listens when this returns.
func newCarrier(t *testing.T, scenario, transport string) *carrier {
	t.Helper()
	c := &carrier{t: t, scenario: scenario, transport: transport, dir: t.TempDir()}
	c.addr = fmt.Sprintf("%s:%d", trunkHost, freePort(t))
	c.start()
	t.Cleanup(c.stop)
	return c
}

func (c *carrier) start() {
	c.t.Helper()
	scenario, err := filepath.Abs(filepath.Join("testdata", c.scenario))
	if err != nil {
		c.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(c.addr)
	c.cmd = exec.Command("sipp", "-sf", scenario, "-i", trunkHost, "-p", port, "-t", c.transport[:1]+"1", "-nostdin",
		"-trace_msg", "-message_file", filepath.Join(c.dir, "messages"), "-message_overwrite", "false")
	c.cmd.Dir = c.dir
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	if !within(patience, func() bool { return !free(c.transport, c.addr) }) {
		c.t.Fatal("the carrier does not listen")
	}
}

func (c *carrier) stop() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
}

// uri is the carrier as a next hop.
func (c *carrier) uri() string { return "sip:" + c.addr + ";transport=" + c.transport }

// called reports whether the carrier saw a call for a number.
func (c *carrier) called(number string) bool {
	b, err := os.ReadFile(filepath.Join(c.dir, "messages"))
	return err == nil && strings.Contains(string(b), "\nINVITE sip:"+number+"@")
}

// A phone calls numbers and another domain, and next hops that do not take the call are
// passed by.
func TestTrunk_CallsOut(t *testing.T) {
	t.Parallel()
	taking, byTCP, full := newCarrier(t, "carrier.xml", "udp"), newCarrier(t, "carrier.xml", "tcp"), newCarrier(t, "full.xml", "udp")
	silent, err := net.ListenPacket("udp", trunkHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	dead := fmt.Sprintf("%s:%d", trunkHost, freePort(t))
	second := func(first string) string {
		return fmt.Sprintf("next_hops: [{uri: %q, priority: 1}, {uri: %q, priority: 2}]", first, taking.uri())
	}
	s := start(t, options{more: fmt.Sprintf(`
proxy:
  hop_timeout: 1s
  routes:
    - {name: number, prefix: "+1", to: %q}
    - {name: domain, domain: pstn.example.net, to: %q}
    - {name: dead, prefix: "+2", %s}
    - {name: unreached, prefix: "+3", %s}
    - {name: silent, prefix: "+4", %s}
    - {name: full, prefix: "+5", %s}
`, taking.uri(), byTCP.uri(), second("sip:"+dead), second("sip:"+dead+";transport=tcp"), second("sip:"+silent.LocalAddr().String()), second(full.uri()))})
	alice := s.linphone("alice", "udp", "", false).register()
	for _, tt := range []struct {
		name, to string
		by       *carrier
	}{
		{"by number", "+1555@example.com", taking},
		{"by domain", "desk@pstn.example.net", byTCP},
		{"the first is dead", "+2555@example.com", taking},
		{"the first takes no connection", "+3555@example.com", taking},
		{"the first is silent", "+4555@example.com", taking},
		{"the first is full", "+5555@example.com", taking},
	} {
		alice.do("call sip:" + tt.to)
		s.eventually(tt.name+": alice talks", patience, alice.talks)
		alice.do("terminate")
		s.eventually(tt.name+": alice hangs up", patience, alice.idle)
		number, _, _ := strings.Cut(tt.to, "@")
		if !tt.by.called(number) {
			t.Errorf("%s: another carrier took the call", tt.name)
		}
	}
	if !full.called("+5555") {
		t.Error("the carrier that is full was not asked")
	}
	silent.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 64<<10)
	if n, _, err := silent.ReadFrom(b); err != nil || !strings.HasPrefix(string(b[:n]), "INVITE sip:+4555@") {
		t.Errorf("the carrier that is silent got %q, %v", b[:n], err)
	}
}

// A carrier that does not answer OPTIONS is passed by until it does.
func TestTrunk_Checked(t *testing.T) {
	t.Parallel()
	first, second := newCarrier(t, "carrier.xml", "udp"), newCarrier(t, "carrier.xml", "udp")
	s := start(t, options{more: fmt.Sprintf(`
proxy:
  routes:
    - name: trunk
      prefix: "+"
      next_hops: [{uri: %q, priority: 1}, {uri: %q, priority: 2}]
      check: {interval: 1s, timeout: 800ms, down: 2, up: 2}
`, first.uri(), second.uri())})
	bob := newBob(s)
	// state waits until the first carrier is in a state.
	state := func(state string) {
		t.Helper()
		s.eventually("the first carrier is "+state, patience, func() bool {
			return strings.Contains(s.get("/metrics"), fmt.Sprintf("reveille_trunk_addresses{hop=%q,route=\"trunk\",state=%q} 1\n", first.uri(), state))
		})
	}
	call := func(number string, by, notBy *carrier) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := bob.Call(ctx, "sip:"+number+"@example.com")
		if err != nil {
			t.Fatalf("call %s: %v", number, err)
		}
		bob.hangUp(c)
		if !by.called(number) || notBy.called(number) {
			t.Errorf("call %s was sent to the wrong carrier", number)
		}
	}
	state("up")
	call("+1", first, second)
	first.stop()
	state("down")
	call("+2", second, first)
	first.start()
	state("up")
	call("+3", first, second)
}

// A carrier that is trusted by its address calls without credentials, and a push wakes
// the phone. Nobody else may call so.
func TestTrunk_CallsIn(t *testing.T) {
	for _, tt := range []struct{ name, trusted, transport string }{
		{"by route", "[{route: trunk}]", "udp"},
		{"by network", "[{cidr: " + trunkHost + "/32}]", "tcp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			s := start(t, options{trusted: tt.trusted, more: fmt.Sprintf(`
proxy:
  routes:
    - {name: trunk, prefix: "+", to: "sip:%s:%d;transport=%s"}
`, trunkHost, port, tt.transport)})
			alice := s.linphone("alice", "tcp", "tok:secret-token-trunk", true).register()
			alice.kill()
			stranger := s.dial(tt.transport)
			stranger.send("INVITE sip:alice@example.com SIP/2.0", "Via: "+stranger.via("s1"), "Max-Forwards: 70",
				"From: <sip:+15550199@"+trunkHost+">;tag=s", "To: <sip:alice@example.com>", "Call-ID: stranger", "CSeq: 1 INVITE")
			stranger.expect("SIP/2.0 407 ")
			s.onPush(alice.token, alice.wake)
			s.sipp("trunk.xml", "-i", trunkHost, "-p", fmt.Sprint(port), "-t", tt.transport[:1]+"1")
			s.eventually("alice's call ends", patience, alice.idle)
			if invites, pushes := alice.invites(), s.pushes(alice.token); invites != 1 || pushes != 1 {
				t.Errorf("the phone saw %d INVITEs after %d pushes, want one of each", invites, pushes)
			}
		})
	}
}
