package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Load is one run. New opens its sockets; then either Run does it all, or Do one
// phase after the other, and Close ends it.
type Load struct {
	o       Options
	sockets *sockets
	core    *core
	pushes  chan arrival
	// ended is closed when nothing takes pushes any more.
	ended chan struct{}
	began time.Time
}

// An arrival is a push at the push service.
type arrival struct {
	token string
	kind  PushKind
	at    time.Time
}

// New opens the sockets. ErrRemote is met in its error if the target is not on
// this machine. Run and Close close them.
func New(o Options) (*Load, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o.setDefaults()
	l := &Load{o: o, pushes: make(chan arrival), ended: make(chan struct{}), began: time.Now()}
	var err error
	if l.sockets, err = openSockets(&l.o); err != nil {
		return nil, err
	}
	l.core = newCore(&l.o, l.sockets)
	return l, nil
}

// Pushed tells that the push service took a push for token at the time at. It
// waits for the core to hear it, as it does during a phase, or for the end of the
// run. It is safe for
// concurrent use.
func (l *Load) Pushed(token string, kind PushKind, at time.Time) {
	select {
	case l.pushes <- arrival{token, kind, at}:
	case <-l.ended:
	}
}

// Run does what the phases say and returns what it saw. It ends early, but in
// order, when ctx does; the Summary then says what was done until then. It is
// called once.
func (l *Load) Run(ctx context.Context) (*Summary, error) {
	began := time.Now()
	for _, p := range l.o.Phases {
		if _, err := l.Do(ctx, p); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		if l.core.stopped {
			break
		}
	}
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("end the load: %w", err)
	}
	return &Summary{
		Target: l.o.Target.String(), Phones: l.o.Phones, Seconds: time.Since(began).Seconds(),
		Interrupted: l.core.interrupted, Unsent: l.sockets.unsent,
		Phases: l.core.rec.done, Series: l.core.rec.rows,
	}, nil
}

// Do does one phase and returns what it saw. It ends early, but in order, when ctx
// does; then it was the last.
func (l *Load) Do(ctx context.Context, p Phase) (PhaseSummary, error) {
	if err := l.o.checkPhase(&p); err != nil {
		return PhaseSummary{}, err
	}
	if p.Restart {
		if err := l.sockets.restart(); err != nil {
			return PhaseSummary{}, fmt.Errorf("phase %s: %w", p.Name, err)
		}
	}
	l.core.beginPhase(p, l.now())
	l.loop(ctx)
	return l.core.endPhase(l.now()), nil
}

// now is the core's time.
func (l *Load) now() int64 { return l.since(time.Now()) }

func (l *Load) since(t time.Time) int64 { return int64(t.Sub(l.began)) }

// loop runs the core until the phase is over.
func (l *Load) loop(ctx context.Context) {
	rows := time.NewTicker(l.o.Interval)
	defer rows.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := ctx.Done()
	for l.core.step(l.now()) {
		l.sockets.flush()
		// In a step that is behind, what arrives is read without waiting.
		timer.Reset(time.Duration(max(l.core.next()-l.now(), 0)))
		select {
		case b := <-l.sockets.read:
			l.arrived(b)
			l.arrivedToo()
		case p := <-l.pushes:
			l.core.pushed(p.token, p.kind, l.since(p.at), l.now())
		case <-timer.C:
		case <-rows.C:
			l.cut()
		case <-stop:
			l.core.stop(l.now())
			stop = nil // Once.
		}
	}
	l.sockets.flush()
	l.cut()
}

// arrived hands a batch to the core and gives it back.
func (l *Load) arrived(b *batch) {
	at := l.since(b.at)
	for i := range b.n {
		l.core.receive(b.from.line, b.messages[i].Buffers[0][:b.messages[i].N], at)
	}
	b.from.free <- b
}

// arrivedToo hands on what else was read meanwhile, so that what the core sends
// in return leaves in few system calls.
func (l *Load) arrivedToo() {
	for range l.sockets.all {
		select {
		case b := <-l.sockets.read:
			l.arrived(b)
		default:
			return
		}
	}
}

// cut ends a row and shows it.
func (l *Load) cut() {
	row := l.core.rec.cut(l.now(), len(l.core.calls), l.core.held)
	if l.o.Progress != nil {
		l.o.Progress(l.core.phase.Name, row)
	}
}

// Close releases the sockets. Run does it by itself.
func (l *Load) Close() error {
	select {
	case <-l.ended:
		return errors.New("close a load that has ended")
	default:
		close(l.ended)
		return l.sockets.close()
	}
}
