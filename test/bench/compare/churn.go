package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"reveille/internal/load"
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
	s, err := l.reveille(string(text), l.cores.server)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	c, err := newCrowd(s, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	take := func(what string) error {
		x, err := s.sample(what)
		samples = append(samples, x)
		fmt.Fprintf(progress, "%s: %d bindings, %.1f MB, %.1f MB in use\n", x.what, x.bindings, float64(x.pss)/1e6, float64(x.heap)/1e6)
		return err
	}
	if _, err := c.do(fill(o.users)); err != nil {
		return samples, err
	}
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
	fmt.Fprintf(progress, "%d REGISTERs succeeded, %d were sent again\n", c.ok, c.repeated)
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
	phones
	users        int // that stay
	stay, guests load.Phase
	ok, repeated int // REGISTERs that got their 200, and that were sent again
}

func newCrowd(s *server, o churnOptions) (*crowd, error) {
	n := int(churnStep.Seconds() * o.rate)
	// A step is two phases, and the last of a time may begin before its end.
	steps := int(o.warm/(2*churnStep)) + int(o.lasts/(2*churnStep)) + 4
	p, err := s.newPhones(o.users+steps*n, false)
	pace := load.Pace{Count: n, Rate: o.rate}
	return &crowd{
		phones: p, users: o.users,
		stay:   load.Phase{Name: "churn", Phones: n, Register: pace, Restart: true},
		guests: load.Phase{Name: "guests", First: o.users, Phones: n, Register: pace, Plain: true, Expires: load.Span{Min: guestTime, Max: guestTime}},
	}, err
}

// come lets them come for a while, and calls each at the end of each minute if
// that is not nil.
func (c *crowd) come(lasts time.Duration, each func(minute int) error) error {
	began, minutes := time.Now(), 0
	for time.Since(began) < lasts {
		if err := c.step(); err != nil {
			return err
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
	if c.stay.First += c.stay.Phones; c.stay.First+c.stay.Phones > c.users {
		c.stay.First = 0
	}
	for _, p := range []load.Phase{c.stay, c.guests} {
		r, err := c.do(p)
		if err != nil {
			return err
		}
		c.ok, c.repeated = c.ok+r.ok, c.repeated+r.repeated
	}
	c.guests.First += c.guests.Phones
	return nil
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
