package transaction

import (
	"context"
	"sync/atomic"

	"reveille/internal/sipmsg"
)

// Drain refuses new work from now on and waits until what is under way has its
// final response, or ctx has ended; then it returns ctx's error. New requests outside
// of dialogs are answered 503 but for those that Spare names and for REGISTERs, on
// which parked calls wait, and which are not waited for.
func (l *Layer) Drain(ctx context.Context) error {
	l.draining.Store(true)
	return l.await(ctx, &l.undecided)
}

// Stop answers new requests with 503 from now on, waits until every request and
// branch has its final response or ctx has ended, and ends the goroutines. What
// only absorbs retransmissions is not waited for. It returns ctx's error if
// something was left undecided. It may be called more than once.
func (l *Layer) Stop(ctx context.Context) error {
	l.stopping.Store(true)
	err := l.await(ctx, &l.undecided)
	if err == nil {
		err = l.await(ctx, &l.registering)
	}
	l.halt.Do(func() { close(l.quit) })
	l.workers.Wait()
	return err
}

// await waits until count is 0 or ctx has ended. One goroutine waits at a time.
func (l *Layer) await(ctx context.Context, count *atomic.Int64) error {
	for count.Load() != 0 {
		select {
		case <-l.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// undecidedOf is where transactions of a method are counted.
func (l *Layer) undecidedOf(method string) *atomic.Int64 {
	if method == "REGISTER" {
		return &l.registering
	}
	return &l.undecided
}

// decide takes one off a count of transactions: it got its final response, or ended
// without.
func (l *Layer) decide(count *atomic.Int64) {
	if count.Add(-1) == 0 && (l.draining.Load() || l.stopping.Load()) {
		select {
		case l.idle <- struct{}{}:
		default:
		}
	}
}

// refusesNew reports whether m, which belongs to no transaction, is refused because
// the server is about to end.
func (l *Layer) refusesNew(m *sipmsg.Message) bool {
	if l.stopping.Load() || !l.draining.Load() {
		return l.stopping.Load()
	}
	level, ok := l.levelOf(m)
	return ok && level == levelRequests
}

// Begin reports whether a new REGISTER would be taken on now: it is not while the
// layer stops or has as many transactions as it may. Who answers such a request
// without the layer calls End once its answer is on its way, or if the layer
// gets it after all; Stop waits for that.
func (l *Layer) Begin() bool {
	// Counted before stopping is read: a Stop that comes in between waits for it.
	l.registering.Add(1)
	if l.stopping.Load() || l.full() {
		l.End()
		return false
	}
	return true
}

// End is called once for each Begin that reported true.
func (l *Layer) End() { l.decide(&l.registering) }
