package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// newControl serves a control socket by h until the test ends, and returns the
// configuration that names it.
func newControl(t *testing.T, h http.HandlerFunc) (config string) {
	t.Helper()
	// The path of a socket must be short.
	dir, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config = filepath.Join(dir, "r.yaml")
	if err := os.WriteFile(config, []byte("control: {socket: c}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	go srv.Serve(l) // It ends with Close.
	t.Cleanup(func() { srv.Close() })
	return config
}
