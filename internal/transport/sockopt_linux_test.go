package transport

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// accepted is the server's end of a connection that is in use.
func accepted(t *testing.T, options ...func(*Options)) syscall.RawConn {
	t.Helper()
	r := newRecorder(t)
	tr := onLoopback(t, r, options...)
	c, err := net.Dial("tcp", tr.Addr("tcp4").String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	mustWrite(t, c, message(1, ""))
	r.until("Receive", func() bool { return len(r.messages) == 1 })
	raw, err := tr.conn(r.last()).socket.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestReal_ConnectionOptions(t *testing.T) {
	raw := accepted(t)
	for _, tc := range []struct {
		name               string
		level, option, set int
	}{
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 300},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 30_000},
	} {
		var got int
		if err := control(raw, func(fd uintptr) (err error) {
			got, err = unix.GetsockoptInt(int(fd), tc.level, tc.option)
			return err
		}); err != nil || got != tc.set {
			t.Errorf("%s = %d, %v, want %d", tc.name, got, err, tc.set)
		}
	}
}

func TestReal_NoKeepAlive(t *testing.T) {
	raw := accepted(t, func(o *Options) { o.KeepAlive = -1 })
	if err := control(raw, func(fd uintptr) error {
		got, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		if err == nil && got != 0 {
			t.Errorf("SO_KEEPALIVE = %d, want 0", got)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
