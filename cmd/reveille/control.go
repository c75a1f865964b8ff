package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"reveille/internal/admin"
)

// A control is the way to a running server: its control socket, or its address.
type control struct {
	name   string // of the socket or the server, for errors
	base   string // URL before the paths of the API
	token  string // empty on the socket
	client *http.Client
	// patient: the answer may take as long as it wants.
	patient bool
}

var errNoSocket = errors.New("the server has no control socket (control.socket) to be asked over; hint: name its address by --server URL")

// Bounds of one question.
const (
	connectTime = 10 * time.Second
	answerTime  = 30 * time.Second
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 16 << 20
	// maxProblem bounds what a server says about a failure, in bytes.
	maxProblem = 64 << 10
	// maxLine bounds one that it says in plain text.
	maxLine = 200
)

// controlOn returns the way over a control socket.
func controlOn(socket string) control {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: connectTime}).DialContext(ctx, "unix", socket)
	}
	// The host's name is not looked at: the socket is the address.
	return control{name: socket, base: "http://localhost", client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}}
}

// controlAt returns the way to a server over the network.
func controlAt(base *url.URL, cfg *tls.Config, token string) control {
	return control{name: base.Host, base: base.String(), token: token, client: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true,
			DialContext: (&net.Dialer{Timeout: connectTime}).DialContext, TLSClientConfig: cfg, TLSHandshakeTimeout: connectTime,
		},
		// The server redirects nowhere: somebody else would get the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ask runs do with the way to the server that t names, until it ends or a signal
// does.
func (p program) ask(cmd *cobra.Command, t target, do func(context.Context, control) error) error {
	c, err := p.reach(t)
	if err != nil {
		return err
	}
	return p.interruptible(cmd.Context(), func(ctx context.Context) error { return do(ctx, c) })
}

// do sends a request with in as its body, unless that is nil, and reads the answer
// into out, unless that is nil. An answer that is no success is an error. If there
// is no server the error is one that noServer knows.
func (c control) do(ctx context.Context, method, path string, in, out any) error {
	if !c.patient {
		wait := answerTime
		if method != http.MethodGet {
			wait += admin.MaxWait // A wake takes its time.
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, wait, fmt.Errorf("no answer within %s", wait))
		defer cancel()
	}
	var body io.Reader = http.NoBody
	header := http.Header{"Accept": {"application/json"}}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
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
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read the answer of the server on %s: %w", c.name, notRead(cause(ctx, err)))
	}
	return nil
}

// notRead says why an answer cannot be read.
func notRead(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fmt.Errorf("it is longer than %d MiB", maxAnswer>>20)
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%w; hint: is that a reveille, and of this version?", cleaned(err))
	}
	return cleaned(err)
}

// open sends a request and returns an answer that is a success; the caller closes its
// body. The errors are those of do.
func (c control) open(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // The rest is the URL, which says nothing on a socket.
		}
		return nil, fmt.Errorf("ask the server on %s: %w%s", c.name, cleaned(cause(ctx, err)), mend(err))
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, fmt.Errorf("the server on %s: %w%s", c.name, problemOf(resp), c.mendStatus(resp.StatusCode))
	}
	return resp, nil
}

// cause is err, or why ctx ended if that is what err is about.
func cause(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	return err
}

// noServer reports whether err of do says that nobody listens.
func noServer(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// mend says what to do about an error below HTTP.
func mend(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		expired x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	switch {
	case noServer(err):
		return "; hint: start the server, or look whether it listens there"
	case errors.Is(err, fs.ErrPermission):
		return "; hint: run this as the user that runs the server, or as root"
	case errors.As(err, &unknown):
		return "; hint: name who signed the server's certificate by --cacert FILE"
	case errors.As(err, &name):
		return "; hint: write a name of its certificate in --server"
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return "; hint: renew the server's certificate (http.tls)"
	case errors.As(err, &record):
		return "; hint: no TLS is spoken there: write http:// in --server, or set http.tls of the server"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "; hint: no TLS is spoken there: set http.tls of the server"
	case strings.Contains(err.Error(), "certificate required"):
		return "; hint: name a certificate of yours by --cert FILE and --key FILE"
	}
	return ""
}

// mendStatus says what to do about an answer.
func (c control) mendStatus(status int) string {
	switch {
	case status == http.StatusUnauthorized && c.token == "":
		return "; hint: name a token by --token-file FILE (" + envToken + "), or a certificate by --cert and --key"
	case status == http.StatusUnauthorized:
		return "; hint: the token must be one of http.tokens of that server"
	case status == http.StatusForbidden:
		return "; hint: use a token or certificate with a higher role (http.tokens, http.certificates)"
	}
	return ""
}

// problemOf returns what the server says went wrong.
func problemOf(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem)) // As far as it came.
	var p admin.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Detail == "" {
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") && len(body) < maxLine {
			return errors.New(visible(resp.Status + ": " + strings.TrimSpace(string(body))))
		}
		return errors.New(visible(resp.Status))
	}
	return errors.New(visibleText(p.Title + ": " + p.Detail))
}

// cleaned is err with a text that does nothing to a terminal: a part of it may be
// what a stranger answered.
func cleaned(err error) error {
	if s := visibleText(err.Error()); s != err.Error() {
		return errors.New(s)
	}
	return err
}
