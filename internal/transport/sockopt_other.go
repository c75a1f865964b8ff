//go:build !linux

package transport

import (
	"errors"
	"time"
)

// defaultSockets is one: see setReusePort.
func defaultSockets() int { return 1 }

// setReusePort fails: elsewhere the option does not spread datagrams, or not
// by peer. Configure one socket for each listener.
func setReusePort(uintptr) error {
	return errors.New("several sockets on one address need Linux")
}

// setUserTimeout does nothing: keep-alive probes find a dead peer, only later.
func setUserTimeout(uintptr, time.Duration) error { return nil }
