package usrloc_test

import (
	"fmt"
	"testing"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

func TestMemory_Conformance_InlineCommits(t *testing.T) {
	usrloctest.Run(t, func(t testing.TB, l usrloctest.Limits) usrloc.Store {
		return usrloc.NewMemory(usrloc.MemoryOptions{MaxBindings: l.MaxBindings, MaxWatches: l.MaxWatches})
	})
}

func TestMemory_Conformance_DelayedCommits(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("Seed%d", seed), func(t *testing.T) {
			usrloctest.Run(t, func(t testing.TB, l usrloctest.Limits) usrloc.Store {
				return usrloc.NewMemory(usrloc.MemoryOptions{
					MaxBindings: l.MaxBindings,
					MaxWatches:  l.MaxWatches,
					Committer:   usrloctest.NewLateCommitter(seed),
				})
			})
		})
	}
}

func TestMemory_Conformance_DelayedRefreshes(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("Seed%d", seed), func(t *testing.T) {
			usrloctest.Run(t, func(t testing.TB, l usrloctest.Limits) usrloc.Store {
				return usrloc.NewMemory(usrloc.MemoryOptions{
					MaxBindings: l.MaxBindings,
					MaxWatches:  l.MaxWatches,
					Tokens:      true,
					Committer:   usrloctest.NewLateRefreshCommitter(seed),
				})
			})
		})
	}
}

func TestMemory_Conformance_OneShard(t *testing.T) {
	usrloctest.Run(t, func(t testing.TB, l usrloctest.Limits) usrloc.Store {
		return usrloc.NewMemory(usrloc.MemoryOptions{MaxBindings: l.MaxBindings, MaxWatches: l.MaxWatches, Shards: 1, Tokens: true})
	})
}
