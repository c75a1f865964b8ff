package app

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A gateway is one that answers each INVITE with one status.
type gateway struct {
	addr    netip.AddrPort
	invites chan string
}

// newTrunk listens on loopback until the test ends.
func newTrunk(t *testing.T, code int) *gateway {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{addr: netip.MustParseAddrPort(pc.LocalAddr().String()), invites: make(chan string, 100)}
	ended := make(chan struct{})
	t.Cleanup(func() {
		pc.Close()
		<-ended
	})
	go func() { // Closing the socket ends it.
		defer close(ended)
		b := make([]byte, 1<<16)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			request := string(b[:n])
			if strings.HasPrefix(request, "OPTIONS ") && code != 0 {
				_, _ = pc.WriteTo([]byte(answerTo(request, 200)), from)
			}
			if !strings.HasPrefix(request, "INVITE ") {
				continue
			}
			g.invites <- request
			if code != 0 {
				_, _ = pc.WriteTo([]byte(answerTo(request, code)), from)
			}
		}
	}()
	return g
}

// newDNS serves these records by UDP until the test ends.
func newDNS(t *testing.T, records ...string) netip.AddrPort {
	t.Helper()
	zone := map[dns.Question][]dns.RR{}
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		q := dns.Question{Name: rr.Header().Name, Qtype: rr.Header().Rrtype, Qclass: dns.ClassINET}
		zone[q] = append(zone[q], rr)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan struct{})
	s := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Answer = zone[q.Question[0]]
		_ = w.WriteMsg(m)
	})}
	go func() { // Shutdown ends it.
		defer close(ended)
		_ = s.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() {
		_ = s.ShutdownContext(context.Background())
		<-ended
	})
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

// TestRoutes_Failover_RFC3263_4_3: a call to a carrier with a name goes to the servers
// that the DNS names, one after another, and then to the next hop that is the second
// choice.
func TestRoutes_Failover_RFC3263_4_3(t *testing.T) {
	t.Parallel()
	busy, silent, good := newTrunk(t, 503), newTrunk(t, 0), newTrunk(t, 603)
	server := newDNS(t,
		`carrier.test. 60 IN NAPTR 1 1 "s" "SIP+D2U" "" _sip._udp.carrier.test.`,
		fmt.Sprintf("_sip._udp.carrier.test. 60 IN SRV 1 1 %d one.carrier.test.", busy.addr.Port()),
		fmt.Sprintf("_sip._udp.carrier.test. 60 IN SRV 2 1 %d one.carrier.test.", silent.addr.Port()),
		"one.carrier.test. 60 IN A 127.0.0.1")
	r := newRig(t, openYAML, `security: {open: anyone may register and call}`, fmt.Sprintf(`dns: {servers: [%q]}`, server),
		fmt.Sprintf(`proxy: {hop_timeout: 1s, routes: [{name: carrier, domain: pstn.test, prefix: "+", next_hops: [{uri: "sip:%s", priority: 2}, {uri: "sip:carrier.test"}]}]}`, good.addr),
		`auth: {mode: {registrar: "off", proxy: "off"}, trusted: [{cidr: 127.0.0.0/8}]}`)
	w := r.dial("udp")
	w.send(w.request("INVITE", "sip:+4912@pstn.test"))
	w.expect(100)
	w.expect(603)
	var branches []string
	for name, g := range map[string]*gateway{"the busy one": busy, "the silent one": silent, "the second choice": good} {
		select {
		case request := <-g.invites:
			if !strings.HasPrefix(request, "INVITE sip:+4912@pstn.test SIP/2.0\r\n") {
				t.Errorf("%s got %q", name, request)
			}
			_, branch, _ := strings.Cut(request, ";branch=")
			branch, _, _ = strings.Cut(branch, ";")
			for _, other := range branches {
				if other == branch {
					t.Errorf("%s got the branch of another one", name)
				}
			}
			branches = append(branches, branch)
		case <-time.After(patience):
			t.Errorf("%s was not called", name)
		}
	}
	if n := r.metric("reveille_proxy_failovers_total"); n != 2 {
		t.Errorf("%v failovers, want 2", n)
	}
	// The name is also looked up for itself.
	if n := r.metric("reveille_resolve_lookups_total", "found"); n < 1 {
		t.Errorf("%v look-ups", n)
	}
}
