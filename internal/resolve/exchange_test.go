package resolve

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// serve runs a DNS server by UDP and TCP on loopback.
func serve(t *testing.T, h dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	// A port that is free for UDP may be taken for TCP.
	var pc net.PacketConn
	var ln net.Listener
	for range 100 {
		var err error
		if pc, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if ln, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			break
		}
		pc.Close()
	}
	if ln == nil {
		t.Fatal("no port is free for both")
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: ln, Handler: h}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		ended := make(chan error, 1)
		go func() { ended <- s.ActivateAndServe() }() // Shutdown ends it, and the clean-up waits.
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

// from answers out of a zone; what does not fit into the datagram is cut.
func from(z *zone) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m, err := z.answer(q.Question[0].Name, q.Question[0].Qtype)
		if err != nil {
			m = new(dns.Msg)
			m.Rcode = dns.RcodeServerFailure
		}
		m.Id, m.Response, m.Question = q.Id, true, q.Question
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(int(q.IsEdns0().UDPSize()))
		}
		_ = w.WriteMsg(m)
	}
}

// TestServers_Real asks a real server, with questions and answers on the wire.
func TestServers_Real(t *testing.T) {
	var big strings.Builder
	big.WriteString(rfc)
	for i := range 60 {
		// More than a datagram holds (RFC 7766 §5).
		fmt.Fprintf(&big, "_sip._udp.big.example. 300 IN SRV %d 0 5060 a-host-with-quite-a-long-name-%d.example.com.\n", i, i)
	}
	big.WriteString("a-host-with-quite-a-long-name-2.example.com. 300 IN A 192.0.2.77\nfails NAPTR broken.example\n")
	good := serve(t, from(newZone(t, big.String())))
	broken := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, dns.RcodeServerFailure)
		_ = w.WriteMsg(m)
	})
	liar := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Question[0].Name = "other.example."
		_ = w.WriteMsg(m)
	})
	silent := serve(t, func(dns.ResponseWriter, *dns.Msg) {})
	tests := []struct {
		name, uri string
		servers   []netip.AddrPort
		want      string
		says      string // part of the error
	}{
		{"RFC 3263 4.1", "sip:example.com", []netip.AddrPort{good}, "tls 192.0.2.1:5061", ""},
		{"by TCP where UDP is too small", "sip:big.example;transport=udp", []netip.AddrPort{good}, "udp 192.0.2.77:5060", ""},
		{"the next server", "sip:server1.example.com:5060", []netip.AddrPort{broken, liar, silent, good}, "udp 192.0.2.1:5060", ""},
		{"no such name", "sip:nobody.example.com", []netip.AddrPort{good}, "", "no such host"},
		{"a broken name", "sip:broken.example", []netip.AddrPort{good}, "", "SERVFAIL"},
		{"a liar", "sip:example.com", []netip.AddrPort{liar}, "", "another question"},
		{"nobody to ask", "sip:example.com", nil, "", "no DNS server"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newResolver(t, Options{Exchanger: Servers{Addrs: tt.servers, Timeout: 200 * time.Millisecond}})
			hops, err := resolve(t, r, target(t, tt.uri))
			if list(hops) != tt.want {
				t.Errorf("%s leads to %q (%v), want %q", tt.uri, list(hops), err, tt.want)
			}
			if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("%s: error %v, want %s", tt.uri, err, tt.says)
			}
		})
	}
}

func TestSystemServers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("# ours\nsearch example.com\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := SystemServers(file)
	if err != nil || len(got) != 2 || got[0].String() != "192.0.2.53:53" || got[1].String() != "[2001:db8::53]:53" {
		t.Errorf("SystemServers = %v, %v", got, err)
	}
	if _, err := SystemServers(file + ".none"); err == nil {
		t.Error("a file that is not there has servers")
	}
}
