package usrloc

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"time"
)

// A TokenIndex is a Store that also knows who has a push token.
type TokenIndex interface {
	// TokenHolders returns the AORs that have a binding with the token of p, each
	// once and in no order; of hundreds maybe not all. What it costs does not grow
	// with the number of bindings. It returns errors.ErrUnsupported if the store
	// was made without such an index.
	TokenHolders(ctx context.Context, p Push) ([]AOR, error)
}

var _ TokenIndex = (*Memory)(nil)

// SameToken reports whether a and b are one token of one app. What has no token is
// never the same. Tokens are opaque: their case counts, unlike that of the push
// service's name.
func SameToken(a, b Push) bool {
	return a.PRID != "" && a.PRID == b.PRID && a.Param == b.Param && strings.EqualFold(a.Provider, b.Provider)
}

// maxHolders bounds how many bindings of one token are looked at in each shard.
const maxHolders = 16

// TokenHolders implements TokenIndex.
func (m *Memory) TokenHolders(ctx context.Context, p Push) ([]AOR, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	if !m.opts.Tokens {
		return nil, errors.ErrUnsupported
	}
	var aors []AOR
	now := time.Now()
	for _, sh := range m.shards {
		sh.mu.Lock()
		found, err := sh.holders(p, now)
		sh.mu.Unlock()
		if err != nil {
			return nil, err
		}
		aors = append(aors, found...)
	}
	return aors, nil
}

// holders returns the AORs of the shard that have a binding with the token of p.
func (sh *shard) holders(p Push, now time.Time) (aors []AOR, err error) {
	seen := 0
	sh.tokens.find(sh.hashToken(p), func(at uint32) bool {
		s := sh.bindings.at(at)
		var b Binding
		if err = sh.read(&b, s); err != nil {
			return true
		}
		if SameToken(b.Push, p) && !s.lapsed(now) {
			if aor := sh.name(sh.users.at(s.aor)); !slices.Contains(aors, aor) {
				aors = append(aors, aor)
			}
		}
		seen++
		return seen == maxHolders
	})
	return aors, err
}

// moveToken notes that the binding in slot at has the token of after, where it had
// that of before.
func (sh *shard) moveToken(at uint32, before, after Push) {
	if sh.tokens == nil || before == after {
		return
	}
	if !before.IsZero() {
		sh.tokens.remove(sh.hashToken(before), at)
	}
	if !after.IsZero() {
		sh.tokens.add(sh.hashToken(after), at)
	}
}

// hashToken is the same for all that SameToken says to be the same.
func (sh *shard) hashToken(p Push) uint32 {
	var h maphash.Hash
	h.SetSeed(sh.seed)
	for _, part := range [...]string{strings.ToLower(p.Provider), p.Param, p.PRID} {
		h.WriteString(part)
		h.WriteByte(0)
	}
	return uint32(h.Sum64())
}
