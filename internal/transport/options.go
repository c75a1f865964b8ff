package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/sipmsg"
)

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
	// Lost is called, by the readers of many sockets at once, when one hears that
	// datagrams were lost because its socket's buffer was full. It must be quick.
	// Linux only. Nil: nobody is told.
	Lost func()
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
	if o.Lost == nil {
		o.Lost = func() {}
	}
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
