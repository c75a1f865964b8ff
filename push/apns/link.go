package apns

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"reveille/push/internal/exchange"
)

// Bounds of a link.
const (
	// dialTimeout is that of an attempt: who waits longer is not there any more.
	dialTimeout = 3 * time.Second
	// refusedWait is the time before a stream that was refused is tried again
	// although the limit allows it.
	refusedWait = 20 * time.Millisecond
	// lookAgain is how often who waits for room looks, for a connection does not
	// say that its limit was raised or that a stream was done with.
	lookAgain = 2 * time.Millisecond
	// silence is how long a connection may answer nothing before a request that
	// ran out of time makes us look for another one.
	silence = time.Second
	// drainTimeout is how long what is under way on an old connection may take.
	drainTimeout = 10 * time.Second
)

// http.ClientConn, their successor, does not tell a connection that is full from
// one that got a GOAWAY, nor if SETTINGS were read.
//
//nolint:staticcheck // Deprecated for the above.
type (
	clientConn  = http2.ClientConn
	connState   = http2.ClientConnState
	goAwayError = http2.GoAwayError
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

	// turn is held by who looks for room, until the headers are sent. Two
	// requests that reserved a stream each, before the limit fell to one, would
	// wait for each other (golang.org/issue/70809).
	turn chan struct{}

	// mu guards what follows.
	mu      sync.Mutex
	conn    *conn   // nil until somebody needs one, and when it is of no more use
	dialing *dialed // under way, or nil
	waits   bool    // somebody waits for room or a connection
}

// A conn is a connection and when it last answered; the link's mu guards that.
type conn struct {
	*clientConn
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
		turn: make(chan struct{}, 1),
		transport: &http2.Transport{
			// A connection that nobody uses and that is dead is found within 8 s.
			ReadIdleTimeout: 5 * time.Second,
			PingTimeout:     3 * time.Second,
			// And one whose peer takes nothing any more.
			WriteByteTimeout:  3 * time.Second,
			MaxHeaderListSize: exchange.MaxHeader,
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
	ctx := req.Context()
	for {
		c, err := l.reserve(ctx)
		if err != nil {
			// A RoundTripper closes the body whatever happens.
			if req.Body != nil {
				req.Body.Close()
			}
			return nil, err
		}
		began := time.Now()
		resp, sent, err := l.send(c, req)
		l.note(ctx, c, began, err)
		if err == nil || ctx.Err() != nil {
			return resp, err
		}
		wait, unseen := unprocessed(c, sent, err)
		if !unseen {
			return nil, err
		}
		if req, err = rewind(req, err); err != nil {
			return nil, err
		}
		if wait > 0 {
			pause(ctx, wait)
		}
	}
}

// send makes the request that was reserved, and ends the turn when its headers
// are sent. sent is false if they never were.
func (l *link) send(c *conn, req *http.Request) (resp *http.Response, sent bool, err error) {
	o := &outgoing{link: l, req: *req, body: req.Body}
	if o.body == nil {
		o.begin()
	} else {
		o.req.Body = o
	}
	resp, err = c.RoundTrip(&o.req)
	return resp, !o.begin(), err
}

// outgoing is a request that holds the turn until its body is read: then its
// headers are sent.
type outgoing struct {
	link  *link
	req   http.Request
	body  io.ReadCloser
	begun atomic.Bool
}

// begin ends the turn and reports whether it was the first to do so.
func (o *outgoing) begin() bool {
	if o.begun.Swap(true) {
		return false
	}
	<-o.link.turn
	return true
}

// Read implements io.ReadCloser.
func (o *outgoing) Read(b []byte) (int, error) {
	o.begin()
	return o.body.Read(b)
}

// Close implements io.ReadCloser.
func (o *outgoing) Close() error { return o.body.Close() }

// unprocessed reports whether the server did not look at a request that failed,
// so that it can be sent again whatever it does, and how long to wait. sent says
// if it got the headers.
func unprocessed(c *conn, sent bool, err error) (wait time.Duration, ok bool) {
	if !sent {
		// The limit fell after we had looked.
		return 0, !c.State().Closed
	}
	// RFC 9113 §8.7: a stream that was refused was not processed.
	if se, ok := errors.AsType[http2.StreamError](err); ok {
		return refusedWait, se.Code == http2.ErrCodeRefusedStream
	}
	// RFC 9113 §6.8: nor was one beyond the last stream of a GOAWAY. Those up to
	// it go on, and if the connection breaks under them the error says so.
	_, broken := errors.AsType[goAwayError](err)
	return 0, c.State().Closing && !broken
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

// reserve returns a connection that has room for a request, which must follow,
// and has the turn. On error it has not.
func (l *link) reserve(ctx context.Context) (*conn, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := l.room(ctx)
	if err != nil {
		<-l.turn
	}
	return c, err
}

// room waits for a connection with room. Call with the turn.
func (l *link) room(ctx context.Context) (*conn, error) {
	l.mu.Lock()
	l.waits = true
	defer func() {
		l.waits = false
		l.mu.Unlock()
	}()
	for {
		var st connState
		if l.conn != nil {
			if st = l.conn.State(); spent(l.conn, st) {
				l.conn = nil
			}
		}
		var done chan struct{} // nil with a connection
		d := l.dialing
		switch {
		case l.conn == nil && d == nil:
			d = &dialed{done: make(chan struct{})}
			l.dialing = d
			// Ends after dialTimeout at the latest. It does not end with the push
			// that asked first: the next one takes the connection.
			go l.connect(context.WithoutCancel(ctx), d)
			done = d.done
		case l.conn == nil:
			done = d.done
		// Before SETTINGS were read the limit is anybody's guess.
		case st.StreamsActive+st.StreamsReserved < int(st.MaxConcurrentStreams) && l.conn.ReserveNewRequest():
			return l.conn, nil
		}
		l.mu.Unlock()
		var err error
		if done == nil {
			pause(ctx, lookAgain)
			err = ctx.Err()
		} else {
			select {
			case <-done:
				err = d.err
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		l.mu.Lock()
		if err != nil {
			return nil, err
		}
	}
}

// spent reports whether c, whose state is st, takes no more requests.
func spent(c *conn, st connState) bool {
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
	var cc *clientConn
	if err == nil {
		cc, err = l.transport.NewClientConn(nc)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dialing, d.err = nil, err
	close(d.done)
	switch {
	case err != nil:
	case !l.waits:
		_ = cc.Close() // nobody wants it any more
	default:
		l.conn = &conn{clientConn: cc, answered: time.Now()}
	}
}

// note learns how a request that began at began ended.
func (l *link) note(ctx context.Context, c *conn, began time.Time, err error) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		c.answered = now
		return
	}
	// A connection that answers nothing is left before the pings find it dead: the
	// next attempt has a phone to wake.
	late := errors.Is(ctx.Err(), context.DeadlineExceeded) && now.Sub(began) >= silence && !c.answered.After(began)
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
		_ = c.Close() // there is nobody to tell
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
