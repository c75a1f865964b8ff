package sipmsg

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// frames takes stream apart, handing it over in chunks that end at the given
// offsets, and describes each unit; at the end it describes what is left.
func frames(stream string, max int, splits ...int) (units []string) {
	f := NewFramer(max)
	var buf []byte
	read := 0
	for _, end := range append(splits, len(stream)) {
		if end < read || end > len(stream) {
			continue
		}
		buf = append(buf, stream[read:end]...)
		read = end
		for {
			kind, n, err := f.Next(buf)
			if err != nil {
				code, _, _ := StatusOf(err)
				return append(units, fmt.Sprintf("error %d, head %d", code, n))
			}
			if kind == FrameMore {
				break
			}
			units = append(units, fmt.Sprintf("%s %q", kind, buf[:n]))
			buf = buf[n:]
		}
	}
	if len(buf) > 0 {
		units = append(units, fmt.Sprintf("left %q", buf))
	}
	return units
}

func TestFrame(t *testing.T) {
	head := func(length string) string {
		return "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=b\r\n" + length + "\r\n"
	}
	ok := head("Content-Length: 3\r\n") + "abc"
	long := head("l: 0\r\nX: " + strings.Repeat("x", 400) + "\r\n")
	tests := []struct {
		name   string
		stream string
		want   []string
	}{
		{"nothing", "", nil},
		{"message", ok, []string{fmt.Sprintf("message %q", ok)}},
		{"two messages", ok + ok, []string{fmt.Sprintf("message %q", ok), fmt.Sprintf("message %q", ok)}},
		{"body incomplete", ok[:len(ok)-1], []string{fmt.Sprintf("left %q", ok[:len(ok)-1])}},
		{"header section incomplete", "OPTIONS sip:h SIP/2.0\r\nVia", []string{`left "OPTIONS sip:h SIP/2.0\r\nVia"`}},
		{"compact and folded length", head("l\t:\r\n 003\r\n") + "abc", []string{fmt.Sprintf("message %q", head("l\t:\r\n 003\r\n")+"abc")}},
		{"ping", "\r\n\r\n", []string{`ping "\r\n\r\n"`}},
		{"ping, pong, message", "\r\n\r\n\r\n" + ok, []string{`ping "\r\n\r\n"`, `skip "\r\n"`, fmt.Sprintf("message %q", ok)}},
		{"line end alone waits for more", "\r\n", []string{`left "\r\n"`}},
		{
			"length in the body is not one", head("Content-Length: 25\r\n") + "Content-Length: 7\r\n\r\nabcd",
			[]string{fmt.Sprintf("message %q", head("Content-Length: 25\r\n")+"Content-Length: 7\r\n\r\nabcd")},
		},
		{"no length", head("") + "abc", []string{fmt.Sprintf("error 400, head %d", len(head("")))}},
		{"negative length", head("Content-Length: -1\r\n"), []string{fmt.Sprintf("error 400, head %d", len(head("Content-Length: -1\r\n")))}},
		{"empty length", head("Content-Length:\r\n"), []string{fmt.Sprintf("error 400, head %d", len(head("Content-Length:\r\n")))}},
		{"length that wraps around", head("Content-Length: 4294967299\r\n"), []string{fmt.Sprintf("error 400, head %d", len(head("Content-Length: 4294967299\r\n")))}},
		{"huge length", head("Content-Length: 1000\r\n"), []string{fmt.Sprintf("error 513, head %d", len(head("Content-Length: 1000\r\n")))}},
		{"head and body together too long", head("Content-Length: 250\r\n"), []string{fmt.Sprintf("error 513, head %d", len(head("Content-Length: 250\r\n")))}},
		{"conflicting lengths", head("Content-Length: 3\r\nl: 4\r\n"), []string{fmt.Sprintf("error 400, head %d", len(head("Content-Length: 3\r\nl: 4\r\n")))}},
		{"header section too long", long, []string{"error 513, head 0"}},
		{"no SIP", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", []string{"error 400, head 0"}},
		{"TLS handshake", "\x16\x03\x01\x02\x00\x01", []string{"error 400, head 0"}},
		{"CR alone", "\rX", []string{"error 400, head 0"}},
		{"CR LF CR and text", "\r\n\rX", []string{"error 400, head 0"}},
		{"LF alone", "\nX", []string{"error 400, head 0"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, frames(tc.stream, 300)); diff != "" {
				t.Fatalf("frames (-want +got):\n%s", diff)
			}
			// Byte by byte it is the same.
			var every []int
			for i := range tc.stream {
				every = append(every, i)
			}
			if diff := cmp.Diff(tc.want, frames(tc.stream, 300, every...)); diff != "" {
				t.Errorf("frames, byte by byte (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFrame_ErrorCanBeAnswered: the header section that Frame returns with an
// error gives a request to answer before the connection is closed.
func TestFrame_ErrorCanBeAnswered_RFC4475_3_1_2_3(t *testing.T) {
	buf := []byte(withLength("-1", "", append([]string{"OPTIONS sip:h SIP/2.0"}, basics("OPTIONS")...)...) + "garbage")
	kind, n, err := Frame(buf, 0)
	if kind != FrameMore || err == nil || n == 0 {
		t.Fatalf("Frame = %v, %d, %v, want an error and the header section", kind, n, err)
	}
	m, parseErr := Parse(buf[:n], testSource)
	if m == nil || parseErr == nil {
		t.Fatalf("Parse = %v, %v, want a request to answer", m, parseErr)
	}
	if answer := string(m.AppendReply(nil, ErrorReply(err, "t"))); !strings.HasPrefix(answer, "SIP/2.0 400 Bad Content-Length\r\n") {
		t.Errorf("answer:\n%s", answer)
	}
	if _, _, err := Frame([]byte("OPTIONS sip:h SIP/2.0\r\n\r\n"), -1); !errors.Is(err, ErrNoLength) {
		t.Errorf("Frame without Content-Length: %v, want ErrNoLength", err)
	}
	if kind, n, err := Frame([]byte("\r\n\r\nX"), MaxMessage+1); kind != FramePing || n != 4 || err != nil {
		t.Errorf("Frame of a ping = %v, %d, %v", kind, n, err)
	}
}

func TestFrameKind_String(t *testing.T) {
	for kind, want := range map[FrameKind]string{FrameMore: "more", FrameMessage: "message", FramePing: "ping", FrameSkip: "skip", 99: "more"} {
		if kind.String() != want {
			t.Errorf("FrameKind(%d) = %q, want %q", kind, kind, want)
		}
	}
}

func FuzzFrame(f *testing.F) {
	ok := "OPTIONS sip:h SIP/2.0\r\nl: 3\r\n\r\nabc"
	f.Add(ok+"\r\n\r\n"+ok, uint16(10), uint16(50))
	f.Add("\r\n\r\n\r\nSIP/2.0 200 OK\r\nContent-Length: 1\r\n\r\n\r\n\r\n", uint16(3), uint16(4))
	f.Add("A sip:h SIP/2.0\r\nl: 1\r\n 2\r\n\r\nabc", uint16(20), uint16(21))
	f.Add("A sip:h SIP/2.0\r\nl: 99999\r\n\r\n", uint16(0), uint16(1))
	f.Add("A sip:h SIP/2.0\r\r\n\r\n\nl: 0\r\n\r\n", uint16(15), uint16(17))
	f.Fuzz(func(t *testing.T, stream string, a, b uint16) {
		whole := frames(stream, 200)
		if diff := cmp.Diff(whole, frames(stream, 200, int(a), int(b))); diff != "" {
			t.Fatalf("split at %d and %d (-whole +split):\n%s", a, b, diff)
		}
		// The stateless form agrees with the Framer.
		kind, n, err := Frame([]byte(stream), 200)
		if n < 0 || n > len(stream) || (kind == FrameMore && err == nil && n != 0) {
			t.Fatalf("Frame = %v, %d, %v", kind, n, err)
		}
		if kind == FrameMessage {
			if want := fmt.Sprintf("message %q", stream[:n]); len(whole) == 0 || whole[0] != want {
				t.Errorf("Frame found %s, frames %v", want, whole)
			}
			// What was framed is one message: nothing of it is left over.
			if m, err := Parse([]byte(stream[:n]), testSource); err == nil && m.Raw() != stream[:n] {
				t.Errorf("Parse kept %q of the frame %q", m.Raw(), stream[:n])
			}
		}
	})
}
