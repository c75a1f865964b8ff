//go:build browser

package browser

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"reveille/internal/phone"
	"reveille/test/engine"
)

// TestMedia_PageTalksToAPhone has a phone that speaks plain RTP call the page, and both
// hear each other.
func TestMedia_PageTalksToAPhone(t *testing.T) {
	e := engine.Start(t)
	r := newRig(t, stacks()[0], fmt.Sprintf("media: {engines: [{addr: %q}], timeout: 3s}", e.Addr))
	v := newVoice(t)
	answers := make(chan string, 1)
	bob := r.phone(phone.Options{SDP: v.sdp(), On: func(e phone.Event) {
		if e.Kind == phone.Connected {
			answers <- e.Body
		}
	}})
	page := r.browser().open(r.page)
	page.login()
	page.eval(countPackets)
	calling := r.call(bob)
	page.expect("state", "ringing")
	page.click("answer")
	call := calling.answered(t)
	page.expect("state", "in a call")
	v.talk(<-answers)
	if !within(patience, func() bool {
		n, _ := strconv.Atoi(page.eval("received()"))
		return n >= 10 && v.heard.Load() >= 10
	}) {
		t.Errorf("the page has received %s packets of the phone's voice, and the phone %d of the page's; want 10 each", page.eval("received()"), v.heard.Load())
	}
	page.click("hangup")
	page.expect("state", "registered")
	if !within(patience, func() bool { return !e.Has(call.CallID()) }) {
		t.Error("the engine does not forget the call")
	}
}

// countPackets has received return how many packets of voice the page has got and
// could decrypt.
const countPackets = `(() => {
  const PeerConnection = RTCPeerConnection
  let peer, packets = 0
  window.RTCPeerConnection = function (...options) { return peer = new PeerConnection(...options) }
  window.received = () => {
    peer?.getStats().then(all => all.forEach(s => { if (s.type === 'inbound-rtp') packets = s.packetsReceived }))
    return String(packets)
  }
  return ''
})()`

// A voice is the RTP of a phone.
type voice struct {
	t    *testing.T
	conn *net.UDPConn
	// heard counts the packets of PCMU that came.
	heard atomic.Int32
}

func newVoice(t *testing.T) *voice {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	v := &voice{t: t, conn: conn}
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			// RFC 3550 §5.1, RFC 3551 §6: version 2, payload type 0, and 20 ms of it.
			if n == 12+160 && b[0]>>6 == 2 && b[1]&0x7f == 0 {
				v.heard.Add(1)
			}
		}
	}()
	return v
}

// sdp is what the phone offers.
func (v *voice) sdp() string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n", v.conn.LocalAddr().(*net.UDPAddr).Port)
}

// talk sends a packet each 20 ms to where the answer wants it, until the test ends.
func (v *voice) talk(answer string) {
	v.t.Helper()
	to := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	_, m, _ := strings.Cut(answer, "m=audio ")
	if _, err := fmt.Sscanf(m, "%d RTP/AVP 0", &to.Port); err != nil {
		v.t.Fatalf("the phone is answered\n%s", answer)
	}
	done := make(chan struct{})
	stop := make(chan struct{})
	v.t.Cleanup(func() {
		close(stop)
		<-done
	})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		packet := make([]byte, 12+160)
		packet[0] = 2 << 6
		for seq := uint16(0); ; seq++ {
			packet[2], packet[3] = byte(seq>>8), byte(seq)
			at := 160 * uint32(seq)
			packet[4], packet[5], packet[6], packet[7] = byte(at>>24), byte(at>>16), byte(at>>8), byte(at)
			_, _ = v.conn.WriteToUDP(packet, to)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
}
