package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// A peer that is gone is noticed a minute after the first keep-alive probe.
const (
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 4
)

// Real is the Network of this machine.
type Real struct{}

// ListenPacket implements Network.
func (Real) ListenPacket(ctx context.Context, network, addr string, reuseport bool) (net.PacketConn, error) {
	var lc net.ListenConfig
	_, port, err := net.SplitHostPort(addr)
	switch {
	case err != nil:
		return nil, err
	case reuseport && port == "0":
		// The system would give a port that another server of this user shares.
		pc, err := lc.ListenPacket(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if err := share(pc); err != nil {
			return nil, errors.Join(err, pc.Close())
		}
		return pc, nil
	case reuseport:
		lc.Control = func(_, _ string, raw syscall.RawConn) error {
			return control(raw, setReusePort)
		}
	}
	return lc.ListenPacket(ctx, network, addr)
}

// share lets others join the address of a socket that is bound.
func share(pc net.PacketConn) error {
	c, ok := pc.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T has no socket", pc)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, setReusePort)
}

// Listen implements Network.
func (Real) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1} // tune sets it on each connection.
	return lc.Listen(ctx, network, addr)
}

// DialContext implements Network.
func (Real) DialContext(ctx context.Context, network, laddr, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if laddr != "" {
		local, err := net.ResolveTCPAddr(network, laddr)
		if err != nil {
			return nil, fmt.Errorf("local address: %w", err)
		}
		d.LocalAddr = local
	}
	return d.DialContext(ctx, network, addr)
}

// tune sets the options of a TCP connection; other connections have none.
func (t *Transport) tune(nc net.Conn) error {
	c, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	if err := c.SetNoDelay(true); err != nil {
		return err
	}
	if err := c.SetKeepAliveConfig(net.KeepAliveConfig{
		Enable:   t.opts.KeepAlive > 0,
		Idle:     t.opts.KeepAlive,
		Interval: keepAliveInterval,
		Count:    keepAliveCount,
	}); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd uintptr) error { return setUserTimeout(fd, t.opts.UserTimeout) })
}

// control runs fn on the file descriptor of raw.
func control(raw syscall.RawConn, fn func(fd uintptr) error) error {
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = fn(fd) }); err != nil {
		return err
	}
	return inner
}
