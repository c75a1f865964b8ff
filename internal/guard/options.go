package guard

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/event"
	"reveille/internal/sipmsg"
)

// Options are what a Guard needs. Hosts and Registered are required.
type Options struct {
	Settings
	// Hosts tells which hosts are ours.
	Hosts Hosts
	// Registered calls yield with the address of each flow on which somebody is
	// registered. It may take a while, and is never called twice at a time. If it
	// fails nobody is banned.
	Registered func(ctx context.Context, yield func(netip.Addr)) error
	// Sink takes event.SourceBanned; nil: nobody does.
	Sink event.Sink
	// Logger takes what goes wrong; nil discards.
	Logger *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Hosts tells which hosts are ours.
type Hosts interface {
	// Domain reports whether host is a name under which we serve users.
	Domain(host string) bool
	// Address reports whether host is an address of ours, with that port (0 if
	// none was given).
	Address(host string, port uint16) bool
	// Takes reports whether u is a call for help, or a telephone number, which names no
	// host, that we pass on.
	Takes(u sipmsg.URI) bool
}

// Settings are what can change while the server runs.
type Settings struct {
	// Exempt networks are neither limited nor screened nor banned.
	Exempt []netip.Prefix
	// PerSource is how many messages a second one source may send on end; 0 sets
	// no limit. Burst is how many at once, at least 1.
	PerSource, Burst int
	// Registers and Calls are how many REGISTERs, and how many other requests
	// from outside of a dialog, a minute one AOR may get on end; 0 sets no limit.
	// AORBurst is how many of each at once.
	Registers, Calls, AORBurst int
	// Scanners are parts of User-Agents, in any case, whose requests are dropped.
	Scanners []string
	// Accept says which hosts a request may name, and Routed, in lower case, are
	// those besides our domains to which we have a route.
	Accept Accept
	Routed []string
	// Ban says who is banned.
	Ban Ban
}

// Accept says which requests from outside of a dialog are dropped for the host
// in their Request-URI.
type Accept uint8

// What is accepted. The rest is dropped without an answer.
const (
	// AnyHost accepts every host.
	AnyHost Accept = iota
	// OwnHosts accepts our domains, those of our routes, and our addresses.
	OwnHosts
	// DomainsOnly accepts only the domains: scanners know addresses.
	DomainsOnly
)

// Ban says when a source is banned, and for how long.
type Ban struct {
	// Offences within Within are too many. Within is positive.
	Offences int
	Within   time.Duration
	// Time is how long a ban lasts; 0 bans nobody.
	Time time.Duration
	// Sources is how many may be banned at one time.
	Sources int
}

// settings are Settings in the form in which they are used.
type settings struct {
	Settings
	exempt           networks
	source, reserve  limit
	registers, calls limit
	offences, probes limit
	scanners         []string // in lower case
}

func (s Settings) prepare() *settings {
	p := &settings{
		Settings:  s,
		exempt:    newNetworks(s.Exempt),
		source:    newLimit(float64(s.PerSource), time.Second, s.Burst),
		registers: newLimit(float64(s.Registers), time.Minute, s.AORBurst),
		calls:     newLimit(float64(s.Calls), time.Minute, s.AORBurst),
	}
	p.reserve = p.source.twice()
	if s.Ban.Time > 0 {
		p.offences = newLimit(float64(s.Ban.Offences), s.Ban.Within, s.Ban.Offences)
		p.probes = newLimit(1, s.Ban.Within, 1)
	}
	for _, name := range s.Scanners {
		p.scanners = append(p.scanners, strings.ToLower(name))
	}
	return p
}

func (o *Options) validate() error {
	if o.Hosts == nil || o.Registered == nil {
		return errors.New("guard: Hosts and Registered are required")
	}
	if o.Sink == nil {
		o.Sink = event.Discard{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
