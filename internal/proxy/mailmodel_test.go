package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/internal/modeltest"
	"reveille/push"
)

// A mailModel plays phones and a sender of messages at random, and keeps what must hold:
// each sender hears one answer, what was accepted is never lost, and phones get what
// waited in the order in which it was accepted.
type mailModel struct {
	*post
	trace  []string
	phones []*modelMailPhone
	sent   []*modelMail
	conns  uint64
	// settling: phones answer 200 to all.
	settling bool
	accepted int
	kept     int
}

type modelMailPhone struct {
	*phone
	registered bool
	asked      []sent // without an answer
	waited     []*modelMail
}

type modelMail struct {
	id     string
	finals []int
	// began is when it was sent, at when the sender was told 202, turn how many were told
	// before.
	began, at time.Time
	turn      int
	// done: a phone has it, or said that it will never take it.
	done bool
	// broken is how often a phone said that it could not take it now by a 5xx.
	broken int
}

func TestModel_MessagesThatWait(t *testing.T) {
	kept := 0
	all := modeltest.Check(t, modeltest.Options{Seeds: 150, Steps: 60, Again: 1 << 20}, func(t *testing.T, r modeltest.Run) string {
		o := modelOptions(r.Seed)
		o.Farewell = NoFarewell
		withMail(t, o, func(p *post) {
			m := &mailModel{post: p}
			defer func() {
				if p.t.Failed() {
					p.t.Logf("seed %d, trace:\n%s", r.Seed, strings.Join(m.trace, "\n"))
				}
			}()
			m.play(r)
			kept += m.kept
		})
		return ""
	})
	if all && kept == 0 {
		t.Error("no message was kept")
	}
}

func (m *mailModel) say(format string, args ...any) {
	m.trace = append(m.trace, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

func (m *mailModel) violated(format string, args ...any) {
	m.say("VIOLATED: "+format, args...)
	m.t.Errorf(format, args...)
}

func (m *mailModel) play(r modeltest.Run) {
	rng := r.Rand(-1)
	for range 1 + rng.IntN(2) {
		m.phones = append(m.phones, &modelMailPhone{phone: m.newPhone("alice", udp("198.51.100.1:9"), []string{"", "fcm", "fcm"}[rng.IntN(3)])})
	}
	for _, rng := range r.Steps() {
		m.step(rng)
		m.see(rng)
	}
	m.say("the end")
	m.settling = true
	rng = r.Rand(1000)
	for range 15 {
		time.Sleep(40 * time.Second)
		m.see(rng)
		for _, ph := range m.phones {
			m.registers(ph, rng)
			for range 20 {
				m.see(rng)
			}
		}
	}
	for _, x := range m.sent {
		switch {
		case len(x.finals) > 1:
			m.violated("%s got several answers: %v", x.id, x.finals)
		case len(x.finals) == 1 && x.finals[0]/100 == 2 && !x.done && x.broken < 10:
			m.violated("%s was accepted with %d and is lost", x.id, x.finals[0])
		}
	}
	m.empty(true)
}

func (m *mailModel) step(rng *rand.Rand) {
	ph := m.phones[rng.IntN(len(m.phones))]
	switch n := rng.IntN(20); {
	case n < 5 && len(m.sent) < 12:
		x := &modelMail{id: fmt.Sprint("m", len(m.sent)), began: time.Now()}
		m.sent = append(m.sent, x)
		m.say("MESSAGE %s", x.id)
		m.sends(x.id)
	case n < 9:
		m.registers(ph, rng)
	case n < 11:
		m.say("%s sleeps", ph.flow)
		m.sleeps(ph.phone)
	case n < 13 && ph.flow.Stream() && m.Open(ph.flow):
		m.say("%s breaks", ph.flow)
		ph.asked = nil
		m.breaks(ph.flow)
	case n < 14 && ph.registered:
		m.say("%s leaves", ph.flow)
		ph.registered = false
		m.unregister(ph.phone)
	case n < 15:
		var all []*pushed
		m.with(func() { all = m.pushes })
		if len(all) > 0 {
			if pu := all[rng.IntN(len(all))]; pu.done != nil {
				done, c := pu.done, []push.Class{push.OK, push.OK, push.Gone, push.Forbidden}[rng.IntN(4)]
				pu.done = nil
				m.say("push for %s: %s", pu.cause.CallID, c)
				done(push.Outcome{Class: c})
			}
		}
	case n < 17:
		for _, s := range ph.asked {
			m.answers(ph, s, rng)
		}
		ph.asked = nil
	default:
		d := []time.Duration{time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 5 * time.Second, 20 * time.Second, 40 * time.Second}[rng.IntN(6)]
		m.say("%s pass", d)
		time.Sleep(d)
		if d > 30*time.Second {
			ph.asked = nil // Timer F.
		}
	}
}

func (m *mailModel) registers(ph *modelMailPhone, rng *rand.Rand) {
	if !ph.registered || rng.IntN(2) == 0 || !m.Open(ph.flow) {
		m.conns++
		addr := fmt.Sprintf("198.51.100.1:%d", 10000+m.conns)
		ph.flow = udp(addr)
		if rng.IntN(2) == 0 {
			ph.flow = tcp(addr, m.conns)
		}
		ph.asked = nil
	}
	ph.registered = true
	m.say("a phone registers on %s", ph.flow)
	m.register(ph.phone)
}

// see takes in what the server sent. Phones answer at once, or later, or not.
func (m *mailModel) see(rng *rand.Rand) {
	for _, s := range m.take() {
		if !s.m.IsRequest() {
			m.senderSees(s)
			continue
		}
		i := slices.IndexFunc(m.phones, func(ph *modelMailPhone) bool { return ph.flow == s.flow })
		if i < 0 {
			continue // It has left that flow.
		}
		ph := m.phones[i]
		if slices.ContainsFunc(ph.asked, func(old sent) bool { return old.m.TopVia().Branch() == s.m.TopVia().Branch() }) {
			continue
		}
		m.say("%s gets %s", s.flow, s.m.CallID())
		x := m.find(s.m.CallID())
		if len(s.m.Vias()) == 1 {
			m.inOrder(ph, x)
		}
		for _, y := range m.sent {
			if !y.at.IsZero() && y.at.Before(x.began) && !y.done && y.broken < 10 {
				m.violated("%s overtakes %s", x.id, y.id)
			}
		}
		if m.settling || rng.IntN(2) == 0 {
			m.answers(ph, s, rng)
		} else {
			ph.asked = append(ph.asked, s)
		}
	}
}

func (m *mailModel) find(id string) *modelMail {
	return m.sent[slices.IndexFunc(m.sent, func(x *modelMail) bool { return x.id == id })]
}

func (m *mailModel) senderSees(s sent) {
	x, code := m.find(s.m.CallID()), s.m.Status()
	if code < 200 || slices.Contains(x.finals, code) {
		return
	}
	m.say("%s is answered %d", x.id, code)
	x.finals = append(x.finals, code)
	if code == 202 {
		x.at, x.turn = time.Now(), m.accepted
		m.accepted++
		m.kept++
	}
}

// inOrder checks that what comes from the mailbox does not overtake what was accepted
// before it.
func (m *mailModel) inOrder(ph *modelMailPhone, x *modelMail) {
	if slices.Contains(ph.waited, x) {
		return // Once more.
	}
	for _, before := range ph.waited {
		if !x.at.IsZero() && before.turn > x.turn && before.at.After(x.at) {
			m.violated("%s comes behind %s, which was accepted later", x.id, before.id)
		}
	}
	ph.waited = append(ph.waited, x)
}

func (m *mailModel) answers(ph *modelMailPhone, s sent, rng *rand.Rand) {
	if !m.Open(s.flow) {
		return
	}
	code := []int{200, 200, 200, 480, 503, 486, 415, 482, 603}[rng.IntN(9)]
	if m.settling {
		code = 200
	}
	x := m.find(s.m.CallID())
	switch code {
	case 200, 482, 415, 603:
		x.done = true
	case 503:
		x.broken++
	}
	m.say("%s answers %s %d", s.flow, x.id, code)
	m.reply(s, code)
}
