package configs

import (
	"fmt"
	"net/netip"
	"time"
)

// Guard keeps strangers out, and everybody from taking more than their share.
type Guard struct {
	// Exempt networks are neither limited nor screened nor banned; nor are
	// auth.trusted and the next hops of proxy.routes.
	Exempt []netip.Prefix `yaml:"exempt"`
	Rate   GuardRate      `yaml:"rate"`
	PerAOR GuardPerAOR    `yaml:"per_aor"`
	// Scanners are parts of User-Agents, in any case, whose requests are dropped.
	Scanners []string `yaml:"scanners"`
	// Hosts says which hosts a request from outside of a dialog may name.
	Hosts GuardHosts `yaml:"hosts"`
	Ban   GuardBan   `yaml:"ban"`
}

// GuardRate bounds the messages of one source: an IPv4 address or an IPv6 /64.
type GuardRate struct {
	// PerSource is how many messages a second on end, 0 sets no limit; Burst how
	// many at once.
	PerSource int `yaml:"per_source" range:"0..10000"`
	Burst     int `yaml:"burst" range:"1..1000000"`
}

// GuardPerAOR bounds what one AOR gets, from senders who may.
type GuardPerAOR struct {
	// Registers and Calls are how many a minute on end, 0 sets no limit; Burst
	// how many of each at once.
	Registers int `yaml:"registers" range:"0..100000"`
	Calls     int `yaml:"calls" range:"0..100000"`
	Burst     int `yaml:"burst" range:"1..100000"`
}

// GuardBan says when a source is banned.
type GuardBan struct {
	// Failures within Within lead to a ban of Time; 0 bans nobody.
	Failures int           `yaml:"failures" range:"1..100000"`
	Within   time.Duration `yaml:"within" range:"1s..24h"`
	Time     time.Duration `yaml:"time" range:"0s..30d"`
	// Sources bounds the list.
	Sources int `yaml:"sources" range:"1..100000"`
}

// GuardHosts says which requests are dropped for the host that they name.
type GuardHosts string

// AnyHost drops none, OwnHosts those that name neither a domain nor an address of
// ours, DomainsOnly also those that name an address.
const (
	AnyHost     GuardHosts = "any"
	OwnHosts    GuardHosts = "own"
	DomainsOnly GuardHosts = "domains"
)

func (GuardHosts) values() []string {
	return []string{string(AnyHost), string(OwnHosts), string(DomainsOnly)}
}

// shortestScanner keeps a part of a User-Agent from matching phones by chance.
const shortestScanner = 3

func (l *loader) checkGuard(g *Guard) {
	for i, p := range g.Exempt {
		l.checkPrefix(fmt.Sprintf("guard.exempt[%d]", i), p)
	}
	for i, s := range g.Scanners {
		if len(s) < shortestScanner {
			l.errorAt(fmt.Sprintf("guard.scanners[%d]", i), fmt.Sprintf("%q is in the names of phones, too", s),
				fmt.Sprintf("write at least %d characters", shortestScanner))
		}
	}
}
