package main

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/configs"
)

// A manager is what a service manager hears.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	// A folder of its own: the name of the test is too long for a socket's path.
	dir, err := os.MkdirTemp("", "notify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &manager{t: t, path: filepath.Join(dir, "n")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.conn.Close() })
	return m
}

// next is the next state that it was told.
func (m *manager) next() string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		m.t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := m.conn.Read(b)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b[:n])
}

// TestServe_TellsTheServiceManager: ready when it serves, reloading and ready again,
// stopping as soon as it is asked to end.
func TestServe_TellsTheServiceManager(t *testing.T) {
	m, f, signals := newManager(t), newFakeServer(), make(chan os.Signal, 1)
	p := program{
		signals: signals, lookupEnv: variables("NOTIFY_SOCKET=" + m.path),
		newServer: func(*configs.Config, *slog.Logger, reloader) (server, error) { return f, nil },
	}
	ended := make(chan int, 1)
	go func() {
		code, _, _ := runWith(p, "serve")
		ended <- code
	}()
	heard := []string{m.next()}
	signals <- syscall.SIGHUP
	heard = append(heard, m.next(), m.next())
	signals <- syscall.SIGTERM
	heard = append(heard, m.next())
	if d := cmp.Diff([]string{notifyReady, notifyReloading, notifyReady, notifyStopping}, heard); d != "" {
		t.Error(d)
	}
	if code := <-ended; code != exitOK {
		t.Errorf("code %d", code)
	}
}

// TestServe_FeedsTheWatchdog: also while it stops, which takes as long as calls do.
func TestServe_FeedsTheWatchdog(t *testing.T) {
	m, f, signals := newManager(t), newFakeServer(), make(chan os.Signal, 1)
	f.release = make(chan struct{})
	p := program{
		signals: signals, lookupEnv: variables("NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=30000"),
		newServer: func(*configs.Config, *slog.Logger, reloader) (server, error) { return f, nil },
	}
	ended := make(chan int, 1)
	go func() {
		code, _, _ := runWith(p, "serve")
		ended <- code
	}()
	// hear reads until it has heard want, and then one sign of life.
	hear := func(want string) {
		t.Helper()
		for m.next() != want {
		}
		for m.next() != notifyAlive {
		}
	}
	hear(notifyReady)
	signals <- syscall.SIGTERM
	hear(notifyStopping)
	close(f.release)
	if code := <-ended; code != exitOK {
		t.Errorf("code %d", code)
	}
}

// TestNotifier_Watchdog: what the environment says, and what it does not.
func TestNotifier_Watchdog(t *testing.T) {
	tests := []struct {
		name  string
		env   []string
		feeds bool
	}{
		{"no manager", nil, false},
		{"no socket", []string{"WATCHDOG_USEC=60000000"}, false},
		{"no watchdog", []string{"NOTIFY_SOCKET=/nowhere"}, false},
		{"no number", []string{"NOTIFY_SOCKET=/nowhere", "WATCHDOG_USEC=soon"}, false},
		{"nothing", []string{"NOTIFY_SOCKET=/nowhere", "WATCHDOG_USEC=0"}, false},
		{"watchdog", []string{"NOTIFY_SOCKET=/nowhere", "WATCHDOG_USEC=60000000"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, stop := program{lookupEnv: variables(tt.env...)}.notifier(slog.New(slog.DiscardHandler))
			defer stop()
			if got := n.alive != nil; got != tt.feeds {
				t.Errorf("feeds the watchdog: %v, want %v", got, tt.feeds)
			}
			// Nobody listens there: that stops nothing.
			n.tell(notifyReady)
		})
	}
}

// variables is a lookupEnv that knows these, each NAME=value.
func variables(list ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, v := range list {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}
