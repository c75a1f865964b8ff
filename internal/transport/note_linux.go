package transport

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file reads what the kernel says of a datagram beside its bytes: when it came,
// and how many were lost before it because the socket's buffer was full. While the
// reader gets no processor, it is there that messages wait.

// A note has room for both as control messages (struct cmsghdr and its data): a time,
// and the count, which the kernel adds from the first loss on.
type note struct {
	time struct {
		unix.Cmsghdr
		unix.Timespec
	}
	count struct {
		unix.Cmsghdr
		n uint32
	}
}

const (
	// noteTime is how much of a note is a time alone.
	noteTime = int(unsafe.Offsetof(note{}.count))
	// noteLen is the length of a whole note, without what fills it up.
	noteLen = noteTime + int(unsafe.Offsetof(note{}.count.n)) + 4
)

// askNotes has the kernel tell both of each datagram of a socket. Where it cannot,
// nothing is known of what waits and what is lost, which is no reason not to serve.
func askNotes(fd uintptr) {
	for _, opt := range [...]int{unix.SO_TIMESTAMPNS, unix.SO_RXQ_OVFL} {
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, opt, 1) //nolint:errcheck // as said
	}
}

// read puts into d what the kernel wrote, the first size bytes of n.
func (n *note) read(size int, d *datagram) {
	d.stamp, d.lost = 0, 0
	// The kernel puts the time first.
	if size < noteTime || n.time.Level != unix.SOL_SOCKET || n.time.Type != unix.SO_TIMESTAMPNS {
		return
	}
	d.stamp = n.time.Nano()
	if size >= noteLen && n.count.Level == unix.SOL_SOCKET && n.count.Type == unix.SO_RXQ_OVFL {
		d.lost = n.count.n
	}
}
