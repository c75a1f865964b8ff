package outbox

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"reveille/push/webhook"
)

// Pauses after attempts that failed: they double, and are spread by half each way so
// that what failed together does not come back together.
const (
	firstPause   = time.Second
	longestPause = time.Minute
	// longestWish is how long a webhook may wish to be left alone.
	longestWish = time.Hour
)

// maxBody bounds the bytes of a request, unless a single event has more.
const maxBody = 256 << 10

// A delivery is a webhook with what brings it its events.
type delivery struct {
	Webhook
	client poster
	// uri is the path and query of URL, which the signature covers.
	uri string

	// more has room for one: events came.
	more chan struct{}
	// wait ends when no further request is to be made, post when the last one must
	// end.
	wait, post   context.Context
	ending, kill context.CancelFunc
	done         sync.WaitGroup

	// Of the goroutine:

	// taken is the key of the last event that needs not be sent again. Removing it
	// may fail.
	taken uint64
	// failures are the attempts in a row that came to nothing.
	failures int
	// batch is how many events the next request has.
	batch int
}

// start brings events until stop.
func (d *delivery) start(o *Outbox) {
	d.more = make(chan struct{}, 1)
	d.wait, d.ending = context.WithCancel(context.Background())
	d.post, d.kill = context.WithCancel(context.Background())
	d.batch = d.Batch
	log := o.log.With("webhook", d.Name)
	d.done.Go(func() { d.run(o, log) })
}

// stop makes no further request and waits until the one under way ends, with ctx at
// the latest.
func (d *delivery) stop(ctx context.Context) {
	d.ending()
	defer d.kill()
	defer context.AfterFunc(ctx, d.kill)()
	d.done.Wait()
	d.client.Close()
}

// wake says that events came.
func (d *delivery) wake() {
	select {
	case d.more <- struct{}{}:
	default:
	}
}

func (d *delivery) run(o *Outbox, log *slog.Logger) {
	for d.wait.Err() == nil {
		left, err := o.spool.expire(d.Name, time.Now())
		if err != nil {
			// They are sent once more at worst.
			log.Debug("leave out old events", "err", err)
		}
		o.leftOut(d.Name, left)
		events, err := o.spool.next(d.Name, d.taken, d.batch, maxBody)
		if err != nil {
			log.Error("read events that wait", "err", err)
			d.rest(longestPause)
			continue
		}
		if len(events) == 0 {
			select {
			case <-d.more:
			case <-d.wait.Done():
			}
			continue
		}
		d.deliver(o, log, events)
	}
}

// deliver makes one request and sees to what came of it.
func (d *delivery) deliver(o *Outbox, log *slog.Logger, events []entry) {
	v := d.send(events)
	o.metrics.attempted(d.Name, v.kind)
	switch {
	case v.kind == taken:
		if d.failures > 0 {
			log.Info("webhook takes events again")
		}
		o.metrics.delivered(d.Name, len(events))
		d.failures, d.batch = 0, min(2*d.batch, d.Batch)
		d.settle(o, log, events)
	case v.kind == refused && len(events) > 1:
		d.batch = 1 // One of them cannot be taken: look which.
	case v.kind == refused:
		log.Warn("webhook refuses an event, which is left out", "status", v.status)
		o.metrics.lost(d.Name, "refused", 1)
		d.settle(o, log, events)
	case d.wait.Err() != nil:
		// The server stops: they are sent again.
	default:
		if d.failures == 0 {
			log.Warn("webhook takes no events; they wait", "status", v.status, "err", v.err)
		}
		d.failures++
		d.rest(max(v.wish, pauseAfter(d.failures, rand.Float64())))
	}
}

// settle removes events that need not be sent again.
func (d *delivery) settle(o *Outbox, log *slog.Logger, events []entry) {
	d.taken = events[len(events)-1].key
	if err := o.spool.remove(d.Name, d.taken); err != nil {
		log.Warn("remove events that were delivered", "err", err)
	}
}

// rest waits before the next request.
func (d *delivery) rest(pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.wait.Done():
	}
}

// pauseAfter returns how long to wait after a number of failures in a row; random is
// in [0, 1).
func pauseAfter(failures int, random float64) time.Duration {
	d := longestPause
	if failures < 7 {
		d = min(firstPause<<(failures-1), longestPause)
	}
	return time.Duration(float64(d) * (0.5 + random))
}

// A verdict is what came of a request.
type verdict struct {
	kind   verdictKind
	status int
	err    error
	// wish is how long the webhook wants to be left alone.
	wish time.Duration
}

// A verdictKind names a verdict in metrics.
type verdictKind string

const (
	taken   verdictKind = "taken"
	refused verdictKind = "refused" // the body was wrong
	failed  verdictKind = "failed"  // it may do better later
)

// send makes a request.
func (d *delivery) send(events []entry) verdict {
	var body bytes.Buffer
	for _, e := range events {
		body.Write(e.body)
		body.WriteByte('\n')
	}
	header := http.Header{"Content-Type": {"application/x-ndjson"}}
	now := time.Now()
	if len(d.Secret) > 0 {
		webhook.Sign(header, d.Secret, now, http.MethodPost, d.uri, body.Bytes())
	}
	answer, err := d.client.Post(d.post, body.Bytes(), header)
	switch status := answer.Status; {
	case err != nil:
		return verdict{kind: failed, err: err}
	case status >= 200 && status < 300:
		return verdict{kind: taken, status: status}
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return verdict{kind: refused, status: status}
	default:
		return verdict{kind: failed, status: status, wish: retryAfter(answer.Header.Get("Retry-After"), now)}
	}
}

// retryAfter reads a Retry-After (RFC 9110 §10.2.3): seconds or a date. It is bounded;
// what cannot be read is 0.
func retryAfter(value string, now time.Time) time.Duration {
	if s, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(s)*time.Second, longestWish)
	}
	if t, err := http.ParseTime(value); err == nil {
		return min(max(t.Sub(now), 0), longestWish)
	}
	return 0
}
