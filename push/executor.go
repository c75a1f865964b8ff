package push

import (
	"log/slog"
	"runtime/debug"
	"sync"
)

// executor runs functions one after the other on a goroutine of its own, so
// that whoever waits for a push is never called back on a Sender's goroutine or
// with a lane locked. Its queue needs no bound: nothing gets in but the
// outcomes of requests that the lanes had room for.
type executor struct {
	log   *slog.Logger
	ended chan struct{}

	mu      sync.Mutex
	more    sync.Cond // queue or stopped changed; uses mu
	queue   []func()
	stopped bool
}

// startExecutor starts the goroutine, which stop ends and waits for.
func startExecutor(log *slog.Logger) *executor {
	e := &executor{log: log, ended: make(chan struct{})}
	e.more.L = &e.mu
	go e.run()
	return e
}

// post queues fn and reports false if the executor was stopped.
func (e *executor) post(fn func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return false
	}
	e.queue = append(e.queue, fn)
	e.more.Signal()
	return true
}

// stop runs what was posted, then ends the goroutine. It must not be called by
// a posted function.
func (e *executor) stop() {
	e.mu.Lock()
	e.stopped = true
	e.more.Signal()
	e.mu.Unlock()
	<-e.ended
}

func (e *executor) run() {
	defer close(e.ended)
	for {
		e.mu.Lock()
		for len(e.queue) == 0 && !e.stopped {
			e.more.Wait()
		}
		batch := e.queue
		e.queue = nil
		e.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, fn := range batch {
			e.call(fn)
		}
	}
}

// call keeps a caller's fault from ending the callbacks of all others.
func (e *executor) call(fn func()) {
	defer func() {
		if v := recover(); v != nil {
			e.log.Error("push callback panicked", "err", v, "stack", string(debug.Stack()))
		}
	}()
	fn()
}
