package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"reveille/flow"
)

const (
	maxListenerName = 32
	maxSockets      = 64
)

// ListenerOptions describe one address to listen on.
type ListenerOptions struct {
	// Name identifies the listener in flows, rules, metrics and logs; 1 to 32
	// bytes, unique.
	Name string
	// Transport is the protocol spoken.
	Transport flow.Transport
	// Addr is "host:port". The host is an IP literal; "0.0.0.0" and "[::]" mean
	// all addresses of one family, an empty host those of both. Port 0 takes
	// any free port.
	Addr string
	// Advertise is the "host[:port]" that peers are told in Via, Record-Route,
	// Path and Service-Route; an IPv6 host in brackets. Empty means the bound
	// address. Without a port the bound port is told.
	Advertise string
	// Sockets is how many sockets share a UDP address, at most 64; 0 means
	// GOMAXPROCS on Linux and one elsewhere. With one the address is exclusive.
	Sockets int
	// ReadBuffer is the kernel's receive buffer of each UDP socket in bytes, as
	// far as the system allows; 0 means 2 MiB.
	ReadBuffer int
	// Balancers are the networks of the load balancers before a stream listener.
	// Connections come from these only, and begin with a header of the PROXY
	// protocol that names the client, before TLS. None: they come from clients.
	Balancers []netip.Prefix
	// TLS is the server side of TLS and WSS, required there and nowhere else: what
	// certificates are shown, and whether clients are asked for theirs. What its
	// functions return may change from one handshake to the next.
	TLS *tls.Config
	// DialTLS returns the client side for each connection that leaves by TLS on
	// behalf of the listener: the authorities that servers' certificates must come
	// from, and the certificate shown to servers that ask. What it returns is not
	// changed. Nil means the authorities of the machine and no certificate.
	DialTLS func() *tls.Config
	// WS says which handshakes a WS or WSS listener accepts.
	WS WSOptions
}

// WSOptions are what WebSocket adds to a listener. The zero value accepts the
// handshakes of every page at every path.
type WSOptions struct {
	// Path is the only path that is served, such as "/sip"; empty serves all.
	Path string
	// Origins are the pages that may connect: "https://phone.example.com",
	// "https://*.example.com:8443" for all names below that, "null" for pages
	// without an origin. Empty lets all. Clients that are no browsers name no
	// origin and are let in.
	Origins []string
	// PingInterval is how long a peer may be quiet before it gets a Ping, and
	// again before it is given up for want of an answer; 0 sends none.
	PingInterval time.Duration
}

// empty reports whether nothing is asked for.
func (o WSOptions) empty() bool { return o.Path == "" && len(o.Origins) == 0 && o.PingInterval == 0 }

// validate returns the first thing wrong with o.
func (o WSOptions) validate() error {
	if o.Path != "" && o.Path[0] != '/' {
		return fmt.Errorf("path %q does not begin with a slash", o.Path)
	}
	if o.PingInterval < 0 {
		return errors.New("ping interval is negative")
	}
	_, err := newWSPolicy(o)
	return err
}

// A Rule names the listener by which peers of a prefix are reached. Rules are
// tried in order; one whose listener does not speak the wanted transport is
// passed over.
type Rule struct {
	Prefix   netip.Prefix
	Listener string
}

// validate returns the first thing wrong with one listener.
func (l ListenerOptions) validate() error {
	if l.Name == "" || len(l.Name) > maxListenerName {
		return fmt.Errorf("name must have 1 to %d bytes", maxListenerName)
	}
	websocket := l.Transport == flow.WS || l.Transport == flow.WSS
	switch {
	case l.Transport < flow.UDP || l.Transport > flow.WSS:
		return fmt.Errorf("%s listeners are not supported", l.Transport)
	case !websocket && !l.WS.empty():
		return fmt.Errorf("%s has no WebSocket", l.Transport)
	}
	if err := l.WS.validate(); err != nil {
		return err
	}
	switch secure := l.Transport.Secure(); {
	case secure && l.TLS == nil:
		return errors.New("no TLS configuration")
	case !secure && l.TLS != nil, !l.Transport.Stream() && l.DialTLS != nil:
		return fmt.Errorf("%s has no TLS", l.Transport)
	case !l.Transport.Stream() && len(l.Balancers) > 0:
		return fmt.Errorf("%s has no PROXY protocol", l.Transport)
	}
	if l.Sockets < 1 || l.Sockets > maxSockets {
		return fmt.Errorf("sockets must be 1 to %d", maxSockets)
	}
	if l.ReadBuffer < 0 {
		return errors.New("read buffer is negative")
	}
	if _, err := parseBind(l.Addr); err != nil {
		return err
	}
	if l.Advertise != "" {
		if _, _, err := parseAdvertise(l.Advertise); err != nil {
			return err
		}
	}
	return nil
}
