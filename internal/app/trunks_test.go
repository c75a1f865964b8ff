package app

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/guard"
	"reveille/internal/tlscert/certtest"
)

// TestTrunks_Checked: a gateway that does not answer OPTIONS is not what a call waits for.
func TestTrunks_Checked(t *testing.T) {
	t.Parallel()
	silent, good := newTrunk(t, 0), newTrunk(t, 603)
	r := newRig(t, openYAML, `security: {open: anyone may register and call}`, fmt.Sprintf(
		`proxy: {routes: [{name: carrier, domain: "*", next_hops: [{uri: "sip:%s", priority: 1}, {uri: "sip:%s", priority: 2}], check: {interval: 1s, timeout: 900ms, down: 3, up: 1}}]}`,
		silent.addr, good.addr),
		`auth: {mode: {registrar: "off", proxy: "off"}, trusted: [{cidr: 127.0.0.0/8}]}`)
	r.eventually("both to be known", func() bool {
		return r.metric("reveille_trunk_addresses", "down") == 1 && r.metric("reveille_trunk_addresses", "up") == 1
	})
	w := r.dial("udp")
	w.send(w.request("INVITE", "sip:carol@anywhere.test"))
	w.expect(100)
	w.expect(603)
	if n := len(silent.invites); n != 0 {
		t.Errorf("the silent gateway was called %d times", n)
	}
	if n := r.metric("reveille_proxy_failovers_total"); n != 0 {
		t.Errorf("%v failovers", n)
	}
	// A reload keeps what is known.
	r.reload(openYAML, `security: {open: anyone may register and call}`, fmt.Sprintf(
		`proxy: {routes: [{name: carrier, domain: "*", next_hops: [{uri: "sip:%s", priority: 1}, {uri: "sip:%s", priority: 2}], check: {interval: 1h, timeout: 900ms, down: 3, up: 1}}]}`,
		silent.addr, good.addr),
		`auth: {mode: {registrar: "off", proxy: "off"}, trusted: [{cidr: 127.0.0.0/8}]}`)
	if down, up := r.metric("reveille_trunk_addresses", "down"), r.metric("reveille_trunk_addresses", "up"); down != 1 || up != 1 {
		t.Errorf("after a reload %v are down and %v up, want one each", down, up)
	}
}

// TestTrunks_TrustedByName: the calls of a carrier that is known by its name need no
// credentials, and the guard leaves it alone. Nobody else gains by that.
func TestTrunks_TrustedByName(t *testing.T) {
	server := newDNS(t, "carrier.test. 60 IN A 127.0.0.3")
	r := newRig(t, fmt.Sprintf(`dns: {servers: [%q]}`, server), guardYAML("rate: {per_source: 1, burst: 3}"),
		`auth: {mode: {registrar: required, proxy: required}, users: [{name: alice, password: secret}], trusted: [{route: carrier}]}`,
		`proxy: {routes: [{name: carrier, domain: pstn.test, to: "sip:carrier.test:5070"}]}`)
	carrier := flow.Flow{Transport: flow.TCP, Remote: netip.MustParseAddrPort("127.0.0.3:5070")}
	r.eventually("the guard to know the name", func() bool {
		for range 5 {
			if r.guard.Source(carrier, []byte("OPTIONS "), time.Now()) != guard.Pass {
				return false
			}
		}
		return true
	})
	for source, want := range map[string]int{"127.0.0.3": 480, "127.0.0.2": 407} {
		w := r.dialFrom(source, "tcp")
		w.send(w.request("MESSAGE", "sip:alice@example.com"))
		w.expect(want)
	}
	w := r.dialFrom("127.0.0.3", "tcp")
	for range 10 {
		r.answered(w)
	}
}

// TestTrunks_TLS_RFC5922_7_3: by TLS a next hop proves the name in the configuration. The
// name that the DNS made of it proves nothing.
func TestTrunks_TLS_RFC5922_7_3(t *testing.T) {
	a := certtest.New(t)
	dir := t.TempDir()
	certtest.Write(t, dir, "sip", a.Issue("sip.example.com"))
	roots := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(roots, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong, right := newTLSTrunk(t, a.Issue("one.hosting.test")), newTLSTrunk(t, a.Issue("carrier.test"))
	server := newDNS(t,
		`carrier.test. 60 IN NAPTR 1 1 "s" "SIPS+D2T" "" _sips._tcp.carrier.test.`,
		fmt.Sprintf("_sips._tcp.carrier.test. 60 IN SRV 1 1 %d one.hosting.test.", wrong.addr.Port()),
		fmt.Sprintf("_sips._tcp.carrier.test. 60 IN SRV 2 1 %d two.hosting.test.", right.addr.Port()),
		"one.hosting.test. 60 IN A 127.0.0.1", "two.hosting.test. 60 IN A 127.0.0.1")
	r := newRig(t, openYAML, `security: {open: anyone may register and call}`, fmt.Sprintf(`dns: {servers: [%q]}`, server),
		fmt.Sprintf(`listen: [{name: udp, transport: udp, addr: "127.0.0.1:0"}, {name: tls, transport: tls, addr: "127.0.0.1:0", tls: {cert_file: %q, key_file: %q, server_ca_file: %q}}]`,
			filepath.Join(dir, "sip.pem"), filepath.Join(dir, "sip.key"), roots),
		`proxy: {routes: [{name: carrier, domain: pstn.test, prefix: "+", to: "sip:carrier.test"}]}`,
		`auth: {mode: {registrar: "off", proxy: "off"}, trusted: [{cidr: 127.0.0.0/8}]}`)
	w := r.dial("udp")
	w.send(w.request("INVITE", "sip:+4912@pstn.test"))
	w.expect(100)
	w.expect(603)
	select {
	case request := <-right.invites:
		if !strings.Contains(request, "Via: SIP/2.0/TLS ") || !strings.HasPrefix(request, "INVITE sip:+4912@pstn.test SIP/2.0\r\n") {
			t.Errorf("the carrier got %q", request)
		}
	case <-time.After(patience):
		t.Error("the carrier was not called")
	}
	if n := len(wrong.invites); n != 0 {
		t.Error("a server that is not the carrier got the call")
	}
}

// newTLSTrunk is a gateway that shows a certificate and declines all calls, until the test
// ends.
func newTLSTrunk(t *testing.T, shown tls.Certificate) *gateway {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{shown}})
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{addr: netip.MustParseAddrPort(l.Addr().String()), invites: make(chan string, 10)}
	ended := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	go func() { // Closing the listener ends it; the client ends each connection.
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					request, err := readHead(in)
					if err != nil {
						return
					}
					if strings.HasPrefix(request, "INVITE ") {
						g.invites <- request
						_, _ = c.Write([]byte(answerTo(request, 603)))
					}
				}
			}()
		}
	}()
	return g
}

// readHead reads a message that has no body.
func readHead(in *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		b.WriteString(line)
		if line == "\r\n" {
			return b.String(), nil
		}
	}
}
