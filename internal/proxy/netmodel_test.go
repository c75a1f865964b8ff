package proxy

import (
	"cmp"
	"container/heap"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/internal/modeltest"
	"reveille/internal/sipmsg"
	"reveille/push"
)

// A netModel is callers and phones with the timers of RFC 3261 §17, and a network
// between them and the server that loses, delays, doubles and reorders datagrams and
// breaks connections. Whatever it does, a caller gets one final answer, no phone has
// two branches that may ring, and nothing is left behind.
//
// What becomes of a datagram depends on the seed and on the datagram alone, so that
// two runs are alike.
type netModel struct {
	*world
	r      modeltest.Run
	mode   Mode
	faults faults
	events netEvents
	serial int
	copies map[string]int // how often a datagram was sent
	conns  uint64
	phones []*netPhone
	calls  []*netCall
	pushed int // pushes that were looked at
	trace  []string
}

// faults are chances of a hundred, for a datagram.
type faults struct{ loss, double, late int }

// A netEvent happens at its time.
type netEvent struct {
	at     time.Time
	serial int
	do     func()
}

// netEvents is a heap, the next first.
type netEvents []netEvent

func (e netEvents) Len() int { return len(e) }
func (e netEvents) Less(i, j int) bool {
	return cmp.Or(e[i].at.Compare(e[j].at), cmp.Compare(e[i].serial, e[j].serial)) < 0
}
func (e netEvents) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *netEvents) Push(x any)   { *e = append(*e, x.(netEvent)) }
func (e *netEvents) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// A netPhone is one device.
type netPhone struct {
	*phone
	number int
	deaf   bool // no push wakes it
	asked  []*netBranch
}

// A netBranch is the phone's side of a request, and what the server has heard of it.
type netBranch struct {
	request sent
	call    *netCall
	last    string // the answer to repeat
	final   int
	done    bool // by an ACK, or there is nothing to repeat
	ends    int  // CANCELs
	// spoke is when the server first got an answer that says that the phone has the
	// request; zero: it did not.
	spoke      time.Time
	superseded bool
}

// heard notes that the server has an answer.
func (b *netBranch) heard() {
	if b.spoke.IsZero() {
		b.spoke = time.Now()
	}
}

// A netCall is the caller's side of a request outside a dialog.
type netCall struct {
	id, method     string
	heard, invited bool     // something was heard of it; the server got it
	finals         []string // distinct ones, as "status tag"
	cancelled      bool
	over           bool // the CANCEL was answered
	// begun: the server has answered it before, or asked or woken a phone; unkept is
	// its answer if it had not, as in finals.
	begun  bool
	unkept string
}

func TestModel_LossyNetwork(t *testing.T) {
	modeltest.Check(t, modeltest.Options{Seeds: 60, Steps: 25, Again: 4}, func(t *testing.T, r modeltest.Run) (outcome string) {
		mode := []Mode{Race, Asleep, Always}[r.Seed%3]
		o := Options{Policy: func(string, string) Mode { return mode }, Fork: ForkMode(r.Seed / 3 % 3), Ring: 8 * time.Second}
		inWorld(t, o, func(w *world) {
			n := &netModel{world: w, r: r, mode: mode, copies: map[string]int{}}
			n.faults = []faults{{}, {20, 0, 0}, {0, 30, 0}, {0, 0, 30}, {15, 15, 15}}[r.Seed/9%5]
			defer func() {
				if t.Failed() {
					t.Logf("seed %d, policy %d, fork %d, %+v, trace:\n%s", r.Seed, mode, o.Fork, n.faults, strings.Join(n.trace, "\n"))
				}
			}()
			n.play()
			outcome = n.outcome()
		})
		return outcome
	})
}

func (n *netModel) say(format string, args ...any) {
	n.trace = append(n.trace, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

func (n *netModel) violated(format string, args ...any) {
	n.say("VIOLATED: "+format, args...)
	n.t.Errorf(format, args...)
}

// after plans something.
func (n *netModel) after(d time.Duration, do func()) {
	n.serial++
	heap.Push(&n.events, netEvent{time.Now().Add(d), n.serial, do})
}

// run lets time pass: what is planned happens, and what the server sends is taken up
// within a few milliseconds.
func (n *netModel) run(d, tick time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		next := time.Now().Add(tick)
		if len(n.events) > 0 && n.events[0].at.Before(next) {
			next = n.events[0].at
		}
		time.Sleep(time.Until(next))
		for len(n.events) > 0 && !n.events[0].at.After(time.Now()) {
			heap.Pop(&n.events).(netEvent).do()
			n.look()
		}
		n.look()
	}
}

// look takes up what the server has sent, and the pushes.
func (n *netModel) look() {
	arrived := n.take()
	slices.SortStableFunc(arrived, func(a, b sent) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.m.CallID(), b.m.CallID()))
	})
	for _, s := range arrived {
		n.sees(s)
		n.carry(s.flow, "down "+s.flow.String()+s.m.CallID()+start(s.m), func() { n.arrives(s) })
	}
	var all []*pushed
	n.with(func() { all = n.world.pushes })
	for ; n.pushed < len(all); n.pushed++ {
		n.takesPush(all[n.pushed])
	}
}

func start(m *sipmsg.Message) string { return fmt.Sprint(m.Method(), m.Status(), m.CSeq().Seq) }

// carry takes a message over the network: to arrive, never, late, or twice. A
// connection keeps everything and the order, and breaks as a whole.
func (n *netModel) carry(f flow.Flow, what string, arrive func()) {
	n.copies[what]++
	h := fnv.New64a()
	fmt.Fprint(h, n.r.Seed, what, n.copies[what])
	fate := rand.New(rand.NewPCG(h.Sum64(), 1))
	const least = 5 * time.Millisecond
	if f.Stream() {
		n.after(least, func() {
			if n.Open(f) {
				arrive()
			}
		})
		return
	}
	if fate.IntN(100) < n.faults.loss {
		return
	}
	for range 1 + oneIf(fate.IntN(100) < n.faults.double) {
		d := least + time.Duration(fate.IntN(20_000))*time.Microsecond
		if fate.IntN(100) < n.faults.late {
			d += time.Duration(fate.IntN(2000)) * time.Millisecond
		}
		n.after(d, arrive)
	}
}

func oneIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// up sends a message to the server. arrived, if not nil, is called when it is there.
func (n *netModel) up(f flow.Flow, text string, arrived func()) {
	first, _, _ := strings.Cut(strings.TrimLeft(text, "\n"), "\n")
	_, id, _ := strings.Cut(text, "Call-ID: ")
	_, branch, _ := strings.Cut(text, "branch=")
	id, _, _ = strings.Cut(id, "\n")
	if !strings.HasPrefix(first, "SIP/2.0") {
		branch, _, _ = strings.Cut(branch, "\n")
		id += branch
	}
	n.carry(f, "up "+f.String()+first+id, func() {
		if arrived != nil {
			arrived()
		}
		n.post(f, text)
	})
}

func (n *netModel) play() {
	rng := n.r.Rand(-1)
	for i := range 1 + rng.IntN(3) {
		p := &netPhone{phone: n.newPhone("alice", flow.Flow{}, []string{"", "fcm", "fcm"}[rng.IntN(3)]), number: i, deaf: rng.IntN(4) == 0}
		n.phones = append(n.phones, p)
		n.moves(p, rng.IntN(2) == 0)
		n.run(time.Millisecond, time.Millisecond)
	}
	for _, rng := range n.r.Steps() {
		n.step(rng)
		n.run(time.Duration(rng.IntN(3000))*time.Millisecond, 10*time.Millisecond)
	}
	n.say("the end")
	n.run(4*time.Minute, 50*time.Millisecond)
	for _, c := range n.calls {
		n.judge(c)
	}
}

func (n *netModel) step(rng *rand.Rand) {
	p := n.phones[rng.IntN(len(n.phones))]
	switch k := rng.IntN(10); {
	case k < 4 && len(n.calls) < 6:
		n.begin([]string{"INVITE", "INVITE", "MESSAGE"}[rng.IntN(3)])
	case k < 5 && len(n.calls) > 0:
		n.cancel(n.calls[rng.IntN(len(n.calls))])
	case k < 7:
		n.moves(p, rng.IntN(2) == 0)
	case k < 8:
		n.say("phone %d sleeps", p.number)
		n.sleeps(p.phone)
	case p.flow.Stream() && n.Open(p.flow):
		n.say("%s breaks", p.flow)
		n.breaks(p.flow)
	}
}

// moves registers a phone from another address.
func (n *netModel) moves(p *netPhone, stream bool) {
	n.conns++
	addr := fmt.Sprintf("198.51.100.%d:%d", 1+p.number, 10000+n.conns)
	if p.flow = udp(addr); stream {
		p.flow = tcp(addr, n.conns)
	}
	n.say("phone %d registers on %s", p.number, p.flow)
	n.world.register(p.phone)
}

// takesPush is the push service.
func (n *netModel) takesPush(pu *pushed) {
	i := slices.IndexFunc(n.phones, func(p *netPhone) bool { return p.id == pu.binding.ID })
	p := n.phones[i]
	h := fnv.New64a()
	fmt.Fprint(h, n.r.Seed, p.number, pu.cause.CallID, pu.at.UnixNano())
	fate := rand.New(rand.NewPCG(h.Sum64(), 2))
	class := push.OK
	if fate.IntN(8) == 0 {
		class = push.Network
	}
	n.after(time.Duration(5+fate.IntN(200))*time.Millisecond, func() {
		n.say("push for %s to phone %d: %s", pu.cause.CallID, p.number, class)
		pu.done(push.Outcome{Class: class})
		if class == push.OK && !p.deaf {
			n.after(time.Duration(fate.IntN(1500))*time.Millisecond, func() { n.moves(p, fate.IntN(2) == 0) })
		}
	})
}

// begin is a caller's request, sent again as Timers A and E say.
func (n *netModel) begin(method string) {
	c := &netCall{id: fmt.Sprint("call", len(n.calls)), method: method}
	n.calls = append(n.calls, c)
	n.say("%s %s", method, c.id)
	text, began := request(method, "sip:alice@example.com", c.id), time.Now()
	most := time.Hour
	if method != "INVITE" {
		most = 4 * time.Second
	}
	n.repeat(began, 500*time.Millisecond, most, func() bool {
		if len(c.finals) > 0 || c.heard && method == "INVITE" {
			return false
		}
		n.up(caller, text, func() { c.invited = true })
		return true
	})
}

// repeat calls send after pauses that double up to most, for 64*T1 or until it
// reports that it is enough.
func (n *netModel) repeat(began time.Time, pause, most time.Duration, send func() bool) {
	if time.Since(began) >= 32*time.Second || !send() {
		return
	}
	n.after(pause, func() { n.repeat(began, min(2*pause, most), most, send) })
}

func (n *netModel) cancel(c *netCall) {
	// RFC 3261 §9.1: not before a provisional response.
	if c.method != "INVITE" || !c.heard || c.cancelled || len(c.finals) > 0 {
		return
	}
	c.cancelled = true
	n.say("CANCEL %s", c.id)
	n.repeat(time.Now(), 500*time.Millisecond, 4*time.Second, func() bool {
		if c.over {
			return false
		}
		n.up(caller, cancelOf(c.id), nil)
		return true
	})
}

// arrives is a message at a caller or a phone.
func (n *netModel) arrives(s sent) {
	if s.flow == caller {
		n.callerHears(s)
		return
	}
	for _, p := range n.phones {
		if p.flow == s.flow && s.m.IsRequest() {
			n.phoneHears(p, s)
		}
	}
	// Else the phone has left that address.
}

func (n *netModel) callerHears(s sent) {
	i := slices.IndexFunc(n.calls, func(c *netCall) bool { return c.id == s.m.CallID() })
	c := n.calls[i]
	switch code := s.m.Status(); {
	case s.m.Method() == "CANCEL":
		c.over = true
	case code < 200:
		c.heard = true
	default:
		if final := fmt.Sprintf("%d %s", code, s.m.ToTag()); !slices.Contains(c.finals, final) {
			n.say("%s gets %s", c.id, final)
			c.finals = append(c.finals, final)
		}
		if c.method == "INVITE" && code >= 300 {
			n.up(caller, strings.NewReplacer("INVITE", "ACK", "To: <sip:alice@example.com>", "To: "+s.m.To().String()).Replace(request("INVITE", "sip:alice@example.com", c.id)), nil)
		}
	}
}

// sees checks what the server sends, at the moment in which it does.
func (n *netModel) sees(s sent) {
	if s.m.Method() != "INVITE" && s.m.Method() != "MESSAGE" {
		return
	}
	c := n.calls[slices.IndexFunc(n.calls, func(c *netCall) bool { return c.id == s.m.CallID() })]
	if !s.m.IsRequest() {
		if s.m.Status() == 480 && !c.begun && !n.woken(c) {
			// For a stranger whose request began nothing no answer is kept (see fork.reply): a
			// copy of the request that is late may meet a phone that has come meanwhile.
			c.unkept = "480 " + s.m.ToTag()
			return
		}
		c.begun = true
		return
	}
	c.begun = true
	i := slices.IndexFunc(n.phones, func(p *netPhone) bool { return s.flow.Remote.Addr() == p.flow.Remote.Addr() })
	p := n.phones[i]
	branch := s.m.TopVia().Branch()
	if slices.ContainsFunc(p.asked, func(b *netBranch) bool { return b.request.m.TopVia().Branch() == branch }) {
		return // It is sent again.
	}
	n.say("phone %d is asked for %s on %s", p.number, c.id, s.flow)
	for _, b := range p.asked {
		if b.call != c {
			continue
		}
		failed := b.final == 408 || b.final == 482
		// What comes at the same time as the registration may be handled after it.
		if !b.spoke.IsZero() && b.spoke.Before(time.Now()) && !b.superseded && !failed {
			n.violated("%s: phone %d is asked again on %s, after it was heard on %s", c.id, p.number, s.flow, b.request.flow)
		}
		b.superseded = true
	}
	p.asked = append(p.asked, &netBranch{request: s, call: c})
}

// woken reports whether a push was sent for a call.
func (n *netModel) woken(c *netCall) (yes bool) {
	n.with(func() {
		yes = slices.ContainsFunc(n.world.pushes, func(p *pushed) bool { return p.cause.CallID == c.id })
	})
	return yes
}

func (n *netModel) phoneHears(p *netPhone, s sent) {
	i := slices.IndexFunc(p.asked, func(b *netBranch) bool {
		return b.request.m.TopVia().Branch() == s.m.TopVia().Branch()
	})
	if i < 0 {
		return // an ACK to a 2xx
	}
	b := p.asked[i]
	switch {
	case s.m.Method() == "ACK":
		b.done = true
	case s.m.Method() == "CANCEL":
		b.ends++
		n.up(s.flow, response(s.m, 200), nil)
		if b.final == 0 {
			n.answers(p, b, 487)
		}
	case b.last != "":
		n.up(s.flow, b.last, b.heard)
	default:
		n.takes(p, b)
	}
}

// takes is a request at a phone for the first time.
func (n *netModel) takes(p *netPhone, b *netBranch) {
	if slices.ContainsFunc(p.asked, func(x *netBranch) bool { return x != b && x.call == b.call && x.last != "" && n.Open(x.request.flow) }) {
		n.answers(p, b, 482) // RFC 3261 §8.2.2.2.
		return
	}
	h := fnv.New64a()
	fmt.Fprint(h, n.r.Seed, p.number, b.call.id)
	fate := rand.New(rand.NewPCG(h.Sum64(), 3))
	wait := func(most int) time.Duration { return time.Duration(fate.IntN(most)) * time.Millisecond }
	if b.call.method != "INVITE" {
		n.after(wait(300), func() { n.answers(p, b, []int{200, 200, 404}[fate.IntN(3)]) })
		return
	}
	if fate.IntN(8) == 0 {
		return // It says nothing.
	}
	status := []int{200, 200, 486, 480, 603, 404, 0}[fate.IntN(7)]
	n.after(wait(400), func() { n.answers(p, b, 180) })
	if status != 0 {
		n.after(500*time.Millisecond+wait(9000), func() { n.answers(p, b, status) })
	}
}

// answers sends an answer, a final one again as Timer G says.
func (n *netModel) answers(p *netPhone, b *netBranch, status int) {
	if b.final != 0 || p.flow != b.request.flow {
		return // It has answered, or left.
	}
	if status >= 200 {
		b.final = status
	}
	n.say("phone %d answers %s %d", p.number, b.call.id, status)
	f := b.request.flow
	b.last = strings.ReplaceAll(response(b.request.m, status), "tag=callee", "tag="+tagOn(b.request))
	text := b.last
	if status < 200 || b.call.method != "INVITE" {
		n.up(f, text, b.heard)
		return
	}
	n.repeat(time.Now(), 500*time.Millisecond, 4*time.Second, func() bool {
		if b.done || p.flow != f {
			return false
		}
		n.up(f, text, b.heard)
		return true
	})
}

func (n *netModel) judge(c *netCall) {
	failures, finals := 0, 0
	for _, f := range c.finals {
		if f != c.unkept {
			finals++
			failures += oneIf(f[0] != '2')
		}
	}
	switch {
	case failures > 1, failures == 1 && finals > 1, c.method != "INVITE" && finals > 1:
		n.violated("%s got several finals: %q", c.id, c.finals)
	case c.method == "INVITE" && c.invited && len(c.finals) == 0 && !n.lostAnswer(c):
		n.violated("%s got no final", c.id)
	}
	// Who rang and was not heard any more, because somebody else answered or the caller
	// gave up, was told so: each phone that is still there.
	for _, p := range n.phones {
		for _, b := range p.asked {
			if b.call == c && c.method == "INVITE" && b.last != "" && b.final == 0 && p.flow == b.request.flow && n.Open(p.flow) {
				n.violated("%s: phone %d rings on at %s", c.id, p.number, p.flow)
			}
		}
	}
}

// lostAnswer reports whether a phone took the call and left before its 2xx, which only
// it sends again (RFC 3261 §13.3.1.4), had reached the caller.
func (n *netModel) lostAnswer(c *netCall) bool {
	return slices.ContainsFunc(n.phones, func(p *netPhone) bool {
		return slices.ContainsFunc(p.asked, func(b *netBranch) bool {
			return b.call == c && b.final == 200 && (p.flow != b.request.flow || !n.Open(p.flow))
		})
	})
}

// outcome is what callers and phones saw.
func (n *netModel) outcome() string {
	var b strings.Builder
	for _, c := range n.calls {
		fmt.Fprintf(&b, "%s %s:", c.id, c.method)
		for _, f := range c.finals {
			b.WriteString(" " + f[:3])
		}
		b.WriteString("\n")
	}
	for _, p := range n.phones {
		for _, x := range p.asked {
			fmt.Fprintf(&b, "phone %d asked by %s on %s: %d, cancelled %t\n", p.number, x.call.id, x.request.flow, x.final, x.ends > 0)
		}
	}
	return b.String()
}
