package transport

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/memnet"
)

// An answerer takes what holds "answer", and answers it, and what holds
// "swallow".
type answerer struct {
	mu  sync.Mutex
	saw []string
}

func (a *answerer) Answer(_ flow.Flow, b, out []byte) ([]byte, bool) {
	s := string(b)
	a.mu.Lock()
	a.saw = append(a.saw, s)
	a.mu.Unlock()
	if len(out) != 0 {
		panic("the answer does not start empty")
	}
	switch {
	case strings.Contains(s, "answer"):
		return fmt.Appendf(out, "200 %s", b), true
	case strings.Contains(s, "swallow"):
		return out, true
	}
	return append(out, "half an answer"...), false
}

func TestAnswerer_UDP(t *testing.T) {
	inBubble(t, Options{Answerer: &answerer{}}, func(t *testing.T, b *bench) {
		phone := b.phone("192.0.2.50")
		for _, s := range []string{"answer 1", "swallow", "hand on", "\r\n", "answer 2"} {
			sendTo(t, phone, "192.0.2.1:5060", s)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"hand on"}, b.take()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"200 answer 1", "200 answer 2"}, allHeard(t, phone)); diff != "" {
			t.Error(diff)
		}
		if got := b.opts.Answerer.(*answerer).saw; len(got) != 4 {
			t.Errorf("the answerer saw %q", got)
		}
	})
}

// allHeard returns all datagrams that have arrived at a peer's socket.
func allHeard(t *testing.T, c *memnet.PacketConn) (all []string) {
	t.Helper()
	for {
		data, from := heard(t, c)
		if from == "" {
			return all
		}
		all = append(all, data)
	}
}

func TestAnswerer_Stream(t *testing.T) {
	inBubble(t, Options{Answerer: &answerer{}}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host("192.0.2.50"))
		// The first is cut in two: it is asked about once, when it is whole.
		first, rest := message(1, "answer"), message(2, "hand on")+message(3, "swallow")+message(4, "answer")
		mustWrite(t, c, first[:40])
		synctest.Wait()
		mustWrite(t, c, first[40:]+rest)
		got, err := readAvailable(t, c)
		if want := "200 " + message(1, "answer") + "200 " + message(4, "answer"); got != want || err != nil {
			t.Errorf("the peer read %q, %v", got, err)
		}
		if diff := cmp.Diff([]string{message(2, "hand on")}, b.take()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPost_ReachesThePeer(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		phone, c := b.phone("192.0.2.50"), b.dial(b.net.Host("192.0.2.51"))
		sendTo(t, phone, "192.0.2.1:5060", "x")
		synctest.Wait()
		datagrams := b.last()
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		stream := b.last()
		for i := range 3 {
			for _, f := range []flow.Flow{datagrams, stream} {
				if err := b.Post(f, fmt.Append(nil, i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if diff := cmp.Diff([]string{"0", "1", "2"}, allHeard(t, phone)); diff != "" {
			t.Error(diff)
		}
		if got, err := readAvailable(t, c); got != "012" || err != nil {
			t.Errorf("the peer read %q, %v", got, err)
		}
	})
}
