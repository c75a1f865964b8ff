package memnet

import (
	"fmt"
	"net/netip"
	"time"
)

// A NAT stands between hosts with addresses of their own and the network,
// where all of them show its public address. A mapping belongs to one inside
// address and port and lets in only the peers that it has sent to (RFC 4787:
// endpoint-independent mapping, address and port-dependent filtering).
type NAT struct {
	n       *Network
	addr    netip.Addr
	timeout time.Duration
	inside  map[netip.Addr]*Host
	out     map[endpoint]*mapping // by inside address
	in      map[endpoint]*mapping // by public address
	next    uint16
}

type endpoint struct {
	proto string
	addr  netip.AddrPort
}

type mapping struct {
	nat            *NAT
	inside, public netip.AddrPort
	last           time.Time // when something last went out
	peers          map[netip.AddrPort]struct{}
	dropped        bool
}

// NAT adds one with a public address. A mapping is forgotten when nothing went
// out by it for timeout; 0 means never.
func (n *Network) NAT(public string, timeout time.Duration) *NAT {
	n.mu.Lock()
	defer n.mu.Unlock()
	nat := &NAT{
		n:       n,
		addr:    netip.MustParseAddr(public),
		timeout: timeout,
		inside:  make(map[netip.Addr]*Host),
		out:     make(map[endpoint]*mapping),
		in:      make(map[endpoint]*mapping),
		next:    firstPort,
	}
	n.attach(nat.addr, nat)
	return nat
}

// Host adds a host behind the NAT. Its addresses need be new only there.
func (nat *NAT) Host(addrs ...string) *Host {
	nat.n.mu.Lock()
	defer nat.n.mu.Unlock()
	h := newHost(nat.n, addrs)
	h.nat = nat
	for _, a := range h.addrs {
		if nat.inside[a] != nil {
			panic(fmt.Sprintf("memnet: address %s is taken", a))
		}
		nat.inside[a] = h
	}
	return h
}

// Forget drops all mappings, as a restarted NAT does.
func (nat *NAT) Forget() {
	nat.n.mu.Lock()
	defer nat.n.mu.Unlock()
	for _, m := range nat.out {
		m.dropped = true
	}
	clear(nat.out)
	clear(nat.in)
}

// outbound returns the mapping for a packet that leaves, a new one if need be.
// The network's lock is held.
func (nat *NAT) outbound(proto string, inside, to netip.AddrPort) *mapping {
	key := endpoint{proto, inside}
	m := nat.out[key]
	if m == nil || !m.live() {
		if m != nil {
			m.dropped = true
			delete(nat.in, endpoint{proto, m.public})
		}
		m = &mapping{nat: nat, inside: inside, public: nat.freePublic(proto), peers: make(map[netip.AddrPort]struct{})}
		nat.out[key] = m
		nat.in[endpoint{proto, m.public}] = m
	}
	m.last = time.Now()
	m.peers[to] = struct{}{}
	return m
}

func (nat *NAT) freePublic(proto string) netip.AddrPort {
	for {
		p := netip.AddrPortFrom(nat.addr, nat.next)
		if nat.next++; nat.next == 0 {
			nat.next = firstPort
		}
		if m := nat.in[endpoint{proto, p}]; m == nil || !m.live() {
			return p
		}
	}
}

func (m *mapping) live() bool {
	return !m.dropped && (m.nat.timeout == 0 || time.Since(m.last) < m.nat.timeout)
}

// passes reports whether a segment of the mapping's connection gets through.
func (m *mapping) passes(outward bool) bool {
	if !m.live() {
		return false
	}
	if outward {
		m.last = time.Now()
	}
	return true
}

func (nat *NAT) owner(proto string, src, dst netip.AddrPort) (*Host, netip.AddrPort, bool) {
	m := nat.in[endpoint{proto, dst}]
	if m == nil || !m.live() {
		return nil, netip.AddrPort{}, false
	}
	if _, ok := m.peers[src]; !ok {
		return nil, netip.AddrPort{}, false
	}
	h := nat.inside[m.inside.Addr()]
	return h, m.inside, h != nil
}
