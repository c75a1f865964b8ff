package hook

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/internal/httpclient"
)

// warnEvery is the pause between two warnings: a program that is away has as many
// questions without an answer as phones come.
const warnEvery = time.Minute

// Defaults of Options.
const (
	DefaultTimeout    = time.Second
	DefaultMaxPending = 256
)

// Options configure a Client. Name and URL are required.
type Options struct {
	// Name is the hook's in metrics and logs.
	Name string
	// URL is where questions are posted, http or https.
	URL string
	// Bearer is sent as "Authorization: Bearer …" (RFC 6750 §2.1); empty sends
	// nothing.
	Bearer string
	// RootCAs are believed in, and nobody else; nil: the system's.
	RootCAs *x509.CertPool
	// Timeout bounds one question; 0 means DefaultTimeout.
	Timeout time.Duration
	// MaxPending bounds the questions and connections that are open at one time;
	// 0 means DefaultMaxPending.
	MaxPending int
	// Logger takes the lines about a program that cannot be asked; nil drops them.
	Logger *slog.Logger
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
}

// Errors of a question that was not asked.
var (
	// ErrBusy says that MaxPending questions are open.
	ErrBusy = errors.New("hook: too many questions are open")
	// ErrClosed says that the Client was closed.
	ErrClosed = errors.New("hook: closed")
)

// errInvalid wraps what is wrong with an answer.
var errInvalid = errors.New("invalid answer")

// A Client asks one program. It is safe for concurrent use.
type Client struct {
	max     int
	client  *httpclient.Client
	log     *slog.Logger
	metrics *metrics
	// warned is when the log last said that there was no answer, in Unix
	// nanoseconds.
	warned atomic.Int64

	asking context.Context // ends with Close
	cancel context.CancelFunc
	open   sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	pending int
	closed  bool
}

// New returns a Client. It connects when it is asked.
func New(o Options) (*Client, error) {
	if o.Name == "" {
		return nil, errors.New("hook: Name is required")
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxPending <= 0 {
		o.MaxPending = DefaultMaxPending
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	client, err := httpclient.New(httpclient.Options{
		URL: o.URL, Bearer: o.Bearer, RootCAs: o.RootCAs, Timeout: o.Timeout, MaxConns: o.MaxPending,
	})
	if err != nil {
		return nil, fmt.Errorf("hook: %w", err)
	}
	c := &Client{max: o.MaxPending, client: client, log: o.Logger.With("hook", o.Name)}
	c.metrics = newMetrics(o.Registerer, o.Name, c)
	c.asking, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close ends all questions, waits until whoever asked was told, and closes the
// connections.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.open.Wait()
	c.client.Close()
	return nil
}

// Pending returns how many questions are open.
func (c *Client) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending
}

// start runs fn, which asks a question, unless too many are open.
func (c *Client) start(fn func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case c.pending >= c.max:
		return ErrBusy
	}
	c.pending++
	// Close waits for it, and ends it.
	c.open.Go(fn)
	return nil
}

func (c *Client) end() {
	c.mu.Lock()
	c.pending--
	c.mu.Unlock()
}

// An answer is what a program says.
type answer interface {
	// check reports what is wrong with it.
	check() error
	// result names it in the metrics.
	result() string
}

// ask posts question, which may be shared, and calls done exactly once: inline if
// there is no asking, else on a goroutine of the Client, on which it must not
// wait. A is the type to read, PA the pointer to it.
func ask[A any, PA interface {
	*A
	answer
}](c *Client, question any, done func(A, error)) {
	err := c.start(func() {
		began := time.Now()
		got := new(A)
		err := c.post(question, PA(got))
		c.metrics.seconds.Observe(time.Since(began).Seconds())
		c.end()
		c.told(err, PA(got))
		if err != nil {
			// Half an answer is none.
			got = new(A)
		}
		done(*got, err)
	})
	if err != nil {
		c.told(err, nil)
		var none A
		done(none, err)
	}
}

// told counts how a question ended, and logs at most once in warnEvery that there
// was no answer.
func (c *Client) told(err error, a answer) {
	result := "error"
	switch {
	case err == nil:
		result = a.result()
	case errors.Is(err, ErrBusy):
		result = "full"
	case errors.Is(err, ErrClosed), errors.Is(err, context.Canceled):
		result = "stopped"
	case errors.Is(err, context.DeadlineExceeded):
		result = "timeout"
	case errors.Is(err, errInvalid):
		result = "invalid"
	}
	c.metrics.requests.WithLabelValues(result).Inc()
	if err == nil || result == "stopped" {
		return
	}
	now, last := time.Now().UnixNano(), c.warned.Load()
	if now-last >= int64(warnEvery) && c.warned.CompareAndSwap(last, now) {
		c.log.Warn("a hook gave no answer", "err", err)
	}
}

// post asks question and reads the answer into a. Its errors hold nothing of what
// came.
func (c *Client) post(question any, a answer) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	reply, err := c.client.Post(c.asking, body, nil)
	switch {
	case errors.Is(err, httpclient.ErrTooLarge):
		return fmt.Errorf("%w: %w", errInvalid, err)
	case err != nil:
		return err
	case reply.Status != http.StatusOK:
		return fmt.Errorf("the answer is %d", reply.Status)
	case json.Unmarshal(reply.Body, a) != nil:
		return fmt.Errorf("%w: not the JSON object that was asked for", errInvalid)
	}
	if err := a.check(); err != nil {
		return fmt.Errorf("%w: %w", errInvalid, err)
	}
	return nil
}
