package load

import (
	"strconv"
	"strings"
	"time"

	"reveille/internal/sipmsg"
)

// startRegisters starts the REGISTERs that the phase wants by now.
func (c *core) startRegisters(now int64) {
	for range stepLimit {
		if c.registers.over(now) || c.registers.next() > now {
			return
		}
		i, ok := c.nextPhone()
		if !ok {
			// All are at it: look again in a while.
			c.registers.retry = now + int64(time.Millisecond)
			return
		}
		if c.registers.pace.Rate > 0 {
			c.rec.saw(Pacing, now-c.registers.due())
		}
		c.registers.started++
		c.registers.underWay++
		p := &c.phones[i]
		p.set(pumped)
		if c.phase.Move && !p.is(asleep) {
			p.line = (p.line + 1) % uint16(c.o.Sockets)
		}
		c.register(i, now)
	}
}

// nextPhone returns the next phone that the phase wants to register. ok is false
// if a number of them have not ended their last REGISTER.
func (c *core) nextPhone() (i uint32, ok bool) {
	ph := &c.phase
	n := uint32(ph.Phones)
	if n == 0 {
		n = uint32(c.o.Phones - ph.First)
	}
	for range stepLimit {
		if ph.Random {
			i = uint32(ph.First) + c.rng.Uint32N(n)
		} else {
			i = c.cursor
			if c.cursor++; c.cursor >= uint32(ph.First)+n {
				c.cursor = uint32(ph.First)
			}
		}
		// One at a time (RFC 3261 §10.2).
		if !c.phones[i].is(registering | asleep) {
			return i, true
		}
	}
	return 0, false
}

// register begins a REGISTER of phone i.
func (c *core) register(i uint32, now int64) {
	p := &c.phones[i]
	p.began = now
	p.set(registering)
	p.unset(challenged)
	c.rec.present.Registers.Started++
	c.sendNew(i, now)
}

// sendNew sends a REGISTER of phone i with the next CSeq.
func (c *core) sendNew(i uint32, now int64) {
	p := &c.phones[i]
	p.seq++
	p.tries = 0
	if c.proofs != nil {
		c.proofs[i].nc++
	}
	c.sendRegister(i, now)
}

func (c *core) sendRegister(i uint32, now int64) {
	p := &c.phones[i]
	p.tries++
	c.send(p.line, c.appendRegister(c.reset(), i))
	c.timers.add(deadline{at: again(now, p.began, p.tries, t2), id: i, mark: p.seq, kind: registerAgain})
}

// registerAgain is Timer E, and Timer F in the end.
func (c *core) registerAgain(d deadline, now int64) {
	p := &c.phones[d.id]
	if !p.is(registering) || p.seq != d.mark {
		return
	}
	if now-p.began >= lifetime {
		c.registerEnd(d.id, "no answer")
		return
	}
	c.rec.present.Registers.Retransmitted++
	c.sendRegister(d.id, now)
}

// registerAnswer is an answer to a REGISTER.
func (c *core) registerAnswer(t tag, status int, now int64) {
	if int(t.id) >= len(c.phones) || status < 200 {
		return
	}
	p := &c.phones[t.id]
	if !p.is(registering) || p.seq != t.seq {
		return // An answer to what was sent twice.
	}
	switch {
	case status == 200:
		c.rec.saw(Register, now-p.began)
		c.countExpired(p, p.began)
		p.ends = 0
		if d, ok := c.granted(); ok {
			p.ends = now + d
		}
		c.woken(t.id, now)
		c.registerEnd(t.id, "")
	case status == 401 && c.o.Password != "":
		ch, ok := readChallenge(&c.scan, c.o.Algorithm)
		// A second challenge would be answered in vain, unless the nonce grew old
		// in between.
		if !ok || p.is(challenged) && !ch.stale {
			c.registerEnd(t.id, "401")
			return
		}
		p.set(challenged)
		c.rec.present.Registers.Challenged++
		c.take(t.id, ch)
		c.sendNew(t.id, now)
	default:
		c.registerEnd(t.id, strconv.Itoa(status))
	}
}

// granted returns the lifetime of the binding that a 200 lists, in nanoseconds.
// It only looks for that, for parsing all of the Contact takes as long as all
// else does with a REGISTER.
func (c *core) granted() (int64, bool) {
	v, _ := c.scan.Value(sipmsg.HdrContact)
	_, v, _ = strings.Cut(v, ">")
	_, v, ok := strings.Cut(v, ";expires=")
	if end := strings.IndexAny(v, ";, "); end >= 0 {
		v = v[:end]
	}
	s, valid := sipmsg.ParseDeltaSeconds(v)
	return int64(s) * int64(time.Second), ok && valid
}

// registerEnd ends the REGISTER of phone i; failure is empty if it succeeded.
func (c *core) registerEnd(i uint32, failure string) {
	p := &c.phones[i]
	if p.is(pumped) {
		c.registers.underWay--
	}
	p.unset(registering | pumped | challenged | waking)
	delete(c.pushedAt, i)
	c.rec.registered(failure == "")
	if failure != "" {
		c.rec.failed("register", failure)
	}
}
