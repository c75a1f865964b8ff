package sipmsg

import (
	"bytes"
	"errors"
	"unsafe"
)

// A FrameKind says what stands at the start of a stream's buffer.
type FrameKind uint8

const (
	// FrameMore means that nothing is complete yet: read on.
	FrameMore FrameKind = iota
	// FrameMessage is a whole message, body included.
	FrameMessage
	// FramePing is CRLF CRLF, to be answered with CRLF (RFC 5626 §4.4.1).
	FramePing
	// FrameSkip is a single CRLF, a peer's pong or noise (RFC 3261 §7.5).
	FrameSkip
)

// String returns the kind's name for logs and tests.
func (k FrameKind) String() string {
	switch k {
	case FrameMessage:
		return "message"
	case FramePing:
		return "ping"
	case FrameSkip:
		return "skip"
	default:
		return "more"
	}
}

// Errors of framing. After any of them the stream cannot be used further.
var (
	// ErrNoLength: no Content-Length, without which no message can be framed.
	ErrNoLength = errors.New("sipmsg: message on a stream without Content-Length")
	// ErrFrameTooLong: header section or message longer than allowed.
	ErrFrameTooLong = errors.New("sipmsg: message on a stream too long")
)

// A Framer finds messages in a stream (RFC 3261 §18.3). It keeps no bytes, only
// how far it looked, so that a message that arrives in small pieces costs no more
// than one that comes whole. One Framer serves one stream.
type Framer struct {
	max    int
	looked int // bytes known to hold no empty line
	need   int // length of the message, once its header section was seen
}

// NewFramer returns a Framer for messages of at most max bytes; max is limited
// to MaxMessage, and 0 stands for it.
func NewFramer(max int) *Framer {
	if max <= 0 || max > MaxMessage {
		max = MaxMessage
	}
	return &Framer{max: max}
}

// Next is Frame for a buffer that starts where the last unit ended and grows at
// its end only.
func (f *Framer) Next(buf []byte) (kind FrameKind, n int, err error) {
	if f.need == 0 {
		kind, n, err = f.look(buf)
		if kind != FrameMore || err != nil {
			f.looked = 0
			return kind, n, err
		}
	}
	if f.need == 0 || len(buf) < f.need {
		return FrameMore, 0, nil
	}
	n = f.need
	f.looked, f.need = 0, 0
	return FrameMessage, n, nil
}

// Frame looks at buf, everything that was read from a stream and not consumed
// yet, and returns the kind and length of the first unit in it. FrameMore has
// the length 0. What it returns does not depend on how the bytes were split into
// reads.
//
// An error, always a *StatusError, means that the position of the next message
// is unknown: the connection must be closed (RFC 4475 §3.1.2.3). n is then the
// length of the header section, if it is known, so that Parse(buf[:n]) gives the
// request to answer; otherwise 0.
func Frame(buf []byte, max int) (kind FrameKind, n int, err error) {
	return NewFramer(max).Next(buf)
}

// look reads a line end, or the header section of a message, whose length it
// notes in f.need.
func (f *Framer) look(buf []byte) (FrameKind, int, error) {
	if len(buf) == 0 {
		return FrameMore, 0, nil
	}
	if buf[0] == '\r' {
		return frameLineEnd(buf)
	}
	// A method or "SIP": whatever else comes first is no SIP at all.
	if !is(buf[0], classToken) {
		return FrameMore, 0, badRequest("", ErrNotSIP)
	}
	from := max(0, f.looked-3)
	end := bytes.Index(buf[from:min(len(buf), f.max)], []byte("\r\n\r\n"))
	if end < 0 {
		if len(buf) >= f.max {
			return FrameMore, 0, &StatusError{Code: 513, Err: ErrFrameTooLong}
		}
		f.looked = len(buf)
		return FrameMore, 0, nil
	}
	head := from + end + len("\r\n\r\n")
	length, err := frameBody(unsafe.String(unsafe.SliceData(buf), head))
	if errors.Is(err, ErrNotSIP) {
		return FrameMore, 0, err
	}
	if err == nil && length > f.max-head {
		err = &StatusError{Code: 513, Err: ErrFrameTooLong}
	}
	if err != nil {
		return FrameMore, head, err
	}
	f.need = head + length
	return FrameMore, 0, nil
}

// frameBody returns the length of the body behind a header section. Other
// defects of the message do not matter here: Parse will meet them.
func frameBody(head string) (int, error) {
	var s Scan
	if errors.Is(s.Parse(head), ErrNotSIP) {
		return 0, badRequest("", ErrNotSIP)
	}
	length, ok, err := s.ContentLength()
	if err != nil {
		return 0, badRequest("Bad Content-Length", err)
	}
	if !ok {
		// RFC 3261 §18.3, §20.14: required on streams.
		return 0, badRequest("Missing Content-Length", ErrNoLength)
	}
	return length, nil
}

// frameLineEnd tells a ping from a single line end.
func frameLineEnd(buf []byte) (FrameKind, int, error) {
	const ping = "\r\n\r\n"
	for i := range min(len(buf), len(ping)) {
		if buf[i] == ping[i] {
			continue
		}
		if i == 2 {
			return FrameSkip, 2, nil
		}
		return FrameMore, 0, badRequest("", errLineEnd)
	}
	if len(buf) < len(ping) {
		return FrameMore, 0, nil
	}
	return FramePing, len(ping), nil
}
