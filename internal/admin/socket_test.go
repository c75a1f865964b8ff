package admin

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// socketPath is a path short enough for a socket, whatever the test is called.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "c")
}

// control starts a server with a control socket, and an address if there is one.
func control(t *testing.T, o Options) *Server {
	t.Helper()
	r := prometheus.NewRegistry()
	o.Gatherer, o.Registerer, o.Ready = r, r, func() error { return nil }
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return s
}

// over returns a client that reaches the server on the socket.
func over(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
}

func post(t *testing.T, c *http.Client, url, body string) (status int, answer string) {
	t.Helper()
	resp, err := c.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestSocket_OnlyTheOwnerOpensIt(t *testing.T) {
	path := socketPath(t)
	s := control(t, Options{Socket: path})
	if s.Addr() != nil {
		t.Errorf("Addr = %v without an address", s.Addr())
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket has mode %v, %v; want 0600", info.Mode(), err)
	}
	resp, err := over(path).Get("http://localhost/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET /healthz over the socket = %d", resp.StatusCode)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket after Stop: %v", err)
	}
}

func TestSocket_WhatIsThereAlready(t *testing.T) {
	tests := []struct {
		name  string
		place func(t *testing.T, path string)
		says  string // empty: the socket is made
	}{
		{"left by a process that is gone", func(t *testing.T, path string) {
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			l.Close()
		}, ""},
		{"of another server", func(t *testing.T, path string) { control(t, Options{Socket: path}) }, "another process serves"},
		{"a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is no socket"},
		{"a link to a file", func(t *testing.T, path string) {
			if err := os.Symlink("/etc/passwd", path); err != nil {
				t.Fatal(err)
			}
		}, "is no socket"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := socketPath(t)
			tt.place(t, path)
			before, _ := os.Lstat(path)
			l, err := listenSocket(path)
			if tt.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				l.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("listenSocket: %v, want one that says %q", err, tt.says)
			}
			if after, err := os.Lstat(path); err != nil || after.Mode() != before.Mode() {
				t.Errorf("what was there is no longer: %v", err)
			}
		})
	}
}

func TestSocket_PathTooLong(t *testing.T) {
	_, err := New(Options{
		Socket: "/" + strings.Repeat("x", maxSocketPath), Gatherer: prometheus.NewRegistry(), Ready: func() error { return nil },
	})
	if err == nil || !strings.Contains(err.Error(), "108 bytes, a socket's path may have 107") {
		t.Errorf("New: %v", err)
	}
}
