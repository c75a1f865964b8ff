package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
)

// firstPort is where the free ports of a host begin.
const firstPort = 49152

// A Host is a pretend machine. The zero value is not useful; see Network.Host
// and NAT.Host.
type Host struct {
	n         *Network
	nat       *NAT // nil on the public network
	addrs     []netip.Addr
	down      bool
	next      uint16
	sockets   map[netip.AddrPort][]*PacketConn // more than one if they share the address
	listeners map[netip.AddrPort]*Listener
	conns     map[*Conn]struct{}
}

func newHost(n *Network, addrs []string) *Host {
	h := &Host{
		n:         n,
		next:      firstPort,
		sockets:   make(map[netip.AddrPort][]*PacketConn),
		listeners: make(map[netip.AddrPort]*Listener),
		conns:     make(map[*Conn]struct{}),
	}
	for _, a := range addrs {
		h.addrs = append(h.addrs, netip.MustParseAddr(a))
	}
	return h
}

func (h *Host) owner(_ string, _, dst netip.AddrPort) (*Host, netip.AddrPort, bool) {
	return h, dst, true
}

// SetDown takes the host off the network, or puts it back. What is sent to or
// from it meanwhile is lost; connections hang and go on when it is back.
func (h *Host) SetDown(down bool) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	h.down = down
}

// Reset breaks all connections of the host at once; both ends see a reset.
func (h *Host) Reset() {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	for c := range h.conns {
		if c.peer != nil {
			c.peer.fail(syscall.ECONNRESET)
		}
		c.fail(syscall.ECONNRESET)
	}
}

// Interfaces returns the host's addresses, each with the prefix length of a
// usual network: 24 for IPv4, 64 for IPv6.
func (h *Host) Interfaces() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, a := range h.addrs {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		out = append(out, netip.PrefixFrom(a, bits))
	}
	return out, nil
}

// ListenPacket binds a datagram socket: network is "udp", "udp4" or "udp6",
// addr an IP address or nothing, and a port.
func (h *Host) ListenPacket(_ context.Context, network, addr string, reuseport bool) (net.PacketConn, error) {
	c, err := h.Packet(network, addr, reuseport)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Packet is ListenPacket for callers that want the PacketConn's own methods.
func (h *Host) Packet(network, addr string, reuseport bool) (*PacketConn, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	local, err := h.bind(network, addr, func(a netip.AddrPort) bool {
		others := h.sockets[a]
		return len(others) == 0 || reuseport && others[0].shared
	})
	if err != nil {
		return nil, opError("listen", network, addr, err)
	}
	c := newPacketConn(h, local, reuseport)
	h.sockets[local] = append(h.sockets[local], c)
	return c, nil
}

// Listen binds a stream listener: network is "tcp", "tcp4" or "tcp6".
func (h *Host) Listen(_ context.Context, network, addr string) (net.Listener, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	local, err := h.bind(network, addr, func(a netip.AddrPort) bool { return h.listeners[a] == nil })
	if err != nil {
		return nil, opError("listen", network, addr, err)
	}
	l := newListener(h, local)
	h.listeners[local] = l
	return l, nil
}

// bind resolves a listening address and finds a port. The address of the
// result is zero for both families. h.n.mu is held.
func (h *Host) bind(network, addr string, free func(netip.AddrPort) bool) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	var ip netip.Addr
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, err
		}
		if !ip.IsUnspecified() && !h.has(ip) {
			return netip.AddrPort{}, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
		}
	} else if network[len(network)-1] == '4' {
		ip = netip.IPv4Unspecified()
	} else if network[len(network)-1] == '6' {
		ip = netip.IPv6Unspecified()
	}
	if number != 0 {
		local := netip.AddrPortFrom(ip, uint16(number))
		if !free(local) {
			return netip.AddrPort{}, os.NewSyscallError("bind", syscall.EADDRINUSE)
		}
		return local, nil
	}
	for range 1 << 16 {
		if local := netip.AddrPortFrom(ip, h.freePort()); free(local) {
			return local, nil
		}
	}
	return netip.AddrPort{}, os.NewSyscallError("bind", syscall.EADDRINUSE)
}

func (h *Host) freePort() uint16 {
	p := h.next
	if h.next++; h.next == 0 {
		h.next = firstPort
	}
	return p
}

func (h *Host) has(a netip.Addr) bool {
	return slices.Contains(h.addrs, a)
}

// source returns the address that the host sends from to reach dst.
func (h *Host) source(dst netip.Addr) (netip.Addr, bool) {
	for _, a := range h.addrs {
		if a.Is4() == dst.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// lookup finds what is bound to dst in m, or to all addresses of its family,
// or to all.
func lookup[T any](m map[netip.AddrPort]T, dst netip.AddrPort) (T, bool) {
	unspecified := netip.IPv6Unspecified()
	if dst.Addr().Is4() {
		unspecified = netip.IPv4Unspecified()
	}
	for _, a := range []netip.Addr{dst.Addr(), unspecified, {}} {
		if v, ok := m[netip.AddrPortFrom(a, dst.Port())]; ok {
			return v, true
		}
	}
	var none T
	return none, false
}

func opError(op, network, addr string, err error) error {
	return fmt.Errorf("%s %s %s: %w", op, network, addr, err)
}

// netError wraps err as package net does.
func netError(op, network string, local, remote net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Source: local, Addr: remote, Err: err}
}
