package transport

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// This file reads the addresses of a configuration.

// A bind is a listening address: an invalid addr means all addresses of both
// families.
type bind struct {
	addr netip.Addr
	port uint16
}

func (b bind) wildcard() bool { return !b.addr.IsValid() || b.addr.IsUnspecified() }

// String returns the form that package net listens on.
func (b bind) String() string {
	host := ""
	if b.addr.IsValid() {
		host = b.addr.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(b.port)))
}

// network returns package net's name for proto ("udp" or "tcp") on b. Without
// the digit package net would bind both families to 0.0.0.0.
func (b bind) network(proto string) string { return familyNetwork(proto, b.addr) }

func familyNetwork(proto string, addr netip.Addr) string {
	switch {
	case !addr.IsValid():
		return proto
	case addr.Is4():
		return proto + "4"
	}
	return proto + "6"
}

// parseBind reads a listener's Addr.
func parseBind(s string) (bind, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return bind{}, fmt.Errorf("address %q: want host:port", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return bind{}, fmt.Errorf("address %q: port is not a number up to 65535", s)
	}
	b := bind{port: uint16(n)}
	if host == "" {
		return b, nil
	}
	if b.addr, err = netip.ParseAddr(host); err != nil {
		return bind{}, fmt.Errorf("address %q: host is not an IP address", s)
	}
	b.addr = b.addr.Unmap()
	return b, nil
}

// parseAdvertise reads "host[:port]". The host is returned as a Via carries
// it, an IPv6 address in brackets; port 0 means that none was given.
func parseAdvertise(s string) (host string, port uint16, err error) {
	host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("advertise %q: port is not a number from 1 to 65535", s)
		}
		host, port = s[:i], uint16(n)
	}
	addr, name := parseHost(host)
	switch {
	case addr.IsValid() && addr.IsUnspecified():
		return "", 0, fmt.Errorf("advertise %q: no peer can reach this address", s)
	case addr.IsValid() && addr.Is6() && host[0] != '[':
		return "", 0, fmt.Errorf("advertise %q: write an IPv6 address in brackets", s)
	case addr.IsValid():
		return hostOf(addr), port, nil
	case !validName(name):
		return "", 0, fmt.Errorf("advertise %q: host is neither a name nor an IP address", s)
	}
	return name, port, nil
}

// validName reports whether s can be a host name (RFC 3261 §25.1, hostname).
func validName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return true
}
