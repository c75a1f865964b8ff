//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A baresip is a desk phone: registered, awake, not answering by itself.
type baresip struct {
	s       *server
	out     *safeBuffer
	control string // host:port
}

// baresip starts a phone that can call bob, and waits until it is registered.
func (s *server) baresip(user, transport string) *baresip {
	s.t.Helper()
	dir := s.t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	b := &baresip{s: s, out: &safeBuffer{}, control: fmt.Sprintf("127.0.0.1:%d", freePort(s.t))}
	write("config", fmt.Sprintf(`poll_method epoll
sip_listen 127.0.0.1:%d
sip_cafile %s
sip_transports %s
module_path /usr/lib/baresip/modules
module g711.so
module_app account.so
module_app contact.so
module_app menu.so
module ctrl_tcp.so
ctrl_tcp_listen %s
audio_player nothing,nil
audio_source nothing,nil
`, freePort(s.t), s.ca, transport, b.control))
	write("accounts", fmt.Sprintf("<sip:%[1]s@example.com;transport=%[2]s>;auth_user=%[1]s;auth_pass=secret;outbound=\"sip:%[3]s;transport=%[2]s\";regint=600\n", user, transport, s.at(transport)))
	write("contacts", "\"Bob\" <sip:bob@example.com>\n")
	cmd := exec.Command("baresip", "-f", dir, "-s")
	cmd.Stdout, cmd.Stderr = b.out, b.out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("baresip:\n%s", b.out)
		}
	})
	s.eventually("the desk phone registers", 15*time.Second, func() bool { return strings.Contains(b.out.String(), "200 OK") })
	return b
}

// do gives the phone a command: JSON in a netstring.
func (b *baresip) do(command, params string) {
	b.s.t.Helper()
	c, err := net.Dial("tcp", b.control)
	if err != nil {
		b.s.t.Fatal(err)
	}
	defer c.Close()
	text, err := json.Marshal(map[string]string{"command": command, "params": params})
	if err != nil {
		b.s.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(c, "%d:%s,", len(text), text); err != nil {
		b.s.t.Fatal(err)
	}
	// It takes the next connection when it has answered on this one.
	c.Read(make([]byte, 4096))
}

func (b *baresip) rang() bool { return strings.Contains(b.out.String(), "SIP/2.0 180 Ringing") }

// stopped reports whether the call was cancelled because it was answered
// elsewhere.
func (b *baresip) stopped() bool {
	return strings.Contains(b.out.String(), "CANCEL sip:") && strings.Contains(b.out.String(), "SIP;cause=200")
}

// sipp runs a scenario of testdata once, and fails the test if it does.
func (s *server) sipp(scenario string, args ...string) {
	s.t.Helper()
	s.sippStart(scenario, args...)()
}

// sippStart starts a scenario and returns what waits for its end.
func (s *server) sippStart(scenario string, args ...string) (wait func()) {
	s.t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", scenario))
	if err != nil {
		s.t.Fatal(err)
	}
	args = append([]string{"-sf", path, s.addr, "-s", "alice", "-i", "127.0.0.1", "-m", "1", "-nostdin", "-timeout", "20s", "-trace_err"}, args...)
	cmd := exec.Command("sipp", args...)
	cmd.Dir = s.t.TempDir()
	out := &safeBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.t.Cleanup(func() { cmd.Process.Kill() })
	return func() {
		s.t.Helper()
		if err := <-ended; err != nil {
			text := out.String()
			errs, _ := filepath.Glob(filepath.Join(cmd.Dir, "*_errors.log"))
			for _, e := range errs {
				b, _ := os.ReadFile(e)
				text += string(b)
			}
			s.t.Fatalf("sipp %s: %v\n%s", scenario, err, text)
		}
	}
}

// A wire is a phone whose every message a test writes itself.
type wire struct {
	s    *server
	conn net.Conn
	buf  string
}

func (s *server) dial(network string) *wire {
	s.t.Helper()
	c, err := net.Dial(network, s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return &wire{s: s, conn: c}
}

// addr is the wire's own address.
func (w *wire) addr() string { return w.conn.LocalAddr().String() }

// via is a Via value with a branch of that name.
func (w *wire) via(branch string) string {
	return fmt.Sprintf("SIP/2.0/%s %s;rport;branch=z9hG4bK-%s", strings.ToUpper(w.conn.LocalAddr().Network()), w.addr(), branch)
}

// send writes a message whose lines end in \n.
func (w *wire) send(lines ...string) {
	w.s.t.Helper()
	head := strings.Join(lines, "\r\n") + "\r\nContent-Length: 0\r\n\r\n"
	if _, err := w.conn.Write([]byte(head)); err != nil {
		w.s.t.Fatal(err)
	}
}

// receive returns the next message, "" if none comes within limit.
func (w *wire) receive(limit time.Duration) string {
	w.s.t.Helper()
	w.conn.SetReadDeadline(time.Now().Add(limit))
	b := make([]byte, 64<<10)
	for {
		if head, rest, ok := strings.Cut(w.buf, "\r\n\r\n"); ok {
			n := 0
			fmt.Sscanf(header(head+"\r\n", "Content-Length"), "%d", &n)
			if len(rest) >= n {
				w.buf = rest[n:]
				return head + "\r\n"
			}
		}
		n, err := w.conn.Read(b)
		if err != nil {
			return ""
		}
		w.buf += string(b[:n])
	}
}

// expect returns the next message that starts so; answers 100 are passed over.
func (w *wire) expect(start string) string {
	w.s.t.Helper()
	for {
		m := w.receive(10 * time.Second)
		if strings.HasPrefix(m, "SIP/2.0 100 ") {
			continue
		}
		if !strings.HasPrefix(m, start) {
			w.s.t.Fatalf("received %q, want %q", firstLine(m), start)
		}
		return m
	}
}

func firstLine(m string) string { line, _, _ := strings.Cut(m, "\r\n"); return line }

// header returns the first value of a header field.
func header(m, name string) string {
	for _, line := range strings.Split(m, "\r\n")[1:] {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// headers returns the lines of these header fields, all of each, as they are.
func headers(m string, names ...string) []string {
	var out []string
	for _, line := range strings.Split(m, "\r\n")[1:] {
		n, _, _ := strings.Cut(line, ":")
		for _, name := range names {
			if strings.EqualFold(n, name) {
				out = append(out, line)
			}
		}
	}
	return out
}

// register registers user with a token ("" for none) and returns the 200.
func (w *wire) register(user, token string, cseq int) string {
	w.s.t.Helper()
	contact := fmt.Sprintf("<sip:%s@%s;transport=%s", user, w.addr(), w.conn.LocalAddr().Network())
	if token != "" {
		contact += ";pn-provider=fcm;pn-param=demo-project;pn-prid=" + token
	}
	w.send("REGISTER sip:example.com SIP/2.0",
		"Via: "+w.via(fmt.Sprintf("r-%s-%d", user, cseq)), "Max-Forwards: 70",
		"From: <sip:"+user+"@example.com>;tag=r", "To: <sip:"+user+"@example.com>",
		"Call-ID: r-"+w.addr(), fmt.Sprintf("CSeq: %d REGISTER", cseq), "Expires: 600",
		"Contact: "+contact+`>;+sip.instance="<urn:uuid:00000000-0000-4000-8000-00000000`+fmt.Sprintf("%04x", len(user))+`>"`)
	return w.expect("SIP/2.0 200 ")
}

// reply answers a request.
func (w *wire) reply(m string, status string, extra ...string) {
	w.s.t.Helper()
	lines := append([]string{"SIP/2.0 " + status}, headers(m, "Via", "Record-Route", "From", "Call-ID", "CSeq")...)
	to := header(m, "To")
	if !strings.Contains(to, ";tag=") {
		to += ";tag=callee"
	}
	w.send(append(append(lines, "To: "+to), extra...)...)
}
