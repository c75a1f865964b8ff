package rtpengine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a command was not done, besides a RefusedError and answers that make no sense.
var (
	// ErrAway: the engine does not answer, nor does it get the command.
	ErrAway = errors.New("rtpengine is away")
	// ErrTimeout: no answer came. The engine may have done it all the same.
	ErrTimeout = errors.New("no answer of the rtpengine")
	// ErrUnknown: no engine has that address.
	ErrUnknown = errors.New("no such rtpengine")
	// ErrBusy: too many commands wait for answers.
	ErrBusy = errors.New("too many commands to rtpengines")
	// ErrTooLarge: the command does not fit into a datagram.
	ErrTooLarge = errors.New("too large for an rtpengine")
	// ErrStopped: the Client was stopped.
	ErrStopped = errors.New("rtpengine client is stopped")
)

// An Engine is one rtpengine.
type Engine struct {
	// Addr is where it takes ng commands by UDP.
	Addr netip.AddrPort
	// The lowest Priority is chosen first; equal ones share the calls in proportion to
	// their Weights. One of Weight 0 gets none while another is there.
	Priority, Weight uint16
}

// Options configure a Client.
type Options struct {
	// Engines are all there are; at least one.
	Engines []Engine
	// Timeout is how long an engine may take for a command, which is sent four times
	// meanwhile; default 1 s.
	Timeout time.Duration
	// PingInterval is the time from ping to ping; default 5 s.
	PingInterval time.Duration
	// MaxPending bounds the commands that wait for answers, to all engines together;
	// default 10,000.
	MaxPending int
	// Dial connects to an engine: each Write is a datagram, and so is each Read. Nil
	// means UDP.
	Dial func(netip.AddrPort) (net.Conn, error)
	// Logger takes the log lines; nil discards.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

func (o *Options) validate() error {
	if len(o.Engines) == 0 {
		return errors.New("rtpengine: at least one engine is required")
	}
	for i, e := range o.Engines {
		if !e.Addr.IsValid() || e.Addr.Port() == 0 {
			return fmt.Errorf("rtpengine: %q is no address", e.Addr)
		}
		if slices.ContainsFunc(o.Engines[:i], func(other Engine) bool { return other.Addr == e.Addr }) {
			return fmt.Errorf("rtpengine: %s is named twice", e.Addr)
		}
	}
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.PingInterval == 0 {
		o.PingInterval = 5 * time.Second
	}
	if o.MaxPending == 0 {
		o.MaxPending = 10_000
	}
	if o.Dial == nil {
		o.Dial = func(a netip.AddrPort) (net.Conn, error) { return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a)) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// A Client sends commands to engines. It is safe for concurrent use.
type Client struct {
	o       Options
	metrics *metrics
	engines []*engine
	// prefix and serial make cookies. An engine answers a cookie that it has seen
	// before with the old answer, so those of another process must not come again.
	prefix string
	serial atomic.Uint64
	// pending counts the commands that wait for answers.
	pending atomic.Int64
	readers sync.WaitGroup
}

// New connects to the engines. They are taken to be there until one does not answer.
func New(o Options) (*Client, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	var random [6]byte
	rand.Read(random[:])
	c := &Client{o: o, prefix: hex.EncodeToString(random[:]) + "_"}
	c.metrics = newMetrics(o.Registerer, c)
	for _, configured := range o.Engines {
		conn, err := o.Dial(configured.Addr)
		if err != nil {
			for _, e := range c.engines {
				e.stop()
			}
			c.readers.Wait()
			return nil, fmt.Errorf("connect to rtpengine %s: %w", configured.Addr, err)
		}
		e := &engine{Engine: configured, of: c, conn: conn, waiting: map[string]*question{}}
		c.engines = append(c.engines, e)
		c.metrics.up.WithLabelValues(e.Addr.String()).Set(1)
		// It ends when stop closes the connection.
		c.readers.Go(e.read)
	}
	return c, nil
}

// Pick chooses the engine of a new call from those that are there, but for those that
// were tried. ok is false if there is none.
func (c *Client) Pick(tried []netip.AddrPort) (addr netip.AddrPort, ok bool) {
	var best []*engine
	sum := 0
	for _, e := range c.engines {
		if slices.Contains(tried, e.Addr) || e.isAway() {
			continue
		}
		if len(best) > 0 && e.Priority != best[0].Priority {
			if e.Priority > best[0].Priority {
				continue
			}
			best, sum = nil, 0
		}
		best = append(best, e)
		sum += int(e.Weight)
	}
	if len(best) == 0 {
		return netip.AddrPort{}, false
	}
	if sum == 0 {
		return best[mathrand.IntN(len(best))].Addr, true
	}
	drawn := mathrand.IntN(sum)
	i := 0
	for ; drawn >= int(best[i].Weight); i++ {
		drawn -= int(best[i].Weight)
	}
	return best[i].Addr, true
}

// Do sends a command to the engine at addr and calls done once, inline or later, on
// any goroutine, with the SDP of its answer. Delete has none.
func (c *Client) Do(addr netip.AddrPort, command Command, done func(sdp string, err error)) {
	i := slices.IndexFunc(c.engines, func(e *engine) bool { return e.Addr == addr })
	if i < 0 {
		c.metrics.commands.WithLabelValues(string(command.Verb), "away").Inc()
		done("", ErrUnknown)
		return
	}
	c.engines[i].ask(command, done)
}

// Run pings the engines until ctx ends.
func (c *Client) Run(ctx context.Context) {
	tick := time.NewTicker(c.o.PingInterval)
	defer tick.Stop()
	for {
		for _, e := range c.engines {
			e.ping()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Stop fails what waits for an answer and closes the connections.
func (c *Client) Stop(context.Context) error {
	for _, e := range c.engines {
		e.stop()
	}
	c.readers.Wait()
	return nil
}

// cookie is a new one.
func (c *Client) cookie() string { return c.prefix + strconv.FormatUint(c.serial.Add(1), 36) }

// settle counts the end of a command.
func (c *Client) settle(verb Verb, err error) {
	result := "done"
	var refused *RefusedError
	switch {
	case err == nil:
	case errors.As(err, &refused), errors.Is(err, ErrTooLarge):
		result = "refused"
	case errors.Is(err, errReply):
		result = "malformed"
	case errors.Is(err, ErrTimeout):
		result = "timeout"
	case errors.Is(err, ErrBusy):
		result = "busy"
	default:
		result = "away"
	}
	c.metrics.commands.WithLabelValues(string(verb), result).Inc()
}
