package main

import (
	"bytes"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/internal/auth"
	"reveille/internal/sipmsg"
)

// A registrar answers REGISTERs with a status, and keeps who came.
type registrar struct {
	conn *net.UDPConn

	mu     sync.Mutex // guards what follows
	status int
	seen   map[string]int // by user, plain or not, Call-ID and port
}

func startRegistrar(t *testing.T) *registrar {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &registrar{conn: conn, status: 200, seen: map[string]int{}}
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
		m, err := sipmsg.Parse(b[:n], from)
		if err != nil {
			return // The test sees that nobody answers.
		}
		r.mu.Lock()
		contact := m.Contacts()[0]
		kind := "plain"
		if _, ok := contact.URI.Param("pn-prid"); ok {
			kind = "push"
		}
		expires, _ := contact.Params.Get("expires")
		r.seen[strings.Join([]string{contact.URI.User, kind, expires}, " ")]++
		r.seen[m.CallID()]++
		r.seen[from.String()]++
		answer := m.AppendReply(nil, sipmsg.Reply{Code: r.status, ToTag: "s"})
		r.mu.Unlock()
		if _, err := r.conn.WriteToUDPAddrPort(answer, from); err != nil {
			return
		}
	}
}

// take returns what was seen since the last take.
func (r *registrar) take() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := maps.Clone(r.seen)
	clear(r.seen)
	return seen
}

func (r *registrar) answerWith(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// server is the registrar as a comparison sees it.
func (r *registrar) server() *server {
	return &server{target: netip.MustParseAddrPort(r.conn.LocalAddr().String()), family: family{os.Getpid()}}
}

func TestPhones_Do(t *testing.T) {
	r := startRegistrar(t)
	p, err := r.server().newPhones(200, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	got, err := p.do(fill(200))
	if seen := r.take(); err != nil || got.ok != 200 || seen["u0000000 push 3600"] == 0 || seen["u0000199 push 3600"] == 0 || got.rate <= 0 || got.slowest < got.median || got.own <= 0 {
		t.Errorf("first registrations: %+v, %v", got, err)
	}
	if got, err = p.do(refresh(50 * time.Millisecond)); err != nil || got.ok < 10 {
		t.Errorf("refreshes: %+v, %v", got, err)
	}
	if got, err = p.do(paced(50 * time.Millisecond)); err != nil || got.ok < 1 || got.ok > pacedRate/20+1 {
		t.Errorf("refreshes at a rate: %+v, %v", got, err)
	}
	r.answerWith(503)
	if got, err = p.do(fill(200)); err == nil || !strings.Contains(err.Error(), "0 REGISTERs succeeded, 200 failed: map[register: 503:200]") {
		t.Errorf("refused: %+v, %v", got, err)
	}
}

// TestCrowd_Step: those that stay come from other ports with other Call-IDs, and
// guests are others each time.
func TestCrowd_Step(t *testing.T) {
	r := startRegistrar(t)
	c, err := newCrowd(r.server(), churnOptions{users: 20, rate: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The same two steps in no time.
	c.stay.Register.Rate, c.guests.Register.Rate = 1e6, 1e6
	var steps [2]map[string]int
	for i := range steps {
		if err := c.step(); err != nil {
			t.Fatal(err)
		}
		steps[i] = r.take()
	}
	for i, want := range [2][2]string{{"u0000010 push 3600", "u0000020 plain 60"}, {"u0000000 push 3600", "u0000030 plain 60"}} {
		for _, w := range want {
			if steps[i][w] == 0 {
				t.Errorf("step %d: there is no %s in %v", i, w, steps[i])
			}
		}
	}
	for what := range steps[0] {
		if steps[1][what] > 0 {
			t.Errorf("%s came twice", what)
		}
	}
	if c.ok != 40 {
		t.Errorf("%d succeeded, want 40", c.ok)
	}
}

// TestPrintUsers_AreTheServers: the file that is written is one that the server
// reads, with what the phones answer challenges with.
func TestPrintUsers_AreTheServers(t *testing.T) {
	var b bytes.Buffer
	if err := printUsers([]string{"3"}, &b); err != nil {
		t.Fatal(err)
	}
	accounts, err := auth.ParseFile("users", b.Bytes())
	if err != nil || len(accounts) != 3 || accounts[2].Name != "u0000002" {
		t.Fatalf("%+v, %v", accounts, err)
	}
	if _, err := auth.NewUsers("example.com", accounts); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]string{nil, {"x"}, {"0"}, {"10000000"}, {"1", "2"}} {
		if err := printUsers(bad, &b); err == nil {
			t.Errorf("users %v is taken", bad)
		}
	}
}
