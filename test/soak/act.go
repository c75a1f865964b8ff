package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"reveille/internal/phone"
	"reveille/push/pushsim"
)

// An act is one scene being played: its phones and its choices.
type act struct {
	town *town
	ctx  context.Context
	rng  *rand.Rand
	cast []*device
	// rung is how often each had rung without an end, of what was before.
	rung map[*device]int
	// well has the push service forget its faults.
	well []func()
}

// over gives the phones back.
func (a *act) over() {
	for _, fn := range a.well {
		fn()
	}
	for _, d := range a.cast {
		d.deaf.Store(false)
		d.taken.Store(false)
	}
}

func (a *act) names() string {
	var names []string
	for _, d := range a.cast {
		names = append(names, d.user+" ("+d.options.Transport+")")
	}
	return strings.Join(names, ", ")
}

// one takes a phone of a temper.
func (a *act) one(as temper) (*device, error) {
	all := a.town.devices
	first := a.rng.IntN(len(all))
	for i := range all {
		if d := all[(first+i)%len(all)]; d.temper == as && a.take(d) {
			return d, nil
		}
	}
	return nil, errNobody
}

func (a *act) take(d *device) bool {
	if !d.taken.CompareAndSwap(false, true) {
		return false
	}
	a.cast = append(a.cast, d)
	if a.rung == nil {
		a.rung = map[*device]int{}
	}
	a.rung[d] = ringing(d)
	return true
}

// ringing is how often a phone has rung without an end.
func ringing(d *device) int {
	p := d.app()
	return p.Count(phone.Invited) - p.Count(phone.Cancelled) - p.Count(phone.Answered) - p.Count(phone.Declined)
}

// two takes a caller, who is awake, and whom it calls.
func (a *act) two(as temper) (from, to *device, err error) {
	if from, err = a.one(answers); err != nil {
		return nil, nil, err
	}
	if to, err = a.one(as); err != nil {
		return nil, nil, err
	}
	return from, to, a.awake(from)
}

// pair takes the phones of a user who has two.
func (a *act) pair() ([2]*device, error) {
	all := a.town.twins
	first := a.rng.IntN(max(len(all), 1))
	for i := range all {
		if two := all[(first+i)%len(all)]; a.take(two[0]) {
			if a.take(two[1]) {
				return two, nil
			}
		}
	}
	return [2]*device{}, errNobody
}

// awake has a phone registered and awake.
func (a *act) awake(d *device) error {
	if err := a.within(d.app().Register); err != nil {
		return fmt.Errorf("REGISTER: %w", err)
	}
	return nil
}

// posed has a phone registered, and awake or asleep.
func (a *act) posed(d *device, asleep bool) error {
	if err := a.awake(d); err != nil {
		return err
	}
	if asleep {
		d.app().Sleep()
	}
	return nil
}

// faulty has the push service treat a phone's pushes so until the end of the scene.
func (a *act) faulty(d *device, k pushsim.FaultKind) {
	d.refuses(k)
	a.well = append(a.well, func() { d.refuses(pushsim.Accept) })
}

func (a *act) pause(most time.Duration) { <-time.After(time.Duration(a.rng.Int64N(int64(most)))) }

// within calls fn, which waits for a final answer.
func (a *act) within(fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(a.ctx, answerTime)
	defer cancel()
	return fn(ctx)
}

// until waits for what must be soon.
func (a *act) until(what string, is func() bool) error {
	for deadline := time.Now().Add(patience); !is(); <-time.After(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %s: %s", patience, what)
		}
	}
	return nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// connect is a call that must come about. It returns both sides of it.
func (a *act) connect(from, to *device) (ours, theirs *phone.Call, err error) {
	err = a.within(func(ctx context.Context) error {
		ours, err = from.app().Call(ctx, to.app().AOR())
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("the call was not delivered: %w", err)
	}
	for _, c := range to.app().Calls() {
		if c.CallID() == ours.CallID() {
			theirs = c
		}
	}
	if theirs == nil {
		return nil, nil, errors.New("the caller is connected, but not with the phone")
	}
	return ours, theirs, a.until("the phone gets the ACK", func() bool { return closed(theirs.Confirmed()) })
}

// refused is a call that must fail, with one of these.
func (a *act) refused(from, to *device, want ...int) error {
	err := a.within(func(ctx context.Context) error {
		_, err := from.app().Call(ctx, to.app().AOR())
		return err
	})
	return statusIn(err, want)
}

func (a *act) messageRefused(from, to *device) error {
	err := a.within(func(ctx context.Context) error { return from.app().Message(ctx, to.app().AOR(), "hello") })
	return statusIn(err, []int{480, 408})
}

func statusIn(err error, want []int) error {
	var status *phone.StatusError
	if errors.As(err, &status) && slices.Contains(want, status.Code) {
		return nil
	}
	if err == nil {
		err = errors.New("it succeeded")
	}
	return fmt.Errorf("%w; want %v", err, want)
}

// givesUp is a call that the caller cancels. It may have been answered before.
func (a *act) givesUp(from, to *device, after time.Duration, want ...int) error {
	ctx, cancel := context.WithTimeout(a.ctx, after)
	defer cancel()
	call, err := from.app().Call(ctx, to.app().AOR())
	switch {
	case err == nil && to.temper == answers:
		return a.within(call.Bye)
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, phone.ErrUnanswered):
		return nil // Nothing was sent yet; or the answer crossed the CANCEL, and the caller hung up.
	}
	return statusIn(err, want)
}

// silent waits until a phone does not ring any more.
func (a *act) silent(d *device) error {
	return a.until("the phone stops ringing", func() bool { return ringing(d) <= a.rung[d] && len(d.app().Calls()) == 0 })
}
