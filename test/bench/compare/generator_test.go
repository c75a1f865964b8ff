package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// A registrar answers REGISTERs with 200, or challenges those that bring no
// credentials, and counts the users.
type registrar struct {
	conn   *net.UDPConn
	digest bool

	mu    sync.Mutex // guards users
	users map[string]int
}

func startRegistrar(t *testing.T, digest bool) *registrar {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &registrar{conn: conn, digest: digest, users: map[string]int{}}
	var wg sync.WaitGroup
	wg.Go(r.serve)
	t.Cleanup(func() {
		conn.Close()
		wg.Wait()
	})
	return r
}

func (r *registrar) serve() {
	b := make([]byte, 4096)
	for {
		n, from, err := r.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		line := func(name string) []byte {
			_, rest, _ := bytes.Cut(b[:n], []byte("\r\n"+name+": "))
			value, _, _ := bytes.Cut(rest, []byte("\r\n"))
			return value
		}
		status := "200 OK"
		if r.digest && len(line("Authorization")) == 0 {
			status = "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"example.com\", nonce=\"abc\", algorithm=SHA-256, qop=\"auth\""
		} else {
			r.mu.Lock()
			r.users[string(line("To"))]++
			r.mu.Unlock()
		}
		answer := fmt.Sprintf("SIP/2.0 %s\r\nVia: %s\r\n\r\n", status, line("Via"))
		if _, err := r.conn.WriteToUDPAddrPort([]byte(answer), from); err != nil {
			return
		}
	}
}

func (r *registrar) addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// count is how many users came, came how often one did.
func (r *registrar) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.users)
}

func (r *registrar) came(user int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.users["<sip:"+userName(user)+"@"+domain+">"]
}

func TestGenerator_EachUserOnce(t *testing.T) {
	for _, digest := range []bool{false, true} {
		r := startRegistrar(t, digest)
		g, err := newGenerator(generatorOptions{target: r.addr(), users: 1000, sockets: 3, digest: digest})
		if err != nil {
			t.Fatal(err)
		}
		defer g.close()
		got, err := g.load(phase{first: 100, users: 500, once: true, window: 20, push: true, expires: time.Hour})
		if err != nil || got.check() != nil {
			t.Fatalf("%+v, %v", got, err)
		}
		challenged := 0
		if digest {
			challenged = 500
		}
		if got.ok != 500 || got.challenged != challenged || r.count() != 500 || r.came(100) != 1 || r.came(599) != 1 {
			t.Errorf("digest %t: %d succeeded, %d challenged, %d users came", digest, got.ok, got.challenged, r.count())
		}
		// Once more, from other ports, with the nonces that are there.
		if err := g.move(); err != nil {
			t.Fatal(err)
		}
		if got, err = g.load(phase{users: 1000, lasts: 50 * time.Millisecond, rate: 1000, push: true, expires: time.Hour}); err != nil || got.check() != nil {
			t.Fatalf("%+v, %v", got, err)
		}
		if got.ok > 60 {
			t.Errorf("%d REGISTERs in 50 ms at 1000 a second", got.ok)
		}
	}
}

// TestGenerator_Lost: who gets no answer is counted, and the phase ends.
func TestGenerator_Lost(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	g, err := newGenerator(generatorOptions{target: conn.LocalAddr().(*net.UDPAddr).AddrPort(), users: 10, sockets: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	got, err := g.load(phase{users: 10, once: true, window: 20, expires: time.Hour})
	if err != nil || got.lost != 10 || got.check() == nil {
		t.Errorf("%d lost of 10, %v, %v", got.lost, err, got.check())
	}
}
