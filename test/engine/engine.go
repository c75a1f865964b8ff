// Package engine starts a real rtpengine for tests, with the configuration that
// docs/media.md shows. .ci/install installs it.
package engine

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// MinPort and MaxPort bound the ports of media. They are below those that the system
// gives out: others look for free ones there.
const (
	MinPort = 20000
	MaxPort = 29999
)

// An Engine is a running one on the loopback interface.
type Engine struct {
	// Addr is where it takes commands: host:port.
	Addr string

	t   testing.TB
	cmd *exec.Cmd
	log logBuffer
}

// Start starts one that takes commands on a port that is free. It ends with the test.
func Start(t testing.TB) *Engine {
	t.Helper()
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{Addr: free.LocalAddr().String(), t: t}
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	e.Restart()
	t.Cleanup(func() {
		e.Kill()
		if t.Failed() {
			t.Logf("rtpengine at %s:\n%s", e.Addr, e.log.String())
		}
	})
	return e
}

// Restart starts the process after Kill, on the same port, and returns when it answers.
func (e *Engine) Restart() {
	e.t.Helper()
	// Calls that have ended are kept for 30 s otherwise.
	e.cmd = exec.Command("rtpengine", "--config-file="+e.configure(), "--foreground", "--log-stderr", "--delete-delay=0")
	e.cmd.Stdout, e.cmd.Stderr = &e.log, &e.log
	if err := e.cmd.Start(); err != nil {
		e.t.Fatalf("start rtpengine, which .ci/install installs: %v", err)
	}
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(e.ask("ping"), "pong") {
		if <-tick.C; time.Now().After(deadline) {
			e.t.Fatalf("rtpengine does not answer:\n%s", e.log.String())
		}
	}
}

// configure writes what docs/media.md shows, for this engine.
func (e *Engine) configure() (file string) {
	e.t.Helper()
	text, err := os.ReadFile("../../docs/media.md")
	if err != nil {
		e.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```ini\n")
	config, _, _ := strings.Cut(rest, "```\n")
	for _, change := range [][2]string{
		{"interface = 192.0.2.10", "interface = 127.0.0.1"},
		{"listen-ng = 127.0.0.1:2223", "listen-ng = " + e.Addr},
		{"port-min = 30000", fmt.Sprint("port-min = ", MinPort)},
		{"port-max = 39999", fmt.Sprint("port-max = ", MaxPort)},
	} {
		if !strings.Contains(config, change[0]) {
			e.t.Fatalf("docs/media.md shows no configuration of rtpengine with %q", change[0])
		}
		config = strings.Replace(config, change[0], change[1], 1)
	}
	file = filepath.Join(e.t.TempDir(), "rtpengine.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		e.t.Fatal(err)
	}
	return file
}

// Kill ends the process as a power failure does.
func (e *Engine) Kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

// Has reports whether the engine knows a call.
func (e *Engine) Has(callID string) bool {
	e.t.Helper()
	list := e.ask("list")
	if !strings.Contains(list, "6:result2:ok") {
		e.t.Fatalf("the engine's list of calls is %q", list)
	}
	return strings.Contains(list, callID)
}

// ask sends a command that needs no more than its name and returns the answer, "" if
// none comes.
func (e *Engine) ask(command string) string {
	e.t.Helper()
	c, err := net.Dial("udp", e.Addr)
	if err != nil {
		e.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		e.t.Fatal(err)
	}
	// Until the engine listens, the port is closed.
	if _, err := fmt.Fprintf(c, "%d d7:command%d:%se", time.Now().UnixNano(), len(command), command); err != nil {
		return ""
	}
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	if err != nil {
		return ""
	}
	_, answer, _ := bytes.Cut(b[:n], []byte(" "))
	return string(answer)
}

// logBuffer collects what the process writes.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
