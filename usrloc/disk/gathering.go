package disk

import (
	"cmp"
	"slices"

	"reveille/usrloc"
)

// A gathering is what waits to be committed. It is used again and again, so that
// a refresh needs no memory of its own.
//
// Touches and Updates are kept apart and the Touches come first. For one AOR this
// is the order of the calls: while an Update of it waits, Touch declines.
type gathering struct {
	refreshes []refresh
	pending   []usrloc.Pending // of refreshes, in their order
	values    []byte           // of refreshes
	version   uint64           // the greatest of refreshes
	commits   []commit
	err       error // how it ended
}

// A refresh is a record to be written.
type refresh struct {
	id         usrloc.BindingID
	prefix     byte   // what kind of record
	start, end uint32 // where its value lies
}

// A commit is what one Update wants to be durable.
type commit struct {
	aor     usrloc.AOR
	changes []usrloc.Change
	done    func(error)
}

// maxKept is how many refreshes a gathering may have held to be used again: what
// a burst has made large is given back.
const maxKept = 8192

func (g *gathering) empty() bool { return len(g.refreshes) == 0 && len(g.commits) == 0 }

func (g *gathering) size() int { return len(g.refreshes) + len(g.commits) }

// refresh adds a Refresh whose record is value.
func (g *gathering) refresh(r *usrloc.Refresh, prefix byte, value []byte) {
	start := len(g.values)
	g.values = append(g.values, value...)
	g.refreshes = append(g.refreshes, refresh{r.Binding.ID, prefix, uint32(start), uint32(len(g.values))})
	g.pending = append(g.pending, r.Pending)
	g.version = max(g.version, r.Version)
}

// sort brings the refreshes, no longer in the order of pending, into that of
// their keys, which the database likes. Of several of one binding the last one
// stays.
func (g *gathering) sort() {
	slices.SortFunc(g.refreshes, func(a, b refresh) int {
		return cmp.Or(slices.Compare(a.id[:], b.id[:]), cmp.Compare(a.start, b.start))
	})
}

// tell tells everybody how it ended.
func (g *gathering) tell() {
	usrloc.Settle(g.pending, g.err)
	for i := range g.commits {
		g.commits[i].done(g.err)
	}
}

// reset makes g empty again, and reports whether it is worth keeping.
func (g *gathering) reset() bool {
	if len(g.refreshes) > maxKept || len(g.commits) > maxKept {
		return false
	}
	clear(g.pending) // holds on to nothing
	clear(g.commits)
	*g = gathering{refreshes: g.refreshes[:0], pending: g.pending[:0], values: g.values[:0], commits: g.commits[:0]}
	return true
}
