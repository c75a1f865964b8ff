package guard

import (
	"sync"
	"sync/atomic"
	"time"

	"reveille/flow"
)

// How many keys each table tells apart, at 8 bytes each. A flood from more
// sources than that makes the table forget, never grow.
const (
	sourceEntries  = 1 << 17
	aorEntries     = 1 << 16
	offenceEntries = 1 << 14
	probeEntries   = 1 << 16
)

// A Guard is safe for concurrent use.
type Guard struct {
	o        Options
	settings atomic.Pointer[settings]
	metrics  *metrics

	sources, registers, calls, offences, probes *buckets

	// bans is replaced whole by Run, Lift and nobody else.
	bans atomic.Pointer[bans]
	// spared remembers sources that may not be banned; of Run alone.
	spared map[source]time.Time

	mu       sync.Mutex // guards what follows
	suspects map[suspect]Reason
	wake     chan struct{} // capacity 1: suspects has become non-empty
	banning  sync.Mutex    // held by whoever replaces bans
}

// New returns a Guard. Run must be called for it to ban anybody.
func New(o Options) (*Guard, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	start := time.Now()
	g := &Guard{
		o:         o,
		sources:   newBuckets(sourceEntries, start),
		registers: newBuckets(aorEntries, start),
		calls:     newBuckets(aorEntries, start),
		offences:  newBuckets(offenceEntries, start),
		probes:    newBuckets(probeEntries, start),
		spared:    make(map[source]time.Time),
		suspects:  make(map[suspect]Reason),
		wake:      make(chan struct{}, 1),
	}
	g.bans.Store(&bans{})
	g.settings.Store(o.Settings.prepare())
	g.metrics = newMetrics(o.Registerer, g)
	return g, nil
}

// Set replaces the settings. Bans that are in force stay, unless nobody is to be
// banned any more.
func (g *Guard) Set(s Settings) {
	g.settings.Store(s.prepare())
	if s.Ban.Time == 0 {
		g.change(func(bans) bans { return bans{} })
	}
}

// A Verdict is what is to be done with a message.
type Verdict uint8

// The verdicts.
const (
	// Pass: nothing is wrong.
	Pass Verdict = iota
	// Drop it without an answer.
	Drop
	// Refuse it: its sender, who is who he says, sends too fast.
	Refuse
)

// Source looks at a message that came on f at the time now, and has not been
// read. It allocates nothing.
//
// A datagram too many is dropped: its sender may be forged, and will repeat it
// if it was meant. On a connection nothing is repeated, so a request is refused.
// What ends something, or is answered by nobody, has a second burst to itself.
func (g *Guard) Source(f flow.Flow, b []byte, now time.Time) Verdict {
	s := g.settings.Load()
	addr := f.Remote.Addr()
	if s.exempt.contain(addr) {
		return Pass
	}
	src := sourceOf(addr)
	if g.bans.Load().hold(src, f.Stream(), now) {
		g.metrics.dropped[droppedBanned].Inc()
		return Drop
	}
	l, key := s.source, src.key(!f.Stream())
	if closing(b) {
		l = s.reserve
	}
	switch {
	case g.sources.take(g.sources.bytes(key[:]), l, now):
		return Pass
	case f.Stream():
		// Who answers asks whether there is anything to answer.
		g.metrics.refused[refusedSource].Inc()
		return Refuse
	}
	g.metrics.dropped[droppedRate].Inc()
	return Drop
}

// closing reports whether b begins like a response or a request that ends
// something.
func closing(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	switch string(b[:4]) {
	case "SIP/", "ACK ", "BYE ", "CANC":
		return true
	}
	return false
}

// Registers reports whether aor, whose owner has authenticated on f, may
// register once more.
func (g *Guard) Registers(f flow.Flow, aor string, now time.Time) bool {
	s := g.settings.Load()
	return g.allow(g.registers, s.registers, s, f, aor, now, refusedRegister)
}

// Calls reports whether aor may be called once more, by a sender who was
// admitted on f.
func (g *Guard) Calls(f flow.Flow, aor string, now time.Time) bool {
	s := g.settings.Load()
	return g.allow(g.calls, s.calls, s, f, aor, now, refusedCall)
}

func (g *Guard) allow(b *buckets, l limit, s *settings, f flow.Flow, aor string, now time.Time, why refusal) bool {
	if l.every == 0 || s.exempt.contain(f.Remote.Addr()) || b.take(b.text(aor), l, now) {
		return true
	}
	g.metrics.refused[why].Inc()
	return false
}
