package transport

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
)

// A viewer notes what a tap shows: direction, addresses, the first word and the call.
type viewer struct {
	mu    sync.Mutex
	lines []string
}

func (v *viewer) see(p Passage) {
	v.mu.Lock()
	defer v.mu.Unlock()
	arrow := "<"
	if p.Sent {
		arrow = ">"
	}
	what := string(p.Message)
	if strings.Contains(what, "\r\n") {
		what, _, _ = strings.Cut(what, "\r\n")
	}
	line := fmt.Sprintf("%s %s %s %s %s", p.Local, arrow, p.Flow.Transport, p.Flow.Remote.Addr(), what)
	if p.Err != nil {
		line += " !"
	}
	v.lines = append(v.lines, line)
}

func (v *viewer) take() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	l := v.lines
	v.lines = nil
	return l
}

func TestTap_ShowsWhatComesAndLeaves(t *testing.T) {
	inBubble(t, Options{Answerer: &answerer{}}, func(t *testing.T, b *bench) {
		var v viewer
		b.Tap(v.see)
		phone, c := b.phone("192.0.2.50"), b.dial(b.net.Host("192.0.2.51"))
		sendTo(t, phone, "192.0.2.1:5060", "\r\n\r\n") // a keep-alive
		sendTo(t, phone, "192.0.2.1:5060", "answer")
		sendTo(t, phone, "192.0.2.1:5060", "hand on")
		synctest.Wait()
		datagrams := b.last()
		mustWrite(t, c, "\r\n\r\n"+message(1, "answer")+message(2, "hand on"))
		synctest.Wait()
		stream := b.last()
		for _, f := range []flow.Flow{datagrams, stream} {
			if err := b.Send(f, []byte("sent")); err != nil {
				t.Fatal(err)
			}
			if err := b.Post(f, []byte("posted")); err != nil {
				t.Fatal(err)
			}
		}
		want := []string{
			"192.0.2.1:5060 < UDP 192.0.2.50 answer",
			"192.0.2.1:5060 > UDP 192.0.2.50 200 answer",
			"192.0.2.1:5060 < UDP 192.0.2.50 hand on",
			"192.0.2.1:5060 < TCP 192.0.2.51 MESSAGE sip:bob@example.com SIP/2.0",
			"192.0.2.1:5060 > TCP 192.0.2.51 200 MESSAGE sip:bob@example.com SIP/2.0",
			"192.0.2.1:5060 < TCP 192.0.2.51 MESSAGE sip:bob@example.com SIP/2.0",
			"192.0.2.1:5060 > UDP 192.0.2.50 sent",
			"192.0.2.1:5060 > UDP 192.0.2.50 posted",
			"192.0.2.1:5060 > TCP 192.0.2.51 sent",
			"192.0.2.1:5060 > TCP 192.0.2.51 posted",
		}
		if diff := cmp.Diff(want, v.take()); diff != "" {
			t.Error(diff)
		}
		b.Tap(nil)
		sendTo(t, phone, "192.0.2.1:5060", "hand on")
		synctest.Wait()
		if got := v.take(); got != nil {
			t.Errorf("shown after the end: %q", got)
		}
	})
}

// What is refused by the framing, and what cannot be sent, is shown too.
func TestTap_ShowsRefusalsAndFailures(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		var v viewer
		b.Tap(v.see)
		c := b.dial(b.net.Host("192.0.2.51"))
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		f := b.last()
		v.take()
		mustWrite(t, c, strings.Replace(message(2, ""), "Content-Length: 0", "Content-Length: x", 1))
		if _, err := readAvailable(t, c); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"192.0.2.1:5060 > TCP 192.0.2.51 SIP/2.0 400 Bad Content-Length"}, v.take()); diff != "" {
			t.Error(diff)
		}
		c.Close()
		synctest.Wait()
		if err := b.Send(f, []byte("late")); err == nil {
			t.Fatal("sent on a dead connection")
		}
		want := []string{"invalid AddrPort > TCP 192.0.2.51 late", "invalid AddrPort > TCP 192.0.2.51 late !"}
		if diff := cmp.Diff(want, v.take()); diff != "" {
			t.Error(diff)
		}
	})
}

// BenchmarkTap is what looking costs when nobody does.
func BenchmarkTap(b *testing.B) {
	var t Transport
	l := &listener{}
	f := flow.Flow{Transport: flow.UDP}
	m := make([]byte, 800)
	b.ReportAllocs()
	for b.Loop() {
		t.leaves(l, f, m)
	}
}
