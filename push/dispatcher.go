package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxParts bounds the lanes of one app whose Sender is a Partitioner. Idle ones
// make room for others; while none is idle, what comes after them shares one more.
const maxParts = 64

// A Partitioner is a Sender whose push service has several parts that fail on
// their own, such as the origins of Web Push. Each part gets a lane.
type Partitioner interface {
	// Part names the part that r goes to. It must not contain the PRID.
	Part(r *Request) string
}

// A VAPIDKeyer is a Sender that identifies itself by a VAPID key (RFC 8292),
// which phones need to know (RFC 8599 §8.3).
type VAPIDKeyer interface {
	// PublicKey is the key as in the sip.vapid indicator: 87 characters of
	// unpadded base64url.
	PublicKey() string
}

// Options of a Dispatcher.
type Options struct {
	// Apps that may be woken. They can be replaced later.
	Apps []App
	// Logger, or nil to discard.
	Logger *slog.Logger
	// Registerer of the metrics, or nil for none.
	Registerer prometheus.Registerer
}

// A Dispatcher takes Requests and sees them through: it picks the app, queues,
// limits, coalesces, retries and reports. Each credential has a lane of its own,
// so that a push service in trouble delays no other. It is safe for concurrent
// use.
type Dispatcher struct {
	log      *slog.Logger
	metrics  *metrics
	exec     *executor
	draining sync.WaitGroup // lanes that Replace took out
	abandon  chan struct{}  // closed when nobody waits for draining any more

	// mu guards what follows. It is taken before a lane's mu.
	mu     sync.RWMutex
	routes routes
	closed bool
}

// route is an app with its lanes.
type route struct {
	app   App
	lanes map[string]*lane
}

// NewDispatcher starts a Dispatcher. Close ends it.
func NewDispatcher(o Options) (*Dispatcher, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Dispatcher{log: o.Logger, abandon: make(chan struct{})}
	rs, err := newRoutes(o.Apps)
	if err != nil {
		return nil, err
	}
	d.routes = rs
	d.metrics = newMetrics(o.Registerer)
	if o.Registerer != nil {
		o.Registerer.MustRegister(newPaused(d.Health))
	}
	d.exec = startExecutor(o.Logger)
	return d, nil
}

// Supports reports whether an app is configured that takes p.
func (d *Dispatcher) Supports(p Params) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.routes.find(p) != nil
}

// App is the Name of the app that takes p, empty if none does.
func (d *Dispatcher) App(p Params) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if r := d.routes.find(p); r != nil {
		return r.app.Name
	}
	return ""
}

// Providers lists the pn-provider values of all apps, sorted, each once: what a
// query for all push services is answered with (RFC 8599 §5.6.1.2). Those that only
// an app for AnyProvider serves have no names that could be listed.
func (d *Dispatcher) Providers() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var names []string
	for _, r := range d.routes {
		if r.app.Provider != AnyProvider {
			names = append(names, r.app.Provider)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// VAPIDKey is the public key of the app that takes p, for sip.vapid; "" if its
// push service does not use VAPID.
func (d *Dispatcher) VAPIDKey(p Params) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if r := d.routes.find(p); r != nil {
		if k, ok := r.app.Sender.(VAPIDKeyer); ok {
			return k.PublicKey()
		}
	}
	return ""
}

// Submit takes r and returns at once. If err is nil, done runs exactly once with
// the outcome, on a goroutine of the Dispatcher that all callers share: it must
// not block. done never runs before Submit was called with it, and never inside
// Submit.
//
// cancel says that nobody waits for r any more: if it was not sent yet it is
// dropped, and done gets a Shed outcome whose Err is context.Canceled. Otherwise
// done gets the outcome of the attempt under way. cancel may be called more than
// once, from any goroutine.
//
// Requests for the same device and Kind that come together are sent once, whatever
// their Call-ID: within two seconds, unless the device registered in between or
// the push would end too early. All of them get the one outcome, whose PushID is
// that of the request that was sent.
//
// err is ErrNoApp, ErrQueueFull or ErrClosed; done does not run then.
func (d *Dispatcher) Submit(r *Request, done func(Outcome)) (cancel func(), err error) {
	for {
		cancel, err = d.submit(r, done)
		if !errors.Is(err, errLaneClosed) {
			break
		}
		// Replace took the lane out between our finding and using it: the next
		// look finds the new app, or none.
	}
	if err != nil {
		d.metrics.refused(err)
	}
	return cancel, err
}

func (d *Dispatcher) submit(r *Request, done func(Outcome)) (cancel func(), err error) {
	l, err := d.lane(r)
	if err != nil {
		return nil, err
	}
	tok, ok := r.Token()
	if !ok {
		// Only a VoIP token for something that is no call, or the reverse. iOS
		// ends an app that gets a VoIP push and shows no call.
		o := &Outcome{Class: Forbidden, Reason: "NoTokenForKind"}
		d.metrics.finished(l.app, r.Kind, *o, 0)
		if !d.exec.post(done, o) {
			return nil, ErrClosed
		}
		return func() {}, nil
	}
	return l.submit(r, tok, done)
}

// Forget says that the push of r, or of another of the same wake, came to nothing
// after it was taken: it answers for no request any more.
func (d *Dispatcher) Forget(r *Request) {
	tok, ok := r.Token()
	if !ok {
		return
	}
	if l, err := d.lane(r); err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.recent.drop(keyOf(r, tok))
	}
}

// lane finds the lane for r and makes it if r is the first to need it.
func (d *Dispatcher) lane(r *Request) (*lane, error) {
	d.mu.RLock()
	closed, rt := d.closed, d.routes.find(r.Params)
	if closed || rt == nil {
		d.mu.RUnlock()
		if closed {
			return nil, ErrClosed
		}
		return nil, ErrNoApp
	}
	part := ""
	if p, ok := rt.app.Sender.(Partitioner); ok {
		part = p.Part(r)
	}
	l := rt.lanes[part]
	d.mu.RUnlock()
	if l != nil {
		return l, nil
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, ErrClosed
	}
	// The apps may have been replaced meanwhile.
	if rt = d.routes.find(r.Params); rt == nil {
		return nil, ErrNoApp
	}
	if len(rt.lanes) >= maxParts && rt.lanes[part] == nil && !rt.makeRoom() {
		part = "other"
	}
	if rt.lanes[part] == nil {
		rt.lanes[part] = newLane(rt.app, part, d.exec, d.metrics, d.log)
	}
	return rt.lanes[part], nil
}

// makeRoom takes the lane out that is idle and whose push service took nothing for
// the longest time: phones choose the parts, and names that lead nowhere must not
// keep a push service from a lane of its own. It reports false if there is none.
// Call with the Dispatcher's mu held.
func (r *route) makeRoom() bool {
	var oldest *lane
	var last time.Time
	for _, l := range r.lanes {
		if at, idle := l.idle(); idle && (oldest == nil || at.Before(last)) {
			oldest, last = l, at
		}
	}
	if oldest == nil || !oldest.retire() {
		return false
	}
	delete(r.lanes, oldest.part)
	return true
}

// Replace swaps the apps. An app that keeps its Name and Sender keeps its lanes,
// with what they know of their push service. Lanes that are no longer wanted
// take nothing new, finish what they have, and then their Senders are closed
// unless a new app uses them. On error nothing has changed.
func (d *Dispatcher) Replace(apps []App) error {
	rs, err := newRoutes(apps)
	if err != nil {
		return err
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return ErrClosed
	}
	old := d.routes
	for _, r := range rs {
		i := slices.IndexFunc(old, func(o *route) bool { return o.app.sameLane(r.app) })
		if i >= 0 {
			r.lanes, old[i].lanes = old[i].lanes, nil
		}
	}
	d.routes = rs
	// Added under mu, so that Close cannot miss it.
	d.draining.Add(1)
	d.mu.Unlock()

	for _, o := range old {
		for _, l := range o.lanes {
			l.close()
		}
	}
	// Ends when the last of the old requests ended, at their deadlines at the
	// latest; Close waits for it, or abandons them.
	go func() {
		defer d.draining.Done()
		for _, o := range old {
			for _, l := range o.lanes {
				if !l.wait(d.abandon) {
					l.shed()
				}
			}
		}
		if err := closeSenders(old, rs); err != nil {
			d.log.Warn("closing a replaced push app", "err", err)
		}
	}()
	return nil
}

// closeSenders closes the Senders of old that kept does not use.
func closeSenders(old, kept routes) error {
	var errs []error
	seen := make(map[Sender]bool)
	for _, r := range kept {
		seen[r.app.Sender] = true
	}
	for _, r := range old {
		if s := r.app.Sender; !seen[s] {
			seen[s] = true
			if err := s.Close(); err != nil {
				errs = append(errs, fmt.Errorf("close sender of app %s: %w", r.app.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Close takes nothing new, lets what was taken finish until ctx ends, sheds the
// rest, and returns after the last done has run. It may be called again.
func (d *Dispatcher) Close(ctx context.Context) error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	rs := d.routes
	d.mu.Unlock()

	for _, r := range rs {
		for _, l := range r.lanes {
			l.close()
		}
	}
	var err error
	for _, r := range rs {
		for _, l := range r.lanes {
			if !l.wait(ctx.Done()) {
				err = ctx.Err()
				l.shed() //nolint:contextcheck // The log takes a context only by form.
			}
		}
	}
	if !drained(ctx, &d.draining) {
		err = ctx.Err()
		close(d.abandon)
		d.draining.Wait()
	}
	d.exec.stop()
	return errors.Join(err, closeSenders(rs, nil))
}

// drained waits for wg and reports whether it ended before ctx.
func drained(ctx context.Context, wg *sync.WaitGroup) bool {
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// A LaneHealth is what an operator wants to know of one lane.
type LaneHealth struct {
	App, Provider string
	// Part is the part of the push service, "" if it has none.
	Part string
	// Queued requests wait to be sent or sent again, InFlight ones for an
	// answer. Limit is how many may be in flight now: 1 until the push service
	// took the first.
	Queued, InFlight, Limit int
	// PausedUntil is set while nothing is sent, because of PausedFor.
	PausedUntil time.Time
	PausedFor   Class
	// LastOK and LastFailure are the times of the latest attempts; LastReason
	// tells more about the latter.
	LastOK, LastFailure time.Time
	LastReason          string
	// Failures counts failed attempts of the push service (not of tokens) since
	// the last success.
	Failures int
	// Expired is when the credential ended, zero if it has not.
	Expired time.Time
}

// Health returns a snapshot of all lanes, sorted by App and Part. An app that
// was not used yet has one lane.
func (d *Dispatcher) Health() []LaneHealth {
	d.mu.RLock()
	var hs []LaneHealth
	for _, r := range d.routes {
		for _, l := range r.lanes {
			hs = append(hs, l.health())
		}
		if len(r.lanes) == 0 {
			hs = append(hs, LaneHealth{App: r.app.Name, Provider: r.app.Provider, Limit: 1})
		}
	}
	d.mu.RUnlock()
	slices.SortFunc(hs, func(a, b LaneHealth) int {
		if c := strings.Compare(a.App, b.App); c != 0 {
			return c
		}
		return strings.Compare(a.Part, b.Part)
	})
	return hs
}
