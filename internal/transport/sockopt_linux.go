package transport

import (
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// defaultSockets is one for each thread that can run.
func defaultSockets() int { return min(runtime.GOMAXPROCS(0), maxSockets) }

// setReusePort lets several sockets share an address; the kernel spreads the
// peers over them by a hash of the addresses.
func setReusePort(fd uintptr) error {
	return os.NewSyscallError("setsockopt SO_REUSEPORT", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}

// setUserTimeout ends a connection whose bytes stay unacknowledged for d.
func setUserTimeout(fd uintptr, d time.Duration) error {
	return os.NewSyscallError("setsockopt TCP_USER_TIMEOUT", unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds())))
}
