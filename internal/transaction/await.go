package transaction

import "sync/atomic"

// Await asks a question that may take a while and goes on with its answer on s's
// queue: at once if ask answers before it returns, later otherwise; until then
// what follows on s's flow with its Call-ID is held back. ask must call its
// argument exactly once, from any goroutine. Await must be called on the queue;
// it reports false, without asking, if too many are waiting already.
func Await[T any](s *Server, ask func(answer func(T)), next func(T)) bool {
	if !s.q.maySuspend() {
		return false
	}
	const (
		asking int32 = iota
		answered
		waiting
	)
	var (
		state  atomic.Int32
		got    T            // written before state becomes answered, or before resume
		resume func(func()) // written before state becomes waiting
	)
	ask(func(v T) {
		got = v
		if !state.CompareAndSwap(asking, answered) {
			resume(func() { next(got) })
		}
	})
	// Most answers are known at once, and then nothing needs to be held: this
	// goroutine handles nothing else meanwhile.
	if state.Load() == answered {
		next(got)
		return true
	}
	resume = s.suspend()
	if !state.CompareAndSwap(asking, waiting) {
		// The answer came in between.
		defer resume(nil)
		next(got)
	}
	return true
}
