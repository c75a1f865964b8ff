package proxy

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"reveille/internal/wake"
	"reveille/push"
	"reveille/usrloc"
)

// Events of one branch in every order that can happen.

var (
	racing  = func(string, string) Mode { return Race }
	asleep  = func(string, string) Mode { return Asleep }
	forMode = map[string]func(string, string) Mode{"race": racing, "asleep": asleep}
)

func TestBranch_CancelledCallWhoseConnectionBreaksWakesNobody(t *testing.T) {
	for name, policy := range forMode {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Options{Policy: policy}, func(w *world) {
				p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
				w.register(p)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				w.expect("INVITE 198.51.100.1:5060")
				w.recv(caller, cancelOf("c1"))
				w.expect("200 203.0.113.9:5060")
				w.breaks(p.flow)
				w.expect("487 203.0.113.9:5060")
				w.pushCount(0)
			})
		})
	}
}

func TestBranch_AnsweredCallWakesNobodyWhenAConnectionBreaks(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		mobile := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(mobile)
		w.register(desk)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[1], 200)
		w.expect("200 203.0.113.9:5060")
		w.breaks(mobile.flow)
		w.expect()
		w.pushCount(0)
	})
}

func TestBranch_2xxOfTheOldFlowStopsTheNewOne_RFC3261_16_7_5(t *testing.T) {
	inWorld(t, Options{Policy: racing}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		old := w.expect("INVITE 198.51.100.1:5060")[0]
		time.Sleep(300 * time.Millisecond)
		p.flow = tcp("198.51.100.7:40000", 2)
		w.register(p)
		second := w.expect("INVITE 198.51.100.7:40000")[0]
		w.reply(second, 180)
		w.expect("180 203.0.113.9:5060")
		w.reply(old, 200)
		got := w.expect("200 203.0.113.9:5060", "CANCEL 198.51.100.7:40000")
		if reason, _ := got[1].m.HeaderNamed("Reason"); !strings.HasPrefix(reason, "SIP;cause=200") {
			t.Errorf("Reason = %q, want cause 200", reason)
		}
		w.reply(second, 487)
		w.expect("ACK 198.51.100.7:40000")
	})
}

func TestBranch_LateProvisionalOfTheOldFlowIsCancelled_RFC3261_9_1(t *testing.T) {
	inWorld(t, Options{Policy: racing}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		old := w.expect("INVITE 198.51.100.1:5060")[0]
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		second := w.expect("INVITE 198.51.100.7:40000")[0]
		// Whoever has the old address by now: it is not heard before the new one.
		w.reply(old, 180)
		w.expect()
		w.reply(second, 180)
		w.expect("CANCEL 198.51.100.1:5060", "180 203.0.113.9:5060")
		w.reply(old, 487)
		w.expect("ACK 198.51.100.1:5060")
		w.reply(second, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

// A phone that had the request when it left the old flow refuses the second one:
// it is called by the first.
func TestBranch_MergedRequestGoesOnOnTheOldFlow_RFC3261_8_2_2_2(t *testing.T) {
	for _, tt := range []struct {
		name string
		// before and after are what it answers on the old flow, before and after
		// the 482 on the new one.
		before, after []int
		want          string
	}{
		{"it rang before", []int{180}, []int{200}, "180 200"},
		{"it rings after", nil, []int{180, 200}, "180 200"},
		{"it declined before", []int{180, 486}, nil, "486"},
		{"it declines after", nil, []int{603}, "603"},
		{"it answered before", []int{200}, nil, "200"},
		{"it has the first one twice, too", []int{482}, nil, "482"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{Policy: racing}, func(w *world) {
				p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
				w.register(p)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				old := w.expect("INVITE 198.51.100.1:5060")[0]
				p.flow = udp("198.51.100.7:40000")
				w.register(p)
				second := w.expect("INVITE 198.51.100.7:40000")[0]
				for _, status := range tt.before {
					w.reply(old, status)
				}
				w.reply(second, 482)
				for _, status := range tt.after {
					w.reply(old, status)
				}
				var got []string
				for _, s := range w.take() {
					if s.flow == caller && s.m.Status() > 100 {
						got = append(got, strconv.Itoa(s.m.Status()))
					}
				}
				if s := strings.Join(got, " "); s != tt.want {
					t.Errorf("the caller gets %q, want %q", s, tt.want)
				}
			})
		})
	}
}

// A MESSAGE that the phone took on its old flow is not told to have failed.
func TestBranch_MessageTakenOnTheOldFlow(t *testing.T) {
	inWorld(t, Options{Policy: racing}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "c1"))
		old := w.expect("MESSAGE 198.51.100.1:5060")[0]
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		second := w.expect("MESSAGE 198.51.100.7:40000")[0]
		w.reply(old, 200)
		w.expect("200 203.0.113.9:5060")
		w.reply(second, 482)
		w.expect()
	})
}

func TestBranch_MoveBeforeThePushCountsNoWake(t *testing.T) {
	inWorld(t, Options{Policy: racing}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.1:5060")
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		invite := w.expect("INVITE 198.51.100.7:40000")[0]
		w.reply(invite, 200)
		w.pushCount(0)
		if n := samples(t, w.proxy.metrics.wakeTime.WithLabelValues("fcm").(prometheus.Histogram)); n != 0 {
			t.Errorf("%d wakes were measured without a push", n)
		}
	})
}

func samples(t *testing.T, m prometheus.Metric) uint64 {
	t.Helper()
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.Histogram.GetSampleCount()
}

func TestBranch_ReconnectBeforeTheOldConnectionIsKnownDead(t *testing.T) {
	for _, provider := range []string{"fcm", ""} {
		t.Run("provider "+provider, func(t *testing.T) {
			inWorld(t, Options{}, func(w *world) {
				p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), provider)
				w.register(p)
				w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
				w.expect("INVITE 198.51.100.1:5060")
				old := p.flow
				p.flow = tcp("198.51.100.1:5061", 2)
				w.register(p)
				w.expect()
				w.breaks(old)
				invite := w.expect("INVITE 198.51.100.1:5061")[0]
				w.pushCount(0)
				w.reply(invite, 200)
				w.expect("200 203.0.113.9:5060")
			})
		})
	}
}

func TestBranch_WatchOutlivesALatePark(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.1:5060")
		time.Sleep(31 * time.Second)
		w.breaks(p.flow)
		w.pushCount(1)
		// Longer after the request than any request waits from its start.
		time.Sleep(20 * time.Second)
		w.expect()
		p.flow = tcp("198.51.100.1:5061", 2)
		w.register(p)
		w.expect("INVITE 198.51.100.1:5061")
	})
}

func TestBranch_AFlowThatJustFailedIsNoSignOfLife(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.with(func() { w.mute[p.flow] = true })
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.pushCount(1)
		time.Sleep(10 * time.Second)
		w.expect()
		p.flow = udp("198.51.100.7:40000")
		w.register(p)
		w.expect("INVITE 198.51.100.7:40000")
	})
}

func TestBranch_OutcomeOfAnOldPushSaysNothingOfTheNext(t *testing.T) {
	inWorld(t, Options{Policy: racing}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.1:5060")
		time.Sleep(300 * time.Millisecond)
		first := w.pushCount(1)
		w.breaks(p.flow)
		w.pushCount(2)
		// The first one was taken back, and its end is reported as a failure.
		w.outcome(first, push.Shed)
		w.expect()
		p.flow = tcp("198.51.100.1:5061", 2)
		w.register(p)
		w.expect("INVITE 198.51.100.1:5061")
	})
}

func TestBranch_DeviceThatRegistersAnewWhileItRings(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "fcm")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		invite := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(invite, 180)
		w.expect("180 203.0.113.9:5060")
		w.unregister(p)
		again := w.newPhone("alice", udp("198.51.100.1:5070"), "fcm")
		again.instance = p.instance
		w.register(again)
		w.expect()
		w.reply(invite, 486)
		w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
	})
}

func TestBranch_EitherFlowOfAnInstanceReleases_RFC5626_7(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		first := w.sleeper("198.51.100.1:5060")
		second := w.newPhone("alice", udp("198.51.100.1:5062"), "fcm")
		second.instance, second.push = first.instance, first.push
		w.register(second)
		w.sleeps(second)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.pushCount(1)
		other := first
		if w.pushCount(1).binding.ID == first.id {
			other = second
		}
		w.take()
		other.flow = udp("198.51.100.7:40000")
		w.register(other)
		w.expect("INVITE 198.51.100.7:40000")
		// The other flow's REGISTER makes no second branch.
		w.register(first)
		w.register(second)
		w.expect()
	})
}

func TestBranch_AnswerWithoutAViaForUs_RFC3261_16_7_3(t *testing.T) {
	for _, status := range []int{180, 200, 486} {
		inWorld(t, Options{}, func(w *world) {
			p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
			w.register(p)
			w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
			invite := w.expect("INVITE 198.51.100.1:5060")[0]
			answer := response(invite.m, status)
			// Only our own Via is left.
			i := strings.Index(answer, "Via: SIP/2.0/UDP 203.0.113.9")
			answer = answer[:i] + answer[i+strings.Index(answer[i:], "\n")+1:]
			w.recv(p.flow, answer)
			switch status {
			case 180:
				w.expect()
				w.reply(invite, 486)
				w.expect("ACK 198.51.100.1:5060", "486 203.0.113.9:5060")
			case 200:
				w.expect("502 203.0.113.9:5060")
			default:
				w.expect("ACK 198.51.100.1:5060", "502 203.0.113.9:5060")
			}
		})
	}
}

func TestFork_RefusedPushOfOneDeviceLeavesTheOthers(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.with(func() { w.refuse = wake.ErrDead })
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		toDesk := w.expect("INVITE 198.51.100.2:5060")[0]
		w.reply(toDesk, 200)
		w.expect("200 203.0.113.9:5060")
	})
}

func TestFork_RefusedPushOfTheOnlyDevice(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		w.with(func() { w.refuse = wake.ErrDead })
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("480 203.0.113.9:5060")
	})
}

func TestFork_CancelCrosses200_RFC3261_9_1(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.sleeper("198.51.100.9:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		invite := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(invite, 180)
		w.expect("180 203.0.113.9:5060")
		w.recv(caller, cancelOf("c1"))
		w.expect("200 203.0.113.9:5060", "CANCEL 198.51.100.1:5060")
		w.reply(invite, 200)
		got := w.expect("200 203.0.113.9:5060")[0]
		if got.m.Method() != "INVITE" {
			t.Errorf("200 to %s, want to the INVITE", got.m.Method())
		}
		// A CANCEL after the final does nothing.
		w.recv(caller, strings.Replace(cancelOf("c1"), "Max-Forwards: 70", "Max-Forwards: 69", 1))
		for _, s := range w.take() {
			if s.m.Method() != "CANCEL" {
				t.Errorf("sent %s after the call was up", s.m.Method())
			}
		}
	})
}

func TestFork_DeclineStopsAMessageAtOnce(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		out := w.expect("MESSAGE 198.51.100.1:5060", "MESSAGE 198.51.100.2:5060")
		w.reply(out[0], 603)
		w.expect("603 203.0.113.9:5060")
		// Nobody waits for the other's answer.
		w.reply(out[1], 200)
		w.expect()
	})
}

func TestFork_MessageOverAConnectionStillReachesTheSleeper(t *testing.T) {
	// Over a connection the transaction ends with its answer (RFC 3261 §17.2.2,
	// Timer J), the delivery does not.
	inWorld(t, Options{}, func(w *world) {
		from := tcp("203.0.113.9:5060", 9)
		mobile := w.sleeper("198.51.100.1:5060")
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		w.recv(from, strings.Replace(request("MESSAGE", "sip:alice@example.com", "m1"), "/UDP", "/TCP", 1))
		m := w.expect("MESSAGE 198.51.100.2:5060")[0]
		w.reply(m, 200)
		w.expect("200 203.0.113.9:5060")
		mobile.flow = udp("198.51.100.7:40000")
		w.register(mobile)
		m = w.expect("MESSAGE 198.51.100.7:40000")[0]
		w.reply(m, 200)
		w.expect()
	})
}

func TestFork_SenderThatGaveUpIsServedNoMore_RFC4320_4_2(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.newPhone("alice", tcp("198.51.100.1:5060", 1), "fcm")
		w.register(p)
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		m := w.expect("MESSAGE 198.51.100.1:5060")[0]
		w.reply(m, 100)
		time.Sleep(32 * time.Second)
		w.breaks(p.flow)
		w.expect()
		w.pushCount(0)
	})
}

func TestFork_ForbiddenPushNeverLengthensTheWait(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("MESSAGE", "sip:alice@example.com", "m1"))
		time.Sleep(14 * time.Second)
		w.outcome(w.pushCount(1), push.Forbidden)
		w.take()
		time.Sleep(time.Second)
		w.expect("480 203.0.113.9:5060")
	})
}

func TestFork_AllReasonsOfACancelAreCopied_RFC3326(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		invite := w.expect("INVITE 198.51.100.1:5060")[0]
		w.reply(invite, 180)
		w.take()
		w.recv(caller, cancelOf("c1", "Reason: Q.850;cause=16", "Reason: SIP;cause=600"))
		cancel := w.expect("200 203.0.113.9:5060", "CANCEL 198.51.100.1:5060")[1]
		if n := strings.Count(cancel.m.Raw(), "\r\nReason: "); n != 2 {
			t.Errorf("%d Reason, want both:\n%s", n, cancel.m.Raw())
		}
	})
}

func TestFork_DeclineTellsTheOthersWhy_RFC3326(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		w.register(w.newPhone("alice", udp("198.51.100.1:5060"), ""))
		w.register(w.newPhone("alice", udp("198.51.100.2:5060"), ""))
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.1:5060", "INVITE 198.51.100.2:5060")
		w.reply(out[1], 180)
		w.expect("180 203.0.113.9:5060")
		w.reply(out[0], 603)
		got := w.take()
		for _, s := range got {
			if s.m.Method() != "CANCEL" {
				continue
			}
			if reason, _ := s.m.HeaderNamed("Reason"); reason != "SIP;cause=603" {
				t.Errorf("Reason = %q, want cause 603", reason)
			}
			w.reply(out[1], 487)
			w.expect("ACK 198.51.100.2:5060", "603 203.0.113.9:5060")
			return
		}
		t.Fatalf("no CANCEL:%s", lines(got))
	})
}

func TestFork_LateJoinerMustBeNewToTheCall(t *testing.T) {
	// A phone that has said no and registers anew is not asked again (RFC 5626 §7).
	inWorld(t, Options{}, func(w *world) {
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		p := w.newPhone("alice", udp("198.51.100.1:5060"), "")
		w.register(p)
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		out := w.expect("INVITE 198.51.100.2:5060", "INVITE 198.51.100.1:5060")
		w.reply(out[1], 486)
		w.expect("ACK 198.51.100.1:5060")
		w.unregister(p)
		again := w.newPhone("alice", udp("198.51.100.1:5070"), "")
		again.instance = p.instance
		w.register(again)
		w.expect()
	})
}

// A change of the record by others than the phone is no sign of life.
func TestFork_ChangeByOthersReleasesNothing(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.take()
		w.store.Update(t.Context(), p.aor, func(r usrloc.Record) (usrloc.Record, error) {
			b := append([]usrloc.Binding(nil), r.Bindings...)
			b[0].Q = 300
			r.Bindings, r.Cause = b, usrloc.CauseOperator
			return r, nil
		}, func(usrloc.Record, []usrloc.Change, error) {})
		w.expect()
		time.Sleep(25 * time.Second)
		w.expect("480 203.0.113.9:5060")
	})
}

func TestFork_DeviceThatLeftBeforeItWasAskedMayJoin_RFC3261_16_5(t *testing.T) {
	inWorld(t, Options{}, func(w *world) {
		desk := w.newPhone("alice", udp("198.51.100.2:5060"), "")
		w.register(desk)
		p := w.sleeper("198.51.100.1:5060")
		w.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
		w.expect("INVITE 198.51.100.2:5060")
		w.unregister(p)
		again := w.newPhone("alice", udp("198.51.100.1:5070"), "fcm")
		again.instance = p.instance
		w.register(again)
		w.expect("INVITE 198.51.100.1:5070")
		// Once.
		w.unregister(again)
		third := w.newPhone("alice", udp("198.51.100.1:5071"), "fcm")
		third.instance = p.instance
		w.register(third)
		w.expect()
	})
}
