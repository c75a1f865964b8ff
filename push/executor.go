package push

import (
	"log/slog"
	"runtime/debug"
	"sync"
)

// executor tells outcomes one after the other on a goroutine of its own, so
// that whoever waits for a push is never called back on a Sender's goroutine or
// with a lane locked. Its queue needs no bound: nothing gets in but the
// outcomes of requests that the lanes had room for.
type executor struct {
	log   *slog.Logger
	ended chan struct{}

	mu      sync.Mutex
	more    sync.Cond // queue or stopped changed; uses mu
	queue   []telling
	stopped bool
}

// A telling is one call of a done function. Several may share an outcome, which
// nobody changes.
type telling struct {
	done    func(Outcome)
	outcome *Outcome
}

// maxKept is how many tellings the room of a queue may have that is used again.
const maxKept = 1024

// startExecutor starts the goroutine, which stop ends and waits for.
func startExecutor(log *slog.Logger) *executor {
	e := &executor{log: log, ended: make(chan struct{})}
	e.more.L = &e.mu
	go e.run()
	return e
}

// post has done called with o and reports false if the executor was stopped.
func (e *executor) post(done func(Outcome), o *Outcome) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return false
	}
	e.queue = append(e.queue, telling{done, o})
	e.more.Signal()
	return true
}

// stop tells what was posted, then ends the goroutine. It must not be called by
// a done function.
func (e *executor) stop() {
	e.mu.Lock()
	e.stopped = true
	e.more.Signal()
	e.mu.Unlock()
	<-e.ended
}

func (e *executor) run() {
	defer close(e.ended)
	var told []telling // room for the next queue
	for {
		e.mu.Lock()
		for len(e.queue) == 0 && !e.stopped {
			e.more.Wait()
		}
		batch := e.queue
		e.queue = told
		e.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, t := range batch {
			e.call(t)
		}
		clear(batch) // what was told is nobody's any more
		if told = batch[:0]; cap(told) > maxKept {
			told = nil
		}
	}
}

// call keeps a caller's fault from ending the callbacks of all others.
func (e *executor) call(t telling) {
	defer func() {
		if v := recover(); v != nil {
			e.log.Error("push callback panicked", "err", v, "stack", string(debug.Stack()))
		}
	}()
	t.done(*t.outcome)
}
