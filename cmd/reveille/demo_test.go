package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/emiago/sipgo/sip"

	"reveille/internal/demo"
	"reveille/internal/phone"
	"reveille/push/pushsim"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(serveConfig); file != "" {
		os.Exit(serveForTest(file))
	}
	if file := os.Getenv(addUsers); file != "" {
		os.Exit(addForTest(file))
	}
	phone.AllowLargeDatagrams()
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// demoWith is the demonstration with a push service that behaves so.
func demoWith(kind pushsim.FaultKind) program {
	return program{demo: func(ctx context.Context, out io.Writer) error {
		return demo.Run(ctx, demo.Options{Out: out, Fault: pushsim.Fault{Kind: kind}})
	}}
}

func TestDemo_PhoneRings(t *testing.T) {
	code, stdout, stderr := runWith(demoWith(pushsim.Accept), "demo")
	if code != exitOK || stderr != "" || !regexp.MustCompile(`\nphone rang \d+ ms after the push\n$`).MatchString(stdout) {
		t.Errorf("demo = %d\nstdout %s\nstderr %s", code, stdout, stderr)
	}
}

func TestDemo_PushServiceRefuses(t *testing.T) {
	code, stdout, stderr := runWith(demoWith(pushsim.Refuse), "demo")
	if code != exitFailed || !strings.Contains(stderr, "reveille: the phone did not ring") || strings.Contains(stdout, "phone rang") {
		t.Errorf("demo = %d, want %d\nstdout %s\nstderr %s", code, exitFailed, stdout, stderr)
	}
}

func TestDemo_SignalEndsIt(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGINT
	p := program{signals: signals, demo: func(ctx context.Context, _ io.Writer) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	if code, _, _ := runWith(p, "demo"); code != exitFailed {
		t.Errorf("demo = %d, want %d", code, exitFailed)
	}
}

func TestDemo_ColourOnTerminalsOnly(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, out := range map[string]io.Writer{"a buffer": &bytes.Buffer{}, "a file": file} {
		if isTerminal(out) {
			t.Errorf("%s is taken for a terminal", name)
		}
	}
}
