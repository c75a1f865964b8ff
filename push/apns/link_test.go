package apns

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/internal/memnet"
	"reveille/push"
	"reveille/push/internal/exchange"
	"reveille/push/pushsim"
)

// rtt is how far away APNs is in the tests that run on the clock of a bubble.
const rtt = 40 * time.Millisecond

// wire is a Sender whose APNs is frames over a network in memory, and a
// Dispatcher with it.
type wire struct {
	*pushsim.Frames
	apple  *memnet.Host
	sender *Sender
	push   *push.Dispatcher
	dials  int
	phones int
}

func newWire(t *testing.T, o pushsim.FrameOptions) *wire {
	t.Helper()
	frames, err := pushsim.NewFrames(o)
	if err != nil {
		t.Fatal(err)
	}
	network := memnet.New(1)
	network.SetLink(memnet.Link{Delay: rtt / 2})
	w := &wire{Frames: frames, apple: network.Host("127.0.0.1")}
	us := network.Host("192.0.2.1")
	ln, err := w.apple.Listen(t.Context(), "tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	frames.Serve(ln)
	w.sender, err = New(Options{KeyP8: frames.Credentials().KeyP8(), KeyID: pushsim.KeyID, TeamID: pushsim.TeamID, Host: "https://127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	link := w.sender.client.HTTPClient.Transport.(*exchange.Transport).Base.(*link)
	link.dial = func(ctx context.Context) (net.Conn, error) {
		w.dials++
		c, err := us.DialContext(ctx, "tcp", "", "127.0.0.1:443")
		if err != nil {
			return nil, err
		}
		secure := tls.Client(c, &tls.Config{RootCAs: frames.Credentials().RootCAs(), ServerName: "127.0.0.1", NextProtos: []string{"h2"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		return secure, nil
	}
	w.push, err = push.NewDispatcher(push.Options{Apps: []push.App{{Name: "ios", Provider: "apns", Sender: w.sender}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.push.Close(context.Background()); err != nil {
			t.Error(err)
		}
		w.Close()
	})
	return w
}

// device is the request of a call for the n-th phone.
func device(n int) *push.Request {
	return request(push.Call, push.Token{PRID: strings.Repeat("ab", 30) + strconv.FormatInt(int64(0x1000+n), 16), Use: push.VoIP})
}

// burst pushes to n phones at once, none of which was pushed to before, and
// returns the outcomes and how long they took.
func (w *wire) burst(t *testing.T, n int) ([]push.Outcome, time.Duration) {
	t.Helper()
	began := time.Now()
	ch := make(chan push.Outcome, n)
	for i := range n {
		if _, err := w.push.Submit(device(w.phones+i), func(o push.Outcome) { ch <- o }); err != nil {
			t.Fatal(err)
		}
	}
	w.phones += n
	var outcomes []push.Outcome
	for range n {
		outcomes = append(outcomes, <-ch)
	}
	return outcomes, time.Since(began)
}

// wantAll fails unless all outcomes are of class, after no more than so many
// attempts.
func wantAll(t *testing.T, outcomes []push.Outcome, class push.Class, attempts int) {
	t.Helper()
	for _, o := range outcomes {
		if o.Class != class || o.Attempts > attempts {
			t.Fatalf("outcome = %+v, want %v after at most %d attempts", o, class, attempts)
		}
	}
}

// Apple allows one stream until it has seen a valid token. The first push pays
// for the connection and the wait, the rest go together.
func TestLink_OneStreamUntilTheFirstSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, pushsim.FrameOptions{})
		outcomes, took := w.burst(t, 100)
		wantAll(t, outcomes, push.OK, 1)
		// TCP, TLS and SETTINGS, the first push, the others.
		if took > 6*rtt || w.Refused() != 0 || w.Conns() != 1 {
			t.Errorf("took %v, %d streams refused, %d connections; want at most %v, none, 1", took, w.Refused(), w.Conns(), 6*rtt)
		}
	})
}

// The Dispatcher's gate aside: even what is sent at once waits for room.
func TestLink_HoldsBackWhatTheLimitDoesNotAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, pushsim.FrameOptions{First: 1, Then: 7})
		ch := make(chan push.Outcome, 50)
		for i := range 50 {
			go func() { ch <- w.sender.Send(t.Context(), device(i)) }()
		}
		for range 50 {
			if o := <-ch; o.Class != push.OK {
				t.Errorf("outcome = %+v, want ok", o)
			}
		}
		if w.Refused() != 0 || w.Conns() != 1 || w.Requests() != 50 {
			t.Errorf("%d refused, %d connections, %d requests; want 0, 1, 50", w.Refused(), w.Conns(), w.Requests())
		}
	})
}

// A server that says 1000 and means 3: refused streams come again at once, and
// nobody sees more than one attempt.
func TestLink_RefusedStreamsComeAgain_RFC9113_8_7(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, pushsim.FrameOptions{First: 1000, Answer: func(r pushsim.FrameRequest) pushsim.FrameAnswer {
			if r.N > 1 && r.N%3 == 0 {
				return pushsim.FrameAnswer{Act: pushsim.RefuseStream}
			}
			return pushsim.FrameAnswer{}
		}})
		outcomes, took := w.burst(t, 100)
		wantAll(t, outcomes, push.OK, 1)
		if took > time.Second || w.Conns() != 1 {
			t.Errorf("took %v on %d connections, want less than a second on one", took, w.Conns())
		}
	})
}

// After a push that was rejected the limit is 1 until one is taken.
func TestLink_LimitChangesInMidFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, pushsim.FrameOptions{Rejected: 1, Answer: func(r pushsim.FrameRequest) pushsim.FrameAnswer {
			if r.N > 1 && r.N%20 == 0 {
				return pushsim.FrameAnswer{Status: 410, Reason: "Unregistered"}
			}
			return pushsim.FrameAnswer{}
		}})
		outcomes, took := w.burst(t, 1000)
		gone := 0
		for _, o := range outcomes {
			switch {
			case o.Class == push.Gone && o.Attempts == 1:
				gone++
			case o.Class != push.OK || o.Attempts != 1:
				t.Fatalf("outcome = %+v, want ok or gone at the first attempt", o)
			}
		}
		if gone != 50 || w.Conns() != 1 {
			t.Errorf("%d gone on %d connections, want 50 on one", gone, w.Conns())
		}
		// Each rejection costs a round trip or two with one stream.
		if took > 6*time.Second {
			t.Errorf("took %v, want no seconds of waiting for a stream", took)
		}
	})
}

func TestLink_GoAway_RFC9113_6_8(t *testing.T) {
	for _, c := range []struct {
		name  string
		act   pushsim.FrameAct
		slow  time.Duration // of the requests before
		conns int
	}{
		{"after an answer", pushsim.LeaveAfter, 0, 2},
		{"streams beyond the last are sent again", pushsim.LeaveBefore, 0, 2},
		{"those before go on meanwhile", pushsim.LeaveBefore, 2 * time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t, pushsim.FrameOptions{Answer: func(r pushsim.FrameRequest) pushsim.FrameAnswer {
					switch {
					case r.Conn == 1 && r.N == 50:
						return pushsim.FrameAnswer{Act: c.act, Delay: 10 * time.Millisecond}
					case r.Conn == 1 && r.N > 1:
						return pushsim.FrameAnswer{Delay: c.slow}
					}
					return pushsim.FrameAnswer{}
				}})
				outcomes, took := w.burst(t, 200)
				wantAll(t, outcomes, push.OK, 1)
				if w.Conns() != c.conns {
					t.Errorf("%d connections, want %d", w.Conns(), c.conns)
				}
				if took > c.slow+12*rtt {
					t.Errorf("took %v, want at most %v", took, c.slow+12*rtt)
				}
			})
		})
	}
}

// What is under way when the connection breaks may have been processed: the
// Sender says so, and the Dispatcher sends it once more, at once.
func TestLink_AbruptCloseIsRetriedOnceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, pushsim.FrameOptions{Answer: func(r pushsim.FrameRequest) pushsim.FrameAnswer {
			if r.Conn == 1 && r.N == 101 {
				return pushsim.FrameAnswer{Act: pushsim.Cut}
			}
			if r.Conn == 1 && r.N > 1 {
				return pushsim.FrameAnswer{Act: pushsim.Silence}
			}
			return pushsim.FrameAnswer{}
		}})
		outcomes, took := w.burst(t, 150)
		wantAll(t, outcomes, push.OK, 2)
		twice := 0
		for _, o := range outcomes {
			if o.Attempts == 2 {
				twice++
			}
		}
		if twice != push.DefaultInFlight || w.Conns() != 2 || took > 12*rtt {
			t.Errorf("%d sent twice, %d connections, took %v; want %d, 2, at most %v", twice, w.Conns(), took, push.DefaultInFlight, 12*rtt)
		}
	})
}

// The peer is there for TCP and for nothing else, not even a PING.
func TestLink_MutePeerIsLeftWithinAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, pushsim.FrameOptions{Answer: func(r pushsim.FrameRequest) pushsim.FrameAnswer {
			if r.Conn == 1 && r.N > 1 {
				return pushsim.FrameAnswer{Act: pushsim.Mute}
			}
			return pushsim.FrameAnswer{}
		}})
		w.burst(t, 1)
		outcomes, took := w.burst(t, 10)
		wantAll(t, outcomes, push.OK, 2)
		if took > push.DefaultAttemptTimeout+8*rtt || w.Conns() != 2 {
			t.Errorf("took %v, %d connections; want one attempt's time and a new connection", took, w.Conns())
		}
	})
}

// The network swallows all: nobody pushes for a minute, and the next push must
// not be the one to find out.
func TestLink_DeadConnectionIsFoundByPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, pushsim.FrameOptions{})
		w.burst(t, 1)
		w.apple.SetDown(true)
		time.Sleep(9 * time.Second) // 5 s of silence, 3 s for the answer to the PING
		w.apple.SetDown(false)
		outcomes, took := w.burst(t, 1)
		wantAll(t, outcomes, push.OK, 1)
		if took > 5*rtt || w.dials != 2 {
			t.Errorf("took %v, %d dials; want a new connection at once", took, w.dials)
		}
	})
}

// Nothing answers, not even to a SYN: attempts end in time, and the next one
// dials again.
func TestLink_UnreachableIsDialledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, pushsim.FrameOptions{})
		w.apple.SetDown(true)
		time.AfterFunc(7*time.Second, func() { w.apple.SetDown(false) })
		outcomes, took := w.burst(t, 5)
		wantAll(t, outcomes, push.OK, 4)
		if took > 10*time.Second {
			t.Errorf("took %v, want soon after APNs is back", took)
		}
	})
}

// A body that trickles in or does not end is no answer, and holds nobody longer
// than an attempt.
func TestLink_BodiesAreBoundedInSizeAndTime(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer pushsim.FrameAnswer
		want   push.Outcome
	}{
		{"slow", pushsim.FrameAnswer{Status: 400, Reason: "BadDeviceToken", Trickle: time.Second}, push.Outcome{Class: push.Network, Reason: "Timeout"}},
		{"slow enough", pushsim.FrameAnswer{Status: 400, Reason: "BadDeviceToken", Trickle: 20 * time.Millisecond}, push.Outcome{Class: push.Suspect, Reason: "BadDeviceToken", Status: 400}},
		{"huge", pushsim.FrameAnswer{Status: 400, Body: bytes.Repeat([]byte("x"), 1<<20)}, push.Outcome{Class: push.Rejected, Reason: "NoReason", Status: 400}},
		{"a proxy's page", pushsim.FrameAnswer{Status: 502, Body: []byte("<html>Bad Gateway</html>")}, push.Outcome{Class: push.Unavailable, Reason: "NoReason", Status: 502}},
		{
			"says when to come again",
			pushsim.FrameAnswer{Status: 503, Reason: "ServiceUnavailable", Header: [][2]string{{"retry-after", "9"}}},
			push.Outcome{Class: push.Unavailable, Reason: "ServiceUnavailable", Status: 503, RetryAfter: 9 * time.Second},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t, pushsim.FrameOptions{Answer: func(pushsim.FrameRequest) pushsim.FrameAnswer { return c.answer }})
				ctx, cancel := context.WithTimeout(t.Context(), push.DefaultAttemptTimeout)
				defer cancel()
				o := w.sender.Send(ctx, device(1))
				if o.Class != c.want.Class || o.Reason != c.want.Reason || o.Status != c.want.Status || o.RetryAfter != c.want.RetryAfter {
					t.Errorf("outcome = %+v, want %+v", o, c.want)
				}
				if ctx.Err() != nil && !errors.Is(o.Err, context.DeadlineExceeded) {
					t.Errorf("err = %v after the attempt's time", o.Err)
				}
			})
		})
	}
}
