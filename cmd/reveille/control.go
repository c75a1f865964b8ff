package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"reveille/internal/admin"
)

// A control is the way to a running server: its control socket.
type control struct{ socket string }

var errNoSocket = errors.New("the server has no control socket (control.socket) to be asked over")

// server returns the way to the server that --config or --store name.
func (p program) server(file, store string) (control, error) {
	cfg, err := p.stored(file, store)
	if err != nil {
		return control{}, err
	}
	socket := cfg.ControlSocket()
	if socket == "" {
		return control{}, errNoSocket
	}
	return control{socket}, nil
}

// do sends a request with in as its body, unless that is nil, and reads the answer
// into out, unless that is nil. An answer that is no success is an error. If there
// is no server the error is one that noServer knows.
func (c control) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	header := http.Header{}
	if in != nil {
		header.Set("Content-Type", "application/json")
	}
	resp, err := c.open(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer of the server on %s: %w", c.socket, err)
	}
	return nil
}

// open sends a request and returns an answer that is a success; the caller closes its
// body. The errors are those of do.
func (c control) open(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.socket)
	}}}
	// The host's name is not looked at: the socket is the address.
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the server on %s: %w", c.socket, err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, fmt.Errorf("the server on %s: %w", c.socket, problemOf(resp))
	}
	return resp, nil
}

// noServer reports whether err of do says that nobody listens on the socket.
func noServer(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// problemOf returns what the server says went wrong.
func problemOf(resp *http.Response) error {
	var p admin.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&p); err != nil || p.Detail == "" {
		return errors.New(resp.Status)
	}
	return errors.New(p.Detail)
}
