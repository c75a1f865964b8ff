//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"reveille/internal/phone"
	"reveille/test/engine"
)

// media is the group of that name, with engines at these addresses, the best one first.
func media(more string, engines ...string) string {
	var list []string
	for i, addr := range engines {
		list = append(list, fmt.Sprintf("{addr: %q, priority: %d}", addr, i))
	}
	return fmt.Sprintf("media: {engines: [%s], timeout: 2s, ping: 3s, %s}", strings.Join(list, ", "), more)
}

// A speaker is a phone with a socket for its voice.
type speaker struct {
	*phone.Phone
	t   *testing.T
	rtp *net.UDPConn
	// sdp is what it offers and answers. described gets what the others say: in the
	// INVITE, and in the 200 to its own.
	sdp       string
	described chan string
}

// speaker registers a phone. By WebSocket it is a browser and speaks WebRTC, and plain
// RTP otherwise.
func (s *server) speaker(user, transport string) *speaker {
	t := s.t
	t.Helper()
	p := &speaker{t: t, described: make(chan string, 4)}
	var err error
	if p.rtp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.rtp.Close() })
	at := p.rtp.LocalAddr().(*net.UDPAddr)
	p.sdp = fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n", at.Port)
	if transport == "ws" {
		p.sdp = webRTC(user, at.Port)
	}
	p.Phone, err = phone.New(phone.Options{
		User: user, Domain: "example.com", Password: "secret", Server: s.at(transport), Transport: transport, SDP: p.sdp,
		On: func(e phone.Event) {
			if e.Kind == phone.Invited || e.Kind == phone.Connected {
				p.described <- e.Body
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if err := p.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// webRTC is what a browser says: the caller offers both roles in DTLS, bob is the
// caller, and alice takes the active one (RFC 8842 §5.3).
func webRTC(user string, port int) string {
	setup := "actpass"
	if user == "alice" {
		setup = "active"
	}
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"+
		"m=audio %[1]d UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 127.0.0.1\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\na=mid:0\r\na=rtcp-mux\r\n"+
		"a=setup:%[2]s\r\na=ice-ufrag:page\r\na=ice-pwd:pagepagepagepagepagepage\r\n"+
		"a=candidate:1 1 udp 2130706431 127.0.0.1 %[1]d typ host\r\n"+
		"a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n", port, setup)
}

// heard is the next thing that the others say.
func (p *speaker) heard() string {
	p.t.Helper()
	select {
	case sdp := <-p.described:
		return sdp
	case <-time.After(patience):
		p.t.Fatal("nothing is offered or answered")
		return ""
	}
}

// call has the phone call another one, which answers.
func (p *speaker) call(to *speaker) *phone.Call {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	c, err := p.Call(ctx, to.AOR())
	if err != nil {
		p.t.Fatalf("call: %v", err)
	}
	return c
}

// refused has the phone call another one in vain and returns the answer.
func (p *speaker) refused(to *speaker) int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	_, err := p.Call(ctx, to.AOR())
	status, ok := errors.AsType[*phone.StatusError](err)
	if !ok {
		p.t.Fatalf("call = %v, want it refused", err)
	}
	return status.Code
}

func (p *speaker) hangUp(c *phone.Call) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	if err := c.Bye(ctx); err != nil {
		p.t.Fatalf("hang up: %v", err)
	}
}

// checkWebRTC checks that a browser can take a description of the session: RFC 8829
// §5.3.1, from an engine on ports of its own.
func checkWebRTC(t *testing.T, sdp string, not *speaker) {
	t.Helper()
	for _, want := range []string{
		" UDP/TLS/RTP/SAVPF ", "\r\na=ice-ufrag:", "\r\na=ice-pwd:", "\r\na=candidate:", "\r\na=fingerprint:sha-256 ", "\r\na=setup:", "\r\na=rtcp-mux\r\n",
	} {
		if !strings.Contains(sdp, want) {
			t.Errorf("a browser gets no %q in\n%s", strings.TrimSpace(want), sdp)
		}
	}
	voiceAt(t, sdp, not)
}

// checkPlain checks that a phone that knows nothing of WebRTC can take it.
func checkPlain(t *testing.T, sdp string, not *speaker) {
	t.Helper()
	if !strings.Contains(sdp, " RTP/AVP 0") {
		t.Errorf("a phone gets no RTP/AVP in\n%s", sdp)
	}
	for _, foreign := range []string{"SAVP", "a=ice", "a=candidate", "a=fingerprint", "a=setup", "a=crypto", "a=rtcp-mux"} {
		if strings.Contains(sdp, foreign) {
			t.Errorf("a phone gets %q in\n%s", foreign, sdp)
		}
	}
	voiceAt(t, sdp, not)
}

// voiceAt returns where a description wants the voice: at the engine, not at the phone
// behind it.
func voiceAt(t *testing.T, sdp string, not *speaker) *net.UDPAddr {
	t.Helper()
	at := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	_, m, _ := strings.Cut(sdp, "m=audio ")
	if _, err := fmt.Sscanf(m, "%d ", &at.Port); err != nil || !strings.Contains(sdp, "c=IN IP4 127.0.0.1\r\n") {
		t.Fatalf("no voice on this machine in\n%s", sdp)
	}
	if at.Port < engine.MinPort || at.Port > engine.MaxPort {
		t.Errorf("the voice is to go to port %d, not to the engine; the other phone's is %s", at.Port, not.rtp.LocalAddr())
	}
	return at
}

// A browser and a phone call each other.
func TestMedia_BrowserAndPhone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, caller, callee string }{{"browser calls", "ws", "udp"}, {"phone calls", "udp", "ws"}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := engine.Start(t)
			s := start(t, options{ws: true, more: media("", e.Addr)})
			alice, bob := s.speaker("alice", tt.callee), s.speaker("bob", tt.caller)
			call := bob.call(alice)
			if tt.caller == "ws" {
				checkPlain(t, alice.heard(), bob)
				checkWebRTC(t, bob.heard(), alice)
			} else {
				checkWebRTC(t, alice.heard(), bob)
				checkPlain(t, bob.heard(), alice)
			}
			if !e.Has(call.CallID()) {
				t.Error("the engine does not know the call")
			}
			bob.hangUp(call)
			s.eventually("the engine forgets the call", patience, func() bool { return !e.Has(call.CallID()) })
		})
	}
}

// Voices go through the engine both ways, and calls between two phones of a kind do so
// only if all calls do.
func TestMedia_VoicesPass(t *testing.T) {
	t.Parallel()
	e := engine.Start(t)
	s := start(t, options{more: media("calls: all", e.Addr)})
	alice, bob := s.speaker("alice", "udp"), s.speaker("bob", "udp")
	call := bob.call(alice)
	toBob, toAlice := voiceAt(t, alice.heard(), bob), voiceAt(t, bob.heard(), alice)
	for i := range byte(2) {
		alice.say(toBob, i, fmt.Sprintf("alice %d", i))
		bob.expect(toAlice, fmt.Sprintf("alice %d", i))
		bob.say(toAlice, i, fmt.Sprintf("bob %d", i))
		alice.expect(toBob, fmt.Sprintf("bob %d", i))
	}
	alice.hangUp(alice.Calls()[0])
	s.eventually("the engine forgets the call", patience, func() bool { return !e.Has(call.CallID()) })
	s.eventually("bob hears of the end", patience, func() bool { return len(bob.Calls()) == 0 })
}

// say sends one packet (RFC 3550 §5.1).
func (p *speaker) say(to *net.UDPAddr, seq byte, text string) {
	p.t.Helper()
	// Version 2, PCMU, 160 samples each, and a source.
	b := []byte{2 << 6, 0, 0, seq, 0, 0, 0, seq * 160, 'r', 't', 'p', 0}
	if _, err := p.rtp.WriteToUDP(append(b, text...), to); err != nil {
		p.t.Fatal(err)
	}
}

// expect waits for a packet that comes from where the phone sends its own.
func (p *speaker) expect(from *net.UDPAddr, text string) {
	p.t.Helper()
	p.rtp.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, 1500)
	n, at, err := p.rtp.ReadFromUDP(b)
	if err != nil || at.Port != from.Port || n < 12 || string(b[12:n]) != text {
		p.t.Fatalf("heard %q from %v, %v; want %q from %v", b[:n], at, err, text, from)
	}
}

// A call goes to the next engine while the first one is down, even if it is that call
// which finds out.
func TestMedia_EngineDies(t *testing.T) {
	t.Parallel()
	first, second := engine.Start(t), engine.Start(t)
	s := start(t, options{ws: true, more: media("", first.Addr, second.Addr)})
	alice, bob := s.speaker("alice", "udp"), s.speaker("bob", "ws")
	on := func(e *engine.Engine) {
		t.Helper()
		call := bob.call(alice)
		checkPlain(t, alice.heard(), bob)
		checkWebRTC(t, bob.heard(), alice)
		if !e.Has(call.CallID()) {
			t.Errorf("the call is not on the engine at %s", e.Addr)
		}
		bob.hangUp(call)
	}
	on(first)
	first.Kill()
	on(second)
	first.Restart()
	s.eventually("the server sees it", patience, func() bool { return strings.Contains(s.log.String(), `msg="an rtpengine is back"`) })
	on(first)
	first.Kill()
	second.Kill()
	if status := bob.refused(alice); status != 480 {
		t.Errorf("without engine the call ends with %d, want 480", status)
	}
	second.Restart()
	s.eventually("the server sees it", patience, func() bool { return strings.Count(s.log.String(), `msg="an rtpengine is back"`) == 2 })
	on(second)
}

// Without engine the phones hear what was said, if that is wanted.
func TestMedia_WithoutEngine(t *testing.T) {
	t.Parallel()
	nobody := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s := start(t, options{ws: true, more: media("without_engine: pass", nobody)})
	alice, bob := s.speaker("alice", "udp"), s.speaker("bob", "ws")
	bob.hangUp(bob.call(alice))
	if got := alice.heard(); got != bob.sdp {
		t.Errorf("the phone is offered\n%s", got)
	}
	if got := bob.heard(); got != alice.sdp {
		t.Errorf("the browser is answered\n%s", got)
	}
}
