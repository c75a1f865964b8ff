package load

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/internal/sipmsg"
)

// callWorld is a world in which phone 0, which sleeps if asked, is called once.
// All have registered, and the INVITE is the next that is taken.
func callWorld(t *testing.T, o Options) *world {
	t.Helper()
	o.Phones, o.Sockets = 1, 1
	o.WakeDelay = Span{100 * time.Millisecond, 100 * time.Millisecond}
	o.RingDelay, o.AnswerDelay = Span{10 * time.Millisecond, 10 * time.Millisecond}, Span{20 * time.Millisecond, 20 * time.Millisecond}
	o.Hold = Span{time.Second, time.Second}
	calls := Phase{Name: "calls", Asleep: float64(o.Sleepers), Calls: Pace{Count: 1, Window: 1}}
	o.Phases = []Phase{closed(1, 1), calls}
	if o.Sleepers > 0 {
		o.Phases = []Phase{closed(1, 1), {Name: "settle", Sleep: true}, calls}
	}
	w := newWorld(t, o)
	w.at(0)
	w.answer(w.take(1)[0], 0, sipmsg.Reply{Code: 200, ToTag: "s"})
	w.at(0)
	return w
}

// relay hands a request of a caller to a phone as a proxy does.
func (w *world) relay(m message, to uint16, branch string, ns int64) {
	w.t.Helper()
	first, rest, _ := strings.Cut(m.text, "\r\n")
	method, _, _ := strings.Cut(first, " ")
	w.receive(to, []byte(fmt.Sprintf("%s sip:u0000000@%s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5984;branch=%s\r\n"+
		"Record-Route: <sip:one@127.0.0.1:5984;lr>\r\nRecord-Route: <sip:two@127.0.0.1:5984;lr>\r\n%s", method, w.addr(to), branch, rest)), ns)
}

// back hands the answer of a phone to the caller as a proxy does.
func (w *world) back(m message, to uint16, ns int64) {
	w.t.Helper()
	status, rest, _ := strings.Cut(m.text, "\r\n")
	_, rest, _ = strings.Cut(rest, "\r\n")
	w.receive(to, []byte(status+"\r\n"+rest), ns)
}

func TestCall_AwakePhone(t *testing.T) {
	w := callWorld(t, Options{})
	invite := w.take(1)[0]
	w.answer(invite, 0, sipmsg.Reply{Code: 100})
	w.at(600 * milli)
	w.take(0) // Timer A has stopped.
	w.relay(invite, 0, "z9hG4bKx", 600*milli)
	w.relay(invite, 0, "z9hG4bKx", 605*milli)
	w.at(610 * milli)
	ringing := w.take(1)[0]
	if !strings.HasPrefix(ringing.text, "SIP/2.0 180") {
		t.Fatalf("at 10 ms: %s", ringing.first())
	}
	w.back(ringing, invite.line, 611*milli)
	w.at(630 * milli)
	ok := w.take(1)[0]
	w.at(630*milli + second/2)
	if again := w.take(1)[0]; again != ok {
		t.Errorf("without an ACK:\n%s\nwant the 200 again", again.text)
	}
	w.back(ok, invite.line, 640*milli+second/2)
	ack := w.take(1)[0]
	m, err := sipmsg.Parse([]byte(ack.text), target)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 3261 §12.1.2: the caller's route set is reversed.
	if r := m.Routes(); len(r) != 2 || r[0].URI.User != "two" || r[1].URI.User != "one" || m.RequestURI().Port != "40000" {
		t.Errorf("ACK:\n%s", ack.text)
	}
	w.back(ok, invite.line, 641*milli+second/2)
	if w.take(1)[0].first() != ack.first() {
		t.Error("no ACK for a 200 that came again")
	}
	w.relay(ack, 0, "z9hG4bKy", 642*milli+second/2)
	w.at(650*milli + 3*second/2)
	bye := w.take(1)[0]
	w.relay(bye, 0, "z9hG4bKz", 2200*milli)
	done := w.take(1)[0]
	w.back(done, bye.line, 2210*milli)
	if w.at(2210 * milli) {
		t.Error("goes on")
	}
	got := w.rec.done[1]
	want := CallCounts{Started: 1, Answered: 1, Completed: 1, Retransmitted: 1, MaxOpen: 1, Rate: got.Calls.Rate}
	if d := cmp.Diff(want, got.Calls); d != "" || len(got.Failures) > 0 {
		t.Errorf("calls (-want +got):\n%s\n%v", d, got.Failures)
	}
	// 1140 ms, of which 30 the phone's own.
	if l := got.Latency["added"]; l.Max < 1109 || l.Max > 1111 {
		t.Errorf("added = %+v, want 1110 ms", l)
	}
}

func TestCall_SleepingPhone(t *testing.T) {
	w := callWorld(t, Options{Sleepers: 1})
	if w.sleeps != 1 || w.held != 1 {
		t.Errorf("%d sleeps, %d held, want 1 of each", w.sleeps, w.held)
	}
	invite := w.take(1)[0]
	w.answer(invite, 0, sipmsg.Reply{Code: 100})
	w.pushed(string(appendToken(nil, 0)), CallPush, 5*milli, 5*milli)
	w.pushed(string(appendToken(nil, 0)), CallPush, 6*milli, 6*milli) // Once is enough.
	w.pushed("somebody else's", CallPush, 6*milli, 6*milli)
	w.at(104 * milli)
	w.take(0)
	w.at(105 * milli)
	register := w.take(1)[0]
	if register.line != 0 || !strings.Contains(register.text, "@127.0.0.1:40000") {
		t.Errorf("woke on line %d:\n%s", register.line, register.text)
	}
	w.answer(register, 107*milli, sipmsg.Reply{Code: 200, ToTag: "s"})
	w.relay(invite, 0, "z9hG4bKx", 110*milli)
	w.at(140 * milli)
	sent := w.take(2)
	w.back(sent[1], invite.line, 142*milli)
	w.take(1)
	got := w.rec
	got.end(142 * milli)
	p := got.done[2]
	for name, want := range map[string]float64{
		"invite_to_push": 5, "push_to_register": 102, "register_to_invite": 5, "invite_to_answer": 142, "added": 12,
	} {
		if l := p.Latency[name]; l.Count != 1 || l.Max < want*0.99 || l.Max > want*1.01 {
			t.Errorf("%s = %+v, want %g ms", name, l, want)
		}
	}
	if q := p.Pushes; q.Call != 2 || q.Needless != 1 || q.Unknown != 1 {
		t.Errorf("pushes = %+v", q)
	}
}

func TestCall_Refused(t *testing.T) {
	tests := []struct {
		name string
		dead float64
		code int
		want CallCounts
		why  string
	}{
		{"a dead phone cannot be reached", 1, 480, CallCounts{Unreached: 1}, ""},
		{"another can", 0, 480, CallCounts{Failed: 1}, "invite: 480"},
		{"a dead phone gets no 404", 1, 404, CallCounts{Failed: 1}, "invite: 404"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := callWorld(t, Options{Sleepers: 1, Dead: tt.dead})
			invite := w.take(1)[0]
			w.pushed(string(appendToken(nil, 0)), CallPush, 0, 0)
			r := sipmsg.Reply{Code: tt.code, ToTag: "s"}
			w.answer(invite, milli, r)
			w.answer(invite, 2*milli, r) // RFC 3261 §17.1.1.2: its ACK was lost.
			acks := w.take(2)
			m, err := sipmsg.Parse([]byte(acks[0].text), target)
			if err != nil || m.Method() != "ACK" || m.ToTag() != "s" || !strings.Contains(invite.text, m.TopVia().Branch()) {
				t.Errorf("ACK %v:\n%s", err, acks[0].text)
			}
			if w.at(3 * milli) {
				t.Error("goes on")
			}
			got := w.rec.done[2]
			tt.want.Started, tt.want.MaxOpen, tt.want.MaxHeld = 1, 1, 1
			if d := cmp.Diff(tt.want, got.Calls); d != "" || tt.why != "" && got.Failures[tt.why] != 1 {
				t.Errorf("calls (-want +got):\n%s\n%v", d, got.Failures)
			}
			if w.held != 0 || len(w.busy) != 0 {
				t.Errorf("%d held, %d busy afterwards", w.held, len(w.busy))
			}
		})
	}
}

func TestCall_NoAnswerToInvite(t *testing.T) {
	w := callWorld(t, Options{})
	n := 0
	for now := int64(0); w.at(now); now = w.next() {
		n += len(w.sent)
		w.sent = nil
	}
	// RFC 3261 §17.1.1.2: at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s.
	if n != 7 || w.rec.done[1].Failures["invite: no answer"] != 1 {
		t.Errorf("INVITE was sent %d times, %v; want 7 and a failure", n, w.rec.done[1].Failures)
	}
}

func TestCall_NobodyPicksUp(t *testing.T) {
	w := callWorld(t, Options{CallTimeout: 5 * time.Second})
	invite := w.take(1)[0]
	w.answer(invite, 0, sipmsg.Reply{Code: 180, ToTag: "s"})
	w.at(5 * second)
	cancel := w.take(1)[0]
	if !strings.HasPrefix(cancel.text, "CANCEL ") {
		t.Fatalf("sent %s", cancel.first())
	}
	w.answer(cancel, 5*second, sipmsg.Reply{Code: 200, ToTag: "s"})
	w.answer(invite, 5*second, sipmsg.Reply{Code: 487, ToTag: "s"})
	w.take(1)
	if w.at(5*second) || w.rec.done[1].Failures["invite: not answered in time"] != 1 {
		t.Errorf("failures = %v", w.rec.done[1].Failures)
	}
}

func TestCall_PhoneRingsOnce_RFC3261_8_2_2_2(t *testing.T) {
	w := callWorld(t, Options{})
	invite := w.take(1)[0]
	w.relay(invite, 0, "z9hG4bKx", 0)
	w.at(10 * milli)
	w.take(1)
	w.relay(invite, 0, "z9hG4bKy", 11*milli)
	if m := w.take(1)[0]; !strings.HasPrefix(m.text, "SIP/2.0 482") {
		t.Errorf("the second: %s", m.first())
	}
	if n := w.rec.present.Failures["invite: twice at a phone"]; n != 1 {
		t.Errorf("noted %d times, want once", n)
	}
}

func TestCall_FollowsAPhoneThatMoves(t *testing.T) {
	w := callWorld(t, Options{})
	invite := w.take(1)[0]
	w.relay(invite, 0, "z9hG4bKx", 0)
	// Its line is another now; that of a caller will do.
	w.phones[0].line = 1
	w.relay(invite, 0, "z9hG4bKx", milli)
	w.relay(invite, 1, "z9hG4bKy", milli)
	w.at(10 * milli)
	if m := w.take(1)[0]; m.line != 1 || !strings.Contains(m.text, "z9hG4bKy") {
		t.Errorf("rings on line %d:\n%s", m.line, m.text)
	}
	if len(w.rec.present.Failures) > 0 {
		t.Errorf("failures = %v", w.rec.present.Failures)
	}
}

// TestCall_FollowsAPhoneThatRang: the server had not heard that it rings when it heard
// that it moved. That is nobody's failure.
func TestCall_FollowsAPhoneThatRang(t *testing.T) {
	for answer, at := range map[string]int64{"SIP/2.0 180": 10 * milli, "SIP/2.0 200": 30 * milli} {
		w := callWorld(t, Options{})
		invite := w.take(1)[0]
		w.relay(invite, 0, "z9hG4bKx", 0)
		w.at(at)
		w.sent = nil
		w.phones[0].line = 1
		w.relay(invite, 1, "z9hG4bKy", at+milli)
		if m := w.take(1)[0]; m.line != 1 || !strings.HasPrefix(m.text, answer) || !strings.Contains(m.text, "z9hG4bKy") {
			t.Errorf("says on line %d, where it moved, want %s:\n%s", m.line, answer, m.text)
		}
		// There it rings once.
		w.relay(invite, 1, "z9hG4bKz", at+2*milli)
		if m := w.take(1)[0]; !strings.HasPrefix(m.text, "SIP/2.0 482") {
			t.Errorf("the next on the same line: %s", m.first())
		}
		if n := w.rec.present.Failures["invite: twice at a phone"]; n != 1 {
			t.Errorf("noted %d times, want once", n)
		}
	}
}

func TestCall_AckMustReachThePhone(t *testing.T) {
	w := callWorld(t, Options{})
	invite := w.take(1)[0]
	w.relay(invite, 0, "z9hG4bKx", 0)
	w.at(30 * milli)
	w.back(w.take(2)[1], invite.line, 30*milli)
	// Every ACK is lost.
	for now := w.next(); w.at(now); now = w.next() {
		for _, m := range w.sent {
			if strings.HasPrefix(m.text, "BYE") {
				t.Fatalf("hung up without the ACK at %d ms", now/milli)
			}
		}
	}
	if f := w.rec.done[1].Failures; f["ack: not seen at the phone"] != 1 {
		t.Errorf("failures = %v", f)
	}
}

func TestStop_EndsWhatIsUnderWay(t *testing.T) {
	t.Run("a call that rings is cancelled", func(t *testing.T) {
		w := callWorld(t, Options{})
		invite := w.take(1)[0]
		w.relay(invite, 0, "z9hG4bKx", 0)
		w.answer(invite, 0, sipmsg.Reply{Code: 100})
		w.stop(milli)
		cancel := w.take(1)[0]
		w.relay(cancel, 0, "z9hG4bKx", 2*milli)
		answers := w.take(2) // To the CANCEL and the INVITE.
		w.back(answers[1], invite.line, 3*milli)
		w.take(1)
		if w.at(4 * milli) {
			t.Error("goes on")
		}
		if c := w.rec.done[1].Calls; c.Cancelled != 1 || c.Failed != 0 || !w.interrupted {
			t.Errorf("calls = %+v", c)
		}
	})
	t.Run("a call that talks is ended", func(t *testing.T) {
		w := callWorld(t, Options{})
		invite := w.take(1)[0]
		w.relay(invite, 0, "z9hG4bKx", 0)
		w.at(30 * milli)
		w.back(w.take(2)[1], invite.line, 30*milli)
		w.relay(w.take(1)[0], 0, "z9hG4bKy", 30*milli)
		w.stop(40 * milli)
		bye := w.take(1)[0]
		w.answer(bye, 41*milli, sipmsg.Reply{Code: 200})
		if w.at(41 * milli) {
			t.Error("goes on")
		}
		if c := w.rec.done[1].Calls; c.Completed != 1 {
			t.Errorf("calls = %+v", c)
		}
	})
	t.Run("what does not end is left", func(t *testing.T) {
		w := callWorld(t, Options{Drain: 3 * time.Second})
		w.answer(w.take(1)[0], 0, sipmsg.Reply{Code: 100})
		w.stop(0)
		if !w.at(3*second - 1) {
			t.Error("ends too early")
		}
		if w.at(3 * second) {
			t.Error("goes on")
		}
		if p := w.rec.done[1]; p.Calls.Failed != 1 || p.Failures["call: not over when the run ended"] != 1 {
			t.Errorf("calls = %+v, %v", p.Calls, p.Failures)
		}
	})
}

func TestDue_PushesAndExpiries(t *testing.T) {
	w := newWorld(t, Options{
		Phones: 3, Sleepers: 3, Expires: Span{240 * time.Second, 240 * time.Second},
		Phases: []Phase{closed(3, 3), {Name: "due", Sleep: true, Lasts: 300 * time.Second}},
	})
	w.at(0)
	for _, m := range w.take(3) {
		w.answer(m, 0, sipmsg.Reply{Code: 200, ToTag: "s"})
	}
	w.at(0)
	// Due at 120 s: one comes at 121 s, one fails to register, one is not pushed.
	for i := range uint32(2) {
		w.pushed(string(appendToken(nil, i)), RefreshPush, 121*second, 121*second)
	}
	w.at(121 * second)
	sent := w.take(2)
	w.answer(sent[0], 121*second, sipmsg.Reply{Code: 200, ToTag: "s"})
	w.answer(sent[1], 121*second, sipmsg.Reply{Code: 500, ToTag: "s"})
	if w.at(300 * second) {
		t.Error("goes on")
	}
	p := w.rec.done[1]
	if p.Pushes.Refresh != 2 || p.Registers.OK != 1 || p.Registers.Failed != 1 || p.Registers.Expired != 2 {
		t.Errorf("pushes %+v, registers %+v", p.Pushes, p.Registers)
	}
	if l := p.Latency["push_late"]; l.Count != 2 || l.Max < 999 || l.Max > 1001 {
		t.Errorf("push_late = %+v, want 1000 ms twice", l)
	}
}
