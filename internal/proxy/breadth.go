package proxy

import (
	"slices"
	"strconv"
	"strings"

	"reveille/internal/sipmsg"
)

// This file is the bound that a request carries on how many copies of it may be on
// their way at one time (RFC 5393 §5): what one proxy does not use, the next may.

// defaultBreadth is for requests that have none, and the most that is believed (RFC
// 5393 §5.3.3 recommends it for both).
const defaultBreadth = 60

// breadthOf returns the Incoming Max-Breadth of a request, 0 to defaultBreadth. What
// is no number counts as none, for that gives the sender nothing.
func breadthOf(m *sipmsg.Message) int {
	value, ok := m.Header(sipmsg.HdrMaxBreadth)
	if !ok {
		return defaultBreadth
	}
	n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return defaultBreadth
	}
	return int(min(n, defaultBreadth))
}

// setBreadth makes n the one Max-Breadth of what leaves; if that is what came, it
// stays byte for byte.
func setBreadth(m *sipmsg.Message, e *sipmsg.Edit, n int) {
	count, same := 0, false
	for h := range m.Headers() {
		if h.ID == sipmsg.HdrMaxBreadth {
			count++
			same = h.Value == strconv.Itoa(n)
		}
	}
	if count == 1 && same {
		return
	}
	if count > 0 {
		e.Remove(sipmsg.HdrMaxBreadth)
	}
	e.Add("Max-Breadth", strconv.Itoa(n))
}

// fit returns those of a set for which there is breadth now. The others are tried when
// these have failed: one after the other is always allowed.
func (f *fork) fit(set []target) []target {
	n := 0
	for i := range set {
		if set[i].reach == unreachable {
			continue
		}
		if n == f.breadth {
			f.rest = append(slices.Clone(set[i:]), f.rest...)
			for _, b := range f.branches {
				b.limitRing()
			}
			return set[:i]
		}
		n++
	}
	return set
}

// allot gives each branch of a set that fits its share, which it keeps until it ends.
func (f *fork) allot(branches []*branch) {
	n, moves := 0, f.joins
	for _, b := range branches {
		if b.target.reach != unreachable {
			n++
		}
		moves = moves || b.target.reach == race
	}
	free := f.breadth
	if moves {
		// Phones that join the call, or move during it, shall ring at once, too. A
		// quarter is kept for them, and none of a breadth that has become small: it is
		// no bound on the number of hops (RFC 5393 §5.3.3).
		free = max(n, free-free/4)
	}
	for _, b := range branches {
		if b.target.reach != unreachable {
			b.breadth = free / n
			free -= b.breadth
			f.breadth -= b.breadth
			n--
		}
	}
}

// widen takes a share for a second attempt while the first is still out. ok is false
// if there is none left.
func (b *branch) widen() (ok bool) {
	left := b.fork.breadth
	if left == 0 {
		return false
	}
	b.held += b.breadth
	b.breadth = max(1, left/4)
	b.fork.breadth -= b.breadth
	return true
}

// narrow gives back what the branch has.
func (b *branch) narrow() {
	b.fork.breadth += b.held + b.breadth
	b.held, b.breadth = 0, 0
}
