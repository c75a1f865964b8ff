package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"reveille/internal/app"
	"reveille/internal/event"
	"reveille/internal/phone"
	"reveille/push/pushsim"
)

// A stage holds the actors and what is known of the story so far.
type stage struct {
	lines  *timeline
	push   *pushsim.Server
	server *app.App
	alice  *phone.Phone
	bob    *phone.Phone
	clears []func() error // run last in, first out

	// gone is closed when the server saw Alice's connection end, over when Alice
	// saw the end of the call.
	gone, over signal

	mu       sync.Mutex // guards the fields below
	pushed   int64      // when the server asked for the push, in ms; -1: never
	rang     int64      // when the phone rang, in ms; -1: never
	failures []error    // what went wrong out of play's sight
}

func newStage(o Options) *stage {
	return &stage{lines: newTimeline(o.Out, o.Colour), gone: newSignal(), over: newSignal(), pushed: -1, rang: -1}
}

func (s *stage) onClear(fn func() error) { s.clears = append(s.clears, fn) }

func (s *stage) clear() error {
	var errs []error
	for _, fn := range slices.Backward(s.clears) {
		errs = append(errs, fn())
	}
	return errors.Join(errs...)
}

// play is the story as far as people drive it; the rest happens in the handlers
// below, each of which says its line before it lets the next thing happen.
func (s *stage) play(ctx context.Context) error {
	s.lines.title("Alice's phone sleeps, and Bob calls it. The server is real; the push service and\n" +
		"the phones are simulated; all of it runs on this machine.")
	s.lines.say(server, "listens on %s and asks every phone for its password", s.server.Addr("udp"))
	s.lines.say(pushService, "listens on %s, in place of Google's", s.push.Addr())
	for _, p := range []*phone.Phone{s.alice, s.bob} {
		if err := p.Register(ctx); err != nil {
			return err
		}
	}
	s.lines.say(alicesPhone, "is put aside: the system suspends the app, its connection breaks")
	s.alice.Sleep()
	if err := s.await(ctx, s.gone, "the server to notice that Alice's phone is gone"); err != nil {
		return err
	}
	s.lines.say(bobsPhone, "calls Alice")
	call, err := s.bob.Call(ctx, s.alice.AOR())
	if err != nil {
		return s.because(fmt.Errorf("the phone did not ring: call alice: %w", err))
	}
	hangUp := newSignal()
	defer time.AfterFunc(talk, hangUp.give).Stop()
	if err := s.await(ctx, hangUp, "the end of the talk"); err != nil {
		return err
	}
	s.lines.say(bobsPhone, "hangs up")
	if err := call.Bye(ctx); err != nil {
		return s.because(fmt.Errorf("end the call: %w", err))
	}
	if err := s.await(ctx, s.over, "Alice's phone to see the end of the call"); err != nil {
		return err
	}
	s.mu.Lock()
	pushed, rang := s.pushed, s.rang
	s.mu.Unlock()
	if pushed < 0 || rang < 0 {
		return s.because(errors.New("the call came through without a push"))
	}
	s.lines.end("phone rang %d ms after the push", rang-pushed)
	return s.lines.failed()
}

func (s *stage) await(ctx context.Context, c signal, what string) error {
	select {
	case <-c.c:
		return nil
	case <-ctx.Done():
		return s.because(fmt.Errorf("wait for %s: %w", what, context.Cause(ctx)))
	}
}

// fail notes what went wrong in a handler, for play to report.
func (s *stage) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, err)
}

// because adds to err what the handlers noted before.
func (s *stage) because(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(append([]error{err}, s.failures...)...)
}

// Emit implements event.Sink: what the server does. It writes to the timeline
// and so may wait for whoever reads that, which only a demonstration may do.
func (s *stage) Emit(e event.Event) {
	switch e := e.(type) {
	case event.FlowClosed:
		// Bob's phone uses UDP, so this is the connection of Alice's.
		if !s.gone.given() {
			s.lines.say(server, "sees the connection end, and keeps Alice's registration all the same")
			s.gone.give()
		}
	case event.PushRequested:
		at := s.lines.say(server, "asks the push service to wake the phone")
		s.mu.Lock()
		s.pushed = at
		s.mu.Unlock()
	case event.PushOutcome:
		if e.Class != "ok" {
			s.lines.say(pushService, "does not take the push: %s", e.Reason)
			s.fail(fmt.Errorf("the push service did not take the push: %s (%s, HTTP status %d)", e.Reason, e.Class, e.Status))
		}
	case event.Call:
		s.called(e)
	}
}

func (s *stage) called(e event.Call) {
	if e.Method != "INVITE" {
		return
	}
	switch e.Step {
	case "parked":
		s.lines.say(server, "finds Alice's phone asleep, and lets the call wait")
	case "woken":
		s.lines.say(server, "knows the phone again, and hands it the call that waited")
	case "timed_out":
		s.lines.say(server, "has waited long enough")
	case "failed":
		s.lines.say(server, "tells Bob's phone that Alice cannot be reached: %d %s", e.Status, e.Reason)
	}
}

// delivered is the operating system of Alice's phone: it starts the app.
func (s *stage) delivered(ctx context.Context) {
	s.lines.say(pushService, "takes the push and delivers it to Alice's phone")
	s.lines.say(alicesPhone, "wakes up and registers again, from another port")
	if err := s.alice.Wake(ctx); err != nil {
		s.fail(fmt.Errorf("wake alice's phone: %w", err))
	}
}

func (s *stage) onAlice(e phone.Event) {
	switch e.Kind {
	case phone.Registered:
		if !s.gone.given() {
			s.lines.say(alicesPhone, "registers, and says how to wake it: by a push from Google")
		}
	case phone.Invited:
		at := s.lines.say(alicesPhone, "rings")
		s.mu.Lock()
		s.rang = at
		s.mu.Unlock()
	case phone.Ended:
		s.lines.say(alicesPhone, "sees that the call is over")
		s.over.give()
	default: // not part of the story
	}
}

func (s *stage) onBob(e phone.Event) {
	switch e.Kind {
	case phone.Registered:
		s.lines.say(bobsPhone, "registers")
	case phone.Ringing:
		s.lines.say(bobsPhone, "hears that it rings at Alice's")
	case phone.Connected:
		s.lines.say(bobsPhone, "is connected: Alice took the call")
	default: // not part of the story
	}
}

// A signal is given once and lasts.
type signal struct {
	c    chan struct{}
	give func() // may be called again
}

func newSignal() signal {
	c := make(chan struct{})
	return signal{c: c, give: sync.OnceFunc(func() { close(c) })}
}

func (s signal) given() bool {
	select {
	case <-s.c:
		return true
	default:
		return false
	}
}
