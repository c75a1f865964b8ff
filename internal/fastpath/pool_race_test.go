//go:build race

package fastpath

// poolsForget: under the race detector a sync.Pool drops what it is given at
// random, so that what uses one allocates now and then.
const poolsForget = true
