package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/modeltest"
	"reveille/push"
	"reveille/usrloc"
)

// A model plays phones and callers at random against a world and keeps what must
// hold whatever the order: one final for each request, never two branches of one
// phone that may ring, nothing left behind.
type model struct {
	*world
	rng    *rand.Rand
	trace  []string
	phones []*modelPhone
	calls  map[string]*modelCall
	conns  uint64
	pushes int // how many were looked at
	// farewell is what phones hear that were pushed in vain; told counts those that did.
	farewell FarewellMode
	told     int
	wait     time.Duration // how long a phone is waited for that says nothing
	// fallback: bob is called when nobody of alice's takes a call; diverted counts those.
	fallback bool
	diverted int
	// rings: the server rings for phones that it wakes; rung counts how often.
	rings bool
	rung  int
	// stops: the server stops on the way; cutOff counts the calls that it ended.
	stops, stopped bool
	cutOff         int
}

type modelPhone struct {
	*phone
	// second is the phone's second flow (RFC 5626), nil if it has one only.
	second     *phone
	registered bool
	asked      []*modelBranch
}

// A modelBranch is one request that a phone got.
type modelBranch struct {
	request     sent
	call        *modelCall
	phone       *modelPhone
	provisional bool // the phone sent one
	final       int  // what the phone sent
	cancelled   bool
	superseded  bool // another branch went to the phone's new flow
	// farewell: the call was over when it was sent; the caller must not know of it.
	farewell bool
	// abandoned: the server stopped before the phone had said anything.
	abandoned bool
	acked     bool // and ended, if it was answered by a 2xx
	ended     bool
}

type modelCall struct {
	id, method string
	finals     []string // distinct final answers, as "status tag"
	cancelled  bool
	// declined: a phone has spoken for all of them. The caller hears of it when they
	// have stopped ringing.
	declined bool
	// began is when the caller called; diverted when it went to bob, zero: it did not.
	began, diverted time.Time
	ringing         modelRinging
	// stopped: the server stopped, and ended the call.
	stopped bool
	// may199: the caller supports the end of early dialogs.
	may199 bool
}

func TestModel_AnyOrderOfEvents(t *testing.T) {
	told, ended, rung := 0, 0, 0
	all := modeltest.Check(t, modeltest.Options{Seeds: 200, Steps: 50, Again: 4}, func(t *testing.T, r modeltest.Run) string {
		return playModel(t, r, modelOptions(r.Seed), func(m *model) { told, ended, rung = told+m.told, ended+m.cutOff, rung+m.rung })
	})
	if all && (told == 0 || ended == 0 || rung == 0) {
		t.Errorf("%d phones heard of a call that was over, a server that stopped ended %d calls, and it rang for phones %d times", told, ended, rung)
	}
}

// The same with another user who is called when nobody takes a call.
func TestModel_Fallback(t *testing.T) {
	diverted := 0
	all := modeltest.Check(t, modeltest.Options{Seeds: 100, Steps: 50, Again: 4}, func(t *testing.T, r modeltest.Run) string {
		o := modelOptions(r.Seed)
		o.Fallbacks, o.RingTotal, o.Dormant = []Fallback{{To: mustURI("sip:bob@example.com")}}, 10*time.Second, false
		return playModel(t, r, o, func(m *model) { diverted += m.diverted })
	})
	if all && diverted == 0 {
		t.Error("no call went to the fallback")
	}
}

// modelOptions are other ones for each seed.
func modelOptions(seed uint64) Options {
	mode := []Mode{Race, Asleep, Always}[seed%3]
	return Options{
		Policy: func(string, string) Mode { return mode }, Fork: ForkMode(seed / 3 % 3), Ring: 5 * time.Second,
		Farewell: FarewellMode(seed / 9 % 3), Dormant: seed%2 == 0, Ringback: modelRingback(seed),
	}
}

// playModel is one play. It returns what became of the calls.
func playModel(t *testing.T, r modeltest.Run, o Options, over func(*model)) (outcome string) {
	inWorld(t, o, func(w *world) {
		m := &model{world: w, calls: map[string]*modelCall{}, farewell: o.Farewell, wait: 25 * time.Second, fallback: len(o.Fallbacks) > 0, rings: o.Ringback.Callers != nil, stops: r.Seed%5 == 4}
		defer func() {
			if t.Failed() {
				t.Logf("seed %d, policy %d, fork %d, farewell %d, trace:\n%s", r.Seed, r.Seed%3, o.Fork, o.Farewell, strings.Join(m.trace, "\n"))
			}
		}()
		m.play(r)
		over(m)
		outcome = m.outcome()
	})
	return outcome
}

// outcome is what callers and phones saw.
func (m *model) outcome() string {
	var b strings.Builder
	for i := range len(m.calls) {
		c := m.calls[fmt.Sprint("call", i)]
		fmt.Fprintf(&b, "%s %s:", c.id, c.method)
		for _, f := range c.finals {
			b.WriteString(" " + f[:3])
		}
		b.WriteString("\n")
	}
	for i, p := range m.phones {
		for _, x := range p.asked {
			fmt.Fprintf(&b, "phone %d asked by %s on %s: %d, cancelled %t\n", i, x.call.id, x.request.flow, x.final, x.cancelled)
		}
	}
	return b.String()
}

func (m *model) say(format string, args ...any) {
	m.trace = append(m.trace, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

func (m *model) violated(format string, args ...any) {
	m.say("VIOLATED: "+format, args...)
	m.t.Errorf(format, args...)
}

func (m *model) play(r modeltest.Run) {
	m.rng = r.Rand(-1)
	for range 1 + m.rng.IntN(3) {
		p := &modelPhone{phone: m.newPhone("alice", flow.Flow{}, []string{"", "fcm", "fcm"}[m.rng.IntN(3)])}
		if m.rng.IntN(3) == 0 {
			p.second = m.newPhone("alice", flow.Flow{}, "")
			p.second.instance, p.second.push = p.instance, p.push
			p.regID, p.second.regID = 1, 2
		}
		m.phones = append(m.phones, p)
		m.registers(p)
		if m.rng.IntN(2) == 0 {
			m.sleeps(p.phone)
		}
	}
	if m.fallback {
		m.phones = append(m.phones, &modelPhone{phone: m.newPhone("bob", flow.Flow{}, []string{"", "fcm"}[m.rng.IntN(2)])})
		m.registers(m.phones[len(m.phones)-1])
	}
	for _, rng := range r.Steps() {
		m.rng = rng
		m.step()
		m.see()
	}
	// Every transaction ends by its timers.
	m.say("the end")
	for range 40 {
		time.Sleep(10 * time.Second)
		m.see()
	}
	for _, c := range m.calls {
		m.judge(c)
	}
}

// step does one thing at random.
func (m *model) step() {
	if m.stops && !m.stopped && m.rng.IntN(20) == 0 {
		m.stop()
	}
	p := m.phones[m.rng.IntN(len(m.phones))]
	switch n := m.rng.IntN(20); {
	case n < 3 && len(m.calls) < 4 && !m.stopped:
		c := &modelCall{id: fmt.Sprint("call", len(m.calls)), method: []string{"INVITE", "INVITE", "MESSAGE"}[m.rng.IntN(3)], began: time.Now(), may199: len(m.calls)%2 == 0}
		m.calls[c.id] = c
		m.say("%s %s", c.method, c.id)
		var extra []string
		if c.may199 {
			extra = append(extra, "Supported: 199")
		}
		m.recv(caller, request(c.method, "sip:alice@example.com", c.id, extra...))
	case n < 4:
		if c := m.calls[fmt.Sprint("call", m.rng.IntN(4))]; c != nil && c.method == "INVITE" && !c.cancelled {
			c.cancelled = true
			m.say("CANCEL %s", c.id)
			m.recv(caller, cancelOf(c.id))
		}
	case n < 7:
		m.registers(p)
	case n < 8 && p.registered:
		m.say("%s sleeps", p.name())
		m.sleeps(m.one(p))
	case n < 10 && p.registered:
		if f := m.one(p).flow; f.Stream() {
			m.say("%s breaks", f)
			m.breaks(f)
		}
	case n < 11:
		m.ends(p)
	case n < 13:
		if all := inOrder(m.asked()); len(all) > 0 {
			pu := all[m.rng.IntN(len(all))]
			if pu.done != nil {
				o := push.Outcome{Class: push.OK + push.Class(m.rng.IntN(int(push.Forbidden)))}
				if m.rng.IntN(2) == 0 {
					o.Class = push.OK
				}
				m.say("push for %s: %s", pu.cause.CallID, o.Class)
				done := pu.done
				pu.done = nil
				if c := m.calls[pu.cause.CallID]; o.Class == push.OK && pu.cause.Kind == push.Call {
					c.ringing.taken = true
				}
				done(o)
			}
		}
	case n < 17:
		m.answers(p)
	default:
		d := []time.Duration{time.Millisecond, 250 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 9 * time.Second, 20 * time.Second}[m.rng.IntN(6)]
		m.say("%s pass", d)
		time.Sleep(d)
	}
}

// ends takes the phone's registration, the time that is left of it, or its token.
func (m *model) ends(p *modelPhone) {
	switch m.rng.IntN(3) {
	case 0:
		m.say("%s leaves", p.name())
		m.unregister(p.phone)
		if p.second != nil {
			m.unregister(p.second)
		}
		p.registered = false
	case 1:
		one := m.one(p)
		m.say("the registration of %s on %s ends", p.name(), one.flow)
		m.lapse(one)
	case 2:
		one := m.one(p)
		m.say("%s on %s loses its token", p.name(), one.flow)
		m.loseToken(one, usrloc.CauseOperator)
	}
}

func (p *modelPhone) name() string { return p.id.String()[26:] + "(" + p.push.Provider + ")" }

// one is a flow of the phone.
func (m *model) one(p *modelPhone) *phone {
	if p.second != nil && m.rng.IntN(2) == 0 {
		return p.second
	}
	return p.phone
}

// registers puts the phone on a flow that may be new.
func (m *model) registers(p *modelPhone) {
	one := m.one(p)
	if !p.registered || m.rng.IntN(2) == 0 || one.flow.IsZero() || !m.Open(one.flow) {
		m.conns++
		addr := fmt.Sprintf("198.51.100.1:%d", 10000+m.conns)
		one.flow = udp(addr)
		if m.rng.IntN(2) == 0 {
			one.flow = tcp(addr, m.conns)
		}
	}
	if !p.registered && len(p.asked) > 0 && m.rng.IntN(2) == 0 {
		// The app was installed anew: the same phone under another binding.
		one.id = m.newPhone(strings.TrimSuffix(strings.TrimPrefix(string(p.aor), "sip:"), "@example.com"), one.flow, "").id
	}
	p.registered = true
	m.say("%s registers on %s", p.name(), one.flow)
	m.world.register(one)
}

// answers has the phone say something to one of its requests.
func (m *model) answers(p *modelPhone) {
	var open []*modelBranch
	for _, b := range p.asked {
		// Timer B or F ended what was never answered.
		heard := b.provisional || time.Since(b.request.at) < 32*time.Second
		if b.final == 0 && heard && m.Open(b.request.flow) {
			open = append(open, b)
		}
	}
	if len(open) == 0 {
		return
	}
	b := open[m.rng.IntN(len(open))]
	status := []int{100, 180, 183, 200, 200, 302, 404, 408, 430, 482, 486, 500, 503, 603}[m.rng.IntN(14)]
	if b.cancelled && m.rng.IntN(4) > 0 {
		status = 487
	}
	if status < 200 {
		b.provisional = true
	} else {
		b.final = status
		// RFC 3261 §16.7 step 5: a 6xx ends all other branches, wherever it comes from.
		if status >= 600 && b.call.method == "INVITE" && !b.farewell && !b.call.overFor(p.aor, time.Now()) {
			b.call.declined = true
		}
	}
	m.say("%s answers %s %d on %s", p.name(), b.call.id, status, b.request.flow)
	m.recv(b.request.flow, strings.ReplaceAll(response(b.request.m, status), "tag=callee", "tag="+tagOn(b.request)))
	m.see()
	// Once the phone has spoken on its new flow, it must not go on ringing on the
	// old one; 482 says that there it has the request, and others speak of the flow.
	if b.superseded || slices.Contains([]int{100, 408, 430, 482}, status) {
		return
	}
	for _, old := range p.asked {
		if old.call == b.call && old.superseded && old.provisional && old.final == 0 && !old.cancelled && b.call.method == "INVITE" && m.Open(old.request.flow) {
			m.violated("%s: the branch on %s may ring and was not cancelled", b.call.id, old.request.flow)
		}
	}
}

// tagOn is the To tag of what a phone answers to a request: it knows no other.
func tagOn(s sent) string { return s.flow.Remote.String()[13:] + s.m.TopVia().Branch()[7:12] }
