package transaction

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// overload is what the tests of this file run with.
func overload() Options {
	return Options{Queues: 1, RetryAfter: 5 * time.Second, Overload: Overload{Target: 100 * time.Millisecond, Interval: 300 * time.Millisecond}}
}

// block keeps the only queue from working until the returned function is called.
func (r *rig) block() (release func()) {
	hold := make(chan struct{})
	r.layer.Queue("call").Post(func() { <-hold })
	synctest.Wait()
	return func() { close(hold); synctest.Wait() }
}

// stuck is block for so long that the queue refuses.
func (r *rig) stuck() (release func()) {
	release = r.block()
	r.advance(401 * time.Millisecond)
	return release
}

// other is a request with a Call-ID of its own.
func other(n int, method string) rq {
	return rq{method: method, callID: fmt.Sprintf("other-%d", n), via: branch(100 + n)}
}

func TestOverload_RefusesAtTheDoor_RFC3261_21_5_4(t *testing.T) {
	bubble(t, overload(), func(r *rig) {
		release := r.block()
		r.advance(400 * time.Millisecond)
		// Not for too long yet: it waits.
		r.receive(udpCaller, other(1, "INVITE").on(t, udpCaller))
		r.expect()
		r.advance(time.Millisecond)
		for n, method := range []string{"INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS"} {
			r.receive(udpCaller, other(2+n, method).on(t, udpCaller))
			r.expect("401ms > 503")
		}
		// The answer to a copy is the same, and its ACK goes no further.
		again := other(2, "INVITE")
		r.receive(udpCaller, again.on(t, udpCaller))
		first := r.last()
		r.receive(udpCaller, again.on(t, udpCaller))
		r.expect("401ms > 503", "401ms > 503")
		if first.Raw() != r.last().Raw() || first.ToTag() == "" {
			t.Errorf("two copies were answered\n%s\nand\n%s", first.Raw(), r.last().Raw())
		}
		switch got, _ := first.HeaderNamed("Retry-After"); got {
		case "5", "6", "7", "8", "9", "10":
		default:
			t.Errorf("Retry-After = %q, want 5 to 10", got)
		}
		again.method, again.toTag = "ACK", first.ToTag()
		r.receive(udpCaller, again.on(t, udpCaller))
		release()
		// What waited is served: the delay is over by then.
		r.expect("401ms request INVITE", "401ms > 100")
		r.receive(udpCaller, other(20, "INVITE").on(t, udpCaller))
		r.expect("401ms request INVITE", "401ms > 100")
	})
}

// TestOverload_TellsWhomItRefuses: what is shed, once for each request that comes.
func TestOverload_TellsWhomItRefuses(t *testing.T) {
	var told []string
	o := overload()
	o.Refused = func(f flow.Flow, m *sipmsg.Message, r sipmsg.Reply) {
		told = append(told, fmt.Sprint(m.Method(), " ", r.Code, " ", f == udpCaller))
	}
	bubble(t, o, func(r *rig) {
		release := r.stuck()
		r.receive(udpCaller, other(1, "INVITE").on(t, udpCaller))
		r.receive(udpCaller, other(2, "BYE").on(t, udpCaller))
		release()
		if got := strings.Join(told, ", "); got != "INVITE 503 true" {
			t.Errorf("told %q", got)
		}
	})
}

// TestOverload_ACKsTakeNoPlace_RFC3261_8_2_7: each refused INVITE brings one, and they
// would fill the queue that calls under way need.
func TestOverload_ACKsTakeNoPlace_RFC3261_8_2_7(t *testing.T) {
	o := overload()
	o.QueueLen = 4
	bubble(t, o, func(r *rig) {
		release := r.stuck()
		for n := range 10 {
			q := other(n, "INVITE")
			r.receive(udpCaller, q.on(t, udpCaller))
			r.expect("401ms > 503")
			q.method, q.toTag = "ACK", r.last().ToTag()
			r.receive(udpCaller, q.on(t, udpCaller))
		}
		bye := other(20, "BYE")
		bye.toTag = "phone"
		r.receive(udpCaller, bye.on(t, udpCaller))
		release()
		r.expect("401ms request BYE")
	})
}

// What belongs to a call that was admitted is served: it costs less than what its
// absence would.
func TestOverload_LetsCallsGoOn(t *testing.T) {
	bubble(t, overload(), func(r *rig) {
		invite := rq{via: branch(1)}
		r.receive(udpCaller, invite.on(t, udpCaller))
		r.forget()
		release := r.stuck()
		r.receive(udpCaller, other(1, "OPTIONS").on(t, udpCaller))
		r.expect("401ms > 503")
		cancel := invite
		cancel.method = "CANCEL"
		r.receive(udpCaller, invite.on(t, udpCaller)) // once more
		r.receive(udpCaller, cancel.on(t, udpCaller))
		for n, method := range []string{"BYE", "INVITE", "UPDATE", "REFER"} {
			q := other(2+n, method)
			q.toTag = "phone"
			r.receive(udpCaller, q.on(t, udpCaller))
		}
		r.receive(udpCaller, rq{method: "ACK", via: branch(2), toTag: "phone"}.on(t, udpCaller))
		r.receive(udpPhone, r.parse(udpPhone, other(9, "INVITE").on(t, udpPhone).AppendReply(nil, sipmsg.Reply{Code: 200, ToTag: "x"})))
		r.expect()
		release()
		r.expect("401ms > 100", "401ms > 200 CANCEL", "401ms cancel INVITE", "401ms request BYE",
			"401ms request INVITE", "401ms > 100", "401ms request UPDATE", "401ms request REFER", "401ms ack", "401ms stray 200")
	})
}

// A copy of an INVITE that still waits in the queue must not be told that it was
// refused.
func TestOverload_CopyOfWhatWaits(t *testing.T) {
	bubble(t, overload(), func(r *rig) {
		release := r.block()
		r.receive(udpCaller, other(1, "INVITE").on(t, udpCaller))
		r.advance(401 * time.Millisecond)
		r.receive(udpCaller, other(1, "INVITE").on(t, udpCaller))
		r.expect()
		release()
		r.expect("401ms request INVITE", "401ms > 100", "401ms > 100")
	})
}

// slowly lets the user need d for each request, and feeds one request each
// millisecond for a second.
func (r *rig) slowly(d time.Duration, method string) {
	r.request = func(*Server) { time.Sleep(d) }
	before := r.servers
	for n := range 1000 {
		r.layer.Receive(udpCaller, other(1000+n+before*10_000, method).on(r.t, udpCaller))
		time.Sleep(time.Millisecond)
	}
	synctest.Wait()
	r.advance(time.Second)
}

// With three times the work that the queue can do, nearly as much is done in time as
// can be done at all; a pretended clock makes the work take its time. Without refusing,
// almost everything comes too late to be of use.
func TestOverload_Goodput(t *testing.T) {
	const possible = 5 * 333 // in five seconds
	inTime := func(o Options) (good int) {
		bubble(t, o, func(r *rig) {
			r.request = func(s *Server) {
				came, _ := s.Message().HeaderNamed("X-Came")
				var at int64
				fmt.Sscan(came, &at)
				if time.Now().UnixNano()-at < int64(500*time.Millisecond) {
					good++
				}
				time.Sleep(3 * time.Millisecond)
			}
			for n := range 5000 {
				q := other(n, "MESSAGE")
				q.header = fmt.Sprintf("X-Came: %d", time.Now().UnixNano())
				r.layer.Receive(udpCaller, q.on(t, udpCaller))
				time.Sleep(time.Millisecond)
			}
			r.advance(20 * time.Second)
		})
		return good
	}
	if got := inTime(overload()); got < possible*8/10 {
		t.Errorf("%d requests were served in time, want 8 of 10 of %d", got, possible)
	}
	if got := inTime(Options{Queues: 1}); got > possible/4 {
		t.Errorf("%d requests were served in time without refusing: does this test show anything?", got)
	}
}

// REGISTERs are refused only when they are what is too much, and never those that
// Spare names.
func TestOverload_RegistersLast(t *testing.T) {
	o := overload()
	o.Spare = func(m *sipmsg.Message) bool { return strings.Contains(m.RequestURI().String(), "sos") }
	bubble(t, o, func(r *rig) {
		release := r.stuck()
		r.receive(udpCaller, other(1, "REGISTER").on(t, udpCaller))
		r.receive(udpCaller, other(2, "INVITE").on(t, udpCaller))
		r.expect("401ms > 503")
		// Four times the target, and the interval.
		r.advance(300 * time.Millisecond)
		r.receive(udpCaller, other(3, "REGISTER").on(t, udpCaller))
		r.expect("701ms > 503")
		for n, method := range []string{"REGISTER", "INVITE"} {
			q := other(4+n, method)
			q.uri = "urn:service:sos"
			r.receive(udpCaller, q.on(t, udpCaller))
		}
		r.expect()
		release()
		r.expect("701ms request REGISTER", "701ms request REGISTER", "701ms request INVITE", "701ms > 100")
	})
}

func TestOverload_IsToldOnce(t *testing.T) {
	var out bytes.Buffer
	o := overload()
	o.Logger = slog.New(slog.NewTextHandler(&out, nil))
	bubble(t, o, func(r *rig) {
		for range 3 {
			r.slowly(3*time.Millisecond, "MESSAGE")
		}
		r.advance(10 * time.Second)
		if n, over := strings.Count(out.String(), "are refused\" of=requests"), strings.Count(out.String(), "is over\" of=requests"); n != 1 || over != 1 {
			t.Errorf("told %d times that it began and %d times that it was over, want once each:\n%s", n, over, out.String())
		}
		if r.layer.Overloaded() {
			t.Error("Overloaded() = true after ten quiet seconds")
		}
		r.advance(time.Minute)
		r.on(r.server, func() {})
		r.server = nil
	})
}

func TestOverload_OffByDefault(t *testing.T) {
	bubble(t, Options{Queues: 1}, func(r *rig) {
		release := r.block()
		r.advance(time.Hour)
		r.receive(udpCaller, other(1, "INVITE").on(t, udpCaller))
		r.expect()
		release()
		r.expect("1h0m0s request INVITE", "1h0m0s > 100")
	})
}

// One slow queue says nothing of the server: 503 would keep all calls away from it.
func TestOverload_OneQueueIsNotTheServer(t *testing.T) {
	o := overload()
	o.Queues = 4
	bubble(t, o, func(r *rig) {
		queues := r.layer.queues
		hold := make(chan struct{})
		id := func(q *Queue, n int) string {
			for ; r.layer.Queue(fmt.Sprint("id-", n)) != q; n++ {
			}
			return fmt.Sprint("id-", n)
		}
		queues[0].Post(func() { <-hold })
		r.advance(701 * time.Millisecond)
		for n, method := range []string{"INVITE", "REGISTER"} {
			r.receive(udpCaller, rq{method: method, callID: id(queues[0], 1000*n), via: branch(n)}.on(t, udpCaller))
		}
		r.expect("701ms > 480", "701ms > 500")
		if got, ok := r.last().HeaderNamed("Retry-After"); !ok || got == "" {
			t.Error("no Retry-After")
		}
		r.receive(udpCaller, rq{method: "MESSAGE", callID: id(queues[1], 0), via: branch(9)}.on(t, udpCaller))
		r.expect("701ms request MESSAGE")
		queues[1].Post(func() { <-hold })
		r.advance(701 * time.Millisecond)
		r.receive(udpCaller, rq{method: "INVITE", callID: id(queues[0], 5000), via: branch(10)}.on(t, udpCaller))
		r.expect("1.402s > 503")
		close(hold)
		r.advance(time.Minute)
	})
}

// A message that waited before it was read has waited.
func TestOverload_WaitInTheSocket(t *testing.T) {
	bubble(t, overload(), func(r *rig) {
		r.request = func(*Server) { time.Sleep(10 * time.Millisecond) }
		for n := range 100 {
			r.layer.ReceiveAt(udpCaller, other(n, "MESSAGE").on(t, udpCaller), time.Now().Add(-150*time.Millisecond))
			time.Sleep(9 * time.Millisecond)
		}
		if !r.layer.Overloaded() {
			t.Error("nothing is refused, though every message had waited when it was read")
		}
		r.advance(time.Minute)
	})
}

// While messages are lost it does not matter that those that are not are quick; and it
// ends by itself when no more are.
func TestOverload_LostMessages(t *testing.T) {
	bubble(t, overload(), func(r *rig) {
		lose := func(steps int) {
			for n := range steps {
				r.layer.Lost()
				r.receive(udpCaller, other(1000+n, "BYE").on(t, udpCaller))
				r.advance(50 * time.Millisecond)
			}
		}
		lose(6)
		if r.layer.Overloaded() {
			t.Error("refuses after less than an interval")
		}
		lose(2)
		r.forget()
		r.receive(udpCaller, other(1, "INVITE").on(t, udpCaller))
		r.receive(udpCaller, other(2, "REGISTER").on(t, udpCaller))
		r.expect("400ms > 503", "400ms request REGISTER")
		r.advance(250 * time.Millisecond)
		r.receive(udpCaller, other(3, "INVITE").on(t, udpCaller))
		r.expect("650ms request INVITE", "650ms > 100")
	})
}
