package phone

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/sipmsg"
	"reveille/internal/tlscert/certtest"
)

// switchboard is the least server that phones can be tested with: a registrar
// and a stateless proxy that stays in dialogs.
type switchboard struct {
	t    *testing.T
	addr string
	udp  net.PacketConn
	tcp  net.Listener
	auth *auth.Authenticator
	// ca and cert are for the phones that begin with TLS.
	ca   *certtest.Authority
	cert tls.Certificate
	// challengeCalls asks for credentials in INVITE and MESSAGE, too.
	challengeCalls atomic.Bool
	wg             sync.WaitGroup

	mu       sync.Mutex // guards what follows
	bindings map[string]func([]byte)
	back     map[string]func([]byte) // by the branch of our Via
	seen     []*sipmsg.Message       // all requests
	caller   map[string]string       // by Call-ID
}

const testPURR = "0purr0"

func newSwitchboard(t *testing.T) *switchboard {
	t.Helper()
	users, err := auth.NewUsers("test.example", []auth.Account{{Name: "alice", Password: "a-secret"}, {Name: "bob", Password: "b-secret"}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(auth.Options{Source: users, Realm: "test.example", Domains: map[string]string{"test.example": ""}})
	if err != nil {
		t.Fatal(err)
	}
	s := &switchboard{t: t, auth: a, bindings: map[string]func([]byte){}, back: map[string]func([]byte){}, caller: map[string]string{}}
	s.ca = certtest.New(t)
	s.cert = s.ca.Issue("127.0.0.1")
	s.listen()
	s.wg.Go(s.readUDP)
	s.wg.Go(s.acceptTCP)
	t.Cleanup(func() {
		s.udp.Close()
		s.tcp.Close()
		s.wg.Wait()
	})
	return s
}

// listen finds a port that is free for both transports.
func (s *switchboard) listen() {
	var err error
	for range 100 {
		if s.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			break
		}
		s.addr = s.tcp.Addr().String()
		if s.udp, err = net.ListenPacket("udp", s.addr); err == nil {
			return
		}
		s.tcp.Close()
	}
	s.t.Fatal(err)
}

func (s *switchboard) readUDP() {
	buf := make([]byte, sipmsg.MaxMessage)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		s.receive(buf[:n], from, func(b []byte) { _, _ = s.udp.WriteTo(b, from) })
	}
}

func (s *switchboard) acceptTCP() {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() { s.readTCP(s.unwrapped(conn)) })
	}
}

// unwrapped is what a connection carries: TLS begins with a byte that SIP never
// begins with.
func (s *switchboard) unwrapped(conn net.Conn) net.Conn {
	p := &peeked{Conn: conn, r: bufio.NewReader(conn)}
	if b, err := p.r.Peek(1); err == nil && b[0] == 22 {
		return tls.Server(p, &tls.Config{Certificates: []tls.Certificate{s.cert}})
	}
	return p
}

// A peeked connection is one whose first bytes were looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

func (s *switchboard) readTCP(conn net.Conn) {
	defer conn.Close()
	framer, r := sipmsg.NewFramer(0), bufio.NewReader(conn)
	var buf []byte
	for {
		b, err := r.ReadByte()
		if err != nil {
			return
		}
		buf = append(buf, b)
		kind, n, err := framer.Next(buf)
		if err != nil {
			return
		}
		if kind == sipmsg.FrameMessage {
			s.receive(buf[:n], conn.RemoteAddr(), func(b []byte) { _, _ = conn.Write(b) })
		}
		buf = buf[n:]
	}
}

func (s *switchboard) receive(raw []byte, from net.Addr, reply func([]byte)) {
	m, err := sipmsg.Parse(raw, addrPort(from))
	if err != nil {
		s.t.Errorf("a phone sent what is no SIP: %v\n%s", err, raw)
		return
	}
	if !m.IsRequest() {
		s.mu.Lock()
		back := s.back[m.TopVia().Branch()]
		s.mu.Unlock()
		if back != nil {
			e := m.Edit()
			e.PopVia()
			back(e.Bytes())
		}
		return
	}
	if n := len(m.Vias()); n != 1 {
		s.t.Errorf("a request of a phone has %d Vias:\n%s", n, raw)
	}
	s.mu.Lock()
	s.seen = append(s.seen, m)
	s.mu.Unlock()
	if m.Method() == "REGISTER" {
		s.register(m, reply)
		return
	}
	s.forward(m, reply)
}

func (s *switchboard) register(m *sipmsg.Message, reply func([]byte)) {
	d := s.auth.Check(s.t.Context(), m, flow.Flow{Remote: m.Source()}, auth.Registrar, time.Now())
	if d.Outcome != auth.Allowed {
		reply(m.AppendReply(nil, d.Reply))
		return
	}
	contacts := m.Contacts()
	if len(contacts) != 1 {
		s.t.Errorf("%d contacts in REGISTER", len(contacts))
		return
	}
	s.mu.Lock()
	if expires, _ := contacts[0].Params.Get("expires"); expires == "0" {
		delete(s.bindings, d.User.Name)
	} else {
		s.bindings[d.User.Name] = reply
	}
	s.mu.Unlock()
	reply(m.AppendReply(nil, sipmsg.Reply{Code: 200, ToTag: "r", Headers: []sipmsg.HeaderField{
		{Name: "Feature-Caps", Value: `*;+sip.pns="fcm";+sip.pnspurr="` + testPURR + `"`},
	}}))
}

func (s *switchboard) forward(m *sipmsg.Message, reply func([]byte)) {
	if s.challengeCalls.Load() && m.ToTag() == "" && (m.Method() == "INVITE" || m.Method() == "MESSAGE") {
		d := s.auth.Check(s.t.Context(), m, flow.Flow{Remote: m.Source()}, auth.Proxy, time.Now())
		if d.Outcome != auth.Allowed {
			reply(m.AppendReply(nil, d.Reply))
			return
		}
	}
	// One Record-Route for each side, so that their order counts (RFC 3261
	// §12.1): the caller meets "in" first, the callee "out".
	in, out := "sip:"+s.addr+";lr;leg=in", "sip:"+s.addr+";lr;leg=out"
	e := m.Edit()
	if m.Method() == "INVITE" && m.ToTag() == "" {
		s.mu.Lock()
		s.caller[m.CallID()] = m.From().URI.User
		s.mu.Unlock()
	}
	if m.ToTag() != "" && !s.acksFailure(m) {
		s.followed(m, in, out)
		e.PopRoutes(2)
	}
	s.mu.Lock()
	to := s.bindings[m.RequestURI().User]
	branch := "z9hG4bK" + strings.ReplaceAll(m.TopVia().Branch(), "z9hG4bK", "sw")
	s.back[branch] = reply
	s.mu.Unlock()
	if to == nil {
		if m.Method() != "ACK" {
			reply(m.AppendReply(nil, sipmsg.Reply{Code: 404, ToTag: "none"}))
		}
		return
	}
	e.StampVia()
	e.PushVia(fmt.Sprintf("SIP/2.0/UDP %s;branch=%s", s.addr, branch))
	if m.Method() == "INVITE" {
		e.PushRecordRoute("<" + in + ">")
		e.PushRecordRoute("<" + out + ">")
	}
	to(e.Bytes())
}

// followed checks the routes of a request in a dialog.
func (s *switchboard) followed(m *sipmsg.Message, in, out string) {
	s.mu.Lock()
	want := []string{in, out}
	if s.caller[m.CallID()] != m.From().URI.User {
		want = []string{out, in}
	}
	s.mu.Unlock()
	var got []string
	for _, r := range m.Routes() {
		got = append(got, r.URI.String())
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("%s of %s: routes %q, want %q", m.Method(), m.From().URI.User, got, want)
	}
}

// acksFailure reports whether m is the ACK to a final response other than 2xx:
// it belongs to the INVITE's transaction and has its branch and no routes.
func (s *switchboard) acksFailure(m *sipmsg.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.seen {
		if m.Method() == "ACK" && old.Method() == "INVITE" && old.TopVia().Branch() == m.TopVia().Branch() {
			return true
		}
	}
	return false
}

// requests returns what arrived with a method so far.
func (s *switchboard) requests(method string) []*sipmsg.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*sipmsg.Message
	for _, m := range s.seen {
		if m.Method() == method {
			all = append(all, m)
		}
	}
	return all
}
