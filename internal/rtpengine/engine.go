package rtpengine

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// An engine is one rtpengine with what it was asked and has not answered.
type engine struct {
	Engine
	of   *Client
	conn net.Conn

	mu sync.Mutex // guards the fields below
	// waiting are the questions by their cookies.
	waiting map[string]*question
	// away: it did not answer, and gets pings alone until it does.
	away, pinging, stopped bool
}

// A question is a command that waits for its answer.
type question struct {
	verb   Verb
	packet []byte
	done   func(string, error)
	began  time.Time
	// timer sends it again after interval, as long as some time is left.
	timer          *time.Timer
	interval, left time.Duration
}

// maxPacket bounds a command: a datagram holds no more than 65,507 bytes.
const maxPacket = 60_000

func (e *engine) isAway() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.away
}

// ask sends a command.
func (e *engine) ask(c Command, done func(string, error)) {
	if err := e.send(c, done); err != nil {
		e.of.settle(c.Verb, err)
		done("", err)
	}
}

// send is ask for what can be sent; otherwise it returns why not, and done does not
// hear of it.
func (e *engine) send(c Command, done func(string, error)) error {
	// Pings are few, and an engine is to come back under load, too.
	if e.of.pending.Add(1) > int64(e.of.o.MaxPending) && c.Verb != ping {
		e.of.pending.Add(-1)
		return ErrBusy
	}
	cookie := e.of.cookie()
	packet := c.encode(append([]byte(cookie), ' '))
	if len(packet) > maxPacket {
		e.of.pending.Add(-1)
		return ErrTooLarge
	}
	q := &question{
		verb: c.Verb, packet: packet, done: done, began: time.Now(),
		// Sent at 0, 1/8, 3/8 and 7/8 of the time.
		interval: e.of.o.Timeout / 8, left: e.of.o.Timeout,
	}
	e.mu.Lock()
	switch {
	case e.stopped:
		e.mu.Unlock()
		e.of.pending.Add(-1)
		return ErrStopped
	case e.away && c.Verb != ping:
		e.mu.Unlock()
		e.of.pending.Add(-1)
		return ErrAway
	}
	e.waiting[cookie] = q
	q.timer = time.AfterFunc(q.interval, func() { e.again(cookie) })
	e.mu.Unlock()
	e.write(q.packet)
	return nil
}

// write sends a datagram. What cannot be sent is sent again, or is late.
func (e *engine) write(b []byte) {
	if _, err := e.conn.Write(b); err != nil && !errors.Is(err, net.ErrClosed) {
		e.of.o.Logger.Debug("send to rtpengine", slog.String("engine", e.Addr.String()), slog.Any("err", err))
	}
}

// again sends a question once more, or gives it up.
func (e *engine) again(cookie string) {
	e.mu.Lock()
	q := e.waiting[cookie]
	if q == nil {
		e.mu.Unlock()
		return
	}
	if q.left -= q.interval; q.left <= 0 {
		delete(e.waiting, cookie)
		e.mu.Unlock()
		if q.verb == ping {
			e.turns(true, ErrTimeout)
		} else {
			// It may be that command alone which it does not answer.
			e.ping()
		}
		e.finish(q, "", ErrTimeout)
		return
	}
	q.interval = min(2*q.interval, q.left)
	q.timer.Reset(q.interval)
	e.mu.Unlock()
	e.of.metrics.again.Inc()
	e.write(q.packet)
}

// finish tells the end of a question, which waits no more.
func (e *engine) finish(q *question, sdp string, err error) {
	e.of.pending.Add(-1)
	e.of.settle(q.verb, err)
	q.done(sdp, err)
}

// read takes what the engine sends until the connection is closed.
func (e *engine) read() {
	buf := make([]byte, 65535)
	for {
		n, err := e.conn.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe):
			return
		case errors.Is(err, syscall.ECONNREFUSED):
			// Nobody is at that port: there is no need to wait for the time-out.
			e.turns(true, err)
			e.drop(ErrAway)
		case err == nil:
			e.receive(string(buf[:n]))
		}
	}
}

// receive takes one datagram.
func (e *engine) receive(datagram string) {
	cookie, body, _ := strings.Cut(datagram, " ")
	e.mu.Lock()
	q := e.waiting[cookie]
	delete(e.waiting, cookie)
	e.mu.Unlock()
	if q == nil {
		// The second answer to what was sent twice, or one that is too late.
		e.of.metrics.strays.Inc()
		return
	}
	q.timer.Stop()
	e.of.metrics.took.Observe(time.Since(q.began).Seconds())
	e.turns(false, nil)
	sdp, err := parseReply(q.verb, body)
	e.finish(q, sdp, err)
}

// turns notes that the engine is away, or there. One that comes back is logged, and so
// is one that goes.
func (e *engine) turns(away bool, why error) {
	e.mu.Lock()
	was := e.away
	e.away = away
	// In the order in which it turns.
	defer e.mu.Unlock()
	if was == away || e.stopped {
		return
	}
	addr := e.Addr.String()
	if away {
		e.of.metrics.up.WithLabelValues(addr).Set(0)
		e.of.o.Logger.Warn("an rtpengine is away", slog.String("engine", addr), slog.Any("err", why))
		return
	}
	e.of.metrics.up.WithLabelValues(addr).Set(1)
	e.of.o.Logger.Info("an rtpengine is back", slog.String("engine", addr))
}

// ping asks whether the engine is there, unless it is being asked.
func (e *engine) ping() {
	e.mu.Lock()
	skip := e.pinging
	e.pinging = true
	e.mu.Unlock()
	if skip {
		return
	}
	e.ask(Command{Verb: ping}, func(string, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.pinging = false
	})
}

// drop fails all questions.
func (e *engine) drop(err error) {
	e.mu.Lock()
	waiting := e.waiting
	e.waiting = map[string]*question{}
	e.mu.Unlock()
	for _, q := range waiting {
		q.timer.Stop()
		e.finish(q, "", err)
	}
}

// stop ends everything.
func (e *engine) stop() {
	e.mu.Lock()
	e.stopped = true
	e.mu.Unlock()
	if err := e.conn.Close(); err != nil {
		e.of.o.Logger.Debug("close the connection to an rtpengine", slog.Any("err", err))
	}
	e.drop(ErrStopped)
}
