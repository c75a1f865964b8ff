package guard

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"reveille/internal/event"
)

// bans holds who is banned. It is immutable, so that every message can be looked
// at without a lock; it changes seldom, and Run gathers the changes.
type bans map[source]ban

// A ban ends by itself.
type ban struct {
	until     time.Time
	why       Reason
	datagrams bool // holds for datagrams only
}

// hold reports whether what src sends, on a connection or not, is dropped.
func (b bans) hold(src source, stream bool, now time.Time) bool {
	if len(b) == 0 {
		return false
	}
	x, ok := b[src]
	return ok && now.Before(x.until) && (!x.datagrams || !stream)
}

// A Banned is an entry of the ban list.
type Banned struct {
	// Source is an IPv4 address or an IPv6 network.
	Source, Reason string
	// Datagrams says that connections of the source are still served.
	Datagrams bool
	Until     time.Time
}

// Banned lists who is banned at the time now, by source.
func (g *Guard) Banned(now time.Time) []Banned {
	list := []Banned{}
	for src, b := range *g.bans.Load() {
		if now.Before(b.until) {
			list = append(list, Banned{src.String(), b.why.String(), b.datagrams, b.until})
		}
	}
	slices.SortFunc(list, func(a, b Banned) int { return cmp.Compare(a.Source, b.Source) })
	return list
}

// Lift ends the ban of the source that addr belongs to and reports whether there
// was one.
func (g *Guard) Lift(addr netip.Addr) (was bool) {
	src := sourceOf(addr.WithZone(""))
	g.change(func(old bans) bans {
		next := maps.Clone(old)
		_, was = next[src]
		delete(next, src)
		return next
	})
	return was
}

// change replaces the bans.
func (g *Guard) change(fn func(bans) bans) {
	g.banning.Lock()
	defer g.banning.Unlock()
	next := fn(*g.bans.Load())
	g.bans.Store(&next)
}

const (
	// Between two rounds of Run lies a second at least, and so much that asking
	// who is registered takes no more than a twentieth of the time.
	pauseMin   = time.Second
	pauseShare = 20
	// maxSpared bounds how many sources are remembered as not to be banned.
	maxSpared = 4096
)

// Run bans those who have offended too often, until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		}
		began := time.Now()
		if err := g.judge(ctx, began); err != nil && !errors.Is(err, context.Canceled) {
			g.o.Logger.Warn("ask who is registered", slog.Any("err", err))
		}
		pause.Reset(max(pauseMin, pauseShare*time.Since(began)))
	}
}

// judge bans the suspects, but for sources from which somebody is registered:
// whoever shares an address with them, or can send datagrams in their name, must
// not be able to lock them out.
func (g *Guard) judge(ctx context.Context, now time.Time) error {
	suspects := g.takeSuspects(now)
	if len(suspects) == 0 {
		return nil
	}
	members := map[source]bool{}
	for who := range suspects {
		members[who.source] = false
	}
	err := g.o.Registered(ctx, func(a netip.Addr) {
		src := sourceOf(a)
		if _, asked := members[src]; asked {
			members[src] = true
		}
	})
	if err != nil {
		return err
	}
	s := g.settings.Load()
	for src, registered := range members {
		if !registered {
			continue
		}
		g.metrics.spared.Inc()
		if len(g.spared) < maxSpared {
			g.spared[src] = now.Add(s.Ban.Within)
		}
	}
	maps.DeleteFunc(suspects, func(who suspect, _ Reason) bool { return members[who.source] })
	g.sentence(s, suspects, now)
	return nil
}

// takeSuspects returns the suspects less those that were spared not long ago. From
// now on others are gathered.
func (g *Guard) takeSuspects(now time.Time) map[suspect]Reason {
	maps.DeleteFunc(g.spared, func(_ source, until time.Time) bool { return !now.Before(until) })
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.suspects
	g.suspects = make(map[suspect]Reason)
	maps.DeleteFunc(list, func(who suspect, _ Reason) bool { _, spared := g.spared[who.source]; return spared })
	return list
}

// sentence bans the guilty.
func (g *Guard) sentence(s *settings, guilty map[suspect]Reason, now time.Time) {
	var events []event.SourceBanned
	g.change(func(old bans) bans {
		next := maps.Clone(old)
		maps.DeleteFunc(next, func(_ source, b ban) bool { return !now.Before(b.until) })
		for who, why := range guilty {
			before, banned := next[who.source]
			switch {
			case s.Ban.Time == 0:
				continue
			case banned && !before.datagrams:
				continue // It is shut out altogether.
			case !banned && len(next) >= s.Ban.Sources:
				g.metrics.overflow.Inc()
				continue
			}
			b := ban{until: now.Add(s.Ban.Time), why: why, datagrams: who.datagrams}
			next[who.source] = b
			g.metrics.banned[why].Inc()
			events = append(events, event.SourceBanned{Source: who.source.String(), Reason: why.String(), DatagramsOnly: b.datagrams, Until: b.until})
		}
		return next
	})
	for _, e := range events {
		g.o.Sink.Emit(e)
	}
}
