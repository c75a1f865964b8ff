package apns

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// Bounds of a link.
const (
	// dialTimeout is that of an attempt: who waits longer is not there any more.
	dialTimeout = 3 * time.Second
	// refusedWait is the time before a stream that was refused is tried again
	// although the limit allows it.
	refusedWait = 20 * time.Millisecond
	// silence is how long a connection may answer nothing before a request that
	// ran out of time makes us look for another one.
	silence = time.Second
	// drainTimeout is how long what is under way on an old connection may take.
	drainTimeout = 10 * time.Second
)

// A link is the one connection to APNs, which is dialled when it is needed and
// kept. It is a RoundTripper, safe for concurrent use.
//
// http2.Transport makes connections well but chooses badly among them: it takes
// 100 streams for granted before it has read the server's SETTINGS, while Apple
// allows one until it has seen a valid token; it waits a second and more after
// a stream that was refused; it opens one connection after the other while the
// limit is low; and it goes on using one that has fallen silent. A link sends a
// request when the connection has room for it, and at once on the next
// connection if the first said that it had not looked at it.
type link struct {
	transport *http2.Transport
	dial      func(ctx context.Context) (net.Conn, error)

	// mu guards what follows.
	mu      sync.Mutex
	conn    *conn   // nil until somebody needs one, and when it is of no more use
	dialing *dialed // under way, or nil
	waiting int
	changed chan struct{} // closed when those who wait are to look again
}

// A conn is a connection and when it last answered; the link's mu guards that.
type conn struct {
	*http2.ClientConn
	answered time.Time
}

// dialed is the result of dialling; done is closed when it is there.
type dialed struct {
	done chan struct{}
	err  error
}

func newLink(addr string, config *tls.Config) *link {
	config.NextProtos = []string{http2.NextProtoTLS}
	d := &tls.Dialer{NetDialer: &net.Dialer{}, Config: config}
	return &link{
		changed: make(chan struct{}),
		transport: &http2.Transport{
			// A connection that nobody uses and that is dead is found within 8 s.
			ReadIdleTimeout: 5 * time.Second,
			PingTimeout:     3 * time.Second,
			// And one whose peer takes nothing any more.
			WriteByteTimeout: 3 * time.Second,
		},
		dial: func(ctx context.Context) (net.Conn, error) {
			c, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			if s, ok := c.(*tls.Conn); ok && s.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
				c.Close()
				return nil, errors.New("apns: server does not speak HTTP/2")
			}
			return c, nil
		},
	}
}

// RoundTrip implements http.RoundTripper.
func (l *link) RoundTrip(req *http.Request) (*http.Response, error) {
	for {
		c, err := l.reserve(req.Context())
		if err != nil {
			// A RoundTripper closes the body whatever happens.
			if req.Body != nil {
				req.Body.Close()
			}
			return nil, err
		}
		began := time.Now()
		resp, err := c.RoundTrip(req)
		l.note(req.Context(), c, began, err)
		if err == nil || req.Context().Err() != nil {
			return resp, err
		}
		wait, unseen := unprocessed(c, err)
		if !unseen {
			return nil, err
		}
		if req, err = rewind(req, err); err != nil {
			return nil, err
		}
		if wait > 0 {
			pause(req.Context(), wait)
		}
	}
}

// unprocessed reports whether err says that the server did not look at the
// request, so that it can be sent again whatever it does, and how long to wait.
func unprocessed(c *conn, err error) (wait time.Duration, ok bool) {
	// RFC 9113 §8.7: a stream that was refused was not processed.
	var se http2.StreamError
	if errors.As(err, &se) {
		return refusedWait, se.Code == http2.ErrCodeRefusedStream
	}
	// RFC 9113 §6.8: nor was one beyond the last stream of a GOAWAY. Those up to
	// it go on, and the connection stays open for them: what fails on it while it
	// is open was beyond.
	st := c.State()
	return 0, st.Closing && !st.Closed
}

// rewind makes a request that was sent fit to be sent again.
func rewind(req *http.Request, cause error) (*http.Request, error) {
	if req.Body == nil {
		return req, nil
	}
	if req.GetBody == nil {
		return nil, cause
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, fmt.Errorf("read request again: %w", err)
	}
	req = req.Clone(req.Context())
	req.Body = body
	return req, nil
}

// reserve returns a connection that has room for a request, which must follow.
func (l *link) reserve(ctx context.Context) (*conn, error) {
	l.mu.Lock()
	l.waiting++
	defer func() {
		l.waiting--
		l.mu.Unlock()
	}()
	for {
		var st http2.ClientConnState
		if l.conn != nil {
			if st = l.conn.State(); spent(l.conn, st) {
				l.conn = nil
			}
		}
		var done chan struct{} // nil never ends
		d := l.dialing
		switch {
		case l.conn == nil && d == nil:
			d = &dialed{done: make(chan struct{})}
			l.dialing = d
			// Ends after dialTimeout at the latest. It does not end with the push
			// that asked first: others may wait for the same connection.
			go l.connect(context.WithoutCancel(ctx), d)
			done = d.done
		case l.conn == nil:
			done = d.done
		// Before SETTINGS were read the limit is anybody's guess.
		case st.MaxConcurrentStreams > 0 && l.conn.ReserveNewRequest():
			return l.conn, nil
		}
		changed := l.changed
		l.mu.Unlock()
		var err error
		select {
		case <-changed:
		case <-done:
			err = d.err
		case <-ctx.Done():
			err = ctx.Err()
		}
		l.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// spent reports whether c, whose state is st, takes no more requests.
func spent(c *conn, st http2.ClientConnState) bool {
	if st.Closed || st.Closing {
		return true
	}
	// Or it ran out of stream numbers.
	return st.MaxConcurrentStreams > 0 && st.StreamsActive+st.StreamsReserved+st.StreamsPending == 0 && !c.CanTakeNewRequest()
}

// connect dials and tells those who wait for d.
func (l *link) connect(ctx context.Context, d *dialed) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := l.dial(ctx)
	var cc *http2.ClientConn
	if err == nil {
		cc, err = l.transport.NewClientConn(&reads{Conn: nc, before: l.wake})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialing, d.err = nil, err
	close(d.done)
	switch {
	case err != nil:
	case l.waiting == 0:
		cc.Close() // nobody wants it any more
	default:
		l.conn = &conn{ClientConn: cc, answered: time.Now()}
	}
}

// reads calls before each time that it is read from: the frames read until then
// have been acted upon, so that the limit may be another, or the connection
// about to close.
type reads struct {
	net.Conn
	before func()
}

func (r *reads) Read(b []byte) (int, error) {
	r.before()
	return r.Conn.Read(b)
}

// wake lets those who wait look again.
func (l *link) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting > 0 {
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// note learns how a request that began at began ended.
func (l *link) note(ctx context.Context, c *conn, began time.Time, err error) {
	l.wake()
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		c.answered = now
		return
	}
	// A connection that answers nothing is left before the pings find it dead: the
	// next attempt has a phone to wake.
	late := errors.Is(ctx.Err(), context.DeadlineExceeded) && now.Sub(began) >= silence && c.answered.Before(began)
	if late && l.conn == c {
		l.conn = nil
		go leave(context.WithoutCancel(ctx), c)
	}
}

// leave closes c when what is under way on it has ended, after drainTimeout at
// the latest.
func leave(ctx context.Context, c *conn) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if c.Shutdown(ctx) != nil {
		c.Close()
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// CloseIdleConnections closes the connection when what is under way has ended.
func (l *link) CloseIdleConnections() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		go leave(context.Background(), l.conn)
		l.conn = nil
	}
}
