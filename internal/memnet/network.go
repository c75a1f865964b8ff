// Package memnet is a network in memory, for tests and demonstrations: pretend
// hosts with addresses, datagrams that are lost, late, doubled or out of
// order, connections that break, and NATs that forget.
//
// A Host gives plain net.PacketConn, net.Listener and net.Conn values and has
// the methods of a network that internal/transport takes its sockets from. All
// waiting is on timers and condition variables of package time and sync, so
// that a network made inside a testing/synctest bubble runs on the bubble's
// clock. Datagrams cost no goroutine: one queue of events, driven by one
// timer, delivers them all.
//
// It models what SIP sees of a network, not its protocols: connections are
// never lossy, only slow, stuck or reset, and there is no congestion control.
package memnet

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Link says what happens between any two hosts. Chances are from 0 to 1.
type Link struct {
	// Delay is the time from one host to another.
	Delay time.Duration
	// Jitter is added to Delay, evenly spread from 0 up, and so reorders
	// datagrams. Bytes of a connection stay in order.
	Jitter time.Duration
	// Loss is the chance that a datagram vanishes.
	Loss float64
	// Duplicate is the chance that a datagram arrives twice.
	Duplicate float64
	// Reorder is the chance that a datagram is held back for ReorderBy.
	Reorder   float64
	ReorderBy time.Duration
}

// A Network connects hosts. It is safe for concurrent use.
type Network struct {
	mu     sync.Mutex // guards all of the network: hosts, sockets, NATs, events
	rng    *rand.Rand
	link   Link
	nodes  map[netip.Addr]node
	events events
	serial uint64
	timer  *time.Timer
	stats  Stats
}

// Stats count what happened to datagrams.
type Stats struct {
	// Sent counts datagrams given to sockets; Delivered those put into a
	// socket's inbox, duplicates included.
	Sent, Delivered int
	// Lost counts those that the Link took; NoRoute those that no socket or
	// NAT mapping waited for; Overflow those that met a full inbox.
	Lost, NoRoute, Overflow int
}

// A node is what an address belongs to: a Host or a NAT.
type node interface {
	// owner returns the host and the socket address that a packet from src to
	// dst, an address of the node, is for. n.mu is held.
	owner(proto string, src, dst netip.AddrPort) (*Host, netip.AddrPort, bool)
}

// New returns a network without hosts, delay or loss. Equal seeds and equal
// traffic give equal fates.
func New(seed uint64) *Network {
	return &Network{
		rng:   rand.New(rand.NewPCG(seed, 0)),
		nodes: make(map[netip.Addr]node),
	}
}

// SetLink changes what happens to what is sent from now on.
func (n *Network) SetLink(l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link = l
}

// Stats returns the counts so far.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// Host adds a host with these addresses, which must be new to the network. It
// panics on a malformed or taken address: both are mistakes of the test.
func (n *Network) Host(addrs ...string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := newHost(n, addrs)
	for _, a := range h.addrs {
		n.attach(a, h)
	}
	return h
}

// attach enters a node under one of its addresses. n.mu is held.
func (n *Network) attach(a netip.Addr, to node) {
	if n.nodes[a] != nil {
		panic(fmt.Sprintf("memnet: address %s is taken", a))
	}
	n.nodes[a] = to
}

// delay returns the time that the next packet takes. n.mu is held.
func (n *Network) delay() time.Duration {
	d := n.link.Delay
	if n.link.Jitter > 0 {
		d += time.Duration(n.rng.Int64N(int64(n.link.Jitter)))
	}
	return d
}

func (n *Network) chance(p float64) bool { return p > 0 && n.rng.Float64() < p }

// An event is something that happens later, with n.mu held.
type event struct {
	at     time.Time
	serial uint64 // events of one instant happen in the order they were planned
	do     func()
}

// events is a heap, the next event first.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if !e[i].at.Equal(e[j].at) {
		return e[i].at.Before(e[j].at)
	}
	return e[i].serial < e[j].serial
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return last
}

// at plans do for the time t, or does it now if t has come. n.mu is held.
func (n *Network) at(t time.Time, do func()) {
	if !t.After(time.Now()) {
		do()
		return
	}
	n.serial++
	heap.Push(&n.events, event{at: t, serial: n.serial, do: do})
	if n.events[0].serial == n.serial {
		n.arm()
	}
}

// after plans do for d from now. n.mu is held.
func (n *Network) after(d time.Duration, do func()) { n.at(time.Now().Add(d), do) }

// arm sets the timer to the first event. n.mu is held.
func (n *Network) arm() {
	if n.timer != nil {
		n.timer.Stop()
	}
	if len(n.events) > 0 {
		n.timer = time.AfterFunc(time.Until(n.events[0].at), n.run)
	}
}

// run does all events that are due.
func (n *Network) run() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.events) > 0 && !n.events[0].at.After(time.Now()) {
		heap.Pop(&n.events).(event).do()
	}
	n.arm()
}

// route finds the host and socket address for a packet from src to dst that
// was sent by from. n.mu is held.
func (n *Network) route(proto string, from *Host, src, dst netip.AddrPort) (*Host, netip.AddrPort, bool) {
	to := n.nodes[dst.Addr()]
	if from.nat != nil {
		if inside := from.nat.inside[dst.Addr()]; inside != nil {
			to = inside
		}
	}
	if to == nil {
		return nil, netip.AddrPort{}, false
	}
	h, at, ok := to.owner(proto, src, dst)
	return h, at, ok && !h.down && !from.down
}
