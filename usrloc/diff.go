package usrloc

import (
	"fmt"
	"slices"
	"time"
)

// compare turns what an Update function returned into the bindings now in force
// and the Changes that lead there. old holds the bindings that the function saw.
// The changes have no Version yet.
//
// Bindings that stay keep their order, new ones follow in the result's order.
// What has no time left at now counts as missing from the result.
func compare(aor AOR, old []Binding, result Record, now time.Time) (bindings []Binding, changes []Change, err error) {
	if err := checkIDs(aor, result.Bindings); err != nil {
		return nil, nil, err
	}
	bindings = make([]Binding, 0, max(len(old), len(result.Bindings)))
	add := func(kind ChangeKind, before, after *Binding) {
		changes = append(changes, Change{Kind: kind, Cause: result.Cause, AOR: aor, Old: before, New: after})
	}
	for i := range old {
		before := &old[i]
		found := findAt(result.Bindings, before.ID, i)
		if found == nil {
			add(Removed, before, nil)
			continue
		}
		after := stored(found)
		if !now.Before(after.RetainUntil) {
			add(Removed, before, nil)
			continue
		}
		bindings = append(bindings, after)
		if !before.equal(&after) {
			add(Updated, before, &bindings[len(bindings)-1])
		}
	}
	for i := range result.Bindings {
		if findAt(old, result.Bindings[i].ID, i) != nil {
			continue
		}
		after := stored(&result.Bindings[i])
		if now.Before(after.RetainUntil) {
			bindings = append(bindings, after)
			add(Created, nil, &bindings[len(bindings)-1])
		}
	}
	return bindings, changes, nil
}

// findAt is a search by ID that looks at index hint first, where it mostly is.
func findAt(bindings []Binding, id BindingID, hint int) *Binding {
	if hint < len(bindings) && bindings[hint].ID == id {
		return &bindings[hint]
	}
	r := Record{Bindings: bindings}
	return r.Find(id)
}

// checkIDs refuses what would break the store's index.
func checkIDs(aor AOR, bindings []Binding) error {
	p := Partition(aor)
	for i := range bindings {
		id := bindings[i].ID
		if id.IsZero() || id.Partition() != p {
			return fmt.Errorf("check record of %s: binding id %s: %w", aor, id, ErrForeignID)
		}
		for j := range i {
			if bindings[j].ID == id {
				return fmt.Errorf("check record of %s: binding id %s twice: %w", aor, id, ErrForeignID)
			}
		}
	}
	return nil
}

// stored returns b as a later Get will return it: times in UTC, cut to
// milliseconds, and no Path rather than an empty one.
func stored(b *Binding) Binding {
	s := *b
	for _, t := range [...]*time.Time{&s.Created, &s.Updated, &s.Expires, &s.RetainUntil, &s.RefreshAt} {
		*t = fromMilli(t.UnixMilli())
	}
	if len(s.Path) == 0 {
		s.Path = nil
	}
	return s
}

// equal reports whether two stored bindings are the same in every field.
func (b *Binding) equal(o *Binding) bool {
	return b.ID == o.ID && b.Contact == o.Contact && b.Params == o.Params && b.Q == o.Q &&
		b.CallID == o.CallID && b.CSeq == o.CSeq &&
		b.Created.Equal(o.Created) && b.Updated.Equal(o.Updated) && b.Expires.Equal(o.Expires) &&
		b.RetainUntil.Equal(o.RetainUntil) && b.RefreshAt.Equal(o.RefreshAt) &&
		b.Flow == o.Flow && slices.Equal(b.Path, o.Path) && b.UserAgent == o.UserAgent && b.Methods == o.Methods && b.Received == o.Received &&
		b.Instance == o.Instance && b.RegID == o.RegID && b.GRUUSet == o.GRUUSet && b.Attributes == o.Attributes && b.Push == o.Push
}
