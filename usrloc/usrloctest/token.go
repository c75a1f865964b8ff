package usrloctest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/usrloc"
)

var tokenCases = []testCase{
	{name: "HoldersAreThoseOfAScan", run: indexed(testHolders)},
	{name: "LapsedBindingsHoldNothing", run: indexed(testHoldersLapse)},
	{name: "OneTokenOfOneApp", run: indexed(testHoldersApp)},
}

// A tokenStore is a store with an index of tokens.
type tokenStore interface {
	usrloc.Store
	usrloc.TokenIndex
}

// indexed is a case for stores that keep an index of tokens; for others there is
// nothing to test.
func indexed(run func(*testing.T, tokenStore)) func(*testing.T, usrloc.Store) {
	return func(t *testing.T, s usrloc.Store) {
		i, ok := s.(tokenStore)
		if !ok {
			return
		}
		if _, err := i.TokenHolders(t.Context(), usrloc.Push{PRID: "x"}); !errors.Is(err, errors.ErrUnsupported) {
			run(t, i)
		}
	}
}

func holders(t *testing.T, s usrloc.TokenIndex, p usrloc.Push) []usrloc.AOR {
	t.Helper()
	aors, err := s.TokenHolders(t.Context(), p)
	if err != nil {
		t.Fatalf("TokenHolders: %v", err)
	}
	slices.Sort(aors)
	return aors
}

// testHolders changes bindings of few users with few tokens at random, and compares
// with a look at all of them; those of other users are as they were.
func testHolders(t *testing.T, s tokenStore) {
	r := rand.New(rand.NewPCG(1, 2))
	const users, tokens = 12, 5
	token := func(i int) usrloc.Push { return usrloc.Push{Provider: "fcm", Param: "p", PRID: fmt.Sprint("token", i)} }
	var seen [users]usrloc.Record
	for n := range 600 {
		user := r.IntN(users)
		aor := AOR(user)
		b := Binding(aor, r.IntN(3), clock())
		b.CSeq, b.Push = uint32(n), token(r.IntN(tokens))
		switch r.IntN(8) {
		case 0:
			mustUpdate(t, s, aor, Remove(usrloc.CauseRegister, b.ID))
		case 1: // as the Waker leaves a dead token
			b.Push.PRID = ""
			mustUpdate(t, s, aor, Put(b))
		case 2:
			mustUpdate(t, s, aor, func(rec usrloc.Record) (usrloc.Record, error) { rec.Bindings = nil; return rec, nil })
		default:
			mustUpdate(t, s, aor, Put(b))
		}
		if s, ok := s.(toucher); ok && r.IntN(3) == 0 {
			s.Touch(aor, clock(), First(func(b *usrloc.Binding) bool { b.CallID += "1"; return true }), waiter(func(error) {}))
		}
		seen[user] = mustGet(t, s, aor)
		var want [tokens][]usrloc.AOR
		for u, rec := range seen {
			for i := range tokens {
				if slices.ContainsFunc(rec.Bindings, func(b usrloc.Binding) bool { return usrloc.SameToken(b.Push, token(i)) }) {
					want[i] = append(want[i], AOR(u))
				}
			}
		}
		for i := range tokens {
			slices.Sort(want[i])
			if d := Diff(want[i], holders(t, s, token(i))); d != "" {
				t.Fatalf("step %d: holders of token %d (-scan +index):\n%s", n, i, d)
			}
		}
	}
}

func testHoldersLapse(t *testing.T, s tokenStore) {
	b := Binding(AOR(1), 1, clock())
	b.Expires, b.RetainUntil = b.Updated.Add(100*time.Millisecond), b.Updated.Add(100*time.Millisecond)
	mustUpdate(t, s, AOR(1), Put(b))
	pause(time.Until(b.RetainUntil))
	if got := holders(t, s, b.Push); len(got) != 0 {
		t.Errorf("holders of a lapsed binding's token: %v", got)
	}
	mustUpdate(t, s, AOR(1), Keep) // it is removed
	if got := holders(t, s, b.Push); len(got) != 0 {
		t.Errorf("holders of a removed binding's token: %v", got)
	}
}

func testHoldersApp(t *testing.T, s tokenStore) {
	b := Binding(AOR(1), 1, clock())
	b.Push.Provider = "fcm"
	mustUpdate(t, s, AOR(1), Put(b))
	for _, c := range []struct {
		name   string
		change func(*usrloc.Push)
		want   bool
	}{
		{"the same", func(*usrloc.Push) {}, true},
		{"a self-waking device", func(p *usrloc.Push) { p.SelfWaking = !p.SelfWaking }, true},
		{"the service's name in upper case", func(p *usrloc.Push) { p.Provider = "FCM" }, true},
		{"another service", func(p *usrloc.Push) { p.Provider = "apns" }, false},
		{"another app", func(p *usrloc.Push) { p.Param += "1" }, false},
		{"the token in upper case", func(p *usrloc.Push) { p.PRID = strings.ToUpper(p.PRID) }, false},
		{"no token", func(p *usrloc.Push) { p.PRID = "" }, false},
	} {
		p := b.Push
		c.change(&p)
		if got := holders(t, s, p); len(got) == 1 != c.want {
			t.Errorf("%s: holders %v", c.name, got)
		}
	}
}
