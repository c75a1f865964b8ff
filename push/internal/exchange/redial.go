package exchange

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// silence is how long a push service may answer nothing before a request that
// ran out of time makes us look for another connection.
const silence = time.Second

// A Redialer is an http.Transport to one host that leaves its connections when
// they answer nothing: the pings of HTTP/2 take 8 s to find one dead, and the
// next attempt has a phone to wake. It is safe for concurrent use.
type Redialer struct {
	// New makes a Transport. It must be set before use.
	New func() *http.Transport

	// mu guards what follows.
	mu       sync.Mutex
	current  *http.Transport // nil before the first request
	answered time.Time       // when it last did
}

// RoundTrip implements http.RoundTripper.
func (r *Redialer) RoundTrip(req *http.Request) (*http.Response, error) {
	t := r.transport()
	began := time.Now()
	resp, err := t.RoundTrip(req)
	r.note(req.Context(), t, began, err)
	return resp, err
}

func (r *Redialer) transport() *http.Transport {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current == nil {
		r.current = r.New()
	}
	return r.current
}

// note learns how a request over t that began at began ended.
func (r *Redialer) note(ctx context.Context, t *http.Transport, began time.Time, err error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	late := errors.Is(ctx.Err(), context.DeadlineExceeded) && now.Sub(began) >= silence && !r.answered.After(began)
	switch {
	case t != r.current:
		t.CloseIdleConnections() // what it was kept for has ended
	case err == nil:
		r.answered = now
	case late:
		r.current = nil
		t.CloseIdleConnections()
	}
}

// CloseIdleConnections closes those of the Transport.
func (r *Redialer) CloseIdleConnections() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current != nil {
		r.current.CloseIdleConnections()
	}
}
