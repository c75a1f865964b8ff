package registrar

import (
	"bytes"
	"context"
	"log/slog"
	"slices"

	"reveille/usrloc"
)

// takeTokens takes the push tokens of what q registered from other users: a phone
// is its user's who logged in last. The bindings that others have with a token are
// removed, for their phone is in other hands, and so is the connection to it.
//
// The two users' Records are two commits. If the process ends between them, both
// have the token until the next REGISTER of the new user; after a start that never
// is a refresh in place, and to take once more does no harm.
func (r *Registrar) takeTokens(q *serving, rec *usrloc.Record, res *Result) {
	// Of somebody whom nobody asked who he is, a token is no proof that the phone
	// is his.
	if r.tokens == nil || q.user.Name == "" {
		return
	}
	for _, id := range res.Carried {
		b := rec.Find(id)
		if b == nil || b.Push.IsZero() {
			continue
		}
		aors, err := r.tokens.TokenHolders(context.Background(), b.Push)
		if err != nil {
			r.log.Warn("look up who has a push token", "aor", string(rec.AOR), "err", err)
			continue
		}
		for _, aor := range aors {
			// A user may have one phone for several addresses.
			if aor != rec.AOR && (q.user.May == nil || !q.user.May(aor)) {
				r.takeToken(aor, b, rec.AOR)
			}
		}
	}
}

// takeToken removes the bindings of aor that have the token of b, whose device
// belongs to another user.
func (r *Registrar) takeToken(aor usrloc.AOR, b *usrloc.Binding, movedTo usrloc.AOR) {
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	taken := func(h usrloc.Binding) bool { return usrloc.SameToken(h.Push, b.Push) && spokeAfter(b, &h) }
	r.store.Update(ctx, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = slices.DeleteFunc(slices.Clone(rec.Bindings), taken)
		rec.Cause = usrloc.CauseTokenMoved
		return rec, nil
	}, func(_ usrloc.Record, changes []usrloc.Change, err error) {
		cancel()
		if err != nil {
			r.log.LogAttrs(context.Background(), slog.LevelWarn, "take a push token from its former user", slog.String("aor", string(aor)), slog.Any("err", err))
			return
		}
		for i := range changes {
			r.movedTo(&changes[i], movedTo)
		}
	})
}

// spokeAfter reports whether the device of a spoke after that of b. Of two that spoke in
// the same millisecond it says so of one: they do not take the token from each
// other.
func spokeAfter(a, b *usrloc.Binding) bool {
	if c := a.Updated.Compare(b.Updated); c != 0 {
		return c > 0
	}
	return bytes.Compare(a.ID[:], b.ID[:]) > 0
}
