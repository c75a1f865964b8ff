package app

import (
	"context"
	"time"
)

// endRequests ends what is under way, in two steps. At first new work goes to other
// servers while calls under way have their time: phones that were woken register and
// get their calls. Then what is left is answered.
func (a *App) endRequests(ctx context.Context) error {
	if a.qualifier != nil {
		a.qualifier.Stop()
	}
	a.mu.Lock()
	limit := a.config.Stop.Drain
	a.mu.Unlock()
	if limit > 0 {
		a.drain(ctx, limit)
	}
	a.haltMailbox()
	a.proxy.Stop()
	a.notifier.Stop(ctx)
	return a.layer.Stop(ctx)
}

// answerTime is what is kept of the time for Stop, to answer what is left.
const answerTime = 5 * time.Second

// drain waits for calls under way, at most for limit.
func (a *App) drain(ctx context.Context, limit time.Duration) {
	began := time.Now()
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)-answerTime)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := a.layer.Drain(ctx); err != nil {
		a.log.Warn("calls under way are ended", "waiting", a.Parked(), "after", time.Since(began).Round(time.Millisecond))
	}
}
