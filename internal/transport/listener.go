package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"reveille/flow"
)

// A listener is one bound address: the sockets of a UDP address, or the accept
// loop of a stream transport. It is immutable once bound.
type listener struct {
	ListenerInfo
	t       *Transport
	index   int  // position in the configuration
	bind    bind // as configured: says which families and addresses arrive here
	metrics *listenerMetrics

	// advHost is the host that peers are told, an IPv6 address in brackets and a
	// name in lower case; empty if the bound address is a wildcard and nothing
	// is advertised. advAddr is advHost if that is an address.
	advHost string
	advAddr netip.Addr
	advPort uint16

	sockets []*udpSocket // UDP only
	accept  net.Listener // stream transports only
	stream  stream       // stream transports only

	pingEvery time.Duration // when a quiet peer is asked for a sign of life; 0 for never

	balancers []netip.Prefix // whose connections start with a PROXY protocol header; none: nobody's

	tls     *tls.Config        // of accepted connections, TLS and WSS only
	dialTLS func() *tls.Config // of dialled ones; nil: the machine's authorities
}

// bind opens the sockets of one listener.
func (t *Transport) bind(o ListenerOptions, index int) (*listener, error) {
	b, err := parseBind(o.Addr)
	if err != nil {
		return nil, err
	}
	l := &listener{
		ListenerInfo: ListenerInfo{Name: o.Name, Transport: o.Transport, Advertise: o.Advertise},
		t:            t,
		index:        index,
		bind:         b,
		metrics:      t.metrics.listener(o.Name),
	}
	if o.Transport.Stream() {
		if l.stream, err = l.streamOf(o); err != nil {
			return nil, err
		}
		l.pingEvery, l.tls, l.dialTLS, l.balancers = o.WS.PingInterval, o.TLS, o.DialTLS, o.Balancers
		l.accept, err = t.opts.Network.Listen(t.ctx, b.network("tcp"), b.String())
		if err != nil {
			return nil, err
		}
		l.Addr = addrPort(l.accept.Addr())
	} else if err := l.bindSockets(t.ctx, o); err != nil {
		return nil, errors.Join(err, l.close())
	}
	l.advPort = l.Addr.Port()
	if o.Advertise != "" {
		host, port, err := parseAdvertise(o.Advertise)
		if err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.advHost = host
		if port != 0 {
			l.advPort = port
		}
	} else if !b.wildcard() {
		l.advHost = hostOf(l.Addr.Addr())
	}
	l.advAddr, _ = parseHost(l.advHost)
	return l, nil
}

// bindSockets opens the sockets that share a UDP address.
func (l *listener) bindSockets(ctx context.Context, o ListenerOptions) error {
	network, addr := l.bind.network("udp"), l.bind.String()
	shared := o.Sockets > 1
	if shared && l.bind.port != 0 {
		// SO_REUSEPORT would let a second server of the same user take half of
		// our datagrams unnoticed, so first see that the address is free.
		probe, err := l.t.opts.Network.ListenPacket(ctx, network, addr, false)
		if err != nil {
			return err
		}
		if err := probe.Close(); err != nil {
			return err
		}
	}
	for range o.Sockets {
		pc, err := l.t.opts.Network.ListenPacket(ctx, network, addr, shared)
		if err != nil {
			return err
		}
		s, err := newUDPSocket(l, pc, o.ReadBuffer)
		if err != nil {
			return errors.Join(err, pc.Close())
		}
		l.sockets = append(l.sockets, s)
		if len(l.sockets) == 1 {
			// Port 0: the others join the port that the first one got.
			l.Addr = addrPort(pc.LocalAddr())
			addr = bind{addr: l.bind.addr, port: l.Addr.Port()}.String()
		}
	}
	return nil
}

// start begins to read or to accept.
func (l *listener) start() {
	for _, s := range l.sockets {
		s.start()
	}
	if l.accept != nil {
		l.t.wg.Go(l.serve)
	}
}

// finish ends what start began. UDP sockets are closed a little later, when
// what is posted is sent.
func (l *listener) finish() error {
	for _, s := range l.sockets {
		s.finish()
	}
	if l.accept != nil {
		return l.accept.Close()
	}
	return nil
}

// close closes the sockets at once.
func (l *listener) close() error {
	var errs []error
	for _, s := range l.sockets {
		errs = append(errs, s.conn.Close())
	}
	if l.accept != nil {
		errs = append(errs, l.accept.Close())
	}
	return errors.Join(errs...)
}

// flow returns the UDP flow between l and remote.
func (l *listener) flow(remote netip.AddrPort) flow.Flow {
	return flow.Flow{Node: l.t.opts.Node, Listener: l.Name, Transport: l.Transport, Remote: remote}
}

// dialFrom returns the local address for connections that leave on behalf of l.
func (l *listener) dialFrom() string {
	if l.bind.wildcard() {
		return ""
	}
	return net.JoinHostPort(l.Addr.Addr().String(), strconv.Itoa(0))
}

// addrPort returns a socket's address as a value; IPv4 is never mapped into
// IPv6.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	case nil:
		return ap
	default:
		ap, _ = netip.ParseAddrPort(fmt.Sprint(a))
	}
	return unmap(ap)
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
