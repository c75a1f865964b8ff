package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"reveille/internal/modeltest"
	"reveille/internal/sipmsg"
	"reveille/push"
)

// Requests of one dialog to a phone that comes and goes: each gets one final, the
// phone sees them in order, and nothing stays behind.
func TestModel_RequestsInADialog(t *testing.T) {
	modeltest.Check(t, modeltest.Options{Seeds: 150, Steps: 40, Again: 4}, func(t *testing.T, r modeltest.Run) (outcome string) {
		mode := []Mode{Race, Asleep}[r.Seed%2]
		inWorld(t, Options{Policy: func(string, string) Mode { return mode }}, func(w *world) {
			d := &dialogModel{world: w, finals: map[uint32][]int{}, invites: map[uint32]string{}, known: map[string]bool{}}
			defer func() {
				if t.Failed() {
					t.Logf("seed %d, policy %d, trace:\n%s", r.Seed, mode, strings.Join(d.trace, "\n"))
				}
			}()
			d.play(r)
			outcome = fmt.Sprint(d.finals, d.seen)
		})
		return outcome
	})
}

type dialogModel struct {
	*world
	rng     *rand.Rand
	phone   *phone
	awake   bool
	cseq    uint32
	seen    uint32            // the highest CSeq that the phone has seen
	finals  map[uint32][]int  // by CSeq
	invites map[uint32]string // re-INVITEs as sent
	known   map[string]bool   // branches that the phone has seen
	trace   []string
}

func (d *dialogModel) say(format string, args ...any) {
	d.trace = append(d.trace, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

func (d *dialogModel) play(r modeltest.Run) {
	d.phone, d.awake, d.cseq, d.seen = d.newPhone("alice", udp("198.51.100.1:1"), "fcm"), true, 1, 1
	d.register(d.phone)
	ok := d.call(d.phone, "c1")
	for _, rng := range r.Steps() {
		d.rng = rng
		d.step(ok)
		d.see()
	}
	d.say("the end")
	for range 20 {
		time.Sleep(5 * time.Second)
		d.see()
	}
	for cseq := uint32(2); cseq <= d.cseq; cseq++ {
		// No answer at all is right where the phone took a request and fell silent:
		// then it is too late for any (RFC 4320 §4.2).
		if n := len(d.finals[cseq]); n > 1 || n == 0 && d.invites[cseq] != "" {
			d.t.Errorf("request %d got finals %v, want one", cseq, d.finals[cseq])
		}
	}
}

func (d *dialogModel) step(ok *sipmsg.Message) {
	switch n := d.rng.IntN(12); {
	case n < 4:
		d.cseq++
		method := []string{"INFO", "INVITE", "UPDATE", "BYE"}[d.rng.IntN(4)]
		text := inDialogRequest(method, int(d.cseq), ok, true, "sip:alice@198.51.100.1")
		if method == "INVITE" {
			d.invites[d.cseq] = text
		}
		d.say("%d %s", d.cseq, method)
		d.recv(caller, text)
	case n < 6:
		d.phone.flow, d.awake = udp(fmt.Sprintf("198.51.100.1:%d", 2+d.rng.IntN(4))), true
		d.say("registers on %s", d.phone.flow)
		d.register(d.phone)
	case n < 8:
		d.say("sleeps")
		d.sleeps(d.phone)
		d.awake = false
	case n < 9:
		if text := d.invites[d.cseq]; text != "" {
			d.say("CANCEL %d", d.cseq)
			d.recv(caller, strings.ReplaceAll(strings.Replace(text, "INVITE sip", "CANCEL sip", 1), " INVITE\n", " CANCEL\n"))
		}
	case n < 10:
		var all []*pushed
		d.with(func() { all = d.pushes })
		if len(all) > 0 && all[len(all)-1].done != nil {
			pu := all[len(all)-1]
			class := []push.Class{push.OK, push.Gone, push.Forbidden, push.Network}[d.rng.IntN(4)]
			d.say("push: %s", class)
			done := pu.done
			pu.done = nil
			done(push.Outcome{Class: class})
		}
	default:
		pause := []time.Duration{time.Millisecond, 250 * time.Millisecond, 2 * time.Second, 8 * time.Second, 15 * time.Second}[d.rng.IntN(5)]
		d.say("%s pass", pause)
		time.Sleep(pause)
	}
}

func (d *dialogModel) see() {
	for _, s := range d.take() {
		cseq := s.m.CSeq().Seq
		switch {
		case s.flow == caller && s.m.Status() >= 200 && s.m.Method() != "CANCEL":
			if len(d.finals[cseq]) == 0 || s.m.Status() != d.finals[cseq][0] {
				d.say("%d gets %d", cseq, s.m.Status())
				d.finals[cseq] = append(d.finals[cseq], s.m.Status())
			}
			if s.m.Method() == "INVITE" && s.m.Status() >= 300 {
				d.post(caller, strings.ReplaceAll(strings.Replace(d.invites[cseq], "INVITE sip", "ACK sip", 1), " INVITE\n", " ACK\n"))
			}
		case !s.m.IsRequest() || s.m.Method() == "ACK":
		case s.m.Method() == "CANCEL":
			d.post(s.flow, response(s.m, 200))
		case d.awake && s.flow == d.phone.flow:
			branch := s.m.TopVia().Branch()
			if d.known[branch] {
				continue // a retransmission that crossed the answer
			}
			d.known[branch] = true
			if cseq < d.seen {
				d.say("VIOLATED")
				d.t.Errorf("the phone sees request %d after %d", cseq, d.seen)
			}
			d.seen = cseq
			d.say("the phone sees %d and answers", cseq)
			d.post(s.flow, response(s.m, 200))
		}
	}
}
