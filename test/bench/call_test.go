package bench

import (
	"bytes"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"reveille/push/pushsim"
)

// BenchmarkCall is one relayed call, from the INVITE to the 200 to the BYE, to a
// phone without push. Both phones are in the process: they add thirteen system
// calls, and few allocations.
func BenchmarkCall(b *testing.B) {
	r := newRig(b, func(pushsim.Push) {})
	callee, caller := r.peer(), r.peer()
	callee.send(fmt.Sprintf("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP %[1]s;rport;branch=z9hG4bKr\r\nMax-Forwards: 70\r\n"+
		"From: <sip:alice@example.com>;tag=r\r\nTo: <sip:alice@example.com>\r\nCall-ID: reg\r\nCSeq: 1 REGISTER\r\n"+
		"Contact: <sip:alice@%[1]s>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n", callee.addr()))
	callee.receive("SIP/2.0 200 ")
	callee.conn.SetReadDeadline(time.Time{})
	var out []byte
	n, before := 0, heap()
	b.ReportAllocs()
	for ; b.Loop(); n++ {
		callID := fmt.Sprintf("call%d", n)
		caller.invite("alice", callID)
		callee.hear("INVITE ")
		out = answer(out[:0], "180 Ringing", callee.last, "Contact: <sip:alice@"+callee.addr()+">\r\nContent-Length: 0\r\n\r\n")
		callee.write(out)
		caller.hear("SIP/2.0 180 ")
		out = answer(out[:0], "200 OK", callee.last, "Contact: <sip:alice@"+callee.addr()+">\r\nContent-Type: application/sdp\r\nContent-Length: "+strconv.Itoa(len(sdp))+"\r\n\r\n"+sdp)
		callee.write(out)
		caller.hear("SIP/2.0 200 ")
		route := routeSet(caller.last)
		caller.inDialog("ACK", 1, callID, route, callee.addr())
		callee.hear("ACK ")
		caller.inDialog("BYE", 2, callID, route, callee.addr())
		callee.hear("BYE ")
		callee.write(answer(out[:0], "200 OK", callee.last, "Content-Length: 0\r\n\r\n"))
		caller.hear("SIP/2.0 200 ")
	}
	// What transactions keep for 64*T1 against copies of what was sent.
	b.ReportMetric(float64(heap()-before)/float64(n), "B-held/op")
	runtime.KeepAlive(r)
}

// hear waits for the next message that starts so, which is last until the next.
func (p *peer) hear(start string) {
	p.b.Helper()
	for {
		n, err := p.conn.Read(p.buf)
		if err != nil {
			p.b.Fatalf("waiting for %s: %v", start, err)
		}
		if p.last = p.buf[:n]; bytes.HasPrefix(p.last, []byte(start)) {
			return
		}
	}
}

func (p *peer) write(b []byte) {
	p.b.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.b.Fatal(err)
	}
}

// inDialog sends a request of the caller.
func (p *peer) inDialog(method string, cseq int, callID, route, contact string) {
	p.b.Helper()
	p.write(fmt.Appendf(nil, "%[1]s sip:alice@%[2]s SIP/2.0\r\nVia: SIP/2.0/UDP %[3]s;rport;branch=z9hG4bK%[1]s%[4]s\r\n%[6]sMax-Forwards: 70\r\n"+
		"From: \"Bob\" <sip:bob@example.net>;tag=c%[4]s\r\nTo: <sip:alice@example.com>;tag=t\r\nCall-ID: %[4]s@bench.example.net\r\nCSeq: %[5]d %[1]s\r\nContent-Length: 0\r\n\r\n",
		method, contact, p.addr(), callID, cseq, route))
}

// answer appends the answer to a request to dst.
func answer(dst []byte, status string, request []byte, rest string) []byte {
	dst = append(append(append(dst, "SIP/2.0 "...), status...), "\r\n"...)
	for line := range bytes.SplitAfterSeq(request, []byte("\n")) {
		name, _, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "Via", "Record-Route", "From", "Call-ID", "CSeq":
			dst = append(dst, line...)
		case "To":
			dst = append(dst, bytes.TrimRight(line, "\r\n")...)
			if !bytes.Contains(line, []byte(";tag=")) {
				dst = append(dst, ";tag=t"...)
			}
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, rest...)
}

// routeSet are the Routes of the caller of a dialog that begins with a 200.
func routeSet(ok []byte) (route string) {
	for line := range strings.Lines(string(ok)) {
		if value, found := strings.CutPrefix(line, "Record-Route:"); found {
			route = "Route:" + value + route
		}
	}
	return route
}
