package main

import (
	"log/slog"
	"net"
	"strconv"
	"time"
)

// What a service manager is told (sd_notify(3)).
const (
	notifyReady     = "READY=1"
	notifyReloading = "RELOADING=1"
	notifyStopping  = "STOPPING=1"
	notifyAlive     = "WATCHDOG=1"
)

// A notifier tells the service manager how serve is. Its zero value tells nobody.
type notifier struct {
	socket string // NOTIFY_SOCKET: a path, or @ and an abstract name
	log    *slog.Logger
	// alive ticks when it is time to say that serve's loop runs; nil: nobody asks.
	alive <-chan time.Time
}

// notifier reads from the environment who wants to know. stop ends its ticks.
//
// A service manager that was not told for WATCHDOG_USEC takes the server for dead,
// so it is told thrice as often. What is told comes from serve's loop: one that
// hangs, as in a reload that never ends, says nothing more.
func (p program) notifier(log *slog.Logger) (n notifier, stop func()) {
	if p.lookupEnv == nil {
		return notifier{}, func() {}
	}
	n.log = log
	n.socket, _ = p.lookupEnv("NOTIFY_SOCKET")
	text, _ := p.lookupEnv("WATCHDOG_USEC")
	usec, err := strconv.ParseInt(text, 10, 64)
	if n.socket == "" || err != nil || usec <= 0 {
		return n, func() {}
	}
	ticker := time.NewTicker(time.Duration(usec) * time.Microsecond / 3)
	n.alive = ticker.C
	return n, ticker.Stop
}

// tell sends one state. That nobody hears it stops nothing.
func (n notifier) tell(state string) {
	if n.socket == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		n.log.Warn("tell the service manager", "state", state, "err", err)
		return
	}
	defer func() { _ = conn.Close() }() // What was to be said was said, or not.
	// One that reads nothing must not hold up the server.
	if err = conn.SetWriteDeadline(time.Now().Add(time.Second)); err == nil {
		_, err = conn.Write([]byte(state))
	}
	if err != nil {
		n.log.Warn("tell the service manager", "state", state, "err", err)
	}
}
