package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// churnOptions say how much is done.
type churnOptions struct {
	users   int           // that stay
	rate    float64       // of new users a second, and of old ones that come back
	warm    time.Duration // of the churn before the first reading
	lasts   time.Duration // of the churn after it
	settle  time.Duration // before memory is read, at the beginning and in the end
	configs string
}

const (
	// guestTime is what users ask for that do not stay; the server's least.
	guestTime = time.Minute
	// churnStep is after how long all phones have another port.
	churnStep = 5 * time.Second
)

// A sample is the server's memory at one time.
type sample struct {
	what     string
	bindings int
	pss      int64 // bytes
	heap     int   // bytes of these that Go's objects take
}

// churn fills the server with users that stay. Then they come back with new
// Call-IDs from new ports, and others come who do not stay. Memory is read when
// that has been so for a while, so that the buffers of the store have the size
// that they keep, and all is quiet again; and once more after much longer. Both
// should be the same.
func churn(l *lab, o churnOptions, progress io.Writer) (samples []sample, err error) {
	text, err := os.ReadFile(filepath.Join(o.configs, "bench-fsync.yaml"))
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(l.dir, storeDir)); err != nil {
		return nil, err
	}
	s, err := l.reveille(string(text))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	g, err := newGenerator(generatorOptions{target: s.target, users: o.users, sockets: sockets})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	take := func(what string) error {
		x, err := s.sample(what)
		samples = append(samples, x)
		fmt.Fprintf(progress, "%s: %d bindings, %.1f MB, %.1f MB in use\n", x.what, x.bindings, float64(x.pss)/1e6, float64(x.heap)/1e6)
		return err
	}
	if err := g.need(phase{users: o.users, push: true, expires: lifetime, once: true, window: fillWindow}); err != nil {
		return samples, fmt.Errorf("first registrations: %w", err)
	}
	c := newCrowd(g, o)
	if err := c.come(o.warm, nil); err != nil {
		return samples, err
	}
	rest := guestTime + o.settle
	time.Sleep(rest)
	if err := take("before"); err != nil {
		return samples, err
	}
	if err := c.come(o.lasts, func(minute int) error { return take(fmt.Sprintf("%d min", minute)) }); err != nil {
		return samples, err
	}
	time.Sleep(rest)
	fmt.Fprintf(progress, "%d REGISTERs succeeded, %d got no answer\n", c.ok, c.lost)
	return samples, take("after")
}

// sample looks at the server.
func (s *server) sample(what string) (x sample, err error) {
	x.what = what
	if x.pss, err = s.family.pss(); err != nil {
		return x, err
	}
	if x.bindings, err = s.gauge("reveille_usrloc_bindings"); err != nil {
		return x, err
	}
	x.heap, err = s.gauge("go_memstats_heap_inuse_bytes")
	return x, err
}

// A crowd is who comes and goes.
type crowd struct {
	g            *generator
	users        int
	stay, guests phase
	ok, lost     int // REGISTERs that got their 200, and that got no answer
}

func newCrowd(g *generator, o churnOptions) *crowd {
	n := int(churnStep.Seconds() * o.rate)
	return &crowd{
		g: g, users: o.users,
		stay:   phase{users: n, push: true, expires: lifetime, once: true, rate: o.rate},
		guests: phase{first: o.users, users: n, expires: guestTime, once: true, rate: o.rate},
	}
}

// come lets them come for a while, and calls each at the end of each minute if
// that is not nil.
func (c *crowd) come(lasts time.Duration, each func(minute int) error) error {
	began, minutes := time.Now(), 0
	for time.Since(began) < lasts {
		if err := c.step(); err != nil {
			return fmt.Errorf("churn: %w", err)
		}
		if now := int(time.Since(began) / time.Minute); now > minutes && each != nil {
			minutes = now
			if err := each(now); err != nil {
				return err
			}
		}
	}
	return nil
}

// step has some that stay come back, and some come for the first time.
func (c *crowd) step() error {
	if err := c.g.move(); err != nil {
		return err
	}
	c.stay.call++
	if c.stay.first += c.stay.users; c.stay.first+c.stay.users > c.users {
		c.stay.first = 0
	}
	c.guests.first += c.guests.users
	for _, p := range []phase{c.stay, c.guests} {
		r, err := c.g.load(p)
		if err != nil {
			return err
		}
		if r.failed > 0 {
			return fmt.Errorf("%d REGISTERs of %d were refused", r.failed, p.users)
		}
		// On a machine that has other work some are lost, which is no matter here.
		c.ok, c.lost = c.ok+r.ok, c.lost+r.lost
	}
	return nil
}

// need runs a phase that must succeed.
func (g *generator) need(p phase) error {
	r, err := g.load(p)
	if err != nil {
		return err
	}
	return r.check()
}

// churnTable shows what churn measured.
func churnTable(samples []sample) string {
	t := newTable("", "bindings", "memory", "Go's objects")
	for _, x := range samples {
		t.row(x.what, thousands(float64(x.bindings)), fmt.Sprintf("%.0f MB", float64(x.pss)/1e6), fmt.Sprintf("%.0f MB", float64(x.heap)/1e6))
	}
	first, last := samples[0], samples[len(samples)-1]
	return t.b.String() + fmt.Sprintf("\nAfterwards memory is %.2f times what it was before.\n", float64(last.pss)/float64(first.pss))
}
