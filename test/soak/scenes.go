package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"reveille/internal/phone"
	"reveille/push/pushsim"
)

// A scene is something that people do. play returns what was wrong about it.
type scene struct {
	name   string
	weight int
	// slow: the server waits for somebody in vain, up to 64*T1.
	slow bool
	play func(*act) error
}

// errNobody says that no phone was free to play.
var errNobody = errors.New("no phone is free")

// scenes are those that the settings ask for.
func scenes(o settings) []scene {
	all := []scene{
		{"a call to a phone that is awake", 10, false, func(a *act) error { return a.talk(false) }},
		{"a call to a phone that sleeps", 25, false, func(a *act) error { return a.talk(true) }},
		{"a call to a user with two phones", 6, true, (*act).forks},
		{"a call that is declined", 3, false, (*act).isDeclined},
		{"a caller gives up while it rings", 6, true, (*act).givesUpRinging},
		{"a caller gives up while the phone wakes", 8, true, (*act).givesUpWaiting},
		{"a call to a phone that no push wakes", 2, true, (*act).nobodyWakes},
		{"a call to a phone whose push service hangs", 1, true, (*act).pushHangs},
		{"a phone comes back by itself while its push service hangs", 2, true, (*act).comesBack},
		{"a call to a phone whose token is dead", 2, true, (*act).tokenDead},
		{"a MESSAGE to a phone that is awake", 3, false, func(a *act) error { return a.message(false) }},
		{"a MESSAGE to a phone that sleeps", 6, false, func(a *act) error { return a.message(true) }},
		{"a phone changes its address", 8, false, (*act).moves},
		{"a phone gets another token", 4, false, (*act).renews},
		{"a phone dies in a call", 2, true, (*act).diesTalking},
		{"a phone dies while it rings", 2, true, (*act).diesRinging},
		{"a user leaves and comes back", 3, false, (*act).leavesAndReturns},
	}
	var some []scene
	for _, s := range all {
		if strings.Contains(s.name, o.only) && !(o.quick && s.slow) {
			some = append(some, s)
		}
	}
	return some
}

// draw picks a scene by its weight.
func draw(all []scene, rng *rand.Rand) scene {
	sum := 0
	for _, s := range all {
		sum += s.weight
	}
	n := rng.IntN(sum)
	for _, s := range all {
		if n -= s.weight; n < 0 {
			return s
		}
	}
	return all[0]
}

// talk is a call with what belongs to it; in the middle one side or both may fall
// asleep.
func (a *act) talk(asleep bool) error {
	from, to, err := a.two(answers)
	if err != nil {
		return err
	}
	if err := a.posed(to, asleep); err != nil {
		return err
	}
	call, theirs, err := a.connect(from, to)
	if err != nil {
		return err
	}
	a.pause(500 * time.Millisecond)
	// Who speaks may have slept, and to whom may sleep.
	for range a.rng.IntN(3) {
		speaker, other, mine := from, to, call
		if a.rng.IntN(2) == 0 {
			speaker, other, mine = to, from, theirs
		}
		if a.rng.IntN(2) == 0 {
			other.app().Sleep()
		}
		if err := a.awake(speaker); err != nil {
			return err
		}
		if err := a.says(mine); err != nil {
			return err
		}
	}
	if a.rng.IntN(2) == 0 {
		from, to, call, theirs = to, from, theirs, call
	}
	if a.rng.IntN(3) == 0 {
		to.app().Sleep()
	}
	if err := a.awake(from); err != nil {
		return err
	}
	if err := a.within(call.Bye); err != nil {
		return fmt.Errorf("BYE: %w", err)
	}
	return a.until("the other phone has heard of the end", func() bool { return closed(theirs.Ended()) })
}

// says sends a request in a call, which must succeed whether the other side sleeps
// or not.
func (a *act) says(call *phone.Call) error {
	if a.rng.IntN(3) == 0 {
		if err := a.within(call.Reinvite); err != nil {
			return fmt.Errorf("re-INVITE: %w", err)
		}
		return nil
	}
	method := []string{"INFO", "UPDATE"}[a.rng.IntN(2)]
	status, err := 0, error(nil)
	err = a.within(func(ctx context.Context) error {
		status, err = call.Send(ctx, method)
		return err
	})
	if err == nil && status != 200 {
		err = fmt.Errorf("answered %d", status)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// forks is a call to two phones: the one that answers gets it, and the other must
// not ring on.
func (a *act) forks() error {
	from, err := a.one(answers)
	if err != nil {
		return err
	}
	if err := a.awake(from); err != nil {
		return err
	}
	two, err := a.pair()
	if err != nil {
		return err
	}
	for _, d := range two {
		if err := a.posed(d, a.rng.IntN(2) == 0); err != nil {
			return err
		}
	}
	call, _, err := a.connect(from, two[0])
	if err != nil {
		return err
	}
	if err := a.within(call.Bye); err != nil {
		return fmt.Errorf("BYE: %w", err)
	}
	return a.silent(two[1])
}

func (a *act) isDeclined() error {
	from, to, err := a.two(declines)
	if err != nil {
		return err
	}
	if err := a.posed(to, a.rng.IntN(2) == 0); err != nil {
		return err
	}
	return a.refused(from, to, 486)
}

func (a *act) givesUpRinging() error {
	from, to, err := a.two(ringsOn)
	if err != nil {
		return err
	}
	if err := a.posed(to, a.rng.IntN(2) == 0); err != nil {
		return err
	}
	if err := a.givesUp(from, to, time.Duration(a.rng.IntN(2000))*time.Millisecond, 487); err != nil {
		return err
	}
	return a.silent(to)
}

// givesUpWaiting cancels around the moment in which the phone wakes, or long before
// nobody does.
func (a *act) givesUpWaiting() error {
	from, to, err := a.two(answers)
	if err != nil {
		return err
	}
	to.deaf.Store(a.rng.IntN(3) == 0)
	if err := a.posed(to, true); err != nil {
		return err
	}
	if err := a.givesUp(from, to, time.Duration(a.rng.IntN(300))*time.Millisecond, 487); err != nil {
		return err
	}
	return a.silent(to)
}

func (a *act) nobodyWakes() error {
	from, to, err := a.two(answers)
	if err != nil {
		return err
	}
	to.deaf.Store(true)
	if err := a.posed(to, true); err != nil {
		return err
	}
	if a.rng.IntN(3) == 0 {
		return a.messageRefused(from, to)
	}
	return a.refused(from, to, 480, 408)
}

func (a *act) pushHangs() error {
	from, to, err := a.two(answers)
	if err != nil {
		return err
	}
	a.faulty(to, pushsim.BlackHole)
	if err := a.posed(to, true); err != nil {
		return err
	}
	return a.refused(from, to, 480, 408)
}

// comesBack delivers a call to a phone that registers by itself.
func (a *act) comesBack() error {
	from, to, err := a.two(answers)
	if err != nil {
		return err
	}
	fault := []pushsim.FaultKind{pushsim.BlackHole, pushsim.Unavailable, pushsim.Reset}[a.rng.IntN(3)]
	a.faulty(to, fault)
	if err := a.posed(to, true); err != nil {
		return err
	}
	if fault != pushsim.BlackHole {
		// The push fails, and with it the call if it is not there in time.
		return a.refused(from, to, 480, 408)
	}
	awake := make(chan error, 1)
	wait := time.Duration(500+a.rng.IntN(3000)) * time.Millisecond
	go func() {
		<-time.After(wait)
		awake <- a.awake(to)
	}()
	call, _, err := a.connect(from, to)
	if err := errors.Join(err, <-awake); err != nil {
		return err
	}
	return a.within(call.Bye)
}

// tokenDead calls a phone whose app was removed, and again when it is back.
func (a *act) tokenDead() error {
	from, to, err := a.two(answers)
	if err != nil {
		return err
	}
	a.faulty(to, pushsim.Gone)
	if err := a.posed(to, true); err != nil {
		return err
	}
	if err := a.refused(from, to, 480, 408); err != nil {
		return err
	}
	to.newToken()
	if err := a.awake(to); err != nil {
		return err
	}
	to.app().Sleep()
	call, _, err := a.connect(from, to)
	if err != nil {
		return fmt.Errorf("with a new token: %w", err)
	}
	return a.within(call.Bye)
}

func (a *act) message(asleep bool) error {
	from, to, err := a.two(answers)
	if err != nil {
		return err
	}
	if err := a.posed(to, asleep); err != nil {
		return err
	}
	had := to.app().Count(phone.Messaged)
	if err := a.within(func(ctx context.Context) error { return from.app().Message(ctx, to.app().AOR(), "hello") }); err != nil {
		return err
	}
	if got := to.app().Count(phone.Messaged) - had; got != 1 {
		return fmt.Errorf("the phone got it %d times", got)
	}
	return nil
}

func (a *act) moves() error {
	d, err := a.one(answers)
	if err != nil {
		return err
	}
	for range 1 + a.rng.IntN(3) {
		d.app().Sleep()
		if err := a.awake(d); err != nil {
			return err
		}
	}
	return nil
}

func (a *act) renews() error {
	d, err := a.one(answers)
	if err != nil {
		return err
	}
	d.refuses(pushsim.Gone)
	d.newToken()
	return a.awake(d)
}

// diesTalking has one side of a call killed, and started again or not.
func (a *act) diesTalking() error {
	from, to, err := a.two(answers)
	if err != nil {
		return err
	}
	if err := a.posed(to, false); err != nil {
		return err
	}
	call, _, err := a.connect(from, to)
	if err != nil {
		return err
	}
	deaf := a.rng.IntN(2) == 0
	if err := to.dies(deaf); err != nil {
		return err
	}
	// The new app knows no call. It is woken by the BYE, if by nothing else.
	want := 481
	if deaf {
		want = 500 // RFC 5057: nothing that would end more than the request.
	}
	err = a.within(call.Bye)
	var status *phone.StatusError
	if !errors.As(err, &status) || status.Code != want {
		return fmt.Errorf("BYE: %w, want %d", err, want)
	}
	return nil
}

// diesRinging has the phone killed while it rings: the caller hears no more of it
// and gives up, or the server finds out.
func (a *act) diesRinging() error {
	from, to, err := a.two(ringsOn)
	if err != nil {
		return err
	}
	if err := a.posed(to, false); err != nil {
		return err
	}
	rang := to.app().Count(phone.Invited)
	go func() {
		_ = a.until("", func() bool { return to.app().Count(phone.Invited) > rang })
		to.app().Sleep()
	}()
	return a.givesUp(from, to, time.Duration(1000+a.rng.IntN(2000))*time.Millisecond, 487, 480, 408)
}

func (a *act) leavesAndReturns() error {
	from, to, err := a.two(answers)
	if err != nil {
		return err
	}
	if err := a.within(func(ctx context.Context) error { return to.app().Unregister(ctx) }); err != nil {
		return err
	}
	if err := a.refused(from, to, 480); err != nil {
		return err
	}
	return a.awake(to)
}
