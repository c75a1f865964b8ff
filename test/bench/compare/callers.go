package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

// callers play both ends of calls, more of them than SIPp can: callers who begin
// calls whatever becomes of those before, and a phone that answers at once. Both
// send again what gets no answer, as RFC 3261 §17.1 wants of them.
type callers struct {
	target         netip.AddrPort
	calling, phone *net.UDPConn
	wg             sync.WaitGroup

	mu     sync.Mutex // guards what follows
	run    string     // tells these calls from those before
	begun  int
	closed bool // a call begins when another has ended
	calls  map[int]*callState
	rings  map[int][]byte // the phone's answers that were not acknowledged
	wheel  [wheelLen][]callAlarm
	tick   int
	open   int // calls that may still come to something
	result callersResult
}

// A callState is one call of a caller.
type callState struct {
	began            time.Time
	invite, ack, bye []byte
	heard            bool // something came back: the INVITE is not sent again
	refused          bool
	setup            time.Duration // 0: not answered yet
}

// A callersResult is what came of calls.
type callersResult struct {
	begun, completed, refused, repeated int
	// setups are how long it took from INVITE to 200, of the calls that were
	// answered before their caller lost patience.
	setups []float64 // µs
}

// patience is how long a caller waits: who is answered later is gone.
const patience = 4 * time.Second

// wheelTick is how often is looked what is due, wheelLen how many of them the
// longest wait may have.
const (
	wheelTick = 2 * time.Millisecond
	wheelLen  = 4096
)

// A callAlarm is something to be sent again, the first time after T1.
type callAlarm struct {
	n     int
	what  byte // 'I' INVITE, 'B' BYE, 'A' the phone's answer
	after time.Duration
}

const callerT1 = 500 * time.Millisecond

func newCallers(target netip.AddrPort) (*callers, error) {
	c := &callers{target: target}
	for addr, conn := range map[string]**net.UDPConn{callerAddr: &c.calling, calleeAddr: &c.phone} {
		local, err := net.ResolveUDPAddr("udp", addr)
		if err != nil {
			return nil, err
		}
		if *conn, err = net.ListenUDP("udp", local); err != nil {
			return nil, errors.Join(err, c.close())
		}
		if err := (*conn).SetReadBuffer(4 << 20); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	c.wg.Go(func() { c.read(c.calling, c.response) })
	c.wg.Go(func() { c.read(c.phone, c.request) })
	return c, nil
}

// close ends the readers and waits for them.
func (c *callers) close() (err error) {
	for _, conn := range []*net.UDPConn{c.calling, c.phone} {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	c.wg.Wait()
	return err
}

// read hands all that comes to handle, until the socket is closed.
func (c *callers) read(conn *net.UDPConn, handle func(n int, b []byte)) {
	buf := make([]byte, 1<<16)
	for {
		size, err := conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // A port unreachable, at most.
		}
		c.mu.Lock()
		if n, ok := c.number(buf[:size]); ok {
			handle(n, buf[:size])
		}
		c.mu.Unlock()
	}
}

// number is that in the Call-ID, if it is of this run.
func (c *callers) number(b []byte) (int, bool) {
	id := field(b, "Call-ID")
	text, ok := bytes.CutPrefix(id, []byte(c.run+"-"))
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(string(text))
	return n, err == nil
}

// offer begins rate calls a second for so long, or, if rate is 0, so many at once
// and another whenever one has ended. It returns when nothing more can come of them.
func (c *callers) offer(rate float64, atOnce int, lasts time.Duration) callersResult {
	start := time.Now()
	c.mu.Lock()
	c.run, c.begun, c.open, c.tick, c.closed = fmt.Sprint("crowd", start.UnixNano()), 0, 0, 0, rate == 0
	c.calls, c.rings, c.wheel, c.result = map[int]*callState{}, map[int][]byte{}, [wheelLen][]callAlarm{}, callersResult{}
	if c.closed {
		for range atOnce {
			c.begin()
		}
	}
	c.mu.Unlock()
	ticks := time.NewTicker(wheelTick)
	defer ticks.Stop()
	for now := range ticks.C {
		elapsed := now.Sub(start)
		c.mu.Lock()
		if elapsed > lasts+patience || elapsed > lasts && c.open == 0 {
			c.mu.Unlock()
			break
		}
		c.closed = c.closed && elapsed < lasts
		for float64(c.begun) < rate*min(elapsed, lasts).Seconds() {
			c.begin()
		}
		for ; c.tick < int(elapsed/wheelTick); c.tick++ {
			due := c.wheel[c.tick%wheelLen]
			c.wheel[c.tick%wheelLen] = nil
			for _, a := range due {
				c.again(a)
			}
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.result
	c.run, r.begun = "", c.begun
	slices.Sort(r.setups)
	return r
}

// set has something sent again after a time. The callers of this and of all below
// hold mu.
func (c *callers) set(a callAlarm) {
	at := (c.tick + int(a.after/wheelTick)) % wheelLen
	c.wheel[at] = append(c.wheel[at], a)
}

// again sends what is due again, if it is still wanted.
func (c *callers) again(a callAlarm) {
	call := c.calls[a.n]
	var b []byte
	conn := c.calling
	switch a.what {
	case 'I':
		if call != nil && !call.heard {
			b = call.invite
		}
	case 'B':
		if call != nil {
			b = call.bye
		}
	case 'A':
		conn, b = c.phone, c.rings[a.n]
	}
	if b == nil {
		return
	}
	c.result.repeated++
	c.send(conn, b)
	a.after = min(2*a.after, 8*callerT1)
	c.set(a)
}

// send sends to the server. What the system does not take is lost, and comes again.
func (c *callers) send(conn *net.UDPConn, b []byte) {
	conn.WriteToUDPAddrPort(b, c.target) //nolint:errcheck // as said
}

// begin begins a call.
func (c *callers) begin() {
	n := c.begun
	c.begun++
	c.open++
	call := &callState{began: time.Now(), invite: c.caller("INVITE", "sip:"+callee+"@example.com", n, 'i', 1, "", "", callBody)}
	c.calls[n] = call
	c.send(c.calling, call.invite)
	c.set(callAlarm{n: n, what: 'I', after: callerT1})
}

// ended forgets a call.
func (c *callers) ended(n int) {
	delete(c.calls, n)
	c.open--
	if c.closed {
		c.begin()
	}
}

// response is what a caller does with one.
func (c *callers) response(n int, b []byte) {
	call := c.calls[n]
	status, err := strconv.Atoi(string(b[min(len(b), 8):min(len(b), 11)]))
	if call == nil || err != nil {
		return
	}
	to := "To: " + string(field(b, "To")) + "\r\n"
	_, tag, _ := bytes.Cut([]byte(to), []byte(">"))
	switch invite := bytes.HasSuffix(field(b, "CSeq"), []byte("INVITE")); {
	case !invite && status >= 200:
		// Hung up.
		if call.setup <= patience {
			c.result.completed++
			c.result.setups = append(c.result.setups, microseconds(call.setup))
		}
		c.ended(n)
	case !invite:
	case status < 200:
		call.heard = true
	case status < 300 && call.ack == nil:
		call.heard, call.setup = true, time.Since(call.began)
		uri := string(bytes.Trim(field(b, "Contact"), "<>"))
		routes := fields(b, "Record-Route")
		slices.Reverse(routes)
		var route string
		for _, r := range routes {
			route += "Route: " + r + "\r\n"
		}
		call.ack = c.caller("ACK", uri, n, 'a', 1, string(bytes.TrimSpace(tag)), route, "")
		call.bye = c.caller("BYE", uri, n, 'b', 2, string(bytes.TrimSpace(tag)), route, "")
		c.send(c.calling, call.ack)
		c.send(c.calling, call.bye)
		c.set(callAlarm{n: n, what: 'B', after: callerT1})
	case status < 300:
		c.send(c.calling, call.ack)
	default:
		c.send(c.calling, c.caller("ACK", "sip:"+callee+"@example.com", n, 'i', 1, string(bytes.TrimSpace(tag)), "", ""))
		call.heard = true
		if !call.refused {
			// It stays, for copies of the answer.
			call.refused = true
			c.result.refused++
			c.open--
			if c.closed {
				c.begin()
			}
		}
	}
}

// caller writes a request of the caller.
func (c *callers) caller(method, uri string, n int, branch byte, cseq int, tag, route, body string) []byte {
	return fmt.Appendf(nil, "%[1]s %[2]s SIP/2.0\r\nVia: SIP/2.0/UDP %[3]s;branch=z9hG4bK%[4]c%[5]s-%[6]d\r\n%[7]sMax-Forwards: 70\r\n"+
		"From: \"Alice\" <sip:alice@example.com>;tag=a%[6]d\r\nTo: <sip:%[8]s@example.com>%[9]s\r\nCall-ID: %[5]s-%[6]d\r\nCSeq: %[10]d %[1]s\r\n"+
		"Contact: <sip:alice@%[3]s>\r\nAllow: INVITE, ACK, CANCEL, OPTIONS, BYE, UPDATE\r\nSupported: replaces, outbound\r\nUser-Agent: caller\r\n"+
		"Content-Type: application/sdp\r\nContent-Length: %[11]d\r\n\r\n%[12]s",
		method, uri, callerAddr, branch, c.run, n, route, callee, tag, cseq, len(body), body)
}

// request is what the phone does with one.
func (c *callers) request(n int, b []byte) {
	switch {
	case bytes.HasPrefix(b, []byte("INVITE ")):
		c.send(c.phone, answer(b, n, "180 Ringing", ""))
		if c.rings[n] == nil {
			c.set(callAlarm{n: n, what: 'A', after: callerT1})
		}
		c.rings[n] = answer(b, n, "200 OK", callBody)
		c.send(c.phone, c.rings[n])
	case bytes.HasPrefix(b, []byte("ACK ")):
		delete(c.rings, n)
	case bytes.HasPrefix(b, []byte("BYE ")):
		delete(c.rings, n)
		c.send(c.phone, answer(b, n, "200 OK", ""))
	}
}

// answer writes the phone's answer to a request.
func answer(b []byte, n int, status, body string) []byte {
	out := append(append([]byte("SIP/2.0 "), status...), "\r\n"...)
	for _, name := range []string{"Via", "Record-Route", "From", "To", "Call-ID", "CSeq"} {
		for _, v := range fields(b, name) {
			out = fmt.Appendf(out, "%s: %s", name, v)
			if name == "To" && !bytes.Contains([]byte(v), []byte(";tag=")) {
				out = fmt.Appendf(out, ";tag=b%d", n)
			}
			out = append(out, "\r\n"...)
		}
	}
	return fmt.Appendf(out, "Contact: <sip:%s@%s>\r\nUser-Agent: callee\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
		callee, calleeAddr, len(body), body)
}

// callBody is what either end offers.
const callBody = "v=0\r\no=bob 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40002 RTP/AVP 8 101\r\n" +
	"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"

// field is the first header field of a name, in its long form.
func field(b []byte, name string) []byte {
	_, rest, ok := bytes.Cut(b, []byte("\r\n"+name+": "))
	if !ok {
		return nil
	}
	value, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return value
}

// fields are all of a name.
func fields(b []byte, name string) (values []string) {
	for {
		_, rest, ok := bytes.Cut(b, []byte("\r\n"+name+": "))
		if !ok {
			return values
		}
		value, _, _ := bytes.Cut(rest, []byte("\r\n"))
		values = append(values, string(value))
		b = rest[len(value):]
	}
}
