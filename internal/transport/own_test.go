package transport

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/memnet"
)

// multihomed runs test on a Transport of a host with several addresses.
func multihomed(t *testing.T, o Options, test func(t *testing.T, tr *Transport)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(1)
		o.Network = n.Host("198.51.100.1", "10.0.0.1", "2001:db8::1", "127.0.0.1")
		o.Handler = newRecorder(t)
		if o.Interfaces == nil {
			o.Interfaces = func() ([]netip.Prefix, error) {
				return []netip.Prefix{
					netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("198.51.100.1/24"),
					netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("2001:db8::1/64"),
				}, nil
			}
		}
		tr, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		tr.Start()
		defer tr.Stop(context.Background())
		test(t, tr)
	})
}

func TestIsOwn(t *testing.T) {
	o := Options{Listeners: []ListenerOptions{
		{Name: "udp", Transport: flow.UDP, Addr: "10.0.0.1:5060", Advertise: "SIP.Example.com"},
		{Name: "tcp", Transport: flow.TCP, Addr: "10.0.0.1:5070", Advertise: "203.0.113.5:5060"},
		{Name: "six", Transport: flow.UDP, Addr: "[2001:db8::1]:5060", Advertise: "[2001:db8::99]:6000"},
		{Name: "all4", Transport: flow.UDP, Addr: "0.0.0.0:5080"},
		{Name: "all", Transport: flow.TCP, Addr: ":5090"},
	}}
	multihomed(t, o, func(t *testing.T, tr *Transport) {
		for _, tc := range []struct {
			host string
			port uint16
			tp   flow.Transport
			want bool
		}{
			// Bound addresses.
			{"10.0.0.1", 5060, flow.UDP, true},
			{"10.0.0.1", 0, flow.UDP, true},
			{"10.0.0.1", 0, 0, true},
			{"10.0.0.1", 5060, flow.TCP, false},
			{"10.0.0.1", 5070, flow.TCP, true},
			{"10.0.0.1", 0, flow.TCP, false},
			{"10.0.0.1", 5061, 0, false},
			{"10.0.0.2", 5060, 0, false},
			{"[2001:db8::1]", 5060, flow.UDP, true},
			{"2001:DB8:0::1", 5060, flow.UDP, true},
			{"::ffff:10.0.0.1", 5060, flow.UDP, true},
			// Advertised ones.
			{"sip.example.COM", 0, flow.UDP, true},
			{"sip.example.com.", 5060, 0, true},
			{"sip.example.com", 5070, 0, false},
			{"other.example.com", 0, 0, false},
			{"203.0.113.5", 0, flow.TCP, true},
			{"203.0.113.5", 5070, flow.TCP, false},
			{"203.0.113.5", 0, flow.UDP, false},
			{"[2001:db8::99]", 6000, 0, true},
			{"[2001:db8::99]", 5060, 0, false},
			// Addresses of the interfaces behind wildcards.
			{"198.51.100.1", 5080, flow.UDP, true},
			{"127.0.0.1", 5080, flow.UDP, true},
			{"127.0.0.53", 5080, flow.UDP, true},
			{"[2001:db8::1]", 5080, flow.UDP, false},
			{"198.51.100.2", 5080, flow.UDP, false},
			{"[2001:db8::1]", 5090, flow.TCP, true},
			{"198.51.100.1", 5090, flow.TCP, true},
			{"[fe80::1]", 5090, flow.TCP, true},
			{"0.0.0.0", 5080, flow.UDP, false},
			// No host at all.
			{"", 5060, 0, false},
			{"[]", 5060, 0, false},
			{"[", 5060, 0, false},
		} {
			if got := tr.IsOwn(tc.host, tc.port, tc.tp); got != tc.want {
				t.Errorf("IsOwn(%q, %d, %v) = %v, want %v", tc.host, tc.port, tc.tp, got, tc.want)
			}
		}
	})
}

func TestAdvertised(t *testing.T) {
	o := Options{Listeners: []ListenerOptions{
		{Name: "name", Transport: flow.UDP, Addr: "10.0.0.1:5060", Advertise: "sip.example.com:5062"},
		{Name: "host", Transport: flow.UDP, Addr: "198.51.100.1:5064", Advertise: "203.0.113.5"},
		{Name: "six", Transport: flow.UDP, Addr: "[2001:db8::1]:5066"},
		{Name: "all", Transport: flow.TCP, Addr: ":5068"},
		{Name: "all4", Transport: flow.TCP, Addr: "0.0.0.0:5070"},
	}}
	multihomed(t, o, func(t *testing.T, tr *Transport) {
		for _, tc := range []struct {
			listener string
			tp       flow.Transport
			remote   string
			host     string
			port     uint16
		}{
			{"name", flow.UDP, "192.0.2.9:1", "sip.example.com", 5062},
			{"host", flow.UDP, "192.0.2.9:1", "203.0.113.5", 5064},
			{"six", flow.UDP, "[2001:db8::9]:1", "[2001:db8::1]", 5066},
			// A wildcard shows the address that the peer is nearest to.
			{"all", flow.TCP, "10.0.0.9:1", "10.0.0.1", 5068},
			{"all", flow.TCP, "198.51.100.9:1", "198.51.100.1", 5068},
			{"all", flow.TCP, "192.0.2.9:1", "10.0.0.1", 5068},
			{"all", flow.TCP, "127.0.0.1:1", "127.0.0.1", 5068},
			{"all", flow.TCP, "[2001:db8::9]:1", "[2001:db8::1]", 5068},
			{"all", flow.TCP, "[fe80::9%eth0]:1", "[fe80::1]", 5068},
			{"all4", flow.TCP, "10.0.0.9:1", "10.0.0.1", 5070},
			// A listener that is gone since: what would be chosen today.
			{"old", flow.UDP, "10.0.0.9:1", "sip.example.com", 5062},
			{"old", flow.TLS, "10.0.0.9:1", "", 0},
		} {
			f := flow.Flow{Listener: tc.listener, Transport: tc.tp, Remote: netip.MustParseAddrPort(tc.remote)}
			if host, port := tr.Advertised(f); host != tc.host || port != tc.port {
				t.Errorf("Advertised(%v) = %q, %d, want %q, %d", f, host, port, tc.host, tc.port)
			}
		}
	})
}

// A wildcard listener knows the addresses that the machine gains and loses.
func TestIsOwn_FollowsTheInterfaces(t *testing.T) {
	var log strings.Builder
	answers := make(chan string, 3) // Of Interfaces, in turn; "" fails.
	answers <- "10.0.0.1/24"
	answers <- "10.0.0.2/24"
	answers <- ""
	o := Options{
		Listeners: []ListenerOptions{{Name: "all", Transport: flow.TCP, Addr: ":5060"}},
		Interfaces: func() ([]netip.Prefix, error) {
			p, err := netip.ParsePrefix(<-answers)
			return []netip.Prefix{p}, err
		},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	multihomed(t, o, func(t *testing.T, tr *Transport) {
		if !tr.IsOwn("10.0.0.1", 5060, 0) || tr.IsOwn("10.0.0.2", 5060, 0) {
			t.Error("wrong before the change")
		}
		time.Sleep(interfacesEvery)
		synctest.Wait()
		if tr.IsOwn("10.0.0.1", 5060, 0) || !tr.IsOwn("10.0.0.2", 5060, 0) {
			t.Error("wrong after the change")
		}
		time.Sleep(interfacesEvery)
		synctest.Wait()
		if !tr.IsOwn("10.0.0.2", 5060, 0) || !strings.Contains(log.String(), "not up to date") {
			t.Error("a failure lost the addresses known so far, or went unseen")
		}
	})
}

func TestDefaultPort_RFC3261_19_1_2_RFC7118_5_1(t *testing.T) {
	for tp, want := range map[flow.Transport]uint16{flow.UDP: 5060, flow.TCP: 5060, flow.TLS: 5061, flow.WS: 80, flow.WSS: 443} {
		if got := DefaultPort(tp); got != want {
			t.Errorf("DefaultPort(%v) = %d, want %d", tp, got, want)
		}
	}
}
