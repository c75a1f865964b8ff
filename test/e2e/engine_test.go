//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An engine is a real rtpengine, with the configuration that docs/media.md shows.
type engine struct {
	t    *testing.T
	addr string // host:port for commands
	cmd  *exec.Cmd
	log  *safeBuffer
}

func startEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{t: t, addr: fmt.Sprintf("127.0.0.1:%d", freePort(t)), log: &safeBuffer{}}
	e.start()
	t.Cleanup(func() {
		e.kill()
		if t.Failed() {
			t.Logf("engine at %s:\n%s", e.addr, e.log)
		}
	})
	return e
}

// start begins the process and returns when it answers.
func (e *engine) start() {
	e.t.Helper()
	text, err := os.ReadFile("../../docs/media.md")
	if err != nil {
		e.t.Fatal(err)
	}
	_, rest, begun := strings.Cut(string(text), "```ini\n")
	config, _, ended := strings.Cut(rest, "```\n")
	// The ports below those that the system gives out: others look for free ones there.
	for _, change := range [][2]string{
		{"interface = 192.0.2.10", "interface = 127.0.0.1"},
		{"listen-ng = 127.0.0.1:2223", "listen-ng = " + e.addr},
		{"port-min = 30000", "port-min = 20000"},
		{"port-max = 39999", "port-max = 29999"},
	} {
		if !begun || !ended || !strings.Contains(config, change[0]) {
			e.t.Fatalf("docs/media.md shows no configuration of rtpengine with %q", change[0])
		}
		config = strings.Replace(config, change[0], change[1], 1)
	}
	file := filepath.Join(e.t.TempDir(), "rtpengine.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		e.t.Fatal(err)
	}
	// Calls that have ended are kept for 30 s otherwise.
	e.cmd = exec.Command("rtpengine", "--config-file="+file, "--foreground", "--log-stderr", "--delete-delay=0")
	e.cmd.Stdout, e.cmd.Stderr = e.log, e.log
	if err := e.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	if !within(patience, func() bool { return strings.Contains(e.ask("ping"), "pong") }) {
		e.t.Fatalf("rtpengine does not answer:\n%s", e.log)
	}
}

// kill ends the process as a power failure does.
func (e *engine) kill() {
	e.cmd.Process.Kill()
	e.cmd.Wait()
}

// ask sends a command that needs no more than its name and returns the answer, "" if
// none comes.
func (e *engine) ask(command string) string {
	e.t.Helper()
	c, err := net.Dial("udp", e.addr)
	if err != nil {
		e.t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprintf(c, "1-%s d7:command%d:%se", c.LocalAddr(), len(command), command); err != nil {
		return ""
	}
	b := make([]byte, 64<<10)
	// The port is closed until the engine listens.
	n, err := c.Read(b)
	if err != nil {
		return ""
	}
	_, answer, _ := bytes.Cut(b[:n], []byte(" "))
	return string(answer)
}

// has reports whether the engine knows a call.
func (e *engine) has(callID string) bool {
	e.t.Helper()
	list := e.ask("list")
	if !strings.Contains(list, "6:result2:ok") {
		e.t.Fatalf("the engine's list of calls is %q", list)
	}
	return strings.Contains(list, callID)
}
