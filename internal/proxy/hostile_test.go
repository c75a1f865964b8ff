package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// A stranger writes messages out of pieces that mean something to us: our
// addresses, real tokens and PURRs, tags of real dialogs, in any combination.
type stranger struct {
	*world
	choices []byte
	phones  []*phone
	purrs   []string
	tokens  []string // URIs of our Record-Routes
	gruus   []string
	asked   []sent
	n       int
}

// FuzzRelay checks invariant 12, that nothing leaves to anybody but a phone of
// ours or the peer of a dialog, and that nothing panics or stays behind.
func FuzzRelay(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 12))
	for range 60 {
		b := make([]byte, 600)
		for i := range b {
			b[i] = byte(rng.UintN(256))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		inWorld(t, Options{}, func(w *world) {
			s := &stranger{world: w, choices: choices}
			s.settle()
			for range 40 {
				if len(s.choices) == 0 {
					break
				}
				s.act()
				s.check()
			}
			time.Sleep(5 * time.Minute)
			s.check()
		})
	})
}

// settle gives the world phones and two calls, one of them to a connection.
func (s *stranger) settle() {
	for i, fl := range []flow.Flow{udp("198.51.100.1:5060"), tcp("198.51.100.2:5060", 1), wss("198.51.100.3:5060", 2)} {
		p := s.newPhone("alice", fl, []string{"", "fcm", ""}[i])
		s.register(p)
		s.phones = append(s.phones, p)
		s.purrs = append(s.purrs, s.keys.Mint(p.id))
		s.gruus = append(s.gruus, p.public(), s.temporary(p))
		s.recv(caller, request("INVITE", "sip:alice@example.com", fmt.Sprint("c", i)))
		for _, out := range s.take() {
			if out.flow == fl {
				s.reply(out, 200, "Contact: <sip:alice@198.51.100.1>")
			}
		}
		for _, out := range s.take() {
			if out.flow == caller {
				for _, r := range out.m.RecordRoutes() {
					s.tokens = append(s.tokens, r.URI.String())
				}
			}
		}
	}
	gone := s.newPhone("alice", udp("198.51.100.9:5060"), "fcm")
	s.register(gone)
	s.purrs = append(s.purrs, s.keys.Mint(gone.id), "forged0000")
	s.gruus = append(s.gruus, gone.public(), s.temporary(gone))
	s.unregister(gone)
	s.sleeps(s.phones[1])
	s.take()
}

func (s *stranger) pick(n int) int {
	if len(s.choices) == 0 {
		return 0
	}
	b := s.choices[0]
	s.choices = s.choices[1:]
	return int(b) % n
}

func (s *stranger) one(of ...string) string { return of[s.pick(len(of))] }

func (s *stranger) uri() string {
	user := s.one("", "alice@", "alice@", "ali%63e@", "nobody@", "%00@", "a;b@", "alice:pw@")
	host := s.one("example.com", "example.com", "EXAMPLE.com.", "example.com:5070", "192.0.2.1", "192.0.2.1:5060", "192.0.2.1:443",
		"[2001:db8:0:0:0:0:0:1]", "[2001:db8::1]:5060", "203.0.113.50", "[2001:db8::50]:5060", "elsewhere.example", "127.0.0.1", "192.0.2.1:9999")
	params := s.one("", "", "", ";lr", ";transport=tcp", ";transport=ws;lr", ";maddr=203.0.113.50", ";pn-provider=fcm;pn-prid=x", ";gr", ";ob")
	if s.pick(4) == 0 {
		params += ";pn-purr=" + s.purrs[s.pick(len(s.purrs))]
	}
	switch s.pick(24) {
	case 0:
		return "tel:+15551234"
	case 1:
		return "urn:service:sos"
	case 2:
		return "sips:" + user + host + params
	case 3, 4:
		return s.tokens[s.pick(len(s.tokens))]
	case 5, 6:
		return s.gruus[s.pick(len(s.gruus))]
	}
	return "sip:" + user + host + params
}

func (s *stranger) act() {
	switch s.pick(8) {
	case 0:
		time.Sleep([]time.Duration{time.Millisecond, 2 * time.Second, 20 * time.Second}[s.pick(3)])
		return
	case 1:
		p := s.phones[s.pick(len(s.phones))]
		s.register(p)
		if s.pick(2) == 0 {
			s.sleeps(p)
		}
		return
	case 2:
		if len(s.asked) > 0 {
			out := s.asked[s.pick(len(s.asked))]
			status := []int{100, 180, 200, 302, 401, 486, 503, 603}[s.pick(8)]
			s.parse(out.flow, response(out.m, status, s.one("", "Contact: <"+s.uri()+">", "Record-Route: <"+s.uri()+">")))
		}
		return
	}
	s.n++
	from := []flow.Flow{caller, s.phones[0].flow, s.phones[1].flow, tcp("203.0.113.66:1", 7)}[s.pick(4)]
	method := s.one("INVITE", "INVITE", "ACK", "BYE", "CANCEL", "MESSAGE", "OPTIONS", "SUBSCRIBE", "NOTIFY", "PRACK", "INFO", "X-NEW", "PUBLISH", "REFER")
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s SIP/2.0\n", method, s.uri())
	fmt.Fprintf(&b, "Via: SIP/2.0/%s %s;branch=z9hG4bK%s%s\n", from.Transport, s.one("203.0.113.9:5060", "192.0.2.1:5060", "x.invalid"), s.one("one", fmt.Sprint(s.n), fmt.Sprint(s.n)), s.one(";rport", ""))
	b.WriteString(s.one("", "Max-Forwards: 70\n", "Max-Forwards: 70\n", "Max-Forwards: 1\n", "Max-Forwards: 0\n"))
	tag := func() string { return s.one("", ";tag=caller", ";tag=caller", ";tag=callee", ";tag=callee", ";tag=x") }
	fmt.Fprintf(&b, "From: <sip:bob@example.net>%s\nTo: <sip:alice@example.com>%s\nCall-ID: %s\nCSeq: %s %s\n", tag(), tag(), s.one("c0", "c1", "c2", "c9"), s.one("1", "2", "4294967295"), method)
	for range s.pick(4) {
		if s.pick(2) == 0 {
			fmt.Fprintf(&b, "Route: <%s>\n", s.tokens[s.pick(len(s.tokens))])
		} else {
			fmt.Fprintf(&b, "Route: <%s>\n", s.uri())
		}
	}
	b.WriteString(s.one("", "", "Expires: 3\n", "Proxy-Require: x\n", "Reason: SIP;cause=200\n", "Proxy-Authorization: Digest realm=\"example.com\"\n", "m: <sip:x@y;pn-prid=z>, <sip:q>\n"))
	b.WriteString("Content-Length: 0\n\n")
	s.parse(from, b.String())
}

// parse lets a message arrive if it is one.
func (s *stranger) parse(from flow.Flow, text string) {
	text = strings.ReplaceAll(strings.Replace(text, "\n\nContent", "\nContent", 1), "\n", "\r\n")
	m, err := sipmsg.Parse([]byte(text), from.Remote)
	if err != nil {
		return
	}
	s.layer.Receive(from, m)
	synctest.Wait()
}

// check looks at everything that left.
func (s *stranger) check() {
	s.t.Helper()
	for _, out := range s.take() {
		ours := false
		for _, p := range s.phones {
			ours = ours || p.flow == out.flow
		}
		raw := out.m.Raw()
		if !out.m.IsRequest() {
			continue
		}
		// The dialogs' peers are the phones and the caller.
		if !ours && (out.flow != caller || out.m.ToTag() == "") {
			s.t.Errorf("relayed to %s:\n%s", out.flow, raw)
		}
		exposed := out.m.RequestURI().HasPush(nil)
		for _, c := range out.m.Contacts() {
			exposed = exposed || exposes(c, nil)
		}
		if exposed || strings.Contains(raw, `realm="example.com"`) {
			s.t.Errorf("leaks what is ours:\n%s", raw)
		}
		for _, r := range out.m.Routes() {
			if _, err := openToken(s.keys, r.URI.User); err == nil && s.proxy.ours(r.URI) && len(out.m.Routes()) == 1 {
				s.t.Errorf("sends its own Route along:\n%s", raw)
			}
		}
		if out.m.Method() != "ACK" && out.m.Method() != "CANCEL" {
			s.asked = append(s.asked, out)
		}
	}
}
