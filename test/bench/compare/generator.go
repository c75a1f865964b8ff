package main

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// A phase is one thing that phones do.
type phase struct {
	// first and users are the phones that take part.
	first, users int
	// Once has each phone register once; otherwise they do, in turn, for lasts.
	once  bool
	lasts time.Duration
	// rate is how many REGISTERs are sent a second, whatever is answered; 0 keeps
	// window of them under way.
	rate   float64
	window int
	// push is whether the phones can be woken, expires the lifetime they ask for.
	push    bool
	expires time.Duration
	// call is the generation of their Call-IDs.
	call uint32
}

// A result is what a phase came to.
type result struct {
	ok         int // 200s
	challenged int // 401s that were answered
	failed     int // other answers
	lost       int // no answer
	took       time.Duration
	own        time.Duration // CPU time of the phones themselves
	latencies  latencies     // from sending to 200
}

// rate is how many 200s a second there were.
func (r *result) rate() float64 { return float64(r.ok) / max(r.took.Seconds(), 1e-9) }

// check returns an error if more went wrong than can be chance.
func (r *result) check() error {
	if wrong := r.failed + r.lost; r.ok == 0 || wrong*1000 > r.ok {
		return fmt.Errorf("%d REGISTERs succeeded, %d failed, %d got no answer", r.ok, r.failed, r.lost)
	}
	return nil
}

// generatorOptions say which phones there are.
type generatorOptions struct {
	target  netip.AddrPort
	users   int // 1 to 2,000,000
	sockets int // over which the phones are spread, up to 90
	digest  bool
}

// A generator is many phones. Its phases are run one after the other.
type generator struct {
	o    generatorOptions
	run  uint32
	all  []*socket
	keys *keys // nil without digest
}

func newGenerator(o generatorOptions) (*generator, error) {
	g := &generator{o: o, run: uint32(time.Now().UnixNano() >> 10)}
	if o.digest {
		g.keys = newKeys(o.users)
	}
	for id := range o.sockets {
		s := &socket{id: id, g: g}
		g.all = append(g.all, s)
		if err := s.open(); err != nil {
			return nil, errors.Join(err, g.close())
		}
	}
	return g, nil
}

// move gives all phones another source port.
func (g *generator) move() error {
	for _, s := range g.all {
		if err := errors.Join(s.conn.Close(), s.open()); err != nil {
			return err
		}
	}
	return nil
}

func (g *generator) close() error {
	var errs []error
	for _, s := range g.all {
		if s.conn != nil {
			errs = append(errs, s.conn.Close())
		}
	}
	return errors.Join(errs...)
}

// load runs a phase to its end.
func (g *generator) load(p phase) (*result, error) {
	began, own := time.Now(), ownCPU()
	var wg sync.WaitGroup
	errs := make([]error, len(g.all))
	for i, s := range g.all {
		wg.Go(func() { errs[i] = s.load(p, began) })
	}
	wg.Wait()
	r := &result{took: time.Since(began), own: ownCPU() - own}
	for _, s := range g.all {
		r.ok, r.challenged, r.failed, r.lost = r.ok+s.r.ok, r.challenged+s.r.challenged, r.failed+s.r.failed, r.lost+s.r.lost
		r.latencies.merge(&s.r.latencies)
		s.r = result{}
	}
	return r, errors.Join(errs...)
}
