package trunk

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"reveille/flow"
	"reveille/internal/probe"
	"reveille/internal/resolve"
	"reveille/internal/transaction"
)

// namesEvery is the time between two looks at a name. The resolver keeps what the DNS
// says as long as that is true, so that most looks ask nobody.
const namesEvery = 15 * time.Second

// A watchKey names one next hop of one route.
type watchKey struct {
	route  string
	target resolve.Target
}

// A watch is one next hop under watch. What can change is guarded by Watcher.mu.
type watch struct {
	w *Watcher
	watchKey
	check  Check
	ctx    context.Context // ends with the watch
	cancel context.CancelFunc
	// hops are the addresses that the next hop has, as far as that is known.
	hops map[resolve.Hop]*state
	// failing: the DNS did not answer the last time.
	failing bool
}

func (c *Check) equal(other Check) bool {
	return c.Interval == other.Interval && c.Timeout == other.Timeout && c.Down == other.Down && c.Up == other.Up && slices.Equal(c.Answers, other.Answers)
}

// successor makes a watch in place of old, of whose hops it keeps what is known; nil:
// there was none. The caller holds mu.
func (w *Watcher) successor(key watchKey, c Check, old *watch) *watch {
	x := &watch{w: w, watchKey: key, check: c, hops: map[resolve.Hop]*state{}}
	x.ctx, x.cancel = context.WithCancel(w.ctx)
	h, numeric := key.target.Hop()
	switch {
	case old != nil:
		for h, s := range old.hops {
			// The question under way is old's, which ends.
			x.hops[h] = &state{known: s.known && c.Interval > 0, up: s.up, asked: s.asked}
		}
	case numeric:
		x.hops[normal(h)] = &state{}
	}
	w.begin(x)
	return x
}

// end ends the watch. The caller holds mu.
func (x *watch) end() {
	x.cancel()
	for _, s := range x.hops {
		s.stop()
	}
}

func (s *state) stop() {
	if s.giveUp != nil {
		s.giveUp()
	}
}

// run looks up and asks until the watch ends.
func (x *watch) run() {
	_, numeric := x.target.Hop()
	var ask time.Time
	for {
		if !numeric {
			x.lookUp()
		}
		wait := namesEvery
		if x.check.Interval > 0 {
			if now := time.Now(); !now.Before(ask) {
				x.askAll()
				ask = now.Add(jitter(x.check.Interval))
			}
			wait = time.Until(ask)
			if !numeric {
				wait = min(wait, namesEvery)
			}
		}
		select {
		case <-x.ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// jitter is a time about d: several servers that start together should not ask together.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) } //nolint:gosec // Nobody guesses it.

// lookUp finds the addresses of the next hop. If the DNS is silent, or has nothing, those
// it told last stay: a trunk is not gone because a name server is.
func (x *watch) lookUp() {
	type found struct {
		hops []resolve.Hop
		err  error
	}
	answer := make(chan found, 1)
	x.w.o.Resolver.Resolve(x.ctx, x.target, func(hops []resolve.Hop, err error) { answer <- found{hops, err} })
	f := <-answer
	w := x.w
	w.mu.Lock()
	failed := f.err != nil && !x.failing && x.ctx.Err() == nil
	x.failing = f.err != nil
	changed := f.err == nil && x.ctx.Err() == nil && x.have(f.hops)
	if changed {
		w.index()
	}
	w.mu.Unlock()
	if failed {
		w.o.Logger.Warn("the name of a next hop is not found", "route", x.route, "hop", x.target.String(), "err", f.err)
	}
	if changed {
		w.o.Logger.Info("the addresses of a next hop have changed", "route", x.route, "hop", x.target.String(), "addresses", len(f.hops))
		w.o.Changed()
	}
}

// have takes over the addresses of the next hop, and reports whether they are others than
// before. The caller holds mu.
func (x *watch) have(hops []resolve.Hop) (changed bool) {
	now := map[resolve.Hop]*state{}
	for _, h := range hops {
		h = normal(h)
		if x.w.o.Flows.IsOwn(h.Addr.Addr().String(), h.Addr.Port(), h.Transport) {
			// Whatever comes from there is not the next hop's.
			continue
		}
		s := x.hops[h]
		if s == nil {
			s, changed = &state{}, true
		}
		now[h] = s
	}
	for h, s := range x.hops {
		if now[h] == nil {
			changed = true
			s.stop()
		}
	}
	x.hops = now
	return changed
}

func normal(h resolve.Hop) resolve.Hop {
	h.Addr = netip.AddrPortFrom(h.Addr.Addr().Unmap(), h.Addr.Port())
	return h
}

// askAll sends OPTIONS to every hop for whose last answer nobody waits.
func (x *watch) askAll() {
	x.w.mu.Lock()
	var due []resolve.Hop
	for h, s := range x.hops {
		if s.giveUp == nil {
			s.giveUp = func() {}
			due = append(due, h)
		}
	}
	x.w.mu.Unlock()
	for _, h := range due {
		x.w.o.Flows.ConnectTo(h.Transport, h.Name, h.Addr, func(to flow.Flow, err error) { x.ask(h, to, err) })
	}
}

// ask sends OPTIONS to a hop that was connected to, unless err says that it was not.
func (x *watch) ask(h resolve.Hop, to flow.Flow, err error) {
	if err != nil {
		x.heard(h, probe.Answer{Err: err})
		return
	}
	x.w.mu.Lock()
	defer x.w.mu.Unlock()
	if s := x.hops[h]; s != nil && x.ctx.Err() == nil {
		// The answer comes on a queue, and waits there until giveUp is set.
		s.giveUp = x.w.o.Prober.Ask(to, requestURI(x.target), nil, x.check.Timeout, func(a probe.Answer) { x.heard(h, a) })
	}
}

// heard takes what a question came to.
func (x *watch) heard(h resolve.Hop, a probe.Answer) {
	if errors.Is(a.Err, probe.ErrGivenUp) {
		return
	}
	ok, result := a.Err == nil && x.check.takes(a.Code), "refused"
	switch {
	case ok:
		result = "ok"
	case errors.Is(a.Err, transaction.ErrTimeout):
		result = "timeout"
	case a.Err != nil:
		result = "failed"
	}
	x.w.metrics.results.WithLabelValues(result).Inc()
	x.w.mu.Lock()
	s := x.hops[h]
	if s == nil || x.ctx.Err() != nil {
		x.w.mu.Unlock()
		return
	}
	s.giveUp = nil
	if ok {
		s.asked = a.Sent
	}
	// Too many transactions are ours, not the hop's.
	changed := !errors.Is(a.Err, transaction.ErrTooMany) && s.note(ok, &x.check)
	x.w.mu.Unlock()
	if changed {
		x.tell(h, ok, a)
	}
}

// tell logs that a hop is up or down now.
func (x *watch) tell(h resolve.Hop, up bool, a probe.Answer) {
	attrs := []slog.Attr{
		slog.String("route", x.route), slog.String("hop", x.target.String()),
		slog.String("transport", h.Transport.String()), slog.String("remote", h.Addr.String()),
	}
	if up {
		x.w.o.Logger.LogAttrs(x.ctx, slog.LevelInfo, "a next hop is up", attrs...)
		return
	}
	if a.Err != nil {
		attrs = append(attrs, slog.Any("err", a.Err))
	} else {
		attrs = append(attrs, slog.Int("status", a.Code))
	}
	x.w.o.Logger.LogAttrs(x.ctx, slog.LevelWarn, "a next hop is down", attrs...)
}

// requestURI is whom a next hop is asked for: itself, by the name it has in the
// configuration.
func requestURI(t resolve.Target) string {
	scheme, host := "sip:", t.Host
	if t.Secure {
		scheme = "sips:"
	}
	if a, ok := t.Addr(); ok && a.Is6() {
		host = "[" + host + "]"
	}
	if t.Port != 0 {
		host += ":" + strconv.Itoa(int(t.Port))
	}
	return scheme + host
}
