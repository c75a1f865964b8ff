package app

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"reveille/internal/sipmsg"
)

// A torture is a case of RFC 4475 or RFC 5118, as internal/sipmsg wrote it.
type torture struct {
	name, raw string
	want      int // 0: well formed; -1: dropped; else the status
}

func tortures(t *testing.T) (list []torture) {
	t.Helper()
	text, err := os.ReadFile("../sipmsg/testdata/torture.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		want, err := strconv.Atoi(fields[0])
		if err != nil {
			t.Fatal(err)
		}
		raw, err := strconv.Unquote(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, torture{fields[1], raw, want})
	}
	if len(list) < 50 {
		t.Fatalf("%d cases", len(list))
	}
	return list
}

// A speaker sends whole messages over some transport and reads the answers.
type speaker interface {
	send(msg string)
	// read returns the next message; an error is the end of the connection.
	read() (string, error)
}

// The cases get the same answers whatever they come by, and do no harm to what
// comes after them on the same connection.
func TestTorture_SameAnswersOverEveryTransport_RFC4475_RFC5118(t *testing.T) {
	t.Parallel()
	rigs := map[string]*rig{} // One each, so that none gets copies of what another got.
	for _, name := range []string{"udp", "tcp", "ws"} {
		rigs[name] = newRig(t, openYAML, fmt.Sprintf(`listen: [{name: %[1]s, transport: %[1]s, addr: "127.0.0.1:0"}]`, name))
	}
	for i, tt := range tortures(t) {
		t.Run(tt.name, func(t *testing.T) {
			tt.raw = withBranch(tt.raw, i)
			m, _ := sipmsg.Parse([]byte(tt.raw), netip.MustParseAddrPort("127.0.0.1:5060"))
			answered := m != nil && m.IsRequest() && m.Method() != "ACK"
			overUDP := result(t, rigs["udp"].udpSpeaker(t, m), tt.raw, answered, i)
			switch {
			case !answered && overUDP != "":
				t.Errorf("UDP: answered with %s", overUDP)
			case tt.want > 0 && overUDP != strconv.Itoa(tt.want), tt.want == 0 && answered && overUDP == "":
				t.Errorf("UDP: answered with %q, want %d", overUDP, tt.want)
			}
			for name, s := range map[string]speaker{"tcp": rigs["tcp"].tcpSpeaker(t), "ws": rigs["ws"].wsSpeaker(t)} {
				raw, want, answered := tt.raw, overUDP, answered
				switch kind, n, err := sipmsg.Frame([]byte(raw), 0); {
				case name == "tcp" && errors.Is(err, sipmsg.ErrNoLength):
					raw = withLength(raw) // As whoever sends by TCP has to.
				case name == "tcp" && err == nil && kind == sipmsg.FrameMore:
					continue // The rest of it would be waited for.
				case name == "tcp" && err != nil:
					// The next message cannot be found: the connection ends.
					if code, _, _ := sipmsg.StatusOf(err); answered {
						want = strconv.Itoa(code)
					}
					want += " closed"
				case err == nil && kind == sipmsg.FrameMessage && n < len(raw):
					// RFC 4475 §3.1.1.8 is about datagrams. To TCP what follows is the next
					// message; a WebSocket message must not hold it (RFC 7118 §5).
					if name == "tcp" {
						raw = raw[:n]
					} else {
						want = "400"
					}
				}
				if got := result(t, s, raw, answered, i); strings.TrimSpace(want) != got {
					t.Errorf("%s: answered with %q, UDP %q", name, got, overUDP)
				}
			}
		})
	}
}

// withBranch gives the transactions of the case names of their own: many of the
// cases share one, and would be taken for copies. That of a bare cookie stays.
func withBranch(raw string, n int) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	head = regexp.MustCompile(`branch=z9hG4bK[^;,\s]+`).ReplaceAllString(head, fmt.Sprintf("${0}n%d", n))
	return head + "\r\n\r\n" + body
}

// withLength adds the Content-Length that stands for all that follows the header
// section.
func withLength(raw string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	return fmt.Sprintf("%s\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

// result sends raw and a request that shows whether the server still listens. It
// returns the status of the final answer to raw, and "closed" if there was none to
// the other.
func result(t *testing.T, s speaker, raw string, answered bool, n int) string {
	t.Helper()
	probe := fmt.Sprintf("OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKprobe%[1]d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:probe@example.com>;tag=1\r\nTo: <sip:example.com>\r\nCall-ID: probe-%[1]d\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", n)
	s.send(raw)
	status := ""
	for final := !answered; ; {
		if final {
			s.send(probe)
		}
		msg, err := s.read()
		if err != nil {
			return strings.TrimSpace(status + " closed")
		}
		if final && strings.Contains(msg, "\r\nCall-ID: probe-") {
			return status
		}
		code, _, _ := strings.Cut(strings.TrimPrefix(msg, "SIP/2.0 "), " ")
		if code >= "200" {
			if final {
				t.Errorf("a second final answer: %s", msg)
			}
			status, final = code, true
		}
	}
}

type udpSpeaker struct {
	t    *testing.T
	conn net.Conn
}

// udpSpeaker sends from where the answers to m go: to the port in its Via, unless
// that has an rport (RFC 3581). The port is given, so this process has an address of
// its own.
func (r *rig) udpSpeaker(t *testing.T, m *sipmsg.Message) speaker {
	t.Helper()
	pid := os.Getpid()
	local := &net.UDPAddr{IP: net.IPv4(127, byte(64|pid>>16), byte(pid>>8), byte(pid))}
	if m != nil && m.IsRequest() && len(m.Vias()) > 0 {
		local.Port = 5060
		if port, err := strconv.Atoi(m.TopVia().Port); err == nil {
			local.Port = port
		}
	}
	c, err := net.DialUDP("udp", local, r.Addr("udp").(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &udpSpeaker{t, c}
}

func (s *udpSpeaker) send(msg string) {
	if _, err := io.WriteString(s.conn, msg); err != nil {
		s.t.Fatal(err)
	}
}

func (s *udpSpeaker) read() (string, error) {
	buf := make([]byte, 65536)
	n, err := s.conn.Read(buf)
	if err != nil {
		s.t.Fatalf("no answer: %v", err)
	}
	return string(buf[:n]), nil
}

type tcpSpeaker struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (r *rig) tcpSpeaker(t *testing.T) speaker {
	t.Helper()
	c, err := net.Dial("tcp", r.Addr("tcp").String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &tcpSpeaker{t, c, bufio.NewReader(c)}
}

// The server may have closed; then read says so.
func (s *tcpSpeaker) send(msg string) { _, _ = io.WriteString(s.conn, msg) }

func (s *tcpSpeaker) read() (string, error) {
	var buf []byte
	for {
		b, err := s.r.ReadByte()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.t.Fatalf("no answer behind %q", buf)
		}
		if err != nil {
			return "", err
		}
		buf = append(buf, b)
		if kind, n, err := sipmsg.Frame(buf, 0); err != nil || kind == sipmsg.FrameMessage {
			return string(buf[:n]), err
		}
	}
}

type wsSpeaker struct {
	t    *testing.T
	r    *rig
	conn *websocket.Conn
}

func (r *rig) wsSpeaker(t *testing.T) speaker {
	t.Helper()
	c, _, err := websocket.Dial(r.within(), "ws://"+r.Addr("ws").String(), &websocket.DialOptions{Subprotocols: []string{"sip"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return &wsSpeaker{t, r, c}
}

func (s *wsSpeaker) send(msg string) {
	// Not all of them are UTF-8.
	if err := s.conn.Write(s.r.within(), websocket.MessageBinary, []byte(msg)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *wsSpeaker) read() (string, error) {
	_, b, err := s.conn.Read(s.r.within())
	return string(b), err
}

// TestRegister_UserInTheRequestURI_RFC3261_10_2: examples of RFCs, and phones after them, name
// the user where the domain belongs (RFC 3261 §10.2). They mean themselves, and the fast
// path means the same.
func TestRegister_UserInTheRequestURI_RFC3261_10_2(t *testing.T) {
	r := newRig(t, openYAML)
	p := r.rawPhone()
	for i := range 3 {
		p.send("REGISTER", "sip:alice@example.com", "reg", i+1)
		p.next("200")
	}
	if n := r.metric("reveille_usrloc_bindings"); n != 1 {
		t.Errorf("%v bindings, want 1", n)
	}
	p.send("REGISTER", "sip:alice@elsewhere.invalid", "other", 1)
	if m := p.next("403"); m.Status() != 403 {
		t.Errorf("of another domain: %d", m.Status())
	}
}
