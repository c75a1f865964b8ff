package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/flow"
	"reveille/internal/memnet"
)

func TestStream_AnswersLeaveByTheConnection_RFC3261_18_2_2(t *testing.T) {
	inBubble(t, Options{Node: 3, Incarnation: 99}, func(t *testing.T, b *bench) {
		for i, remote := range []string{"192.0.2.50", "2001:db8::50"} {
			to := server4 + ":5060"
			if i == 1 {
				to = "[" + server6 + "]:5060"
			}
			c, err := b.net.Host(remote).DialContext(t.Context(), "tcp", "", to)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			mustWrite(t, c, message(1, ""))
			synctest.Wait()
			f := b.last()
			want := flow.Flow{Node: 3, Incarnation: 99, Listener: "tcp", Transport: flow.TCP, Remote: addrPort(c.LocalAddr()), Conn: uint64(i + 1)}
			if f != want {
				t.Errorf("flow %+v, want %+v", f, want)
			}
			for n := range 3 {
				if err := b.Send(f, []byte(message(n, "answer"))); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := readAvailable(t, c); got != message(0, "answer")+message(1, "answer")+message(2, "answer") || err != nil {
				t.Errorf("the peer read %q, %v", got, err)
			}
			if err := b.Send(f, make([]byte, 65536)); !errors.Is(err, ErrTooLong) {
				t.Errorf("Send of 65536 bytes = %v", err)
			}
			old := f
			old.Incarnation--
			if err := b.Send(old, []byte("x")); !errors.Is(err, ErrFlowDead) || b.Open(old) || b.Alive(old, time.Now()) {
				t.Errorf("a flow of the run before: %v", err)
			}
		}
	})
}

func TestStream_KeepAliveIsAnswered_RFC5626_4_4_1(t *testing.T) {
	inBubble(t, Options{IdleTimeout: 10 * time.Minute}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		f := b.last()
		for range 20 { // Longer than IdleTimeout and FlowFresh.
			time.Sleep(2 * time.Minute)
			if !b.Alive(f, time.Now()) {
				t.Fatal("not alive between keep-alives")
			}
			mustWrite(t, c, "\r\n\r\n")
			if got, err := readAvailable(t, c); got != "\r\n" || err != nil {
				t.Fatalf("answered %q, %v", got, err)
			}
		}
		mustWrite(t, c, "\r\n") // A pong is not answered, nor the start of a message.
		if got, err := readAvailable(t, c); got != "" || err != nil {
			t.Fatalf("answered %q, %v", got, err)
		}
		time.Sleep(4*time.Minute + time.Second)
		if !b.Open(f) || b.Alive(f, time.Now()) {
			t.Errorf("after 4 min of silence: open %v, alive %v", b.Open(f), b.Alive(f, time.Now()))
		}
	})
}

// Each of these clients is closed at a known time, and no other.
func TestStream_SlowClientsAreClosed(t *testing.T) {
	o := Options{
		IdleTimeout: 10 * time.Minute, HandshakeTimeout: 20 * time.Second, MessageTimeout: 30 * time.Second,
		WriteTimeout: 10 * time.Second,
	}
	trickle := func(every time.Duration, s string) func(t *testing.T, c net.Conn) {
		return func(_ *testing.T, c net.Conn) {
			for i := 0; ; i++ {
				if _, err := c.Write([]byte{s[i%len(s)]}); err != nil {
					return
				}
				time.Sleep(every)
			}
		}
	}
	write := func(s string) func(t *testing.T, c net.Conn) {
		return func(t *testing.T, c net.Conn) { mustWrite(t, c, s) }
	}
	long := message(1, strings.Repeat("x", 10_000))
	for _, tc := range []struct {
		name  string
		first string // sent at once
		then  func(t *testing.T, c net.Conn)
		after time.Duration
		cause error
	}{
		{name: "says nothing", then: write(""), after: 20 * time.Second, cause: ErrSlow},
		{name: "only keep-alives, no message", then: trickle(5*time.Second, "\r\n\r\n"), after: 20 * time.Second, cause: ErrSlow},
		{name: "one byte a second", then: trickle(time.Second, long), after: 30 * time.Second, cause: ErrSlow},
		{name: "message, then one byte a second", first: message(1, ""), then: trickle(time.Second, long), after: 30 * time.Second, cause: ErrSlow},
		{name: "message, then half of one", first: message(1, ""), then: write(long[:5000]), after: 30 * time.Second, cause: ErrSlow},
		{name: "half a keep-alive", first: message(1, ""), then: write("\r\n\r"), after: 10 * time.Minute, cause: ErrIdle},
		{name: "message and a pong, then half of one", first: message(1, "") + "\r\n", then: write("MESS"), after: 30 * time.Second, cause: ErrSlow},
		{name: "message, then nothing", first: message(1, ""), then: write(""), after: 10 * time.Minute, cause: ErrIdle},
		{name: "claims a body and sends none", first: message(1, ""), then: write(withHeader("Content-Length: 0", "Content-Length: 60000")), after: 30 * time.Second, cause: ErrSlow},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, o, func(t *testing.T, b *bench) {
				start := time.Now()
				var ended time.Duration
				c := b.dial(b.net.Host("192.0.2.50"))
				mustWrite(t, c, tc.first)
				go tc.then(t, c)
				for ended == 0 && time.Since(start) < time.Hour {
					time.Sleep(time.Second)
					synctest.Wait()
					if len(b.conns.all()) == 0 {
						ended = time.Since(start)
					}
				}
				if ended < tc.after || ended > tc.after+time.Second {
					t.Errorf("closed after %v, want %v", ended, tc.after)
				}
				for f, err := range b.closed {
					if !errors.Is(err, tc.cause) {
						t.Errorf("%v closed with %v, want %v", f, err, tc.cause)
					}
				}
				c.Close()
				time.Sleep(time.Minute) // The trickle ends.
			})
		})
	}
}

func TestStream_PeerThatNeverReads(t *testing.T) {
	t.Run("queue full", func(t *testing.T) {
		inBubble(t, Options{MaxMessage: 4096, WriteQueue: 20_000}, func(t *testing.T, b *bench) {
			lazy, good := b.dial(b.net.Host("192.0.2.50")), b.dial(b.net.Host("192.0.2.51"))
			mustWrite(t, lazy, message(1, ""))
			synctest.Wait()
			f := b.last()
			mustWrite(t, good, message(2, ""))
			synctest.Wait()
			g := b.last()
			var err error
			sent := 0
			for ; err == nil && sent < 1<<20; sent += 1000 {
				err = b.Send(f, make([]byte, 1000))
				synctest.Wait()
			}
			// The window of the pretend network takes 64 KiB, the queue the rest.
			if !errors.Is(err, ErrQueueFull) || sent < 20_000 || sent > 64<<10+22_000 {
				t.Errorf("after %d bytes: %v", sent, err)
			}
			if err := b.Send(f, []byte("x")); !errors.Is(err, ErrFlowDead) || b.Open(f) {
				t.Errorf("Send after that: %v", err)
			}
			synctest.Wait()
			if err := b.cause(f); !errors.Is(err, ErrQueueFull) {
				t.Errorf("closed with %v", err)
			}
			if err := b.Send(g, []byte(message(3, ""))); err != nil {
				t.Errorf("another connection: %v", err)
			}
			if got, _ := readAvailable(t, good); got != message(3, "") {
				t.Errorf("another connection read %q", got)
			}
		})
	})
	t.Run("write times out", func(t *testing.T) {
		inBubble(t, Options{WriteTimeout: 10 * time.Second}, func(t *testing.T, b *bench) {
			c := b.dial(b.net.Host("192.0.2.50"))
			mustWrite(t, c, message(1, ""))
			synctest.Wait()
			f := b.last()
			for range 2 {
				if err := b.Send(f, make([]byte, 65_000)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(9 * time.Second)
			if !b.Open(f) {
				t.Error("closed before the write timed out")
			}
			time.Sleep(2 * time.Second)
			if err := b.cause(f); err == nil {
				t.Error("still open after the write timed out")
			}
		})
	})
	t.Run("pings without reading pongs", func(t *testing.T) {
		inBubble(t, Options{MaxMessage: 1000, WriteQueue: 1000}, func(t *testing.T, b *bench) {
			c := b.dial(b.net.Host("192.0.2.50"))
			mustWrite(t, c, message(1, ""))
			var err error
			for i := 0; err == nil && i < 1<<20; i++ {
				_, err = io.WriteString(c, strings.Repeat("\r\n\r\n", 100))
			}
			synctest.Wait()
			if cause := b.cause(b.last()); err == nil || !errors.Is(cause, ErrQueueFull) {
				t.Errorf("wrote until %v, closed with %v", err, cause)
			}
		})
	})
}

func TestStream_BudgetOfAllConnections(t *testing.T) {
	inBubble(t, Options{MaxBuffered: 100_000, MessageTimeout: time.Minute}, func(t *testing.T, b *bench) {
		// Each of these makes its read buffer grow and never finishes.
		half := message(1, strings.Repeat("x", 40_000))[:30_000]
		for i := range 10 {
			c := b.dial(b.net.Host(fmt.Sprintf("192.0.2.%d", 50+i)))
			mustWrite(t, c, message(2, "")+half)
		}
		synctest.Wait()
		if used := b.buffered.used.Load(); used > 100_000 {
			t.Errorf("%d bytes in use", used)
		}
		closed := 0
		for _, err := range b.closed {
			if !errors.Is(err, ErrBusy) {
				t.Errorf("closed with %v", err)
			}
			closed++
		}
		if closed != 7 { // 30 KiB fit three times.
			t.Errorf("%d of 10 were closed", closed)
		}
		// Whoever needs no room is served.
		b.take()
		c := b.dial(b.net.Host("192.0.2.99"))
		mustWrite(t, c, message(3, ""))
		synctest.Wait()
		if diff := cmp.Diff([]string{message(3, "")}, b.take()); diff != "" {
			t.Error(diff)
		}
	})
}

// Peers that do not read use up what may be queued; those who do are served.
func TestStream_BudgetOfAllQueues(t *testing.T) {
	inBubble(t, Options{MaxMessage: 60_000, MaxBuffered: 100_000}, func(t *testing.T, b *bench) {
		flowOf := func(addr string) (net.Conn, flow.Flow) {
			c := b.dial(b.net.Host(addr))
			mustWrite(t, c, message(1, ""))
			synctest.Wait()
			return c, b.last()
		}
		_, lazy := flowOf("192.0.2.50")
		good, f := flowOf("192.0.2.51")
		var err error
		for range 5 {
			if err = b.Send(lazy, make([]byte, 50_000)); err != nil {
				break
			}
			synctest.Wait()
		}
		if !errors.Is(err, ErrBusy) || !b.Open(lazy) {
			t.Fatalf("Send = %v, open %v", err, b.Open(lazy))
		}
		if err := b.Send(f, make([]byte, 50_000)); !errors.Is(err, ErrBusy) || !b.Open(f) {
			t.Errorf("Send of much = %v, open %v", err, b.Open(f))
		}
		for range 10 {
			if err := b.Send(f, make([]byte, 4000)); err != nil {
				t.Fatalf("Send of little = %v", err)
			}
			if got, _ := readAvailable(t, good); len(got) != 4000 {
				t.Errorf("the peer read %d bytes", len(got))
			}
		}
	})
}

func TestStream_ConnectionBounds(t *testing.T) {
	inBubble(t, Options{MaxConns: 5, MaxConnsPerSource: 2}, func(t *testing.T, b *bench) {
		open := func(c net.Conn) bool {
			t.Helper()
			_, err := readAvailable(t, c)
			return err == nil
		}
		flooder := b.net.Host("192.0.2.50", "2001:db8:0:1::50")
		first := b.dial(flooder)
		if !open(first) || !open(b.dial(flooder)) {
			t.Error("closed below the bound")
		}
		for range 10 {
			if open(b.dial(flooder)) {
				t.Error("a third connection of one source is open")
			}
		}
		if !open(b.dial(b.net.Host("192.0.2.51"))) {
			t.Error("another source was refused")
		}
		// One /64 is one source.
		for i := range 3 {
			h := b.net.Host(fmt.Sprintf("2001:db8:0:2::%d", i+1))
			c, err := h.DialContext(t.Context(), "tcp", "", "["+server6+"]:5060")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := open(c); got != (i < 2) {
				t.Errorf("connection %d of the /64: open %v", i+1, got)
			}
		}
		if open(b.dial(b.net.Host("192.0.2.52"))) {
			t.Error("a sixth connection is open")
		}
		// A slot is free again once its connection has ended.
		first.Close()
		synctest.Wait()
		if !open(b.dial(flooder)) {
			t.Error("the slot was not freed")
		}
		if got := len(b.closed); got != 1 {
			t.Errorf("%d flows reported closed, want only the one that was open", got)
		}
	})
}

func TestStream_AcceptErrorsDoNotEndTheListener(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		for i := range 20 {
			b.named("tcp").accept.(*memnet.Listener).Fail(syscall.EMFILE)
			c := b.dial(b.net.Host(fmt.Sprintf("192.0.2.%d", 50+i)))
			mustWrite(t, c, message(i, ""))
			time.Sleep(2 * time.Second)
			if got := b.take(); len(got) != 1 {
				t.Fatalf("after failure %d: %d messages", i, len(got))
			}
		}
	})
}

// FlowClosed comes once, after the last Receive; the recorder checks both.
func TestStream_FlowClosed(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(c net.Conn, phone *memnet.Host)
		want error
	}{
		{name: "peer closes", end: func(c net.Conn, _ *memnet.Host) { c.Close() }, want: io.EOF},
		{name: "reset", end: func(_ net.Conn, phone *memnet.Host) { phone.Reset() }, want: syscall.ECONNRESET},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, Options{}, func(t *testing.T, b *bench) {
				held := make(chan struct{})
				b.recorder.receive = func(flow.Flow, []byte) { <-held }
				phone := b.net.Host("192.0.2.50")
				c := b.dial(phone)
				mustWrite(t, c, message(1, "")+message(2, "")+message(3, ""))
				synctest.Wait()
				tc.end(c, phone)
				synctest.Wait()
				if len(b.closed) != 0 {
					t.Error("FlowClosed while the handler still runs")
				}
				close(held)
				synctest.Wait()
				f := b.last()
				if err := b.cause(f); !errors.Is(err, tc.want) {
					t.Errorf("closed with %v, want %v", err, tc.want)
				}
				if got := b.take(); len(got) != 3 {
					t.Errorf("%d of 3 messages came", len(got))
				}
				if b.Open(f) || b.Alive(f, time.Now()) {
					t.Error("the flow is still open")
				}
				// A new connection of the same phone is another flow.
				again := b.dial(phone)
				mustWrite(t, again, message(4, ""))
				synctest.Wait()
				if b.last() == f {
					t.Errorf("%v lives again", f)
				}
			})
		})
	}
}

func TestStream_HandlerThatBlocksHoldsOnlyItsConnection(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		held := make(chan struct{})
		b.recorder.receive = func(_ flow.Flow, m []byte) {
			if string(m) == message(1, "") {
				<-held
			}
		}
		stuck := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, stuck, message(1, ""))
		c := b.dial(b.net.Host("192.0.2.51"))
		mustWrite(t, c, message(2, ""))
		synctest.Wait()
		if got := b.take(); len(got) != 2 {
			t.Errorf("%d messages came", len(got))
		}
		close(held)
	})
}

func TestStop_WritesWhatIsQueued(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		c := b.dial(b.net.Host("192.0.2.50"))
		mustWrite(t, c, message(1, ""))
		synctest.Wait()
		f := b.last()
		answer := message(2, strings.Repeat("x", 60_000))
		for range 3 { // More than the window: Stop waits while the peer reads.
			if err := b.Send(f, []byte(answer)); err != nil {
				t.Fatal(err)
			}
		}
		var got []byte
		read := make(chan struct{})
		go func() {
			got, _ = io.ReadAll(c)
			close(read)
		}()
		start := time.Now()
		if err := b.Stop(t.Context()); err != nil || time.Since(start) > 0 {
			t.Errorf("Stop: %v after %v, with a peer that reads at once", err, time.Since(start))
		}
		<-read
		if len(got) != 3*len(answer) {
			t.Errorf("the peer read %d bytes of %d", len(got), 3*len(answer))
		}
		if err := b.cause(f); !errors.Is(err, ErrStopped) {
			t.Errorf("closed with %v", err)
		}
	})
}

func TestStop_IsBoundedAndIdempotent(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		held := make(chan struct{})
		b.recorder.receive = func(flow.Flow, []byte) { <-held }
		lazy := b.dial(b.net.Host("192.0.2.50")) // Never reads.
		mustWrite(t, lazy, message(1, ""))
		synctest.Wait()
		for range 3 {
			if err := b.Send(b.last(), make([]byte, 60_000)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			start := time.Now()
			if err := b.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Stop with a handler that blocks: %v", err)
			}
			if d := time.Since(start); d > 3*time.Second {
				t.Errorf("Stop took %v", d)
			}
			cancel()
		}
		close(held)
		start := time.Now()
		if err := b.Stop(t.Context()); err != nil || time.Since(start) > 0 {
			t.Errorf("Stop = %v after %v", err, time.Since(start))
		}
		b.Start() // Does nothing.
		if _, err := b.net.Host("192.0.2.60").DialContext(t.Context(), "tcp", "", server4+":5060"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial after Stop: %v", err)
		}
		if len(b.closed) != 1 {
			t.Errorf("%d flows closed", len(b.closed))
		}
	})
}

func TestNew_FailureReleasesAllAddresses(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		o := Options{
			Network: b.host, Handler: b.recorder,
			Listeners: []ListenerOptions{
				{Name: "udp", Transport: flow.UDP, Addr: server4 + ":6000"},
				{Name: "tcp", Transport: flow.TCP, Addr: server4 + ":6000"},
				{Name: "taken", Transport: flow.TCP, Addr: ":5060"},
			},
		}
		if _, err := New(o); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), `listener "taken"`) {
			t.Fatalf("New = %v", err)
		}
		o.Listeners = o.Listeners[:2]
		tr, err := New(o)
		if err != nil {
			t.Fatalf("the addresses were not released: %v", err)
		}
		// Never started, stopped all the same.
		if err := tr.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A second server on the same port must fail to start, not share the traffic.
func TestNew_AddressOfAnotherServer(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *bench) {
		_, err := New(Options{
			Network: b.host, Handler: b.recorder,
			Listeners: []ListenerOptions{{Name: "udp", Transport: flow.UDP, Addr: ":5060", Sockets: 4}},
		})
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("New = %v", err)
		}
	})
}
