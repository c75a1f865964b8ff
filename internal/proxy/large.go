package proxy

import (
	"errors"
	"net/netip"
	"time"

	"reveille/flow"
)

// This file sends requests that are too large for a datagram by TCP (RFC 3261 §18.1.1).
// It is for next hops and their dialogs: a phone is reached by its flow alone.

const (
	// maxDatagram is what a request by UDP may have, for nobody knows the MTU of the path.
	maxDatagram = 1300
	// tcpPatience is how long a connection is waited for. §18.1.1 speaks of peers that
	// refuse it; most firewalls say nothing.
	tcpPatience = 2 * time.Second
	// tcpMemory is how long requests go by UDP at once after a peer took no connection.
	tcpMemory = 10 * time.Minute
)

var errSlow = errors.New("no connection in time")

// enlarge sends a request by TCP that would leave on a UDP flow and is too large for
// that. It reports false if the request is to leave as it is.
func (b *branch) enlarge(size int, to flow.Flow) bool {
	if size <= maxDatagram || to.Transport != flow.UDP || b.datagram || !b.takesTCP(to) {
		return false
	}
	f, p, at := b.fork, b.fork.p, b.target.hop()
	h := hop{transport: flow.TCP, addr: netip.AddrPortFrom(to.Remote.Addr().Unmap(), to.Remote.Port())}
	if p.memory.avoid(h, time.Now(), tcpPatience) {
		return false
	}
	q, settled := f.s.Queue(), false
	settle := func(tcp flow.Flow, err error) {
		if settled || b.state != idle || b.target.hop() != at {
			// It was too late, or the call is given up.
			return
		}
		settled = true
		if err != nil {
			// §18.1.1: then by UDP, as it would have left without this rule.
			now := time.Now()
			p.memory.failed(h, mark{since: now, until: now.Add(tcpMemory)})
			p.metrics.large.WithLabelValues("udp").Inc()
			b.datagram, tcp = true, to
		} else {
			p.metrics.large.WithLabelValues("tcp").Inc()
		}
		b.forward(tcp)
		f.conclude()
	}
	timer := q.After(tcpPatience, func() { settle(flow.Flow{}, errSlow) })
	p.opts().Flows.ConnectTo(h.transport, h.name, h.addr, func(tcp flow.Flow, err error) {
		q.Post(func() {
			timer.Stop()
			settle(tcp, err)
		})
	})
	return true
}

// takesTCP reports whether the rule is for the peer of a flow: a next hop, or a peer in
// a dialog at the address of one. Of others nobody knows whether they listen there.
func (b *branch) takesTCP(to flow.Flow) bool {
	p := b.fork.p
	switch {
	case !b.target.binding.ID.IsZero():
		return false
	case b.target.reach == dial:
		r, ok := p.routeNamed(b.target.way.route)
		return !ok || !r.LargeByUDP
	}
	routes := p.routesAt(to)
	for _, r := range routes {
		if r.LargeByUDP {
			return false
		}
	}
	return len(routes) > 0
}
