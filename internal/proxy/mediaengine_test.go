package proxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/rtpengine"
	"reveille/internal/sipmsg"
)

// An engineRoom is some media engines in memory. What they give out says who asked for
// what.
type engineRoom struct {
	mu    sync.Mutex
	addrs []netip.AddrPort
	asked []engineQuestion // since the last expect
	// slow: nobody answers before answerAll is called, and questions wait. broken engines fail everything.
	slow    bool
	waiting []engineQuestion
	broken  map[netip.AddrPort]bool
	// open are the calls that are known there.
	open map[string]bool
}

type engineQuestion struct {
	engine netip.AddrPort
	c      rtpengine.Command
	done   func(string, error)
}

func newEngineRoom(n int) *engineRoom {
	r := &engineRoom{broken: map[netip.AddrPort]bool{}, open: map[string]bool{}}
	for i := range n {
		r.addrs = append(r.addrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(101 + i)}), 2223))
	}
	return r
}

func (r *engineRoom) media() Media {
	return Media{Engines: r, Profiles: []rtpengine.Profile{rtpengine.Browser(), rtpengine.Phone()}}
}

func (r *engineRoom) Pick(tried []netip.AddrPort) (netip.AddrPort, bool) {
	for _, a := range r.addrs {
		if !slices.Contains(tried, a) {
			return a, true
		}
	}
	return netip.AddrPort{}, false
}

func (r *engineRoom) Do(engine netip.AddrPort, c rtpengine.Command, done func(string, error)) {
	r.mu.Lock()
	q := engineQuestion{engine, c, done}
	r.asked = append(r.asked, q)
	slow := r.slow
	if slow {
		r.waiting = append(r.waiting, q)
	}
	r.mu.Unlock()
	if !slow {
		r.answer(q)
	}
}

// answer answers one question, as a real engine would.
func (r *engineRoom) answer(q engineQuestion) {
	r.mu.Lock()
	known := r.open[q.c.Call]
	switch {
	case r.broken[q.engine]:
		r.mu.Unlock()
		q.done("", rtpengine.ErrTimeout)
		return
	case q.c.Verb == rtpengine.Offer:
		r.open[q.c.Call] = true
	case q.c.Verb == rtpengine.Delete:
		delete(r.open, q.c.Call)
	case !known:
		r.mu.Unlock()
		q.done("", &rtpengine.RefusedError{Reason: "Unknown call-id"})
		return
	}
	r.mu.Unlock()
	receiver := "engine"
	if q.c.Receiver != nil {
		receiver = q.c.Receiver.Name
	}
	q.done(changed(string(q.c.Verb), receiver, q.c.SDP), nil)
}

// changed is what an engine makes of SDP.
func changed(verb, receiver, sdp string) string {
	return strings.Replace(sdp, "v=0\r\n", "v=0\r\na="+verb+" for "+receiver+"\r\n", 1)
}

// answerAll answers what waits, and all that follows from that at once.
func (r *engineRoom) answerAll() {
	synctest.Wait()
	r.mu.Lock()
	waiting := r.waiting
	r.waiting, r.slow = nil, false
	r.mu.Unlock()
	for _, q := range waiting {
		r.answer(q)
	}
	synctest.Wait()
}

// expect checks what was asked since the last time, as "offer caller→ phone@1": the verb,
// the tags of both sides, the receiver's profile and the number of the engine.
func (r *engineRoom) expect(w *world, want ...string) {
	w.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, q := range r.asked {
		s := string(q.c.Verb)
		if q.c.Verb != rtpengine.Delete {
			s += fmt.Sprintf(" %s→%s %s", q.c.Offerer, q.c.Answerer, q.c.Receiver.Name)
		}
		got = append(got, fmt.Sprintf("%s@%d", s, slices.Index(r.addrs, q.engine)+1))
	}
	r.asked = nil
	if strings.Join(got, "|") != strings.Join(want, "|") {
		w.t.Fatalf("asked %q, want %q", got, want)
	}
}

func (r *engineRoom) change(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn()
}

// withSDP puts SDP into a message without body.
func withSDP(text, sdp string) string {
	head, ok := strings.CutSuffix(text, "Content-Length: 0\n\n")
	if !ok {
		panic("a body already: " + text)
	}
	return fmt.Sprintf("%sContent-Type: application/sdp\nContent-Length: %d\n\n%s", head, len(sdp), sdp)
}

const (
	offered  = "v=0\r\ns=offer\r\n"
	answerOf = "v=0\r\ns=answer\r\n"
)

// body checks the SDP of a message, and that the rest of it is in order.
func (w *world) body(s sent, want string) {
	w.t.Helper()
	if got := s.m.Body(); got != want {
		w.t.Errorf("%s carries\n%q, want\n%q", strings.SplitN(s.m.Raw(), "\r\n", 2)[0], got, want)
	}
	length := ""
	for h := range s.m.Headers() {
		if h.ID == sipmsg.HdrContentLength {
			length = h.Value
		}
	}
	if length != fmt.Sprint(len(s.m.Body())) {
		w.t.Errorf("Content-Length: %s of %d bytes", length, len(s.m.Body()))
	}
}

// answerSDP has a phone answer with SDP.
func (w *world) answerSDP(s sent, status int, sdp string) {
	w.t.Helper()
	w.recv(s.flow, withSDP(response(s.m, status), sdp))
}

// inStudio is inWorld with media engines, a phone that speaks plain RTP at
// 198.51.100.1:5060, and a browser that calls.
func inStudio(t *testing.T, o Options, engines int, fn func(w *world, r *engineRoom, browser flow.Flow)) {
	t.Helper()
	r := newEngineRoom(engines)
	media := r.media()
	media.All, media.Pass = o.Media.All, o.Media.Pass
	o.Media = media
	inWorld(t, o, func(w *world) {
		browser := wss("203.0.113.9:40000", 1)
		w.with(func() { w.alive[browser] = true })
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		fn(w, r, browser)
		time.Sleep(3 * time.Minute)
		r.answerAll()
		r.change(func() {
			if len(r.open) != 0 {
				t.Errorf("calls are left at the engines: %v", r.open)
			}
		})
	})
}

// established sets a call from the browser to the phone up and returns the 200 as it
// came to the caller.
func (w *world) established(r *engineRoom, browser flow.Flow) *sipmsg.Message {
	w.t.Helper()
	w.recv(browser, withSDP(request("INVITE", "sip:alice@example.com", "c1"), offered))
	out := w.expect("INVITE 198.51.100.1:5060")[0]
	w.body(out, changed("offer", "phone", offered))
	w.answerSDP(out, 200, answerOf)
	ok := w.expect("200 203.0.113.9:40000")[0]
	w.body(ok, changed("answer", "browser", answerOf))
	r.expect(w, "offer caller→ phone@1", "answer caller→callee browser@1")
	w.recv(browser, inDialogRequest("ACK", 1, ok.m, true, "sip:alice@198.51.100.1"))
	w.expect("ACK 198.51.100.1:5060")
	return ok.m
}

// hangUpAt is hangUp by the caller, to a phone at addr.
func (w *world) hangUpAt(r *engineRoom, from flow.Flow, ok *sipmsg.Message, addr string) {
	w.t.Helper()
	w.recv(from, inDialogRequest("BYE", 90, ok, true, "sip:x@192.0.2.200"))
	r.expect(w, "delete@1")
	w.reply(w.expect("BYE " + addr)[0], 200)
	w.one()
	r.expect(w)
}

// hangUp ends a call and checks that the engine hears of it once.
func (w *world) hangUp(r *engineRoom, from flow.Flow, ok *sipmsg.Message, byCaller bool) {
	w.t.Helper()
	w.recv(from, inDialogRequest("BYE", 90, ok, byCaller, "sip:x@192.0.2.200"))
	r.expect(w, "delete@1")
	var out sent
	if byCaller {
		out = w.expect("BYE 198.51.100.1:5060")[0]
	} else {
		out = w.expect("BYE 203.0.113.9:40000")[0]
	}
	w.reply(out, 200)
	w.one()
	r.expect(w)
}
