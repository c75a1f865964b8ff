package app

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/configs"
	"reveille/internal/rtpengine"
)

// A ngServer is a pretend rtpengine. It writes into SDP which command it came with.
type ngServer struct {
	conn net.PacketConn
	mu   sync.Mutex
	got  []string // verbs but for ping
}

func newNGServer(t *testing.T) *ngServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &ngServer{conn: conn}
	var running sync.WaitGroup
	running.Go(s.serve)
	t.Cleanup(func() {
		conn.Close()
		running.Wait()
	})
	return s
}

func (s *ngServer) serve() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		cookie, command, _ := strings.Cut(string(buf[:n]), " ")
		answer := "d6:result4:ponge"
		for _, verb := range []string{"offer", "answer", "delete"} {
			if !strings.Contains(command, fmt.Sprintf("7:command%d:%s", len(verb), verb)) {
				continue
			}
			s.mu.Lock()
			s.got = append(s.got, verb)
			s.mu.Unlock()
			sdp := "v=0\r\ns=" + verb + "\r\n"
			answer = "d6:result2:ok3:sdp" + strconv.Itoa(len(sdp)) + ":" + sdp + "e"
		}
		if _, err := s.conn.WriteTo([]byte(cookie+" "+answer), from); err != nil {
			return
		}
	}
}

func (s *ngServer) verbs() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.got, " ")
}

// TestMedia_ThroughAnEngine: a browser behind another proxy calls a desk phone.
func TestMedia_ThroughAnEngine(t *testing.T) {
	engine := newNGServer(t)
	desk, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	r := newRig(t,
		"media: {engines: [{addr: '"+engine.conn.LocalAddr().String()+"'}], timeout: 5s, ping: 1m}",
		"auth: {mode: {proxy: off}}",
		"aors: [{aor: desk@example.com, contacts: ['sip:desk@"+desk.LocalAddr().String()+"']}]",
	)
	browser := r.dial("udp")
	sdp := "v=0\r\ns=browser\r\n"
	invite := browser.request("INVITE", "sip:desk@example.com", "To: <sip:desk@example.com>", "Contact: <sip:x@abc.invalid;transport=ws>",
		"Content-Type: application/sdp", "Content-Length: "+strconv.Itoa(len(sdp)))
	browser.send(invite + sdp)
	at, from := readSIP(t, desk, "INVITE ")
	if _, body, _ := strings.Cut(at, "\r\n\r\n"); body != "v=0\r\ns=offer\r\n" {
		t.Errorf("the phone got %q", body)
	}
	if _, err := desk.WriteTo([]byte(answerWith(at, sdp)), from); err != nil {
		t.Fatal(err)
	}
	var ok string
	for !strings.HasPrefix(ok, "SIP/2.0 200") {
		if ok = browser.response(); ok == "" {
			t.Fatal("no answer came")
		}
	}
	if _, body, _ := strings.Cut(ok, "\r\n\r\n"); body != "v=0\r\ns=answer\r\n" {
		t.Errorf("the browser got %q", body)
	}
	// The phone hangs up, along the Record-Route.
	head := func(name string) (all []string) {
		for line := range strings.SplitSeq(ok, "\r\n") {
			if n, v, found := strings.Cut(line, ": "); found && n == name {
				all = append(all, v)
			}
		}
		return all
	}
	bye := "BYE sip:x@" + browser.conn.LocalAddr().String() + " SIP/2.0\r\nVia: SIP/2.0/UDP " + desk.LocalAddr().String() + ";branch=z9hG4bKbye;rport\r\n" +
		"Max-Forwards: 70\r\nFrom: " + head("To")[0] + "\r\nTo: " + head("From")[0] + "\r\nCall-ID: " + head("Call-ID")[0] + "\r\nCSeq: 1 BYE\r\n"
	for _, route := range head("Record-Route") {
		bye += "Route: " + route + "\r\n"
	}
	if _, err := desk.WriteTo([]byte(bye+"Content-Length: 0\r\n\r\n"), from); err != nil {
		t.Fatal(err)
	}
	got := ""
	for !strings.HasPrefix(got, "BYE ") {
		if got = browser.response(); got == "" {
			t.Fatal("no BYE came")
		}
	}
	browser.send(answerTo(got, 200))
	r.eventually("the end of the call at the engine", func() bool { return engine.verbs() == "offer answer delete" })
	if n := r.metric("reveille_proxy_media_total", "changed"); n != 2 {
		t.Errorf("counted %v changes of SDP, want 2", n)
	}
}

// readSIP reads datagrams until one begins so.
func readSIP(t *testing.T, c net.PacketConn, start string) (text string, from net.Addr) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(buf[:n]); strings.HasPrefix(text, start) {
			return text, from
		}
	}
}

// answerWith is a phone's answer with SDP.
func answerWith(request, sdp string) string {
	head, _, _ := strings.Cut(request, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	out := "SIP/2.0 200 OK\r\n"
	for _, line := range lines[1:] {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "To":
			out += line + ";tag=desk\r\n"
		case "Via", "From", "Call-ID", "CSeq", "Record-Route":
			out += line + "\r\n"
		}
	}
	return out + "Contact: <sip:desk@127.0.0.1>\r\nContent-Type: application/sdp\r\nContent-Length: " + strconv.Itoa(len(sdp)) + "\r\n\r\n" + sdp
}

func TestMedia_Profiles(t *testing.T) {
	cfg, _, err := configs.Parse("r.yaml", []byte(`
media:
  engines: [{addr: "127.0.0.1:2223"}]
  profiles:
    - {name: browser, interface: wan, flags: [x]}
    - {name: teams, ice: optional, protocol: RTP/SAVP, sdes: [on], dtls: "off"}
    - {name: app, like: browser, replace: [origin]}
`), configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	browser, app, teams := rtpengine.Browser(), rtpengine.Browser(), rtpengine.Phone()
	browser.Interface, browser.Flags = "wan", []string{"x"}
	teams.Name, teams.ICE, teams.Protocol, teams.SDES = "teams", "optional", "RTP/SAVP", []string{"on"}
	app.Name, app.Replace = "app", []string{"origin"}
	if d := cmp.Diff([]rtpengine.Profile{browser, rtpengine.Phone(), teams, app}, mediaProfiles(cfg.Media.Profiles)); d != "" {
		t.Errorf("profiles (-want +got):\n%s", d)
	}
}
