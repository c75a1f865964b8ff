package phone

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// A line is what a phone has while it is awake: a socket and a SIP stack on it.
type line struct {
	p      *Phone
	ua     *sipgo.UserAgent
	client *sipgo.Client
	laddr  sip.Addr
	host   string
	port   int
	// done is closed when the line is.
	done chan struct{}
	once sync.Once
	// socket closes what sipgo reads from.
	socket io.Closer

	regMu     sync.Mutex // one REGISTER at a time (RFC 3261 §10.2)
	regCallID string
	regSeq    uint32

	finals finals
}

// openLine opens a socket and lets sipgo read from it.
func (p *Phone) openLine(ctx context.Context) (*line, error) {
	l := &line{p: p, done: make(chan struct{}), regCallID: randomToken()}
	ua, err := sipgo.NewUA(
		sipgo.WithUserAgent("reveille-phone"),
		sipgo.WithUserAgentTransportLayerOptions(sip.WithTransportLayerLogger(p.o.Logger)),
		sipgo.WithUserAgentTransactionLayerOptions(
			sip.WithTransactionLayerLogger(p.o.Logger),
			sip.WithTransactionLayerUnhandledResponseHandler(l.answered),
		),
	)
	if err != nil {
		return nil, fmt.Errorf("open line: %w", err)
	}
	client, err := sipgo.NewClient(ua, sipgo.WithClientLogger(p.o.Logger))
	if err != nil {
		return nil, fmt.Errorf("open line: %w", err)
	}
	l.ua, l.client = ua, client
	// Not sipgo.Server: it ends a transaction when its handler returns.
	ua.TransactionLayer().OnRequest(l.request)
	switch p.o.Transport {
	case "tcp":
		err = l.dial(ctx, new(net.Dialer), ua.TransportLayer().ServeTCP)
	case "ws":
		err = l.dial(ctx, webSocket{}, ua.TransportLayer().ServeTCP)
	case "tls":
		err = l.dial(ctx, &tls.Dialer{Config: p.o.TLS}, ua.TransportLayer().ServeTLS)
	default:
		err = l.bindUDP(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("open line: %w", err)
	}
	return l, nil
}

// bindUDP takes a free port on the phone's address, or on that from which the server
// is reached.
func (l *line) bindUDP(ctx context.Context) error {
	ip := net.IP(l.p.o.Local.AsSlice())
	if ip == nil {
		probe, err := new(net.Dialer).DialContext(ctx, "udp", l.p.o.Server)
		if err != nil {
			return err
		}
		ip = probe.LocalAddr().(*net.UDPAddr).IP
		if err := probe.Close(); err != nil {
			return err
		}
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: ip})
	if err != nil {
		return err
	}
	l.socket = conn
	l.setAddr(ip, conn.LocalAddr().(*net.UDPAddr).Port)
	ready := make(chan struct{})
	served := servedConn{conn, sync.OnceFunc(func() { close(ready) })}
	l.p.work.Go(func() { _ = l.ua.TransportLayer().ServeUDP(served) })
	<-ready
	return nil
}

// A dialer is one of package net or crypto/tls, or a webSocket.
type dialer interface {
	DialContext(ctx context.Context, network, addr string) (net.Conn, error)
}

// dial connects to the server and hands the connection to sipgo as if a listener
// had accepted it: so the phone knows its own port before it sends the first
// Contact.
func (l *line) dial(ctx context.Context, d dialer, serve func(net.Listener) error) error {
	conn, err := d.DialContext(ctx, "tcp", l.p.o.Server)
	if err != nil {
		return err
	}
	addr := conn.LocalAddr().(*net.TCPAddr)
	l.socket = conn
	l.setAddr(addr.IP, addr.Port)
	ready := make(chan struct{})
	one := &oneConn{conn: conn, ready: sync.OnceFunc(func() { close(ready) }), done: l.done}
	l.p.work.Go(func() { _ = serve(one) })
	<-ready
	return nil
}

func (l *line) setAddr(ip net.IP, port int) {
	l.laddr = sip.Addr{IP: ip, Port: port, Hostname: ip.String()}
	l.host, l.port = ip.String(), port
	if ip.To4() == nil {
		l.host = "[" + l.host + "]"
	}
}

// close drops the socket. Whatever waits on the line is released.
func (l *line) close() {
	l.once.Do(func() {
		close(l.done)
		_ = l.socket.Close()
		_ = l.ua.Close()
	})
}

// servedConn tells when sipgo begins to read: from then on it finds the socket
// for what the phone sends.
type servedConn struct {
	net.PacketConn
	ready func()
}

func (c servedConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.ready()
	return c.PacketConn.ReadFrom(b)
}

// oneConn is a listener that accepts one connection, the one it was given. When
// it is asked for the next, the first has been set up.
type oneConn struct {
	conn  net.Conn
	given bool
	ready func()
	done  chan struct{}
}

func (o *oneConn) Accept() (net.Conn, error) {
	if !o.given {
		o.given = true
		return o.conn, nil
	}
	o.ready()
	<-o.done
	return nil, net.ErrClosed
}

func (o *oneConn) Close() error   { return nil }
func (o *oneConn) Addr() net.Addr { return o.conn.LocalAddr() }

// newRequest returns a request with all that every request has, but for From,
// To, Call-ID and CSeq. It goes to the server.
func (l *line) newRequest(method sip.RequestMethod, uri sip.Uri) *sip.Request {
	req := sip.NewRequest(method, uri)
	l.setVia(req)
	maxForwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&maxForwards)
	req.SetTransport(l.sipgoTransport())
	req.SetDestination(l.p.o.Server)
	req.Laddr = l.laddr
	return req
}

// sipgoTransport is what sipgo takes the line for.
func (l *line) sipgoTransport() string {
	if l.p.o.Transport == "ws" {
		return "TCP"
	}
	return strings.ToUpper(l.p.o.Transport)
}

// setVia gives req a Via with a new branch.
func (l *line) setVia(req *sip.Request) {
	req.RemoveHeader("Via")
	via := &sip.ViaHeader{
		ProtocolName:    "SIP",
		ProtocolVersion: "2.0",
		Transport:       strings.ToUpper(l.p.o.Transport),
		Host:            strings.Trim(l.host, "[]"),
		Port:            l.port,
	}
	via.Params.Add("branch", sip.GenerateBranchN(16))
	via.Params.Add("rport", "") // RFC 3581 §3.
	req.PrependHeader(via)
}

func setDialog(req *sip.Request, from, to, callID string, seq uint32) {
	req.AppendHeader(sip.NewHeader("From", from))
	req.AppendHeader(sip.NewHeader("To", to))
	id := sip.CallIDHeader(callID)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: req.Method})
}
