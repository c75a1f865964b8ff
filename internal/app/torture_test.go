package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A torturer is a message of RFC 4475 or RFC 5118 as internal/sipmsg keeps them.
type torturer struct {
	name, raw string
	// want is what reading it comes to: 0 well formed, -1 dropped, else a status.
	want int
}

func torturers(t *testing.T) (list []torturer) {
	t.Helper()
	files, err := filepath.Glob("../sipmsg/testdata/torture/*.sip")
	if err != nil || len(files) < 60 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name, want, _ := strings.Cut(strings.TrimSuffix(filepath.Base(f), ".sip"), ".")
		n, err := strconv.Atoi(want)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, torturer{name, string(raw), n})
	}
	return list
}

// TestTorture_RFC4475_RFC5118 sends what is hard to read, and what nobody should
// send, over real sockets: each is answered as its reader says, nothing of it
// stays, and phones are served as before.
func TestTorture_RFC4475_RFC5118(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			r := newRig(t)
			for _, tt := range torturers(t) {
				t.Run(tt.name, func(t *testing.T) {
					if transport == "udp" {
						// Answers go to the sent-by of Via, which is not us.
						w := r.dial("udp")
						w.t = t
						w.send(tt.raw)
						r.answered(w)
						return
					}
					if tt.name == "RFC4475_3_1_2_2_Content-Length_larger_than_the_datagram" {
						return // On a connection the rest has yet to come.
					}
					checkTorture(t, tt, exchange(r, measured(tt.raw)))
				})
			}
			r.eventually("no transaction is left", func() bool { return r.metric("reveille_transaction_live") == 0 })
			if n := r.metric("reveille_transaction_panics_total"); n != 0 {
				t.Errorf("%v panics", n)
			}
			r.register(r.phone("alice", transport, ""))
		})
	}
}

// lengthLine matches a Content-Length, whatever it holds.
var lengthLine = regexp.MustCompile(`(?i)\r\n(content-length|l)[ \t]*:`)

// measured returns raw with the Content-Length that a connection requires (RFC
// 3261 §18.3).
func measured(raw string) string {
	head, body, whole := strings.Cut(raw, "\r\n\r\n")
	if !whole || lengthLine.MatchString(head) {
		return raw
	}
	return fmt.Sprintf("%s\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

// exchange sends raw and a request behind it on a connection of its own. It
// returns the statuses of the answers to raw: those that come before the answer
// to the other, or before the server closes what it cannot read any more.
func exchange(r *rig, raw string) (statuses []int) {
	r.t.Helper()
	w := r.dial("tcp")
	w.send(raw + w.request("OPTIONS", "sip:example.com", "Call-ID: behind"))
	for {
		line, callID := w.answer()
		if line == "" || callID == "behind" {
			return statuses
		}
		var code int
		if _, err := fmt.Sscanf(line, "SIP/2.0 %d ", &code); err != nil {
			r.t.Fatalf("received %q", line)
		}
		if code > 100 {
			statuses = append(statuses, code)
		}
	}
}

// answer reads the status line and Call-ID of a response on a connection; empty at
// its end.
func (w *wire) answer() (line, callID string) {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	for {
		text, err := w.r.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			w.t.Fatal("neither an answer nor an end")
		}
		text = strings.TrimRight(text, "\r\n")
		name, value, _ := strings.Cut(text, ":")
		switch {
		case err != nil:
			return "", ""
		case line == "":
			line = text
		case strings.EqualFold(name, "Call-ID"):
			callID = strings.TrimSpace(value)
		case text == "":
			return line, callID // Our answers have no body.
		}
	}
}

func checkTorture(t *testing.T, tt torturer, got []int) {
	t.Helper()
	switch first, _, _ := strings.Cut(strings.TrimLeft(tt.raw, "\r\n"), " "); {
	case len(got) > 1:
		t.Errorf("answers %v, want one at most", got)
	case tt.want > 0 && (len(got) != 1 || got[0] != tt.want):
		t.Errorf("answered %v, want %d", got, tt.want)
	case (tt.want < 0 || first == "ACK" || first == "SIP/2.0") && len(got) != 0:
		t.Errorf("answered %v, want nothing", got)
	}
	t.Logf("want %d, answered %v", tt.want, got)
}
