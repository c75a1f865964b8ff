package load

// A PushKind is what a push is for, as its payload says.
type PushKind uint8

// The kinds that make a difference here.
const (
	OtherPush PushKind = iota
	CallPush
	RefreshPush
)

// fallAsleep closes the lines of all that sleep, as a system does that suspends
// an app.
func (c *core) fallAsleep() {
	for i := range c.phones[:c.o.Sleepers] {
		c.phones[i].set(asleep)
	}
	c.wire.sleep()
}

// pushed is a push at the push service, at the time at; now is later.
func (c *core) pushed(token string, kind PushKind, at, now int64) {
	n := &c.rec.present.Pushes
	i, ok := tokenOf(token)
	if !ok || int(i) >= len(c.phones) {
		n.Unknown++
		return
	}
	c.rec.pushed()
	p := &c.phones[i]
	switch kind {
	case CallPush:
		n.Call++
		if k := c.busy[i]; k != nil && k.pushed == 0 {
			k.pushed = at
			c.rec.saw(InviteToPush, at-k.invited)
		}
	case RefreshPush:
		n.Refresh++
		if p.ends != 0 {
			c.rec.saw(PushLate, at-(p.ends-int64(c.o.Trigger)))
		}
	default:
		n.Other++
	}
	switch {
	case p.is(dead):
		n.Dead++
	case c.stopped:
	case p.is(waking):
		n.Needless++
	default:
		if kind == CallPush && !p.is(asleep) {
			n.Needless++
		}
		// A phone that is awake registers too: some servers wait for it.
		p.set(waking)
		c.pushedAt[i] = at
		c.timers.add(deadline{at: now + int64(c.o.WakeDelay.draw(c.rng)), id: i, kind: wakeUp})
	}
}

// wokenUp is when a phone that was pushed does something: it registers, from a
// socket that is open.
func (c *core) wokenUp(i uint32, now int64) {
	p := &c.phones[i]
	if p.is(asleep) {
		p.unset(asleep)
		p.line = c.awakeLine(i)
	}
	if p.is(registering) {
		return // It does already.
	}
	if k := c.busy[i]; k != nil {
		k.woke = now
	}
	c.register(i, now)
}

// woken is the 200 to the REGISTER of a phone.
func (c *core) woken(i uint32, now int64) {
	if at, ok := c.pushedAt[i]; ok {
		c.rec.saw(PushToRegister, now-at)
	}
}
