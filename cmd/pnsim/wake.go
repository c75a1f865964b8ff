package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"reveille/push/pushsim"
)

// wakeTimeout bounds one command; a phone that takes longer is not waited for.
const wakeTimeout = time.Minute

// waker runs a command for each push. What comes while the limit is reached is
// not run, like a push to a phone that is busy.
type waker struct {
	command string
	log     *slog.Logger
	slots   chan struct{}
	cancel  context.CancelFunc
	start   func(p pushsim.Push)

	// mu guards stopped, and that nothing is added to running after it was set.
	mu      sync.Mutex
	stopped bool
	running sync.WaitGroup
}

func newWaker(command string, limit int, log *slog.Logger) *waker {
	ctx, cancel := context.WithCancel(context.Background())
	w := &waker{command: command, log: log, slots: make(chan struct{}, limit), cancel: cancel}
	w.start = func(p pushsim.Push) { w.run(ctx, p) }
	return w
}

// stop ends the commands that run and waits for them. Later pushes run none.
func (w *waker) stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.cancel()
	w.running.Wait()
}

// push starts the command and does not wait for it.
func (w *waker) push(p pushsim.Push) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.command == "" || w.stopped {
		return
	}
	select {
	case w.slots <- struct{}{}:
	default:
		// No queue: a wake that comes late is of no use.
		w.log.Warn("wake command not run: too many are running", "push_id", p.PushID)
		return
	}
	w.running.Go(func() {
		defer func() { <-w.slots }()
		w.start(p)
	})
}

// run is one wake. What the command leaves in the background, such as a phone,
// goes on without us.
func (w *waker) run(ctx context.Context, p pushsim.Push) {
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", w.command)
	cmd.Env = append(os.Environ(),
		"PNSIM_PROVIDER="+p.Provider, "PNSIM_TOKEN="+p.Token, "PNSIM_KIND="+p.Kind,
		"PNSIM_PUSH_ID="+p.PushID, "PNSIM_APP="+p.App, "PNSIM_PUSH_TYPE="+p.PushType)
	// At the end of ctx the shell's children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	// Who ignores SIGTERM is killed.
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil {
		w.log.Warn("wake command", "push_id", p.PushID, "err", err)
		return
	}
	w.log.Info("wake command ended", "push_id", p.PushID)
}
