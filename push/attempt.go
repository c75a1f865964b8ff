package push

import (
	"context"
	"fmt"
	"time"
)

// idleWorker is how long a goroutine that made an attempt waits for the next.
const idleWorker = 5 * time.Second

// An attempt is one request to the push service: req is the job's with its
// deadline of now, before what the lane had seen when it began.
type attempt struct {
	job    *job
	req    *Request
	before seen
}

// begin makes an attempt at j, which waits in no queue. Call with mu held.
func (l *lane) begin(j *job) {
	j.state = sending
	l.inFlight++
	// The push service is told the deadline of whoever waits longest.
	j.until = j.deadline
	a := attempt{job: j, req: j.req, before: l.seen}
	if !a.req.Deadline.Equal(j.deadline) {
		r := *j.req
		r.Deadline = j.deadline
		a.req = &r
	}
	select {
	case l.hand <- a:
	default:
		// Ends when it was idle for idleWorker, or with the lane's last job.
		go l.work(a)
	}
}

// work makes attempts, one after the other. A goroutine for each would grow its
// stack each time, at a fifth of what a push costs.
func (l *lane) work(a attempt) {
	idle := time.NewTimer(idleWorker)
	defer idle.Stop()
	for {
		l.attempt(a)
		idle.Reset(idleWorker)
		select {
		case a = <-l.hand:
		case <-idle.C:
			return
		case <-l.empty:
			return
		}
	}
}

func (l *lane) attempt(a attempt) {
	start := time.Now()
	deadline := a.req.Deadline
	if end := start.Add(l.app.AttemptTimeout); deadline.IsZero() || end.Before(deadline) {
		deadline = end
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	o := l.send(ctx, a.req)
	l.settle(a.job, o, time.Since(start), a.before)
}

// send keeps a fault of a Sender from ending the process.
func (l *lane) send(ctx context.Context, r *Request) (o Outcome) {
	defer func() {
		if v := recover(); v != nil {
			o = Outcome{Class: Rejected, Reason: "SenderPanic", Err: fmt.Errorf("sender panicked: %v", v)}
		}
	}()
	return l.app.Sender.Send(ctx, r)
}
