package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"reveille/flow"
	"reveille/internal/tlscert/certtest"
)

const balancerAddr = "192.0.2.10"

// behindBalancer is a listener that takes connections from one balancer only.
func behindBalancer() []ListenerOptions {
	return []ListenerOptions{{
		Name: "tcp", Transport: flow.TCP, Addr: ":5060",
		Balancers: []netip.Prefix{netip.MustParsePrefix(balancerAddr + "/32"), netip.MustParsePrefix("2001:db8:b::/64")},
	}}
}

// header is a PROXY protocol header of version 1 or 2.
func header(t *testing.T, version byte, client string) string {
	t.Helper()
	from, to := netip.MustParseAddrPort(client), netip.MustParseAddrPort("203.0.113.1:5061")
	if from.Addr().Is6() {
		to = netip.MustParseAddrPort("[2001:db8:1::1]:5061")
	}
	h := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to))
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// local is the header of a balancer that looks whether we are there.
func local(t *testing.T) string {
	t.Helper()
	b, err := (&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}).Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBalancer_ClientIsWhoTheHeaderSays(t *testing.T) {
	for _, tc := range []struct {
		name   string
		from   string // host
		header string
		want   string // remote of the flow; empty: refused
	}{
		{name: "IPv4", from: balancerAddr, header: header(t, 2, "198.51.100.7:40000"), want: "198.51.100.7:40000"},
		{name: "IPv6", from: balancerAddr, header: header(t, 2, "[2001:db8:2::7]:40000"), want: "[2001:db8:2::7]:40000"},
		{name: "version 1", from: balancerAddr, header: header(t, 1, "198.51.100.7:40000"), want: "198.51.100.7:40000"},
		{name: "balancer by IPv6", from: "2001:db8:b::1", header: header(t, 2, "[2001:db8:2::7]:40000"), want: "[2001:db8:2::7]:40000"},
		{name: "balancer for itself", from: balancerAddr, header: local(t), want: balancerAddr},
		{name: "no header", from: balancerAddr},
		{name: "not a balancer", from: "192.0.2.50", header: header(t, 2, "198.51.100.7:40000")},
		{name: "not a balancer, no header", from: "192.0.2.50"},
		{name: "client without a port", from: balancerAddr, header: header(t, 2, "198.51.100.7:0")},
		{name: "nobody's address", from: balancerAddr, header: header(t, 2, "0.0.0.0:40000")},
		{name: "damaged", from: balancerAddr, header: strings.Replace(header(t, 2, "198.51.100.7:40000"), "QUIT", "QUIZ", 1)},
		{name: "cut off by the message", from: balancerAddr, header: header(t, 2, "198.51.100.7:40000")[:16]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, Options{Listeners: behindBalancer()}, func(t *testing.T, b *bench) {
				to := server4
				if strings.Contains(tc.from, ":") {
					to = server6
				}
				c, err := b.net.Host(tc.from).DialContext(t.Context(), "tcp", "", net.JoinHostPort(to, "5060"))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				// The header in two parts, the second with the message. Version 1 comes
				// in one segment, or is refused.
				all, first := tc.header+message(1, ""), len(tc.header)/2
				if strings.HasPrefix(all, "PROXY") {
					first = 0
				}
				for _, part := range []string{all[:first], all[first:]} {
					_, _ = io.WriteString(c, part) // It may be closed already.
					synctest.Wait()
				}
				got := b.take()
				if tc.want == "" {
					if _, err := readAvailable(t, c); len(got) != 0 || err == nil {
						t.Errorf("messages %q, closed with %v", got, err)
					}
					return
				}
				if len(got) != 1 || got[0] != message(1, "") {
					t.Fatalf("messages %q", got)
				}
				f := b.last()
				if !strings.HasPrefix(f.Remote.String(), tc.want) {
					t.Errorf("remote %v, want %s", f.Remote, tc.want)
				}
				if err := b.Send(f, []byte("answer")); err != nil {
					t.Fatal(err)
				}
				if got, err := readAvailable(t, c); got != "answer" || err != nil {
					t.Errorf("the peer read %q, %v", got, err)
				}
			})
		})
	}
}

func TestBalancer_SlowHeaders(t *testing.T) {
	inBubble(t, Options{Listeners: behindBalancer(), HandshakeTimeout: 20 * time.Second, MaxConns: 5}, func(t *testing.T, b *bench) {
		h := b.net.Host(balancerAddr)
		start := time.Now()
		for i := range 5 {
			mustWrite(t, b.dial(h), header(t, 2, "198.51.100.7:40000")[:i*5])
		}
		synctest.Wait()
		// They count as connections, of which there may be five.
		if _, err := readAvailable(t, b.dial(h)); err == nil {
			t.Error("a sixth connection is open")
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		c := b.dial(h)
		mustWrite(t, c, header(t, 2, "198.51.100.7:40000"))
		time.Sleep(19 * time.Second)
		mustWrite(t, c, message(1, "")[:10])
		synctest.Wait()
		if _, err := readAvailable(t, c); err != nil {
			t.Errorf("ended with %v after %v", err, time.Since(start))
		}
	})
}

// The header and what follows share the time of the handshake.
func TestBalancer_HeaderTakesFromTheHandshake(t *testing.T) {
	inBubble(t, Options{Listeners: behindBalancer(), HandshakeTimeout: 20 * time.Second}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host(balancerAddr))
		time.Sleep(15 * time.Second)
		mustWrite(t, c, header(t, 2, "198.51.100.7:40000"))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		for f, err := range b.closed {
			if !errors.Is(err, ErrSlow) {
				t.Errorf("%v closed with %v", f, err)
			}
		}
		if len(b.closed) != 1 {
			t.Errorf("%d connections ended", len(b.closed))
		}
	})
}

func TestBalancer_BoundsCountTheClients(t *testing.T) {
	inBubble(t, Options{Listeners: behindBalancer(), MaxConnsPerSource: 2}, func(t *testing.T, b *bench) {
		h := b.net.Host(balancerAddr)
		open := func(client string) bool {
			c := b.dial(h)
			mustWrite(t, c, header(t, 2, client))
			_, err := readAvailable(t, c)
			return err == nil
		}
		for i := range 4 {
			if got := open(fmt.Sprintf("198.51.100.7:%d", 40000+i)); got != (i < 2) {
				t.Errorf("connection %d of one client: open %v", i+1, got)
			}
			if !open(fmt.Sprintf("198.51.100.%d:40000", 10+i)) {
				t.Errorf("client %d behind the same balancer was refused", i)
			}
		}
	})
}

func TestBalancer_ComesBeforeTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := certtest.New(t)
		o := Options{Listeners: secureListener(&tls.Config{Certificates: []tls.Certificate{a.Issue("sip.example.com")}})}
		o.Listeners[0].Balancers = behindBalancer()[0].Balancers
		runBench(t, o, func(t *testing.T, b *bench) {
			nc := b.raw(b.net.Host(balancerAddr))
			mustWrite(t, nc, header(t, 2, "198.51.100.7:40000"))
			c := tls.Client(nc, &tls.Config{ServerName: "sip.example.com", RootCAs: a.Pool()})
			mustWrite(t, c, message(1, ""))
			synctest.Wait()
			if f := b.last(); f.Remote.String() != "198.51.100.7:40000" || f.Transport != flow.TLS {
				t.Errorf("flow %v", f)
			}
		})
	})
}

func TestBalancer_StopDoesNotWaitForHeaders(t *testing.T) {
	inBubble(t, Options{Listeners: behindBalancer()}, func(t *testing.T, b *bench) {
		b.dial(b.net.Host(balancerAddr))
		synctest.Wait()
		start := time.Now()
		if err := b.Stop(t.Context()); err != nil || time.Since(start) > 0 {
			t.Errorf("Stop = %v after %v", err, time.Since(start))
		}
	})
}
