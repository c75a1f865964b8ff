package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestInterruptible(t *testing.T) {
	signals := make(chan os.Signal, 1)
	var said bytes.Buffer
	p := program{signals: signals, stderr: &said}
	obeys := func(ctx context.Context) error {
		signals <- syscall.SIGINT
		<-ctx.Done()
		return ctx.Err()
	}
	if err := p.interruptible(t.Context(), obeys); !errors.Is(err, context.Canceled) {
		t.Errorf("one that obeys = %v", err)
	}
	if !strings.Contains(said.String(), "once more to end at once") {
		t.Errorf("said %q", &said)
	}
	release := make(chan struct{})
	defer close(release)
	stubborn := func(ctx context.Context) error {
		signals <- syscall.SIGINT
		<-ctx.Done()
		signals <- syscall.SIGINT
		<-release
		return nil
	}
	if err := p.interruptible(t.Context(), stubborn); !errors.Is(err, errInterrupted) {
		t.Errorf("one that does not = %v", err)
	}
	if err := p.interruptible(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("without a signal = %v", err)
	}
}

// TestBackup_Interrupted: the server hears that nobody waits any more.
func TestBackup_Interrupted(t *testing.T) {
	dir, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	signals, heard := make(chan os.Signal, 1), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		r.Body.Read(make([]byte, 1000)) // The end of the connection shows when the body was read.
		signals <- syscall.SIGINT
		<-r.Context().Done()
		close(heard)
	})}
	go srv.Serve(l) // It ends with Close.
	defer srv.Close()
	code, _, stderr := runWith(program{signals: signals}, "bindings", "backup", "--store", dir, filepath.Join(dir, "copy"))
	if code != exitFailed {
		t.Errorf("backup = %d, %q", code, stderr)
	}
	<-heard
}
