package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/configs"
	"reveille/internal/app"
	"reveille/push/pushsim"
)

// A rig is a server in process, with pretend push services behind it.
type rig struct {
	b    *testing.B
	app  *app.App
	sim  *pushsim.Server
	addr *net.UDPAddr
}

// newRig starts a server that asks nobody for credentials and pushes always.
// received is called when a push arrives at the push service.
func newRig(b *testing.B, received func(pushsim.Push)) *rig {
	b.Helper()
	sim, err := pushsim.Start(pushsim.Options{OnReceive: received, MaxPushes: 10})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { sim.Close() })
	dir := b.TempDir()
	for name, content := range map[string][]byte{"ca.pem": sim.Credentials().CAPEM(), "fcm.json": sim.ServiceAccountJSON()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	cfg, _, err := configs.Parse(filepath.Join(dir, "bench.yaml"), []byte(fmt.Sprintf(`
listen:
  - {name: udp, transport: udp, addr: "127.0.0.1:0", sockets: 1}
domains: [example.com]
http: {addr: ""}
push:
  policy: {default: always}
  wait: {invite: {default: 170s}}
  apps:
    - name: android
      param: %s
      queue: 100000
      fcm: {service_account_file: fcm.json, endpoint: %q, ca_file: ca.pem}
`, pushsim.ProjectID, sim.FCMEndpoint())), configs.Env{})
	if err != nil {
		b.Fatal(err)
	}
	a, err := app.New(app.Options{Config: cfg})
	if err != nil {
		b.Fatal(err)
	}
	if err := a.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // What still waits is not waited for.
		a.Stop(ctx)
	})
	return &rig{b: b, app: a, sim: sim, addr: a.Addr("udp").(*net.UDPAddr)}
}

// A peer is a UDP socket that speaks to the server.
type peer struct {
	b    *testing.B
	conn *net.UDPConn
	buf  []byte
	last []byte // what hear has read, in buf
}

func (r *rig) peer() *peer {
	r.b.Helper()
	c, err := net.DialUDP("udp", nil, r.addr)
	if err != nil {
		r.b.Fatal(err)
	}
	r.b.Cleanup(func() { c.Close() })
	return &peer{b: r.b, conn: c, buf: make([]byte, 64<<10)}
}

func (p *peer) addr() string { return p.conn.LocalAddr().String() }

func (p *peer) send(s string) {
	p.b.Helper()
	if _, err := p.conn.Write([]byte(s)); err != nil {
		p.b.Fatal(err)
	}
}

// receive returns the next message that starts so.
func (p *peer) receive(start string) string {
	p.b.Helper()
	p.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		n, err := p.conn.Read(p.buf)
		if err != nil {
			p.b.Fatalf("waiting for %s: %v", start, err)
		}
		if m := string(p.buf[:n]); strings.HasPrefix(m, start) {
			return m
		}
	}
}

func (p *peer) register(user string, cseq int) {
	p.b.Helper()
	p.send(fmt.Sprintf("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP %[1]s;rport;branch=z9hG4bKr%[2]s-%[3]d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%[2]s@example.com>;tag=r\r\nTo: <sip:%[2]s@example.com>\r\nCall-ID: reg-%[2]s\r\nCSeq: %[3]d REGISTER\r\n"+
		"Contact: <sip:%[2]s@%[1]s;pn-provider=fcm;pn-param=%[4]s;pn-prid=token-of-%[2]s:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx0123456789abcdef0123456789abcdef0123456789abcdef>;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-%012[3]d>\"\r\n"+
		"Expires: 3600\r\nUser-Agent: bench/1.0\r\nContent-Length: 0\r\n\r\n", p.addr(), user, cseq, pushsim.ProjectID))
	p.receive("SIP/2.0 200 ")
}

// sdp is what a phone that calls would offer.
const sdp = "v=0\r\no=- 3800 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 96 0 8 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"

func (p *peer) invite(user, callID string) {
	p.b.Helper()
	p.send(fmt.Sprintf("INVITE sip:%[2]s@example.com SIP/2.0\r\nVia: SIP/2.0/UDP %[1]s;rport;branch=z9hG4bKi%[3]s\r\nMax-Forwards: 70\r\n"+
		"From: \"Bob\" <sip:bob@example.net>;tag=c%[3]s\r\nTo: <sip:%[2]s@example.com>\r\nCall-ID: %[3]s@bench.example.net\r\nCSeq: 1 INVITE\r\n"+
		"Contact: <sip:bob@%[1]s>\r\nUser-Agent: bench/1.0\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE\r\nSupported: timer, replaces\r\n"+
		"Content-Type: application/sdp\r\nContent-Length: %[4]d\r\n\r\n%[5]s", p.addr(), user, callID, len(sdp), sdp))
}

// percentiles reports p50 and p99 of what was measured, in microseconds.
func percentiles(b *testing.B, name string, d []time.Duration) {
	slices.Sort(d)
	at := func(q float64) float64 { return float64(d[min(int(q*float64(len(d))), len(d)-1)].Nanoseconds()) / 1e3 }
	b.ReportMetric(at(.50), name+"-p50-µs")
	b.ReportMetric(at(.99), name+"-p99-µs")
}
