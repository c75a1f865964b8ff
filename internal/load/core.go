package load

import (
	"math/rand/v2"
	"time"
	"unsafe"

	"reveille/internal/sipmsg"
)

// Timers of RFC 3261 §17, for UDP.
const (
	t1 = int64(500 * time.Millisecond)
	t2 = int64(4 * time.Second)
	// lifetime is Timer B and F.
	lifetime = 64 * t1
)

// stepLimit bounds what one step starts or lets expire, so that a core that
// falls behind still reads what arrives.
const stepLimit = 64

// A wire carries what the core sends. Its lines are sockets: first those of
// phones that are awake, then those of phones before they fall asleep, then those
// of callers.
type wire interface {
	// send takes a copy of b.
	send(line uint16, b []byte)
	// addr is what a line is reached at, "host:port".
	addr(line uint16) string
	// sleep closes the lines of phones that sleep from now on.
	sleep()
}

// A core is the load without sockets and without a clock. It is not safe for
// concurrent use. Times are nanoseconds since the run began.
type core struct {
	o    *Options
	wire wire
	rec  *recorder
	rng  *rand.Rand
	run  uint32 // tells the messages of this run from those of others
	seed uint64

	phones []phone
	// pushedAt holds the phones that a push wakes, until they have registered.
	pushedAt map[uint32]int64
	// proofs, realm and algorithm are there once the server has challenged.
	proofs           []proof
	realm, algorithm string
	hasher           hasher

	// calls by number; busy are the same by phone, for a phone has one at most.
	calls, busy map[uint32]*call
	lastCall    uint32
	// held counts the calls to sleeping phones that the server holds.
	held int
	// nextSleeper is the next to be called.
	nextSleeper uint32

	timers    deadlines
	phase     Phase
	until     int64 // when the phase's Lasts has passed
	registers pump
	ringing   pump
	// cursor is the next phone, in turn, of the phase's.
	cursor uint32
	// starts counts the phases that began with Restart; Call-IDs tell them apart.
	starts uint32
	// stopped: nothing is started any more, and at drained the run ends whatever
	// is under way.
	stopped, interrupted bool
	drained              int64

	out  []byte // the message being written
	scan sipmsg.Scan
}

func newCore(o *Options, w wire) *core {
	seed := o.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	c := &core{
		o: o, wire: w, rec: newRecorder(), rng: rand.New(rand.NewPCG(seed, 0)), run: uint32(mix(1, seed)), seed: seed,
		phones: make([]phone, o.Phones), pushedAt: map[uint32]int64{},
		calls: map[uint32]*call{}, busy: map[uint32]*call{}, drained: never,
	}
	for i := range c.phones {
		p := &c.phones[i]
		p.line = c.awakeLine(uint32(i))
		if i < o.Sleepers {
			p.line += uint16(o.Sockets)
			if share(uint64(i), seed, o.Dead) {
				p.set(dead)
			}
		}
	}
	return c
}

// neighbours is how many phones in turn have the same line, so that a system call
// sends several of what they send.
const neighbours = 8

// awakeLine is where phone i is reached unless it is to fall asleep.
func (c *core) awakeLine(i uint32) uint16 { return uint16(i / neighbours % uint32(c.o.Sockets)) }

// callerLines is how many sockets callers have.
const callerLines = 4

// firstCaller is the first line of callers.
func (o *Options) firstCaller() uint16 {
	if o.Sleepers > 0 {
		return uint16(2 * o.Sockets)
	}
	return uint16(o.Sockets)
}

// lines is how many sockets a run has.
func (o *Options) lines() int { return int(o.firstCaller()) + callerLines }

// step does what is due at now, and reports whether the phase goes on.
func (c *core) step(now int64) bool {
	for range stepLimit {
		d, ok := c.timers.take(now)
		if !ok {
			break
		}
		c.expire(d, now)
	}
	c.startRegisters(now)
	c.startCalls(now)
	return !c.phaseOver(now)
}

// next returns when step is to be called again at the latest.
func (c *core) next() int64 {
	at := min(c.timers.next(), c.registers.next(), c.registers.end(), c.ringing.next(), c.ringing.end(), c.drained)
	if c.idle() {
		at = min(at, c.until)
	}
	return at
}

// idle reports whether the pumps have ended and all is over that they started.
func (c *core) idle() bool {
	return c.registers.ended && c.registers.underWay == 0 && c.ringing.ended && len(c.calls) == 0
}

func (c *core) phaseOver(now int64) bool {
	if now >= c.drained {
		return true
	}
	// Asked both, for they note it.
	over, quiet := c.registers.over(now), c.ringing.over(now)
	return over && quiet && c.idle() && now >= c.until
}

// beginPhase begins a phase. The one before has ended.
func (c *core) beginPhase(p Phase, now int64) {
	c.phase = p
	c.rec.begin(p.Name, now)
	if p.Restart {
		c.starts++
	}
	if p.Sleep {
		c.fallAsleep()
	}
	c.registers, c.ringing = newPump(p.Register, now), newPump(p.Calls, now)
	c.until, c.cursor = now+int64(p.Lasts), uint32(p.First)
}

// endPhase ends the phase, and what is still under way.
func (c *core) endPhase(now int64) PhaseSummary {
	for _, k := range c.calls {
		c.lost(k, "call", "not over when the run ended")
	}
	if n := c.registers.underWay; n > 0 {
		c.rec.present.Registers.Failed += n
		c.rec.present.Failures["register: not over when the run ended"] += n
	}
	for i := range c.phones {
		c.countExpired(&c.phones[i], now)
	}
	return c.rec.end(now)
}

// countExpired counts a binding that has ended before its phone came back.
func (c *core) countExpired(p *phone, now int64) {
	if p.ends != 0 && p.ends < now && !p.is(dead) {
		c.rec.present.Registers.Expired++
		p.ends = 0
	}
}

// stop ends the run in order: nothing is started, calls are ended, and what is
// under way has Drain to end.
func (c *core) stop(now int64) {
	if c.stopped {
		return
	}
	c.stopped, c.interrupted = true, true
	c.registers.ended, c.ringing.ended = true, true
	c.until, c.drained = now, now+int64(c.o.Drain)
	for _, k := range c.calls {
		c.endCall(k, now)
	}
}

// expire is a deadline that has come.
func (c *core) expire(d deadline, now int64) {
	switch d.kind {
	case registerAgain:
		c.registerAgain(d, now)
	case wakeUp:
		c.wokenUp(d.id, now)
	default:
		if k := c.calls[d.id]; k != nil {
			c.callExpire(k, d, now)
		}
	}
}

// receive takes the message b, which arrived at now. b may be used again after.
func (c *core) receive(line uint16, b []byte, now int64) {
	// The scanner takes a string; b is not changed as long as that is used.
	if len(b) == 0 || c.scan.Parse(unsafe.String(unsafe.SliceData(b), len(b))) != nil {
		c.rec.failed("receive", "no SIP message")
		return
	}
	if c.scan.IsRequest() {
		c.request(line, b, now)
		return
	}
	via, _ := c.scan.Value(sipmsg.HdrVia)
	t, ok := branchTag(via)
	if !ok || t.run != c.run {
		return // Of another run, whose port we have.
	}
	switch t.kind {
	case branchRegister:
		c.registerAnswer(t, c.scan.Status(), now)
	case branchInvite, branchBye:
		c.callAnswer(t, b, now)
	}
}

// reset begins a message of our own.
func (c *core) reset() []byte { return c.out[:0] }

// send sends b, which began with reset.
func (c *core) send(line uint16, b []byte) {
	c.out = b
	c.wire.send(line, b)
}

// again returns when a request that was sent so often, first at began, is to be
// sent again: after pauses that double (Timer A, E and G), at most as long as most
// says, and when it is given up at the latest (Timer B, F and H).
func again(now, began int64, tries uint8, most int64) int64 {
	return min(now+min(t1<<(min(tries, 8)-1), most), began+lifetime)
}
