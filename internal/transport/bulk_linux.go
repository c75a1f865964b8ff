package transport

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newBulk returns a bulk of conn: by recvmmsg and sendmmsg if it is a socket of
// the system.
func newBulk(conn packetConn) (bulk, error) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return single{conn}, nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	return newMmsg(raw)
}

func newMmsg(raw syscall.RawConn) (*mmsg, error) {
	m := &mmsg{raw: raw}
	if err := control(raw, func(fd uintptr) error {
		family, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		m.v6 = family == unix.AF_INET6
		askNotes(fd)
		return os.NewSyscallError("getsockopt SO_DOMAIN", err)
	}); err != nil {
		return nil, err
	}
	m.tryReceive, m.trySend = m.recvmmsg, m.sendmmsg
	for i := range m.headers {
		h := &m.headers[i].Msghdr
		h.Name = (*byte)(unsafe.Pointer(&m.names[i]))
		h.Iov = &m.vectors[i]
		h.SetIovlen(1)
	}
	return m, nil
}

// An mmsg moves up to batchLen datagrams with one system call, and allocates
// nothing to do so.
type mmsg struct {
	raw     syscall.RawConn
	v6      bool // the socket's family is AF_INET6
	headers [batchLen]mmsghdr
	vectors [batchLen]unix.Iovec
	names   [batchLen]sockaddr
	note    note // on the first datagram of a batch

	// tryReceive and trySend are methods of the mmsg as raw wants them. They
	// work on the first n headers; count and errno are their result.
	tryReceive, trySend func(fd uintptr) bool
	n                   int
	count               int
	errno               syscall.Errno
}

// An mmsghdr is struct mmsghdr of <sys/socket.h>.
type mmsghdr struct {
	unix.Msghdr
	Len uint32
}

// A sockaddr has room for the address of an IPv6 peer, and so of an IPv4 one.
type sockaddr = unix.RawSockaddrInet6

func (m *mmsg) receive(in []datagram) (int, error) {
	m.n = min(len(in), batchLen)
	for i := range m.n {
		room := in[i].data[:cap(in[i].data)]
		m.vectors[i].Base = unsafe.SliceData(room)
		m.vectors[i].SetLen(len(room))
		m.headers[i].Namelen = unix.SizeofSockaddrInet6
	}
	// A note on each would cost 5 % more.
	first := &m.headers[0].Msghdr
	first.Control = (*byte)(unsafe.Pointer(&m.note))
	first.SetControllen(int(unsafe.Sizeof(m.note)))
	if err := m.raw.Read(m.tryReceive); err != nil {
		return 0, err
	}
	if m.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", m.errno)
	}
	for i := range m.count {
		in[i].data = in[i].data[:m.headers[i].Len]
		in[i].peer = peerOf(&m.names[i])
	}
	m.note.read(int(first.Controllen), &in[0])
	return m.count, nil
}

func (m *mmsg) send(out []datagram) (int, error) {
	m.n = min(len(out), batchLen)
	for i := range m.n {
		d := &out[i]
		m.vectors[i].Base = unsafe.SliceData(d.data)
		m.vectors[i].SetLen(len(d.data))
		m.headers[i].Namelen = setName(&m.names[i], d.peer, m.v6)
	}
	m.headers[0].Control = nil
	m.headers[0].SetControllen(0)
	if err := m.raw.Write(m.trySend); err != nil {
		return 0, err
	}
	if m.errno != 0 {
		return 0, os.NewSyscallError("sendmmsg", m.errno)
	}
	return m.count, nil
}

func (m *mmsg) recvmmsg(fd uintptr) bool { return m.call(unix.SYS_RECVMMSG, fd) }

// sendmmsg reports an error only if it belongs to the first datagram. One that
// belongs to a later one comes when that is the first of the next call.
func (m *mmsg) sendmmsg(fd uintptr) bool { return m.call(unix.SYS_SENDMMSG, fd) }

// call reports false if the socket has to become ready first. The call never
// waits, so the scheduler is not told of it: it would take a call of more than
// 20 µs for one that waits, and hand the processor to another thread each time.
func (m *mmsg) call(trap, fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(trap, fd, uintptr(unsafe.Pointer(&m.headers[0])), uintptr(m.n), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			m.count, m.errno = int(n), errno
			return errno != unix.EAGAIN
		}
	}
}

// peerOf returns the address in a name that the kernel has filled. IPv4 is
// never mapped into IPv6.
func peerOf(name *sockaddr) netip.AddrPort {
	switch name.Family {
	case unix.AF_INET:
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), networkOrder(four.Port))
	case unix.AF_INET6:
		addr := netip.AddrFrom16(name.Addr).Unmap()
		if name.Scope_id != 0 {
			// The number says the same as the interface's name, and costs no look-up.
			addr = addr.WithZone(strconv.FormatUint(uint64(name.Scope_id), 10))
		}
		return netip.AddrPortFrom(addr, networkOrder(name.Port))
	}
	return netip.AddrPort{}
}

// setName fills name with an address for a socket of IPv6, which takes IPv4
// mapped, or of IPv4, and returns its length.
func setName(name *sockaddr, to netip.AddrPort, v6 bool) uint32 {
	addr := to.Addr()
	switch {
	case !addr.IsValid():
		return 0 // The kernel says that there is no address.
	case addr.Is4() && !v6:
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(name)) = unix.RawSockaddrInet4{
			Family: unix.AF_INET, Port: networkOrder(to.Port()), Addr: addr.As4(),
		}
		return unix.SizeofSockaddrInet4
	}
	*name = sockaddr{Family: unix.AF_INET6, Port: networkOrder(to.Port()), Addr: addr.As16(), Scope_id: scope(addr.Zone())}
	return unix.SizeofSockaddrInet6
}

// scope returns the number of the interface that a zone names.
func scope(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0 // The kernel refuses a link-local address without a scope.
	}
	return uint32(i.Index)
}

// networkOrder turns a port into the byte order of a sockaddr, and back.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}
