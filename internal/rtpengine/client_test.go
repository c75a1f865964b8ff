package rtpengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A fake is an engine at the other end of a pipe.
type fake struct {
	conn net.Conn
	mu   sync.Mutex
	got  []string // what it was asked, without pings
	at   []time.Duration
	// answer returns what it says to a command; "" is nothing.
	answer func(command string) string
}

func (f *fake) serve(began time.Time) {
	buf := make([]byte, 65535)
	for {
		n, err := f.conn.Read(buf)
		if err != nil {
			return
		}
		cookie, command, _ := strings.Cut(string(buf[:n]), " ")
		f.mu.Lock()
		if !strings.Contains(command, "4:ping") {
			f.got, f.at = append(f.got, command), append(f.at, time.Since(began))
		}
		answer := f.answer(command)
		f.mu.Unlock()
		if answer != "" {
			if _, err := f.conn.Write([]byte(cookie + " " + answer)); err != nil {
				return
			}
		}
	}
}

func (f *fake) says(answer func(string) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func silent(string) string { return "" }

func willing(command string) string {
	if strings.Contains(command, "4:ping") {
		return "d6:result4:ponge"
	}
	return "d6:result2:ok3:sdp5:v=0\r\ne"
}

// rig is a Client with fake engines in a bubble.
type rig struct {
	*Client
	fakes []*fake
	log   *lines
	reg   *prometheus.Registry
}

func addr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 2223)
}

func inBubble(t *testing.T, engines []Engine, o Options, fn func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{log: &lines{}, reg: prometheus.NewRegistry()}
		began := time.Now()
		o.Engines, o.Logger, o.Registerer = engines, slog.New(slog.NewTextHandler(r.log, nil)), r.reg
		o.Dial = func(netip.AddrPort) (net.Conn, error) {
			ours, theirs := net.Pipe()
			f := &fake{conn: theirs, answer: willing}
			r.fakes = append(r.fakes, f)
			go f.serve(began)
			return ours, nil
		}
		var err error
		if r.Client, err = New(o); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.Run(ctx) })
		fn(t, r)
		cancel()
		running.Wait()
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := r.pending.Load(); n != 0 {
			t.Errorf("%d commands are pending at the end", n)
		}
	})
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A lines is a log.
type lines struct {
	mu   sync.Mutex
	text string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text += string(b)
	return len(b), nil
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text, s)
}

// end is how a command ended; calls counts how often it did.
type end struct {
	sdp   string
	err   error
	calls int
	after time.Duration
}

func (r *rig) do(at netip.AddrPort, c Command) *end {
	e, began := &end{}, time.Now()
	r.Do(at, c, func(sdp string, err error) { e.sdp, e.err, e.calls, e.after = sdp, err, e.calls+1, time.Since(began) })
	return e
}

func offerOf(call string) Command { return Command{Verb: Offer, Call: call, Offerer: "a", SDP: "v=0"} }

func TestClient_Answered(t *testing.T) {
	inBubble(t, []Engine{{Addr: addr(1)}}, Options{}, func(t *testing.T, r *rig) {
		e := r.do(addr(1), offerOf("c"))
		synctest.Wait()
		if e.sdp != "v=0\r\n" || e.err != nil || e.calls != 1 {
			t.Errorf("ended as %+v", *e)
		}
		r.fakes[0].says(func(string) string { return "d6:result5:error12:error-reason3:whye" })
		e = r.do(addr(1), offerOf("c"))
		synctest.Wait()
		var refused *RefusedError
		if !errors.As(e.err, &refused) || refused.Reason != "why" {
			t.Errorf("ended as %+v", *e)
		}
		if _, ok := r.Pick(nil); !ok {
			t.Error("an engine that refuses a command counts as away")
		}
		if e := r.do(addr(9), offerOf("c")); !errors.Is(e.err, ErrUnknown) {
			t.Errorf("an unknown engine: %+v", *e)
		}
	})
}

// TestClient_LostDatagrams: a command goes out four times in its time, always with the
// same cookie, and the second answer is nobody's.
func TestClient_LostDatagrams(t *testing.T) {
	inBubble(t, []Engine{{Addr: addr(1)}}, Options{Timeout: 800 * time.Millisecond}, func(t *testing.T, r *rig) {
		pass(time.Second)
		f, n := r.fakes[0], 0
		f.says(func(c string) string {
			if n++; n < 4 {
				return ""
			}
			return willing(c)
		})
		e := r.do(addr(1), offerOf("c"))
		pass(time.Second)
		if e.err != nil || e.calls != 1 || e.after != 700*time.Millisecond {
			t.Errorf("ended as %+v", *e)
		}
		want := []time.Duration{time.Second, 1100 * time.Millisecond, 1300 * time.Millisecond, 1700 * time.Millisecond}
		if !slices.Equal(f.at, want) {
			t.Errorf("sent at %v, want %v", f.at, want)
		}
		if testutil.ToFloat64(r.metrics.again) != 3 {
			t.Errorf("counted %v retransmissions, want 3", testutil.ToFloat64(r.metrics.again))
		}
		if _, err := f.conn.Write([]byte("old_cookie d6:result2:oke")); err != nil {
			t.Fatal(err)
		}
		if _, err := f.conn.Write([]byte("junk")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if testutil.ToFloat64(r.metrics.strays) != 2 {
			t.Errorf("counted %v strays, want 2", testutil.ToFloat64(r.metrics.strays))
		}
	})
}

// TestClient_Away: an engine that does not answer is left out until it answers a ping,
// and said to be away once.
func TestClient_Away(t *testing.T) {
	inBubble(t, []Engine{{Addr: addr(1), Priority: 1}, {Addr: addr(2), Priority: 2}}, Options{}, func(t *testing.T, r *rig) {
		pass(time.Second)
		r.fakes[0].says(silent)
		a, b := r.do(addr(1), offerOf("a")), r.do(addr(1), offerOf("b"))
		pass(1500 * time.Millisecond)
		if got, _ := r.Pick(nil); got != addr(1) {
			t.Errorf("picked %v: commands without answer alone count as an engine that is away", got)
		}
		pass(time.Second)
		for _, e := range []*end{a, b} {
			if !errors.Is(e.err, ErrTimeout) || e.calls != 1 || e.after != time.Second {
				t.Errorf("ended as %+v", *e)
			}
		}
		if got, _ := r.Pick(nil); got != addr(2) {
			t.Errorf("picked %v, want the other engine", got)
		}
		if e := r.do(addr(1), offerOf("c")); !errors.Is(e.err, ErrAway) {
			t.Errorf("asked an engine that is away: %+v", *e)
		}
		pass(20 * time.Second)
		if n := r.log.count("is away"); n != 1 {
			t.Errorf("it was logged %d times that the engine is away:\n%s", n, r.log.text)
		}
		r.fakes[0].says(willing)
		pass(5 * time.Second)
		if got, _ := r.Pick(nil); got != addr(1) || r.log.count("is back") != 1 {
			t.Errorf("picked %v after it came back:\n%s", got, r.log.text)
		}
	})
}

func TestClient_AllAway(t *testing.T) {
	inBubble(t, []Engine{{Addr: addr(1)}, {Addr: addr(2)}}, Options{}, func(t *testing.T, r *rig) {
		if _, ok := r.Pick([]netip.AddrPort{addr(1), addr(2)}); ok {
			t.Error("picked an engine that was tried")
		}
		for _, f := range r.fakes {
			f.says(silent)
		}
		pass(7 * time.Second)
		if got, ok := r.Pick(nil); ok {
			t.Errorf("picked %v, which does not answer pings", got)
		}
	})
}

func TestClient_Weights(t *testing.T) {
	engines := []Engine{{Addr: addr(1), Weight: 3}, {Addr: addr(2), Weight: 1}, {Addr: addr(3)}, {Addr: addr(4), Priority: 1, Weight: 100}}
	inBubble(t, engines, Options{}, func(t *testing.T, r *rig) {
		got := map[netip.AddrPort]int{}
		for range 4000 {
			a, _ := r.Pick(nil)
			got[a]++
		}
		if got[addr(3)] != 0 || got[addr(4)] != 0 || got[addr(1)] < 2700 || got[addr(1)] > 3300 {
			t.Errorf("picked %v", got)
		}
		if a, ok := r.Pick([]netip.AddrPort{addr(1), addr(2)}); a != addr(3) || !ok {
			t.Errorf("picked %v, want the one of weight 0", a)
		}
	})
}

func TestClient_Bounded(t *testing.T) {
	inBubble(t, []Engine{{Addr: addr(1)}}, Options{MaxPending: 5}, func(t *testing.T, r *rig) {
		pass(time.Millisecond)
		r.fakes[0].says(silent)
		busy := 0
		for i := range 20 {
			if e := r.do(addr(1), offerOf(fmt.Sprint(i))); errors.Is(e.err, ErrBusy) {
				busy++
			}
		}
		if busy != 15 {
			t.Errorf("%d of 20 commands were refused, want 15", busy)
		}
		pass(2 * time.Second)
	})
}

// TestClient_TooLarge: what would never arrive is not waited for.
func TestClient_TooLarge(t *testing.T) {
	inBubble(t, []Engine{{Addr: addr(1)}}, Options{}, func(t *testing.T, r *rig) {
		if e := r.do(addr(1), Command{Verb: Offer, Call: "c", SDP: strings.Repeat("x", maxPacket)}); !errors.Is(e.err, ErrTooLarge) {
			t.Errorf("ended as %+v", *e)
		}
	})
}

// TestClient_Stop: whoever waits hears of it, once.
func TestClient_Stop(t *testing.T) {
	inBubble(t, []Engine{{Addr: addr(1)}}, Options{}, func(t *testing.T, r *rig) {
		pass(time.Millisecond)
		r.fakes[0].says(silent)
		e := r.do(addr(1), offerOf("c"))
		synctest.Wait()
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if !errors.Is(e.err, ErrStopped) || e.calls != 1 {
			t.Errorf("ended as %+v", *e)
		}
		if e := r.do(addr(1), offerOf("c")); !errors.Is(e.err, ErrStopped) {
			t.Errorf("asked after Stop: %+v", *e)
		}
		pass(5 * time.Second)
		if e.calls != 1 {
			t.Errorf("done was called %d times", e.calls)
		}
	})
}

func TestNew_Refuses(t *testing.T) {
	tests := []struct {
		name    string
		engines []Engine
		err     error
	}{
		{"none", nil, nil},
		{"no port", []Engine{{Addr: netip.AddrPortFrom(addr(1).Addr(), 0)}}, nil},
		{"twice", []Engine{{Addr: addr(1)}, {Addr: addr(1)}}, nil},
		{"no way", []Engine{{Addr: addr(1)}}, errors.New("no way")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if c, err := New(Options{Engines: tt.engines, Dial: func(netip.AddrPort) (net.Conn, error) { return nil, tt.err }}); err == nil {
				c.Stop(t.Context())
				t.Error("New took it")
			}
		})
	}
}

// TestClient_NobodyThere: over UDP, the machine says at once that nobody is at a port.
func TestClient_NobodyThere(t *testing.T) {
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.LocalAddr().(*net.UDPAddr).AddrPort()
	free.Close()
	c, err := New(Options{Engines: []Engine{{Addr: at}}, Timeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop(t.Context())
	ended := make(chan error, 1)
	c.Do(at, offerOf("c"), func(_ string, err error) { ended <- err })
	if err := <-ended; !errors.Is(err, ErrAway) {
		t.Errorf("ended with %v, want ErrAway", err)
	}
}

func TestMetrics_Lint(t *testing.T) {
	reg := prometheus.NewRegistry()
	c, err := New(Options{Engines: []Engine{{Addr: netip.MustParseAddrPort("127.0.0.1:9")}}, Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop(t.Context())
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
