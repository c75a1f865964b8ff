package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"reveille/internal/load"
)

const (
	// sockets is over how many UDP sockets the phones are spread.
	sockets = 8
	// fillWindow and refreshWindow are how many REGISTERs are under way at once.
	fillWindow, refreshWindow = 64, 128
	// pacedRate is that of the open loop.
	pacedRate = 5000
	// password is that of all phones, where one is asked for.
	password = "secret"
)

// The files that configs/bench-fsync.yaml and bench-digest.yaml name, beside
// themselves.
const (
	storeDir  = "bench.store"
	usersFile = "bench.users"
)

// writeUsersFile makes the users file of n phones.
func writeUsersFile(name string, n int) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(load.WriteUsers(f, n, password), f.Close())
}

// phones are those of one server.
type phones struct {
	*load.Load
	server *server
}

// newPhones returns n phones of s, which know a password if it asks for one.
func (s *server) newPhones(n int, digest bool) (phones, error) {
	o := load.Options{Target: s.target, Phones: n, Sockets: sockets, Push: load.Push{Provider: "fcm", Param: "example-app-project"}}
	if digest {
		o.Password = password
	}
	l, err := load.New(o)
	return phones{l, s}, err
}

// fill is the phase in which n phones register for the first time.
func fill(n int) load.Phase {
	return load.Phase{Name: "first registrations", Register: load.Pace{Count: n, Window: fillWindow}}
}

// refresh is the phase in which all refresh, in turn, as fast as it goes.
func refresh(lasts time.Duration) load.Phase {
	return load.Phase{Name: "refreshes", Register: load.Pace{For: lasts, Window: refreshWindow}}
}

// paced is the same at a fixed rate.
func paced(lasts time.Duration) load.Phase {
	return load.Phase{Name: fmt.Sprintf("refreshes at %d/s", pacedRate), Register: load.Pace{For: lasts, Rate: pacedRate}}
}

// A result is what a phase came to.
type result struct {
	ok, repeated    int     // REGISTERs that got their 200, and that were sent again
	rate            float64 // of 200s, a second
	cpu, own        float64 // CPU time for a 200, of the server and of the phones, µs
	median, slowest float64 // latency, and its 99th percentile, µs
}

// do has the phones do a phase. It is an error if more fail than can be chance.
func (p phones) do(phase load.Phase) (r result, err error) {
	before, own, err := p.cpu()
	if err != nil {
		return r, err
	}
	s, err := p.Do(context.Background(), phase)
	if err != nil {
		return r, err
	}
	after, ownAfter, err := p.cpu()
	if err != nil {
		return r, err
	}
	n, l := s.Registers, s.Latency[load.Register.String()]
	if n.OK == 0 || n.Failed*1000 > n.OK {
		return r, fmt.Errorf("%s: %d REGISTERs succeeded, %d failed: %v", phase.Name, n.OK, n.Failed, s.Failures)
	}
	return result{
		ok: n.OK, rate: n.Rate, repeated: n.Retransmitted,
		cpu: microseconds(after-before) / float64(n.OK), own: microseconds(ownAfter-own) / float64(n.OK),
		median: 1000 * l.P50, slowest: 1000 * l.P99,
	}, nil
}

// cpu is the CPU time that the server and the phones have had.
func (p phones) cpu() (server, own time.Duration, err error) {
	server, err = p.server.family.cpu()
	return server, ownCPU(), err
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// printUsers writes the users file of so many phones.
func printUsers(args []string, to io.Writer) error {
	var n int
	if len(args) != 1 {
		return errors.New("users takes one number")
	}
	if _, err := fmt.Sscan(args[0], &n); err != nil || n < 1 || n > load.MaxPhones {
		return fmt.Errorf("%q is no number of users", args[0])
	}
	return load.WriteUsers(to, n, password)
}
