package proxy

import (
	"crypto/rand"
	"fmt"
	"regexp"
	"testing"
	"time"

	"reveille/usrloc"
)

// three registers three phones of alice with falling q.
func three(w *world) []*phone {
	var all []*phone
	for i, addr := range []string{"198.51.100.1:5060", "198.51.100.2:5060", "198.51.100.3:5060"} {
		p := w.newPhone("alice", udp(addr), "")
		p.q = usrloc.Q(900 - 100*i)
		w.register(p)
		time.Sleep(time.Second)
		all = append(all, p)
	}
	return all
}

func TestFork_Sequential_RFC3261_16_6(t *testing.T) {
	inWorld(t, Options{Fork: Sequential}, func(w *world) {
		w.register(&phone{
			aor: "sip:alice@example.com", id: w.newPhone("alice", udp("198.51.100.9:5060"), "").id,
			flow: udp("198.51.100.9:5060"), q: 900, callID: "r",
		})
		three(w)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.9:5060", "INVITE 198.51.100.1:5060")
		w.reply(out[0], 486)
		w.expect("ACK 198.51.100.9:5060")
		w.reply(out[1], 486)
		out = w.expect("ACK 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[1], 404)
		out = w.expect("ACK 198.51.100.2:5060", "INVITE 198.51.100.3:5060")
		w.reply(out[1], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestFork_SequentialEndsWithADecline_RFC3261_16_7_5(t *testing.T) {
	inWorld(t, Options{Fork: Sequential}, func(w *world) {
		three(w)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.reply(w.expect("INVITE 198.51.100.1:5060")[0], 603)
		w.expect("ACK 198.51.100.1:5060", "603 203.0.113.9:5060")
	})
}

func TestFork_SequentialCancelled_RFC3261_16_10(t *testing.T) {
	inWorld(t, Options{Fork: Sequential}, func(w *world) {
		three(w)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		w.recv(caller, cancelOf("c1"))
		cancel := w.expect("200 203.0.113.9:5060", "CANCEL 198.51.100.1:5060")[1]
		w.reply(cancel, 200)
		w.reply(out, 487)
		w.expect("ACK 198.51.100.1:5060", "487 203.0.113.9:5060")
	})
}

// A phone that is being woken has not failed, and one that rings too long has.
func TestFork_SequentialWaitsForAWake(t *testing.T) {
	inWorld(t, Options{Fork: Sequential, Ring: 10 * time.Second}, func(w *world) {
		asleep := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(asleep)
		w.sleeps(asleep)
		second := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		second.q = 500
		w.register(second)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect()
		w.pushCount(1)
		time.Sleep(20 * time.Second)
		w.expect()
		asleep.flow = udp("198.51.100.1:6000")
		w.register(asleep)
		out := w.expect("INVITE 198.51.100.1:6000")[0]
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(9 * time.Second)
		w.expect()
		time.Sleep(time.Second)
		cancel := w.expect("CANCEL 198.51.100.1:6000")[0]
		w.reply(cancel, 200)
		w.reply(out, 487)
		next := w.expect("ACK 198.51.100.1:6000", "INVITE 198.51.100.2:5060")[1]
		// The last one may ring for as long as it likes.
		w.reply(next, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(time.Minute)
		w.reply(next, 404)
		// Nobody cancelled: the first phone's 487 is our doing and not the answer.
		w.expect("ACK 198.51.100.2:5060", "404 203.0.113.9:5060")
	})
}

// While it waits for its turn, a phone may move, leave, or come.
func TestFork_SequentialFollowsTheRegistrations(t *testing.T) {
	inWorld(t, Options{Fork: Sequential}, func(w *world) {
		all := three(w)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		all[1].flow = udp("198.51.100.2:7000")
		w.register(all[1])
		w.unregister(all[2])
		late := w.newPhone("alice", udp("198.51.100.4:5060"), "")
		late.q = 600
		w.register(late)
		w.expect()
		w.reply(out, 486)
		out = w.expect("ACK 198.51.100.1:5060", "INVITE 198.51.100.2:7000")[1]
		w.reply(out, 486)
		out = w.expect("ACK 198.51.100.2:7000", "INVITE 198.51.100.4:5060")[1]
		w.reply(out, 486)
		w.expect("ACK 198.51.100.4:5060", "486 203.0.113.9:5060")
	})
}

// A phone that rings alone rings on, until another one comes to wait for its turn.
func TestFork_SequentialRingsNoLongerWhenAnotherComes(t *testing.T) {
	inWorld(t, Options{Fork: Sequential, Ring: 10 * time.Second}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(out, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(15 * time.Second)
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.expect()
		time.Sleep(10*time.Second + time.Millisecond)
		w.reply(w.expect("CANCEL 198.51.100.1:5060")[0], 200)
		w.reply(out, 487)
		w.reply(w.expect("ACK 198.51.100.1:5060", "INVITE 198.51.100.2:5060")[1], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A phone that rings is not given up while another of its group still wakes: nobody
// would ring then.
func TestFork_SequentialRingsOnWhileTheGroupWakes(t *testing.T) {
	inWorld(t, Options{Fork: Sequential, Ring: 10 * time.Second}, func(w *world) {
		desk := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(desk)
		mobile := w.sleeper("198.51.100.2:5060")
		last := w.newPhone("alice", udp("198.51.100.3:5060"), "")
		last.q = 500
		w.register(last)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(toDesk, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(15 * time.Second)
		w.expect()
		mobile.flow = udp("198.51.100.7:40000")
		w.register(mobile)
		toMobile := w.expect("INVITE 198.51.100.7:40000")[0]
		w.reply(toMobile, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(10*time.Second - time.Millisecond)
		w.expect()
		time.Sleep(time.Millisecond)
		for i, c := range w.expect("CANCEL 198.51.100.1:5060", "CANCEL 198.51.100.7:40000") {
			w.reply(c, 200)
			w.reply([]sent{toDesk, toMobile}[i], 487)
		}
		w.expect("ACK 198.51.100.1:5060", "ACK 198.51.100.7:40000", "INVITE 198.51.100.3:5060")
	})
}

// When the one that was to wake does not, those that have rung long enough make way
// at once.
func TestFork_SequentialGoesOnWhenTheGroupDidNotWake(t *testing.T) {
	inWorld(t, Options{Fork: Sequential, Ring: 10 * time.Second}, func(w *world) {
		desk := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(desk)
		w.sleeper("198.51.100.2:5060")
		last := w.newPhone("alice", udp("198.51.100.3:5060"), "")
		last.q = 500
		w.register(last)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(toDesk, 180)
		w.expect("180 203.0.113.9:5060")
		time.Sleep(25 * time.Second)
		w.reply(w.expect("CANCEL 198.51.100.1:5060")[0], 200)
		w.reply(toDesk, 487)
		w.expect("ACK 198.51.100.1:5060", "INVITE 198.51.100.3:5060")
	})
}

func TestFork_MessageIsDeliveredOnceInSequence(t *testing.T) {
	inWorld(t, Options{Fork: Sequential}, func(w *world) {
		three(w)
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		w.reply(w.expect("MESSAGE 198.51.100.1:5060")[0], 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestFork_FirstOnly(t *testing.T) {
	inWorld(t, Options{Fork: FirstOnly}, func(w *world) {
		all := three(w)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060")[0]
		w.register(w.newPhone("alice", udp("198.51.100.4:5060"), ""))
		w.reply(out, 486)
		w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
		// Of equal ones the phone that is awake.
		w.unregister(all[0])
		asleep := w.newPhone("alice", udp("198.51.100.5:5060"), "fcm")
		w.register(asleep)
		w.sleeps(asleep)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c2"))
		out = w.expect("INVITE 198.51.100.4:5060")[0]
		w.reply(out, 486)
		w.expect("ACK 198.51.100.4:5060", "486 203.0.113.9:5060")
		w.pushCount(0)
	})
}

func TestFork_MostRecentFirst(t *testing.T) {
	inWorld(t, Options{Fork: Sequential, Sort: ByRecent}, func(w *world) {
		three(w)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.3:5060")[0]
		w.reply(out, 486)
		out = w.expect("ACK 198.51.100.3:5060", "INVITE 198.51.100.2:5060")[1]
		w.reply(out, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestOrder_Names(t *testing.T) {
	for name, want := range map[string]ForkMode{"parallel": Parallel, "sequential": Sequential, "first_only": FirstOnly} {
		if got, ok := ParseForkMode(name); !ok || got != want {
			t.Errorf("ParseForkMode(%q) = %v, %v, want %v", name, got, ok, want)
		}
	}
	if _, ok := ParseForkMode("both"); ok {
		t.Error("ParseForkMode took an unknown name")
	}
	for name, want := range map[string]Sort{"q": ByQ, "recent": ByRecent, "latency": ByLatency} {
		if got, ok := ParseSort(name); !ok || got != want {
			t.Errorf("ParseSort(%q) = %v, %v, want %v", name, got, ok, want)
		}
	}
	if _, ok := ParseSort(""); ok {
		t.Error("ParseSort took an unknown name")
	}
}

// TestFork_ByDomain_RFC3261_16_6: one domain may want other devices in another
// order than the rest.
func TestFork_ByDomain_RFC3261_16_6(t *testing.T) {
	choices := map[string]Choice{"example.net": {Fork: Sequential, UserAgents: regexp.MustCompile("^Good")}}
	inWorld(t, Options{Domains: []string{"example.com", "example.net"}, Choices: choices}, func(w *world) {
		for i, domain := range []string{"example.com", "example.net"} {
			for j, agent := range []string{"Good/1", "Good/2", "Bad/1"} {
				addr := fmt.Sprintf("198.51.100.%d:5060", 10*i+j+1)
				p := w.newPhone("alice", udp(addr), "")
				p.aor, p.uri, p.agent, p.q = usrloc.AOR("sip:alice@"+domain), "sip:alice@"+addr, agent, usrloc.Q(1000-100*j)
				p.id, _ = usrloc.NewBindingID(p.aor, rand.Reader)
				w.register(p)
			}
		}
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		for _, s := range w.expect("MESSAGE 198.51.100.1:5060", "MESSAGE 198.51.100.2:5060", "MESSAGE 198.51.100.3:5060") {
			w.reply(s, 404)
		}
		w.expect("404 203.0.113.9:5060")
		w.recv(caller, request("MESSAGE", "sip:alice@example.net", "m2"))
		w.reply(w.expect("MESSAGE 198.51.100.11:5060")[0], 404)
		w.reply(w.expect("MESSAGE 198.51.100.12:5060")[0], 404)
		w.expect("404 203.0.113.9:5060")
	})
}
