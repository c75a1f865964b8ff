package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"reveille/push/pushsim"
)

const (
	// patience bounds what must happen soon, on a machine with other work.
	patience = 20 * time.Second
	// answerTime bounds the final answer to a request: a server that gives up after
	// Timer B or F has said so by then.
	answerTime = 45 * time.Second
	// atOnce bounds the scenes that go on at the same time.
	atOnce = 200
	// tooMuch ends a run: what is wrong then is known.
	tooMuch = 20
)

// A town is the server, its push service and all phones.
type town struct {
	s       settings
	server  *server
	sim     *pushsim.Server
	devices []*device
	// twins are users with two phones, of which one answers and one rings on.
	twins  [][2]*device
	began  time.Time
	series series

	mu     sync.Mutex // guards what follows
	rng    *rand.Rand
	owners map[string]*device // by token
	faults []string           // what was wrong
	counts map[string]int
}

func newTown(s settings, dir string) (_ *town, err error) {
	t := &town{s: s, began: time.Now(), rng: rand.New(rand.NewPCG(s.seed, 0)), owners: map[string]*device{}, counts: map[string]int{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	if t.sim, err = pushsim.Start(pushsim.Options{OnPush: t.pushed, MaxPushes: 1}); err != nil {
		return nil, err
	}
	if t.server, err = startServer(s.binary, dir, s.phones, t.sim); err != nil {
		return nil, err
	}
	for i := 0; i < s.phones; i++ {
		// Of ten, six answer, two ring on, one declines, and one has a twin.
		as := [10]temper{6: ringsOn, 7: ringsOn, 8: declines}[i%10]
		d, err := newDevice(t, userName(i), i, as)
		if err != nil {
			return nil, err
		}
		if i%10 != 9 {
			t.devices = append(t.devices, d)
			continue
		}
		twin, err := newDevice(t, userName(i), s.phones+i, ringsOn)
		if err != nil {
			return nil, err
		}
		t.twins = append(t.twins, [2]*device{d, twin})
	}
	return t, nil
}

func (t *town) close() error {
	var err error
	for _, d := range t.all() {
		d.app().Close()
	}
	if t.server != nil {
		err = t.server.stop()
	}
	if t.sim != nil {
		err = errors.Join(err, t.sim.Close())
	}
	return err
}

// all are all devices.
func (t *town) all() []*device {
	all := slices.Clone(t.devices)
	for _, two := range t.twins {
		all = append(all, two[0], two[1])
	}
	return all
}

func (t *town) owns(d *device, tokens []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, token := range tokens {
		t.owners[token] = d
	}
}

// pushed is called by the push service.
func (t *town) pushed(p pushsim.Push) {
	t.mu.Lock()
	d := t.owners[p.Token]
	t.mu.Unlock()
	t.count("pushes")
	if d != nil {
		d.pushed(context.Background())
	}
}

// wrong notes what must not be.
func (t *town) wrong(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, fmt.Sprintf("%s after %s: ", time.Now().UTC().Format("15:04:05.000"), time.Since(t.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
	fmt.Fprintln(t.s.out, "WRONG", t.faults[len(t.faults)-1])
}

func (t *town) count(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what]++
}

// verdict is all that was wrong.
func (t *town) verdict() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(t.faults, "\n"))
}

func (t *town) spoiled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.faults) >= tooMuch
}

// live is the whole run.
func (t *town) live(ctx context.Context) error {
	empty, err := t.server.metrics()
	if err != nil {
		return err
	}
	if err := t.each(func(d *device) error { return d.app().Register(ctx) }); err != nil {
		return fmt.Errorf("first registration: %w", err)
	}
	for _, d := range t.all() {
		if d.number%3 > 0 {
			d.app().Sleep()
		}
	}
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { t.watch(watching) })
	t.play(ctx)
	stop()
	watch.Wait()
	if err := t.server.alive(); err != nil {
		return errors.Join(t.verdict(), err)
	}
	if err := t.leave(ctx); err != nil {
		t.wrong("%v", err)
	}
	t.settled(ctx, empty)
	fmt.Fprintf(t.s.out, "\n%s\n%s", t.series.table(), t.tally())
	if t.s.lasts >= leastTime {
		for _, f := range t.series.flat(t.s.lasts) {
			t.wrong("%s", f)
		}
	}
	return t.verdict()
}

// each calls fn for all devices, some at a time.
func (t *town) each(fn func(*device) error) error {
	var mu sync.Mutex
	var errs []error
	var work sync.WaitGroup
	turns := make(chan struct{}, 16)
	for _, d := range t.all() {
		turns <- struct{}{}
		work.Go(func() {
			if err := fn(d); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", d.user, err))
				mu.Unlock()
			}
			<-turns
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

// play begins scenes at their rate until the time is over, and waits for their ends.
func (t *town) play(ctx context.Context) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / t.s.rate))
	defer tick.Stop()
	end := time.NewTimer(t.s.lasts)
	defer end.Stop()
	all := scenes(t.s)
	turns := make(chan struct{}, atOnce)
	var work sync.WaitGroup
	defer work.Wait()
	for n := uint64(1); !t.spoiled(); n++ {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-tick.C:
		}
		select {
		case turns <- struct{}{}:
		default:
			t.count("scenes left out: too many at once")
			continue
		}
		work.Go(func() {
			defer func() { <-turns }()
			t.act(ctx, all, n)
		})
	}
}

// act plays the n-th scene.
func (t *town) act(ctx context.Context, all []scene, n uint64) {
	a := &act{town: t, ctx: context.WithoutCancel(ctx), rng: rand.New(rand.NewPCG(t.s.seed, n))}
	defer a.over()
	s := draw(all, a.rng)
	err := s.play(a)
	switch {
	case errors.Is(err, errNobody):
		t.count("scenes left out: no phone is free")
	case err != nil:
		t.wrong("scene %d, %s, with %s: %v", n, s.name, a.names(), err)
	default:
		t.count(s.name)
	}
}

// leave ends all registrations.
func (t *town) leave(ctx context.Context) error {
	err := t.each(func(d *device) error {
		d.deafen()
		// A push of a moment ago may have it fall asleep.
		var err error
		for range 3 {
			ctx, cancel := context.WithTimeout(ctx, patience)
			err = d.app().Unregister(ctx)
			cancel()
			if err == nil {
				break
			}
		}
		d.app().Sleep()
		return err
	})
	if err != nil {
		return fmt.Errorf("last registration: %w", err)
	}
	return nil
}

// tally says how often what happened.
func (t *town) tally() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	names := make([]string, 0, len(t.counts))
	for name := range t.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "%8d %s\n", t.counts[name], name)
	}
	return b.String()
}
