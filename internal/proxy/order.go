package proxy

import (
	"slices"
	"time"
)

// A ForkMode says in which order the devices of a user are tried.
type ForkMode uint8

// The modes.
const (
	// Parallel tries all at once.
	Parallel ForkMode = iota
	// Sequential tries those of the highest preference, then, when all of these
	// have failed, the next (RFC 3261 §16.6). A device that is being woken has not
	// failed yet.
	Sequential
	// FirstOnly tries the best one and no other.
	FirstOnly
)

// ParseForkMode reads a mode's name.
func ParseForkMode(s string) (ForkMode, bool) {
	switch s {
	case "parallel":
		return Parallel, true
	case "sequential":
		return Sequential, true
	case "first_only":
		return FirstOnly, true
	}
	return 0, false
}

// A Sort says which devices are preferred.
type Sort uint8

// The orders.
const (
	// ByQ prefers the highest q; equal ones are tried together.
	ByQ Sort = iota
	// ByRecent prefers who registered last, one at a time.
	ByRecent
	// ByLatency prefers whose last answer to OPTIONS was the fastest, one at a time;
	// then come those that were not asked, such as phones that sleep, by their q,
	// and last those that did not answer.
	ByLatency
)

// ParseSort reads the name of an order.
func ParseSort(s string) (Sort, bool) {
	switch s {
	case "q":
		return ByQ, true
	case "recent":
		return ByRecent, true
	case "latency":
		return ByLatency, true
	}
	return 0, false
}

// order sorts a target set, the preferred first, and keeps what may be tried.
func (o *Options) order(set []target) []target {
	switch o.Sort {
	case ByRecent:
		slices.SortStableFunc(set, func(a, b target) int { return b.binding.Updated.Compare(a.binding.Updated) })
	case ByLatency:
		byPreference(set)
		o.byLatency(set)
	default:
		byPreference(set)
	}
	if o.Fork != FirstOnly || len(set) == 0 {
		return set
	}
	// Of equal ones, a phone that is awake: the other would first have to wake.
	best := slices.MinFunc(set[:o.group(set)], func(a, b target) int { return int(a.reach) - int(b.reach) })
	return []target{best}
}

// group returns how many targets at the front of set are tried at one time.
func (o *Options) group(set []target) int {
	switch {
	case o.Sort != ByQ && o.Fork != Parallel:
		return min(1, len(set))
	case o.Fork == Parallel:
		return len(set)
	}
	n := 0
	for n < len(set) && preference(set[n].binding.Q) == preference(set[0].binding.Q) && set[n].wanted == set[0].wanted {
		n++
	}
	return n
}

// next tries the next of the targets that are left. It is for a fork without a
// pending branch.
func (f *fork) next() {
	n := f.choice(f.aor).group(f.rest)
	if n == 0 {
		return
	}
	set := f.rest[:n:n]
	if f.rest = f.rest[n:]; len(f.rest) == 0 {
		// A request may wait for long, and its branches have what was in here.
		f.rest = nil
	}
	if len(f.branches) > 0 {
		// Time has passed since they were looked at.
		v := f.look(f.p.view(f.method, time.Now()))
		for i := range set {
			if t := &set[i]; !t.binding.ID.IsZero() {
				set[i] = v.device(t.aor, t.bindings())
			}
		}
	}
	f.start(set)
}

// limitRing sees to it that a phone which rings does not keep others waiting for
// ever.
func (b *branch) limitRing() {
	if b.rang && b.state == answered && b.ring == nil && !b.overdue && len(b.fork.rest) > 0 {
		b.ring = b.fork.s.Queue().After(b.fork.p.opts().Ring, b.ringsTooLong)
	}
}

// ringsTooLong notes that a phone has rung for its time while others wait.
func (b *branch) ringsTooLong() {
	b.ring, b.overdue = nil, true
	b.fork.endRinging()
}

// endRinging gives up the phones that ring once all that still ring, wake or are
// called have had their time. Before that their silence would help nobody: the
// next are tried when the last of these has ended.
func (f *fork) endRinging() {
	if f.over || len(f.rest) == 0 {
		return
	}
	var ringing []*branch
	for _, b := range f.branches {
		switch {
		case b.ended() || b.rungOut:
		case b.overdue && b.state == answered:
			ringing = append(ringing, b)
		default:
			return
		}
	}
	for _, b := range ringing {
		b.rungOut = true
		b.client.Cancel(reasonFor(408))
	}
}
