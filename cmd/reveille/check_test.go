package main

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"reveille/configs"
	"reveille/internal/app"
)

// fussy is a program whose server refuses every configuration.
func fussy() program {
	return program{
		check:    func(*configs.Config) error { return errors.Join(errors.New("no key"), errors.New("no route")) },
		warnings: func(*configs.Config) []string { return []string{"odd"} },
	}
}

func TestCheck_TellsWhatTheServerWouldRefuse(t *testing.T) {
	file := write(t, "domains: [example.com]\n")
	code, stdout, stderr := runWith(fussy(), "check", file)
	if want := file + ": warning: odd\n" + file + ": no key\n" + file + ": no route\n"; code != exitInvalid || stdout != "" || stderr != want {
		t.Errorf("check = %d, %q, %q, want %d, %q", code, stdout, stderr, exitInvalid, want)
	}
}

func TestCheck_IsNotAskedAboutABadFile(t *testing.T) {
	code, _, stderr := runWith(fussy(), "check", write(t, "wat: 1\n"))
	if code != exitInvalid || strings.Contains(stderr, "no key") || !strings.Contains(stderr, "wat: unknown key") {
		t.Errorf("check = %d, %q", code, stderr)
	}
}

func TestCheck_ServeAsksTheSame(t *testing.T) {
	p := fussy()
	p.newServer = func(*configs.Config, *slog.Logger, reloader) (server, error) {
		t.Error("a server was built")
		return newFakeServer(), nil
	}
	code, _, stderr := runWith(p, "serve", "--config", write(t, "domains: [example.com]\n"))
	if code != exitInvalid || !strings.Contains(stderr, ": no route\n") || !strings.Contains(stderr, ": warning: odd\n") {
		t.Errorf("serve = %d, %q", code, stderr)
	}
}

func TestCheck_ReloadAsksTheSame(t *testing.T) {
	file := write(t, "push: {silent_wait: 8s}\n")
	f, signals := newFakeServer(), make(chan os.Signal)
	asked := make(chan struct{}, 2)
	p := program{
		signals:   signals,
		newServer: func(*configs.Config, *slog.Logger, reloader) (server, error) { return f, nil },
		check: func(cfg *configs.Config) error {
			asked <- struct{}{}
			if len(asked) == 2 {
				return errors.New("key file is gone")
			}
			return nil
		},
	}
	done := make(chan string)
	go func() {
		_, _, stderr := runWith(p, "serve", "--config", file)
		done <- stderr
	}()
	signals <- syscall.SIGHUP
	signals <- syscall.SIGTERM
	stderr := <-done
	if !strings.Contains(stderr, "configuration not reloaded") || !strings.Contains(stderr, "key file is gone") {
		t.Errorf("log %s", stderr)
	}
	if got := strings.Join(f.calls, " "); got != "start unreadable stop" {
		t.Errorf("calls %q, want no reload", got)
	}
}

// TestCheck_WithTheServer runs the check that the binary has.
func TestCheck_WithTheServer(t *testing.T) {
	p := program{check: app.Check, warnings: app.Warnings}
	file := write(t, "push: {trigger_interval: 2h}\nlisten: [{name: udp, transport: udp, addr: '127.0.0.1:5060'}]\n")
	code, _, stderr := runWith(p, "check", file)
	if code != exitInvalid || !strings.Contains(stderr, file+": registrar policy: push min expires") ||
		!strings.Contains(stderr, file+`: warning: listener "udp" listens on UDP 127.0.0.1:5060, but no listener on TCP`) {
		t.Errorf("check = %d, %q", code, stderr)
	}
	if code, stdout, stderr := runWith(p, "check", write(t, string(configs.Reference()))); code != exitOK || stderr != "" {
		t.Errorf("check of the defaults = %d, %q, %q", code, stdout, stderr)
	}
}
