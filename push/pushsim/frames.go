package pushsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Limits of streams, as Apple's servers are seen to set them.
const (
	DefaultFirst = 1
	DefaultThen  = 1000
)

// FrameOptions of Frames.
type FrameOptions struct {
	// Credentials whose CA signs the server; nil for new ones, which are good for
	// APNs alone. Provider tokens are not checked: Server does that.
	Credentials *Credentials
	// First is how many streams a connection may have until it brought a push
	// that was taken, Then how many afterwards. Default DefaultFirst and
	// DefaultThen.
	First, Then uint32
	// Rejected is how many it may have after a push that was refused, until one is
	// taken; 0 changes nothing.
	Rejected uint32
	// Answer decides on each request, on a goroutine of its own; nil takes all.
	Answer func(FrameRequest) FrameAnswer
}

// A FrameRequest is a request as it came.
type FrameRequest struct {
	// N counts the requests of the server, Conn its connections, from 1.
	N, Conn int
	Stream  uint32
	Path    string
	Header  map[string]string
	Body    []byte
}

// A FrameAct is what is done about a request besides or instead of an answer.
type FrameAct uint8

const (
	// Reply answers.
	Reply FrameAct = iota
	// Silence never answers this request.
	Silence
	// Mute writes nothing to the connection any more, not even to a PING.
	Mute
	// RefuseStream resets the stream as one that was not looked at.
	RefuseStream
	// Cut closes the connection without a word.
	Cut
	// LeaveAfter answers, and says that no streams beyond this one are looked at.
	LeaveAfter
	// LeaveBefore says that this stream and those beyond are not looked at, and
	// goes on with those before.
	LeaveBefore
)

// A FrameAnswer is what becomes of a request. The zero value takes the push.
type FrameAnswer struct {
	Act FrameAct
	// Delay is the time before anything is done.
	Delay time.Duration
	// Status is that of the answer; 0 for 200. Reason makes the body, unless Body
	// is set.
	Status int
	Reason string
	Header [][2]string
	Body   []byte
	// Trickle sends the body byte by byte with so much time between them.
	Trickle time.Duration
}

// Frames is APNs as it looks on the wire, HTTP/2 frame by frame: it allows few
// streams at first, refuses what is beyond them, changes its mind, leaves and
// falls silent. It is safe for concurrent use.
type Frames struct {
	o     FrameOptions
	creds *Credentials
	tls   *tls.Config
	ln    net.Listener // nil before Serve
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup

	// mu guards what follows.
	mu       sync.Mutex
	conns    int
	requests int
	refused  int
	open     map[*frameConn]bool
}

// NewFrames returns a server; Listen or Serve starts it.
func NewFrames(o FrameOptions) (*Frames, error) {
	if o.First == 0 {
		o.First = DefaultFirst
	}
	if o.Then == 0 {
		o.Then = DefaultThen
	}
	if o.Answer == nil {
		o.Answer = func(FrameRequest) FrameAnswer { return FrameAnswer{} }
	}
	if o.Credentials == nil {
		c, err := keysOfOurs()
		if err != nil {
			return nil, err
		}
		o.Credentials = c
	}
	leaf, err := o.Credentials.leaf(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	f := &Frames{
		o: o, creds: o.Credentials, open: make(map[*frameConn]bool),
		tls: &tls.Config{Certificates: []tls.Certificate{leaf}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"}},
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f, nil
}

// Listen serves on a free port of the loopback until Close.
func (f *Frames) Listen() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for pushes: %w", err)
	}
	f.Serve(ln)
	return nil
}

// Serve takes connections from ln until Close, and returns at once.
func (f *Frames) Serve(ln net.Listener) {
	f.ln = ln
	// Ends when Close closes the listener.
	f.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.wg.Go(func() { f.serve(c) })
		}
	})
}

// URL is the Host of push/apns.
func (f *Frames) URL() string { return "https://" + f.ln.Addr().String() }

// Credentials sign the server.
func (f *Frames) Credentials() *Credentials { return f.creds }

// Conns counts the connections so far, Requests what came on them, Refused the
// streams beyond the limit.
func (f *Frames) Conns() int { return f.count(&f.conns) }

// Requests counts the requests so far.
func (f *Frames) Requests() int { return f.count(&f.requests) }

// Refused counts the streams beyond the limit.
func (f *Frames) Refused() int { return f.count(&f.refused) }

func (f *Frames) count(n *int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *n
}

func (f *Frames) add(n *int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	*n++
	return *n
}

// Close ends all connections and waits for what serves them.
func (f *Frames) Close() {
	f.stop()
	if f.ln != nil {
		f.ln.Close()
	}
	f.mu.Lock()
	for c := range f.open {
		c.net.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// serve speaks HTTP/2 over TLS on nc until it ends.
func (f *Frames) serve(nc net.Conn) {
	defer nc.Close()
	secure := tls.Server(nc, f.tls)
	c := &frameConn{f: f, net: nc, limit: f.o.First, streams: make(map[uint32]*frameStream)}
	c.fr = http2.NewFramer(secure, secure)
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.block)
	f.mu.Lock()
	f.open[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.open, c)
		f.mu.Unlock()
	}()
	if err := secure.HandshakeContext(f.ctx); err != nil {
		return
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(secure, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	c.id = f.add(&f.conns)
	c.write(func() error { return c.settings(c.limit) })
	for {
		frame, err := c.fr.ReadFrame()
		if _, ok := errors.AsType[http2.StreamError](err); ok {
			continue
		}
		if err != nil || f.ctx.Err() != nil {
			return
		}
		c.read(frame)
	}
}

// A frameConn is one connection.
type frameConn struct {
	f   *Frames
	net net.Conn
	id  int

	// mu guards what follows, and writing.
	mu      sync.Mutex
	fr      *http2.Framer
	enc     *hpack.Encoder
	block   bytes.Buffer
	limit   uint32
	streams map[uint32]*frameStream
	last    uint32 // streams beyond it are not looked at; 0 for none
	mute    bool
}

type frameStream struct {
	path   string
	header map[string]string
	body   []byte
}

// write runs fn with mu held, unless the connection fell silent. What cannot be
// written shows when the connection is read.
func (c *frameConn) write(fn func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mute {
		_ = fn()
	}
}

// settings tells the client the limit. Call with mu held.
func (c *frameConn) settings(limit uint32) error {
	c.limit = limit
	return c.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: limit})
}

func (c *frameConn) read(frame http2.Frame) {
	switch fr := frame.(type) {
	case *http2.SettingsFrame:
		if !fr.IsAck() {
			c.write(c.fr.WriteSettingsAck)
		}
	case *http2.PingFrame:
		if !fr.IsAck() {
			c.write(func() error { return c.fr.WritePing(true, fr.Data) })
		}
	case *http2.RSTStreamFrame:
		c.mu.Lock()
		delete(c.streams, fr.StreamID)
		c.mu.Unlock()
	case *http2.MetaHeadersFrame:
		c.begin(fr)
	case *http2.DataFrame:
		c.data(fr)
	}
}

// begin opens a stream, or refuses it if there are enough (RFC 9113 §5.1.2).
func (c *frameConn) begin(fr *http2.MetaHeadersFrame) {
	s := &frameStream{path: fr.PseudoValue("path"), header: make(map[string]string)}
	for _, h := range fr.RegularFields() {
		s.header[h.Name] = h.Value
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.mute || c.last != 0 && fr.StreamID > c.last:
	case len(c.streams) >= int(c.limit):
		c.f.add(&c.f.refused)
		_ = c.fr.WriteRSTStream(fr.StreamID, http2.ErrCodeRefusedStream)
	default:
		c.streams[fr.StreamID] = s
		if fr.StreamEnded() {
			c.start(fr.StreamID, s)
		}
	}
}

func (c *frameConn) data(fr *http2.DataFrame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := uint32(len(fr.Data())); n > 0 && !c.mute {
		_ = c.fr.WriteWindowUpdate(0, n)
	}
	s := c.streams[fr.StreamID]
	if s == nil {
		return
	}
	s.body = append(s.body, fr.Data()...)
	if len(s.body) > maxRequest {
		_ = c.fr.WriteRSTStream(fr.StreamID, http2.ErrCodeEnhanceYourCalm)
		delete(c.streams, fr.StreamID)
		return
	}
	if fr.StreamEnded() {
		c.start(fr.StreamID, s)
	}
}

// start answers a whole request. Call with mu held.
func (c *frameConn) start(id uint32, s *frameStream) {
	r := FrameRequest{N: c.f.add(&c.f.requests), Conn: c.id, Stream: id, Path: s.path, Header: s.header, Body: s.body}
	// Ends with the answer, or with the server.
	c.f.wg.Go(func() { c.answer(r) })
}

func (c *frameConn) answer(r FrameRequest) {
	a := c.f.o.Answer(r)
	if !c.wait(a.Delay) {
		return
	}
	switch a.Act {
	case Silence:
	case Mute:
		c.write(func() error { c.mute = true; return nil })
	case RefuseStream:
		c.write(func() error {
			delete(c.streams, r.Stream)
			return c.fr.WriteRSTStream(r.Stream, http2.ErrCodeRefusedStream)
		})
	case Cut:
		c.net.Close()
	case LeaveBefore:
		c.write(func() error {
			c.last = r.Stream - 2
			for id := range c.streams {
				if id > c.last {
					delete(c.streams, id)
				}
			}
			return c.fr.WriteGoAway(c.last, http2.ErrCodeNo, nil)
		})
	case LeaveAfter:
		c.write(func() error { c.last = r.Stream; return c.fr.WriteGoAway(c.last, http2.ErrCodeNo, nil) })
		c.reply(r, a)
	default:
		c.reply(r, a)
	}
}

// reply writes the answer, and before it the limit that comes of it.
func (c *frameConn) reply(r FrameRequest, a FrameAnswer) {
	if a.Status == 0 {
		a.Status = 200
	}
	if a.Body == nil && a.Reason != "" {
		a.Body, _ = json.Marshal(map[string]string{"reason": a.Reason}) // strings always encode
	}
	c.write(func() error {
		if c.streams[r.Stream] == nil {
			return nil // reset meanwhile
		}
		switch {
		case a.Status == 200 && c.limit != c.f.o.Then:
			_ = c.settings(c.f.o.Then)
		case a.Status != 200 && c.f.o.Rejected != 0 && c.limit != c.f.o.Rejected:
			_ = c.settings(c.f.o.Rejected)
		}
		if len(a.Body) == 0 {
			delete(c.streams, r.Stream)
		}
		c.block.Reset()
		fields := append([][2]string{{":status", strconv.Itoa(a.Status)}, {"apns-id", "8A5E2F0C-" + strconv.Itoa(r.N)}}, a.Header...)
		for _, h := range fields {
			_ = c.enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}) // to memory
		}
		return c.fr.WriteHeaders(http2.HeadersFrameParam{
			StreamID: r.Stream, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: len(a.Body) == 0,
		})
	})
	for len(a.Body) > 0 {
		n := min(len(a.Body), 16<<10)
		if a.Trickle > 0 {
			n = 1
			if !c.wait(a.Trickle) {
				return
			}
		}
		piece := a.Body[:n]
		a.Body = a.Body[n:]
		sent := false
		c.write(func() error {
			if c.streams[r.Stream] == nil {
				return nil
			}
			if len(a.Body) == 0 {
				delete(c.streams, r.Stream)
			}
			sent = true
			return c.fr.WriteData(r.Stream, len(a.Body) == 0, piece)
		})
		if !sent {
			return
		}
	}
}

// wait reports whether d passed before the server ended.
func (c *frameConn) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.f.ctx.Done():
		return false
	}
}
