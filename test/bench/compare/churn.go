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
	lasts   time.Duration // of the churn
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
}

// churn fills the server with users that stay. Then, for a while, they come back
// with new Call-IDs from new ports, and others come who do not stay. In the end
// memory should be what it was before.
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
		x := sample{what: what}
		if x.pss, err = s.family.pss(); err != nil {
			return err
		}
		if x.bindings, err = s.bindings(); err != nil {
			return err
		}
		samples = append(samples, x)
		fmt.Fprintf(progress, "%s: %d bindings, %.1f MB\n", x.what, x.bindings, float64(x.pss)/1e6)
		return nil
	}
	stay := phase{users: o.users, push: true, expires: lifetime, once: true, window: fillWindow}
	if err := g.need(stay); err != nil {
		return samples, fmt.Errorf("first registrations: %w", err)
	}
	time.Sleep(o.settle)
	if err := take("before"); err != nil {
		return samples, err
	}
	began, minutes := time.Now(), 0
	step := churnStep.Seconds() * o.rate
	stay.rate, stay.users = o.rate, int(step)
	guests := phase{first: o.users, users: int(step), expires: guestTime, once: true, rate: o.rate}
	for time.Since(began) < o.lasts {
		if err := g.move(); err != nil {
			return samples, err
		}
		stay.call++
		if stay.first += stay.users; stay.first+stay.users > o.users {
			stay.first = 0
		}
		guests.first += guests.users
		for _, p := range []phase{stay, guests} {
			if err := g.need(p); err != nil {
				return samples, fmt.Errorf("churn: %w", err)
			}
		}
		if now := int(time.Since(began) / time.Minute); now > minutes {
			minutes = now
			if err := take(fmt.Sprintf("%d min", now)); err != nil {
				return samples, err
			}
		}
	}
	time.Sleep(guestTime + o.settle)
	return samples, take("after")
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
	t := newTable("", "bindings", "memory")
	for _, x := range samples {
		t.row(x.what, thousands(float64(x.bindings)), fmt.Sprintf("%.0f MB", float64(x.pss)/1e6))
	}
	first, last := samples[0], samples[len(samples)-1]
	return t.b.String() + fmt.Sprintf("\nAfterwards memory is %.2f times what it was before.\n", float64(last.pss)/float64(first.pss))
}
