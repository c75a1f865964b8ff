package admin

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peer names the user at the other end of a connection to the control socket.
func peer(c net.Conn) string {
	const unknown = "unknown user"
	u, ok := c.(*net.UnixConn)
	if !ok {
		return unknown
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return unknown
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || failed != nil {
		return unknown
	}
	return fmt.Sprintf("uid %d", cred.Uid)
}
