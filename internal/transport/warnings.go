package transport

import (
	"fmt"

	"reveille/flow"
)

// Warnings returns what is legal in o but unlikely to be meant, one sentence
// each, without binding anything.
func Warnings(o Options) []string {
	var out []string
	tcp := make(map[string]bool)
	for _, l := range o.Listeners {
		if b, err := parseBind(l.Addr); err == nil && l.Transport == flow.TCP {
			tcp[b.String()] = true
		}
	}
	for _, l := range o.Listeners {
		b, err := parseBind(l.Addr)
		if err != nil {
			continue // New says so.
		}
		if l.Advertise == "" {
			switch {
			case b.wildcard():
				out = append(out, fmt.Sprintf("listener %q binds all addresses and advertises none: peers are told an address of an interface, which may not be the one they can reach", l.Name))
			case private(b.addr):
				out = append(out, fmt.Sprintf("listener %q binds the private address %s and advertises no other: peers outside that network cannot answer", l.Name, b.addr))
			}
		}
		// RFC 3261 §18.1.1 and §18.2.1: requests that are too long for UDP come
		// by TCP to the same address and port.
		if l.Transport == flow.UDP && b.port != 0 && !tcp[b.String()] {
			out = append(out, fmt.Sprintf("listener %q listens on UDP %s, but no listener on TCP: long requests cannot be delivered", l.Name, b))
		}
	}
	return out
}
