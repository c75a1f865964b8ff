package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// Network is where sockets come from: the machine's (Real) or a pretend one
// (internal/memnet). The network names are those of package net: "udp4",
// "tcp6", or "udp" and "tcp" for both address families.
type Network interface {
	// ListenPacket binds a datagram socket. With reuseport several sockets may
	// share addr; all datagrams of one peer must then arrive at the same socket.
	ListenPacket(ctx context.Context, network, addr string, reuseport bool) (net.PacketConn, error)
	// Listen binds a stream listener.
	Listen(ctx context.Context, network, addr string) (net.Listener, error)
	// DialContext connects to addr from laddr ("host:0", or "" for any).
	DialContext(ctx context.Context, network, laddr, addr string) (net.Conn, error)
}

// Handler takes what arrives. Its methods are called from the readers of many
// flows at once.
type Handler interface {
	// Receive is called in order for the messages of one flow. b is valid only
	// during the call. While it blocks, its socket or connection is not read.
	Receive(f flow.Flow, b []byte)
	// FlowClosed is called once for each connection, after its last Receive.
	// err is the cause: io.EOF if the peer closed in good order, one of this
	// package's errors, or that of the socket.
	FlowClosed(f flow.Flow, err error)
}

// An Answerer answers simple requests on the spot. Its method is called from
// the readers of many flows at once.
type Answerer interface {
	// Answer may answer the message b, which arrived on f: it returns out with
	// the answer appended, and true if it took the message. A message that was
	// taken without an answer is answered later by Post, or never. b and out are
	// valid during the call only. While it blocks, its socket or connection is
	// not read.
	Answer(f flow.Flow, b, out []byte) (answer []byte, taken bool)
}

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

// Options configure a Transport. A zero number or duration means the default.
type Options struct {
	// Listeners are bound by New, all or none.
	Listeners []ListenerOptions
	// Rules choose the listener for what we originate.
	Rules []Rule
	// Network is where the sockets come from; nil means Real.
	Network Network
	// Handler takes what arrives; required.
	Handler Handler
	// Answerer is asked with each message before the Handler, which gets what
	// it does not take; nil takes nothing.
	Answerer Answerer
	// Node is put into every Flow; 0 on a single node.
	Node uint32
	// Incarnation is put into the Flow of connections and must differ in every
	// run of the process; 0 means a random one.
	Incarnation uint64

	// MaxConns bounds the connections, dialled ones included; default 50,000.
	MaxConns int
	// MaxConnsPerSource bounds the accepted connections of one IPv4 address or
	// one IPv6 /64, the client's where a balancer names it; default 500, for many
	// phones share an operator's NAT.
	MaxConnsPerSource int
	// MaxDials bounds the connections being dialled at once, and the calls of
	// Connect that wait for each of them; default 256.
	MaxDials int
	// MaxBuffered bounds, in bytes over all connections, what is queued for
	// writing beyond 4 KiB each and what read buffers have grown by beyond
	// 2 KiB each; default 256 MiB.
	MaxBuffered int64
	// MaxMessage bounds a message in bytes; default and maximum sipmsg.MaxMessage.
	MaxMessage int
	// WriteQueue bounds the bytes waiting for one connection; default 256 KiB,
	// at least MaxMessage.
	WriteQueue int
	// PostQueue bounds what is posted and not yet sent on one UDP socket, in
	// bytes, and 64 for each message; default 64 MiB, for one commit may answer
	// tens of thousands of registrations.
	PostQueue int

	// IdleTimeout closes a connection on which the peer sent nothing, unless Hold
	// says how long it is to live; default 1 h.
	IdleTimeout time.Duration
	// HandshakeTimeout bounds the time from accepting a connection, TLS and all,
	// to its first whole message; default 30 s.
	HandshakeTimeout time.Duration
	// MessageTimeout bounds the time from a message's first byte to its last;
	// default 30 s.
	MessageTimeout time.Duration
	// WriteTimeout bounds how long a peer may take what was queued for it;
	// default 20 s.
	WriteTimeout time.Duration
	// DialTimeout bounds connecting, TLS included; default 5 s.
	DialTimeout time.Duration
	// UserTimeout is TCP_USER_TIMEOUT: unacknowledged bytes this old end a
	// connection; default 30 s. Linux only.
	UserTimeout time.Duration
	// KeepAlive is the idle time after which TCP probes the peer; default 5 min,
	// because every probe wakes a phone's radio. A negative time sends none.
	KeepAlive time.Duration
	// FlowFresh is how long a connection counts as alive after the peer's last
	// byte; default 4 min, twice the 120 s of RFC 5626 §4.4.1.
	FlowFresh time.Duration
	// DatagramFresh is the same for UDP; default 30 s, the shortest mapping
	// time of common NATs.
	DatagramFresh time.Duration
	// SeenFlows is how many UDP flows the table of last-seen times holds, 8
	// bytes each; default 262,144. When full, it forgets the oldest of a set.
	SeenFlows int

	// Interfaces lists the addresses of this machine with their prefix lengths;
	// nil means those of package net.
	Interfaces func() ([]netip.Prefix, error)
	// Logger takes lifecycle and socket trouble; nil discards.
	Logger *slog.Logger
	// Registerer takes the metrics; nil means none.
	Registerer prometheus.Registerer
}

const (
	maxListenerName = 32
	maxSockets      = 64
)

// withDefaults returns o with every zero limit replaced by its default.
func (o Options) withDefaults() Options {
	def(&o.MaxConns, 50_000)
	def(&o.MaxConnsPerSource, 500)
	def(&o.MaxDials, 256)
	def(&o.MaxBuffered, 256<<20)
	def(&o.MaxMessage, sipmsg.MaxMessage)
	def(&o.WriteQueue, 256<<10)
	def(&o.PostQueue, 64<<20)
	def(&o.IdleTimeout, time.Hour)
	def(&o.HandshakeTimeout, 30*time.Second)
	def(&o.MessageTimeout, 30*time.Second)
	def(&o.WriteTimeout, 20*time.Second)
	def(&o.DialTimeout, 5*time.Second)
	def(&o.UserTimeout, 30*time.Second)
	def(&o.KeepAlive, 5*time.Minute)
	def(&o.FlowFresh, 4*time.Minute)
	def(&o.DatagramFresh, 30*time.Second)
	def(&o.SeenFlows, 1<<18)
	if o.Network == nil {
		o.Network = Real{}
	}
	if o.Interfaces == nil {
		o.Interfaces = interfacePrefixes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Listeners = append([]ListenerOptions(nil), o.Listeners...)
	for i := range o.Listeners {
		def(&o.Listeners[i].Sockets, defaultSockets())
		def(&o.Listeners[i].ReadBuffer, 2<<20)
	}
	return o
}

func def[T int | int64 | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

// Check returns what New would refuse o for, without binding anything. The
// Handler does not count.
func Check(o Options) error {
	if o.Handler == nil {
		o.Handler = nobody{}
	}
	return o.withDefaults().validate()
}

// nobody is a Handler for options that are only looked at.
type nobody struct{ Handler }

// validate returns all that is wrong with o, after withDefaults.
func (o Options) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Handler == nil {
		bad("no handler")
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"max conns", int64(o.MaxConns)},
		{"max conns per source", int64(o.MaxConnsPerSource)},
		{"max dials", int64(o.MaxDials)},
		{"max buffered", o.MaxBuffered},
		{"max message", int64(o.MaxMessage)},
		{"post queue", int64(o.PostQueue)},
		{"idle timeout", int64(o.IdleTimeout)},
		{"handshake timeout", int64(o.HandshakeTimeout)},
		{"message timeout", int64(o.MessageTimeout)},
		{"write timeout", int64(o.WriteTimeout)},
		{"dial timeout", int64(o.DialTimeout)},
		{"user timeout", int64(o.UserTimeout)},
		{"flow fresh", int64(o.FlowFresh)},
		{"datagram fresh", int64(o.DatagramFresh)},
		{"seen flows", int64(o.SeenFlows)},
	} {
		if limit.value < 0 {
			bad("%s is negative", limit.name)
		}
	}
	if o.MaxMessage > sipmsg.MaxMessage {
		bad("max message %d is above %d", o.MaxMessage, sipmsg.MaxMessage)
	}
	if o.WriteQueue < o.MaxMessage {
		bad("write queue %d is below max message %d", o.WriteQueue, o.MaxMessage)
	}
	if len(o.Listeners) == 0 {
		bad("no listeners")
	}
	names := make(map[string]bool)
	addrs := make(map[string]string)
	for _, l := range o.Listeners {
		if err := l.validate(); err != nil {
			bad("listener %q: %w", l.Name, err)
			continue
		}
		if names[l.Name] {
			bad("listener %q: name used twice", l.Name)
		}
		names[l.Name] = true
		bind, _ := parseBind(l.Addr)
		proto := "tcp "
		if !l.Transport.Stream() {
			proto = "udp "
		}
		key := proto + bind.String()
		// SO_REUSEPORT would let the second bind succeed and split the traffic.
		if other, ok := addrs[key]; ok && bind.port != 0 {
			bad("listener %q: %s is the address of listener %q too", l.Name, l.Addr, other)
		}
		addrs[key] = l.Name
	}
	for _, r := range o.Rules {
		if !r.Prefix.IsValid() {
			bad("rule for listener %q: no prefix", r.Listener)
		}
		if !names[r.Listener] {
			bad("rule for %s: no listener %q", r.Prefix, r.Listener)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("transport options: %w", errors.Join(errs...))
	}
	return nil
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
