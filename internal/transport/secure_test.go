package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/memnet"
	"reveille/internal/tlscert/certtest"
)

// secureListener is a TLS listener of the bench on port 5061.
func secureListener(cfg *tls.Config) []ListenerOptions {
	return []ListenerOptions{
		{Name: "tls", Transport: flow.TLS, Addr: ":5061", TLS: cfg},
		{Name: "tcp", Transport: flow.TCP, Addr: ":5060"},
	}
}

// inSecureBubble is inBubble with a TLS listener whose certificate is for
// sip.example.com. change may change its configuration.
func inSecureBubble(t *testing.T, o Options, change func(a *certtest.Authority, cfg *tls.Config), test func(t *testing.T, b *bench, a *certtest.Authority)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := certtest.New(t)
		cfg := &tls.Config{Certificates: []tls.Certificate{a.Issue("sip.example.com")}}
		if change != nil {
			change(a, cfg)
		}
		if o.Listeners == nil {
			o.Listeners = secureListener(cfg)
		}
		runBench(t, o, func(t *testing.T, b *bench) { test(t, b, a) })
	})
}

// secured makes a TLS connection from a peer's host to the bench.
func (b *bench) secured(from *memnet.Host, a *certtest.Authority, own ...tls.Certificate) *tls.Conn {
	b.t.Helper()
	cfg := &tls.Config{ServerName: "sip.example.com", RootCAs: a.Pool()}
	if len(own) > 0 {
		// Otherwise crypto/tls shows only what the server's list of authorities asks for.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own[0], nil }
	}
	c := tls.Client(b.raw(from), cfg)
	if err := c.Handshake(); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// raw makes a connection to the TLS port without TLS.
func (b *bench) raw(from *memnet.Host) net.Conn {
	b.t.Helper()
	c, err := from.DialContext(b.t.Context(), "tcp", "", server4+":5061")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

func TestTLS_CarriesMessages_RFC3261_26_3_1(t *testing.T) {
	inSecureBubble(t, Options{}, nil, func(t *testing.T, b *bench, a *certtest.Authority) {
		for i, from := range []string{"192.0.2.50", "2001:db8::50"} {
			to := server4 + ":5061"
			if i == 1 {
				to = "[" + server6 + "]:5061"
			}
			nc, err := b.net.Host(from).DialContext(t.Context(), "tcp", "", to)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			c := tls.Client(nc, &tls.Config{ServerName: "sip.example.com", RootCAs: a.Pool()})
			mustWrite(t, c, message(1, "")+message(2, "x"))
			synctest.Wait()
			f := b.last()
			if f.Transport != flow.TLS || f.Listener != "tls" || f.Remote != addrPort(nc.LocalAddr()) {
				t.Errorf("flow %v", f)
			}
			if diff := cmp.Diff([]string{message(1, ""), message(2, "x")}, b.take()); diff != "" {
				t.Error(diff)
			}
			if err := b.Send(f, []byte(message(3, "answer"))); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, c, "\r\n\r\n")
			if got, err := readAvailable(t, c); got != message(3, "answer")+"\r\n" || err != nil {
				t.Errorf("the peer read %q, %v", got, err)
			}
			if names := b.PeerNames(f); names != nil {
				t.Errorf("a peer without a certificate is %q", names)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := b.cause(f); !errors.Is(err, io.EOF) {
				t.Errorf("closed with %v", err)
			}
		}
	})
}

// TestTLS_StopSaysGoodbye_RFC5246_7_2_1: a server that stops ends TLS with a
// close_notify, behind what is queued, so that nobody takes it for a cut.
func TestTLS_StopSaysGoodbye_RFC5246_7_2_1(t *testing.T) {
	for _, queued := range []string{"", message(2, "last words")} {
		inSecureBubble(t, Options{}, nil, func(t *testing.T, b *bench, a *certtest.Authority) {
			raw := &recorded{Conn: b.raw(b.net.Host("192.0.2.50"))}
			// The types of the records of TLS 1.2 can be seen.
			c := tls.Client(raw, &tls.Config{ServerName: "sip.example.com", RootCAs: a.Pool(), MaxVersion: tls.VersionTLS12})
			mustWrite(t, c, message(1, ""))
			synctest.Wait()
			raw.in = nil
			if queued != "" {
				if err := b.Send(b.last(), []byte(queued)); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if string(got) != queued || err != nil {
				t.Errorf("the peer read %q, %v", got, err)
			}
			if n, last := raw.alerts(); n != 1 || !last {
				t.Errorf("%d alerts, the last record is one: %v; want 1 and true", n, last)
			}
		})
	}
}

// TestTLS_StopWaitsForNobody: a peer that does not read keeps no server from
// stopping.
func TestTLS_StopWaitsForNobody(t *testing.T) {
	inSecureBubble(t, Options{}, nil, func(t *testing.T, b *bench, a *certtest.Authority) {
		c := b.secured(b.net.Host("192.0.2.50"), a)
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		f := b.last()
		for range 20 {
			if err := b.Send(f, []byte(message(2, strings.Repeat("x", 10_000)))); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		began := time.Now()
		if err := b.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > flushTime {
			t.Errorf("Stop took %v", took)
		}
	})
}

// Peers that do not finish the handshake end in time and keep nobody out.
func TestTLS_HandshakesBlockNobody(t *testing.T) {
	for _, tc := range []struct {
		name  string
		begin func(t *testing.T, c net.Conn)
		cause error
		after time.Duration
	}{
		{name: "says nothing", begin: func(*testing.T, net.Conn) {}, cause: ErrSlow, after: 20 * time.Second},
		{name: "half a record", begin: func(t *testing.T, c net.Conn) { mustWrite(t, c, "\x16\x03\x01\x02\x00\x01") }, cause: ErrSlow, after: 20 * time.Second},
		{name: "one byte a second", begin: func(_ *testing.T, c net.Conn) {
			for _, b := range []byte("\x16\x03\x01\x40\x00" + strings.Repeat("\x01", 1000)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, cause: ErrSlow, after: 20 * time.Second},
		{name: "plain SIP", begin: func(t *testing.T, c net.Conn) { mustWrite(t, c, message(1, "")) }, cause: ErrTLS, after: 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inSecureBubble(t, Options{HandshakeTimeout: 20 * time.Second}, nil, func(t *testing.T, b *bench, a *certtest.Authority) {
				stuck := b.net.Host("192.0.2.50")
				start := time.Now()
				var conns []net.Conn
				for range 10 {
					c := b.raw(stuck)
					conns = append(conns, c)
					go tc.begin(t, c)
				}
				good := b.secured(b.net.Host("192.0.2.51"), a)
				mustWrite(t, good, message(7, ""))
				synctest.Wait()
				if got := b.take(); len(got) != 1 || time.Since(start) != 0 {
					t.Errorf("beside them came %d messages, after %v", len(got), time.Since(start))
				}
				if tc.after > 0 {
					time.Sleep(tc.after - time.Second)
					synctest.Wait()
					if got := len(b.conns.all()); got != 11 {
						t.Errorf("%d connections a second before the end, want 11", got)
					}
					time.Sleep(time.Second)
				}
				synctest.Wait()
				if got := len(b.conns.all()); got != 1 {
					t.Errorf("%d connections are left", got)
				}
				for f, err := range b.closed {
					if !errors.Is(err, tc.cause) {
						t.Errorf("%v closed with %v, want %v", f, err, tc.cause)
					}
				}
				for _, c := range conns {
					c.Close()
				}
				time.Sleep(time.Minute) // Those that trickle end.
			})
		})
	}
}

func TestTLS_StopDuringHandshake(t *testing.T) {
	inSecureBubble(t, Options{}, nil, func(t *testing.T, b *bench, _ *certtest.Authority) {
		b.raw(b.net.Host("192.0.2.50"))
		synctest.Wait()
		start := time.Now()
		if err := b.Stop(t.Context()); err != nil || time.Since(start) > 0 {
			t.Errorf("Stop = %v after %v", err, time.Since(start))
		}
	})
}

// TestTLS_PeerNames_RFC5922_7_4 looks at who a client is known to be.
func TestTLS_PeerNames_RFC5922_7_4(t *testing.T) {
	for _, tc := range []struct {
		name string
		auth tls.ClientAuthType
		own  func(t *testing.T, trusted *certtest.Authority) []tls.Certificate
		want []string
	}{
		{name: "none shown", auth: tls.VerifyClientCertIfGiven, own: func(*testing.T, *certtest.Authority) []tls.Certificate { return nil }},
		{name: "verified", auth: tls.VerifyClientCertIfGiven, own: func(_ *testing.T, a *certtest.Authority) []tls.Certificate {
			return []tls.Certificate{a.Issue("Proxy.example.com", "edge.example.com")}
		}, want: []string{"proxy.example.com", "edge.example.com"}},
		{name: "verified, with a SIP URI", auth: tls.RequireAndVerifyClientCert, own: func(_ *testing.T, a *certtest.Authority) []tls.Certificate {
			return []tls.Certificate{a.Issue("host.example.com", "sip:example.com")}
		}, want: []string{"example.com"}},
		{name: "asked for and not verified", auth: tls.RequireAnyClientCert, own: func(t *testing.T, _ *certtest.Authority) []tls.Certificate {
			return []tls.Certificate{certtest.New(t).Issue("proxy.example.com")}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clients := func(a *certtest.Authority, cfg *tls.Config) { cfg.ClientAuth, cfg.ClientCAs = tc.auth, a.Pool() }
			inSecureBubble(t, Options{}, clients, func(t *testing.T, b *bench, a *certtest.Authority) {
				c := b.secured(b.net.Host("192.0.2.50"), a, tc.own(t, a)...)
				mustWrite(t, c, message(1, ""))
				synctest.Wait()
				f := b.last()
				if diff := cmp.Diff(tc.want, b.PeerNames(f)); diff != "" {
					t.Error(diff)
				}
				c.Close()
				synctest.Wait()
				if names := b.PeerNames(f); names != nil {
					t.Errorf("after its end the flow is %q", names)
				}
			})
		})
	}
}

// A client whose certificate is not accepted never gets a message through.
func TestTLS_StrangersCertificateIsRefused(t *testing.T) {
	clients := func(a *certtest.Authority, cfg *tls.Config) {
		cfg.ClientAuth, cfg.ClientCAs = tls.VerifyClientCertIfGiven, a.Pool()
	}
	inSecureBubble(t, Options{}, clients, func(t *testing.T, b *bench, a *certtest.Authority) {
		c := tls.Client(b.raw(b.net.Host("192.0.2.50")), &tls.Config{
			ServerName: "sip.example.com", RootCAs: a.Pool(),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				cert := certtest.New(t).Issue("proxy.example.com")
				return &cert, nil
			},
		})
		_, _ = c.Write([]byte(message(1, "")))
		synctest.Wait()
		if got := b.take(); len(got) != 0 {
			t.Errorf("messages came: %q", got)
		}
		for f, err := range b.closed {
			if !errors.Is(err, ErrTLS) {
				t.Errorf("%v closed with %v", f, err)
			}
		}
		if len(b.closed) != 1 {
			t.Errorf("%d connections ended", len(b.closed))
		}
	})
}

func TestTLS_VersionsBelowTheMinimumAreRefused(t *testing.T) {
	inSecureBubble(t, Options{}, func(_ *certtest.Authority, cfg *tls.Config) { cfg.MinVersion = tls.VersionTLS13 }, func(t *testing.T, b *bench, a *certtest.Authority) {
		c := tls.Client(b.raw(b.net.Host("192.0.2.50")), &tls.Config{ServerName: "sip.example.com", RootCAs: a.Pool(), MaxVersion: tls.VersionTLS12})
		if err := c.Handshake(); err == nil {
			t.Error("TLS 1.2 was accepted")
		}
	})
}

// dialTLS is a client side with the authority and certificates of a test.
func dialTLS(a *certtest.Authority, own ...tls.Certificate) func() *tls.Config {
	return func() *tls.Config { return &tls.Config{RootCAs: a.Pool(), Certificates: own} }
}

// connectTo calls ConnectTo and waits for its outcome.
func (b *bench) connectTo(name, remote string) outcome {
	out := make(chan outcome, 2)
	b.ConnectTo(flow.TLS, name, netip.MustParseAddrPort(remote), func(f flow.Flow, err error) { out <- outcome{f, err, time.Now()} })
	return <-out
}

// serveTLS is a peer that accepts TLS connections on port 5061 and echoes.
func (b *bench) serveTLS(host *memnet.Host, cfg *tls.Config) {
	b.t.Helper()
	l, err := host.Listen(b.t.Context(), "tcp", ":5061")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	go func() { // Ends with the listener; each connection ends with its peer.
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				c := tls.Server(nc, cfg)
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
}

// TestConnect_TLSVerifiesThePeer_RFC5922_7_3 dials peers with all kinds of
// certificates.
func TestConnect_TLSVerifiesThePeer_RFC5922_7_3(t *testing.T) {
	const addr = "192.0.2.70"
	for _, tc := range []struct {
		name   string
		expect string // name given to ConnectTo
		issue  func(t *testing.T, a *certtest.Authority) tls.Certificate
		fault  string // part of the error; empty: accepted
		names  []string
	}{
		{name: "DNS name", expect: "Example.org.", issue: names("sip.example.org", "example.org"), names: []string{"sip.example.org", "example.org"}},
		{name: "SIP URI", expect: "example.org", issue: names("sip:example.org", "host.example.org"), names: []string{"example.org"}},
		{name: "DNS name beside a SIP URI", expect: "host.example.org", issue: names("sip:example.org", "host.example.org"), fault: "not for host.example.org"},
		{name: "wildcard", expect: "sip.example.org", issue: names("*.example.org"), fault: "not for sip.example.org"},
		{name: "other name", expect: "example.org", issue: names("example.net"), fault: "not for example.org"},
		{name: "address, none named", issue: names(addr)},
		{name: "other address", issue: names("192.0.2.71", "example.org"), fault: "not for " + addr},
		{name: "unknown authority", expect: "example.org", issue: func(t *testing.T, _ *certtest.Authority) tls.Certificate {
			return certtest.New(t).Issue("example.org")
		}, fault: "unknown authority"},
		{name: "expired", expect: "example.org", issue: func(t *testing.T, a *certtest.Authority) tls.Certificate {
			tmpl := certtest.Template(t, "example.org")
			tmpl.NotAfter = time.Now().Add(-time.Minute)
			return a.IssueWith(tmpl)
		}, fault: "expired"},
		{name: "only for clients", expect: "example.org", issue: func(t *testing.T, a *certtest.Authority) tls.Certificate {
			tmpl := certtest.Template(t, "example.org")
			tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			return a.IssueWith(tmpl)
		}, fault: "key usage"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := certtest.New(t)
				o := Options{Listeners: secureListener(&tls.Config{Certificates: []tls.Certificate{a.Issue("sip.example.com")}})}
				o.Listeners[0].DialTLS = dialTLS(a)
				runBench(t, o, func(t *testing.T, b *bench) {
					b.serveTLS(b.net.Host(addr), &tls.Config{Certificates: []tls.Certificate{tc.issue(t, a)}})
					got := b.connectTo(tc.expect, addr+":5061")
					if tc.fault != "" {
						if !errors.Is(got.err, ErrTLS) || !strings.Contains(got.err.Error(), tc.fault) {
							t.Errorf("ConnectTo = %v, want %q", got.err, tc.fault)
						}
						if open := len(b.conns.all()); open != 0 {
							t.Errorf("%d connections are open", open)
						}
						return
					}
					if got.err != nil {
						t.Fatal(got.err)
					}
					if diff := cmp.Diff(tc.names, b.PeerNames(got.f)); diff != "" {
						t.Error(diff)
					}
					if err := b.Send(got.f, []byte(message(1, ""))); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if diff := cmp.Diff([]string{message(1, "")}, b.take()); diff != "" {
						t.Error(diff)
					}
				})
			})
		})
	}
}

func names(list ...string) func(*testing.T, *certtest.Authority) tls.Certificate {
	return func(_ *testing.T, a *certtest.Authority) tls.Certificate { return a.Issue(list...) }
}

// A connection is shared only by those who expect the same peer, and never one
// that a client made.
func TestConnect_TLSSharesByName_RFC5923_8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := certtest.New(t)
		o := Options{Listeners: secureListener(&tls.Config{Certificates: []tls.Certificate{a.Issue("sip.example.com")}})}
		shown := a.Issue("sip.example.com")
		o.Listeners[0].DialTLS = dialTLS(a, shown)
		runBench(t, o, func(t *testing.T, b *bench) {
			host := b.net.Host("192.0.2.70")
			asked := make(chan []*x509.Certificate, 10)
			b.serveTLS(host, &tls.Config{
				Certificates: []tls.Certificate{a.Issue("example.org", "example.net")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.Pool(),
				VerifyConnection: func(s tls.ConnectionState) error {
					asked <- s.PeerCertificates
					return nil
				},
			})
			org := b.connectTo("example.org", "192.0.2.70:5061")
			again := b.connectTo("EXAMPLE.org", "192.0.2.70:5061")
			net := b.connectTo("example.net", "192.0.2.70:5061")
			if org.err != nil || again.err != nil || net.err != nil {
				t.Fatal(org.err, again.err, net.err)
			}
			if org.f != again.f || org.f == net.f {
				t.Errorf("example.org %v and %v, example.net %v", org.f, again.f, net.f)
			}
			if other := b.connectTo("example.com", "192.0.2.70:5061"); !errors.Is(other.err, ErrTLS) {
				t.Errorf("a name that the peer cannot prove: %v", other.err)
			}
			if chain := <-asked; !chain[0].Equal(shown.Leaf) {
				t.Errorf("the server was shown %v", chain[0].DNSNames)
			}

			phone := b.secured(b.net.Host("192.0.2.80"), a)
			mustWrite(t, phone, message(1, ""))
			synctest.Wait()
			from := b.last().Remote
			if got := b.connectTo("", from.String()); got.err == nil {
				t.Errorf("the phone's own connection %v was given out", got.f)
			}
		})
	})
}

func TestConnect_NobodyIsReachedByWebSocket_RFC7118_5(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		for _, tp := range []flow.Transport{flow.WS, flow.WSS} {
			if got := <-b.connect(tp, "192.0.2.70:443"); !errors.Is(got.err, ErrNoListener) {
				t.Errorf("%s: %v", tp, got.err)
			}
		}
	})
}

func TestConnect_TLSPeerThatSaysNothing(t *testing.T) {
	inSecureBubble(t, Options{DialTimeout: 5 * time.Second}, nil, func(t *testing.T, b *bench, _ *certtest.Authority) {
		l, err := b.net.Host("192.0.2.70").Listen(t.Context(), "tcp", ":5061")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		start := time.Now()
		got := b.connectTo("example.org", "192.0.2.70:5061")
		if !errors.Is(got.err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("ConnectTo = %v after %v", got.err, time.Since(start))
		}
	})
}

// Whoever opens connections as fast as can be, and does no more, takes a bounded
// number of places for a bounded time.
func TestTLS_StormOfConnections(t *testing.T) {
	o := Options{MaxConns: 100, MaxConnsPerSource: 20, HandshakeTimeout: 20 * time.Second}
	inSecureBubble(t, o, nil, func(t *testing.T, b *bench, a *certtest.Authority) {
		storm := func(from *memnet.Host, n int) {
			for range n {
				b.raw(from)
			}
			synctest.Wait()
		}
		good := b.net.Host("192.0.2.51")
		storm(b.net.Host("192.0.2.50"), 100)
		if got := len(b.conns.all()); got != 20 {
			t.Fatalf("one source has %d connections", got)
		}
		start := time.Now()
		b.secured(good, a)
		if time.Since(start) != 0 {
			t.Errorf("a phone waited for %v", time.Since(start))
		}
		for i := range 5 {
			storm(b.net.Host(fmt.Sprintf("198.51.100.%d", i+1)), 20)
		}
		if got := len(b.conns.all()); got != 100 {
			t.Errorf("%d connections, want as many as there may be", got)
		}
		if _, err := readAvailable(t, b.raw(good)); err == nil {
			t.Error("one more than there may be is open")
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		b.secured(good, a)
	})
}
