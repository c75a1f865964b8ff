package guard

import (
	"slices"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// Screen reports whether the request m, which arrived on f, is to be dropped
// without an answer: it looks like part of a scan. Responses pass.
func (g *Guard) Screen(f flow.Flow, m *sipmsg.Message, now time.Time) (drop bool) {
	s := g.settings.Load()
	if !m.IsRequest() || s.exempt.contain(f.Remote.Addr()) {
		return false
	}
	agent, _ := m.Header(sipmsg.HdrUserAgent)
	switch {
	case s.scans(agent):
		g.metrics.dropped[droppedScanner].Inc()
		g.offend(f, ReasonScanner, now)
		return true
	case !g.accepts(s, m):
		g.metrics.dropped[droppedHost].Inc()
		g.offend(f, ReasonHost, now)
		return true
	}
	return false
}

// longestAgent bounds how much of a User-Agent is looked at.
const longestAgent = 256

// scans reports whether a User-Agent is that of a scanner.
func (s *settings) scans(agent string) bool {
	if agent == "" || len(s.scanners) == 0 {
		return false
	}
	agent = strings.ToLower(agent[:min(len(agent), longestAgent)])
	for _, name := range s.scanners {
		if strings.Contains(agent, name) {
			return true
		}
	}
	return false
}

// accepts reports whether the host in the Request-URI of m is one that a request
// may name. Inside a dialog that is the peer's Contact, anything at all.
func (g *Guard) accepts(s *settings, m *sipmsg.Message) bool {
	if s.Accept == AnyHost || m.ToTag() != "" {
		return true
	}
	uri := m.RequestURI()
	if g.o.Hosts.Takes(uri) {
		return true
	}
	return g.o.Hosts.Domain(uri.Host) || slices.Contains(s.Routed, strings.ToLower(uri.Host)) ||
		// A telephone number, or a service such as urn:service:sos, names no host: it is
		// meant for who gets it, as is one at our address.
		s.Accept == OwnHosts && (!uri.IsSIP() || g.o.Hosts.Address(uri.Host, uri.PortNum()))
}
