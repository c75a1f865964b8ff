package transaction

import "sync/atomic"

// Await asks a question that may take a while and goes on with its answer on s's
// queue: at once if ask answers before it returns, later otherwise; until then
// what follows on s's flow with its Call-ID is held back. ask must call its
// argument exactly once, from any goroutine. Await reports false, without
// asking, if too many are waiting already.
func Await[T any](s *Server, ask func(answer func(T)), next func(T)) bool {
	resume := s.Suspend()
	if resume == nil {
		return false
	}
	const (
		asking int32 = iota
		inline
		later
	)
	var state atomic.Int32
	var got T
	ask(func(v T) {
		got = v
		if !state.CompareAndSwap(asking, inline) {
			resume(func() { next(got) })
		}
	})
	if !state.CompareAndSwap(asking, later) {
		next(got)
		resume(nil)
	}
	return true
}
