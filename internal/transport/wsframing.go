package transport

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"reveille/internal/sipmsg"
)

// wsFraming is the server's side of RFC 6455 §5 on one connection: client frames
// in, server frames out, no extensions. A message that comes in one frame is
// unmasked where it was read and handed on from there; only fragments are
// copied together.
type wsFraming struct {
	limit    int // bytes of a message
	buffered *budget
	header   bytes.Reader // where ws.ReadHeader reads

	// fragmented is the opcode of the message whose fragments are coming, or 0;
	// parts are those that came. What parts takes is taken from the budget.
	fragmented ws.OpCode
	parts      []byte
}

// next implements framing.
func (f *wsFraming) next(buf []byte) (sipmsg.FrameKind, int, []byte, error) {
	op, n, msg, err := f.read(buf)
	if err != nil {
		return sipmsg.FrameMore, 0, nil, err
	}
	switch op {
	case ws.OpText, ws.OpBinary:
		kind, msg, err := f.unit(msg)
		return kind, n, msg, err
	case ws.OpPing:
		// RFC 6455 §5.5.3: the answer repeats what the Ping carried.
		return sipmsg.FramePing, n, appendFrame(nil, ws.OpPong, msg), nil
	case ws.OpPong:
		// Ours was answered, or this is a keep-alive that wants no answer.
		return sipmsg.FrameSkip, n, nil, nil
	case ws.OpClose:
		return sipmsg.FrameMore, 0, nil, closedByPeer(msg)
	default:
		return sipmsg.FrameMore, n, nil, nil
	}
}

// read takes the frame at the start of buf, and returns its length and, with its
// opcode, the message that it completes or is (RFC 6455 §5). The opcode is 0 as
// long as there is no such: n is then 0 if the frame is not whole yet.
func (f *wsFraming) read(buf []byte) (op ws.OpCode, n int, msg []byte, err error) {
	h, n, err := f.readHeader(buf)
	if err != nil || n == 0 || int64(len(buf)-n) < h.Length {
		return 0, 0, nil, err
	}
	payload := buf[n : n+int(h.Length)]
	n += len(payload)
	ws.Cipher(payload, h.Mask, 0)
	if h.OpCode.IsControl() {
		return h.OpCode, n, payload, nil
	}
	op, msg, err = f.assemble(h, payload)
	if op == ws.OpText && !utf8.Valid(msg) {
		err = violation(ws.StatusInvalidFramePayloadData, "text that is not UTF-8") // RFC 6455 §8.1.
	}
	return op, n, msg, err
}

// readHeader reads a frame's header and returns its length, 0 if it is not whole
// yet.
func (f *wsFraming) readHeader(buf []byte) (ws.Header, int, error) {
	f.header.Reset(buf)
	h, err := ws.ReadHeader(&f.header)
	n := len(buf) - f.header.Len()
	f.header.Reset(nil)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return h, 0, nil
	case err != nil:
		return h, 0, violation(ws.StatusProtocolError, err.Error())
	}
	state := ws.StateServerSide
	if f.fragmented != 0 {
		state |= ws.StateFragmented
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return h, 0, violation(ws.StatusProtocolError, err.Error())
	}
	if n != ws.HeaderSize(h) {
		// RFC 6455 §5.2: a length takes as few bytes as it can.
		return h, 0, violation(ws.StatusProtocolError, "length is not in its shortest form")
	}
	if h.OpCode.IsData() && h.Length > int64(f.limit-len(f.parts)) {
		return h, 0, &closing{code: ws.StatusMessageTooBig, reason: fmt.Sprintf("message is longer than %d bytes", f.limit), cause: ErrTooLong}
	}
	return h, n, nil
}

// assemble returns the message that a data frame completes, and its opcode, 0 if
// more fragments are to come (RFC 6455 §5.4).
func (f *wsFraming) assemble(h ws.Header, payload []byte) (op ws.OpCode, msg []byte, err error) {
	if h.Fin && f.fragmented == 0 {
		return h.OpCode, payload, nil
	}
	if f.fragmented == 0 {
		f.fragmented = h.OpCode
	}
	if size := len(f.parts) + len(payload); size > cap(f.parts) {
		size = min(max(size, 2*cap(f.parts)), f.limit)
		if !f.buffered.take(size - cap(f.parts)) {
			return 0, nil, ErrBusy
		}
		f.parts = append(make([]byte, 0, size), f.parts...)
	}
	f.parts = append(f.parts, payload...)
	if !h.Fin {
		return 0, nil, nil
	}
	op, msg = f.fragmented, f.parts
	f.release()
	return op, msg, nil
}

// unit says what a WebSocket message is to SIP: a keep-alive or one message.
func (f *wsFraming) unit(msg []byte) (sipmsg.FrameKind, []byte, error) {
	switch {
	case string(msg) == "\r\n\r\n":
		// RFC 7118 §6: the CRLF keep-alive of RFC 5626, in a message of its own.
		return sipmsg.FramePing, f.appendMessage(nil, []byte("\r\n")), nil
	case blank(msg):
		return sipmsg.FrameSkip, nil, nil
	case crowded(msg):
		// RFC 7118 §5: no more than one. Where the next WebSocket message begins is
		// certain all the same, so only this one is refused.
		return sipmsg.FrameMessage, msg, &sipmsg.StatusError{Code: 400, Phrase: "One Message Per WebSocket Message", Err: errCrowded}
	}
	return sipmsg.FrameMessage, msg, nil
}

// crowded reports whether anything but line ends stands behind a SIP message and
// the body that its Content-Length announces. Without one the body takes all there
// is; other defects are for the parser to find.
func crowded(msg []byte) bool {
	for len(msg) >= 2 && msg[0] == '\r' && msg[1] == '\n' {
		msg = msg[2:]
	}
	kind, n, err := sipmsg.Frame(msg, 0)
	return err == nil && kind == sipmsg.FrameMessage && !blank(msg[n:])
}

// partial implements framing.
func (f *wsFraming) partial(rest []byte) bool { return f.fragmented != 0 || len(rest) > 0 }

// release implements framing.
func (f *wsFraming) release() {
	f.buffered.give(cap(f.parts))
	f.fragmented, f.parts = 0, nil
}

// appendMessage implements framing.
func (*wsFraming) appendMessage(dst, msg []byte) []byte {
	// RFC 7118 §4.2: what is not UTF-8 throughout goes as binary.
	op := ws.OpBinary
	if utf8.Valid(msg) {
		op = ws.OpText
	}
	return appendFrame(dst, op, msg)
}

// size implements framing.
func (*wsFraming) size(n int) int { return ws.HeaderSize(ws.Header{Length: int64(n)}) + n }

// ping implements framing.
func (*wsFraming) ping() []byte { return appendFrame(nil, ws.OpPing, nil) }

// farewell implements framing: the Close frame that says why (RFC 6455 §7.4.1).
func (*wsFraming) farewell(cause error) []byte {
	c, ok := errors.AsType[*closing](cause)
	if !ok {
		code, reason := ws.StatusCode(0), ""
		switch {
		case errors.Is(cause, ErrStopped), errors.Is(cause, ErrIdle):
			code, reason = ws.StatusGoingAway, cause.Error()
		case errors.Is(cause, ErrSlow):
			code, reason = ws.StatusPolicyViolation, ErrSlow.Error()
		case errors.Is(cause, ErrBusy):
			code, reason = statusTryAgainLater, ErrBusy.Error()
		default: // The connection is broken.
			return nil
		}
		c = &closing{code: code, reason: reason}
	}
	var body []byte
	if c.code != 0 {
		body = ws.NewCloseFrameBody(c.code, c.reason)
	}
	return appendFrame(nil, ws.OpClose, body)
}

// statusTryAgainLater is in IANA's registry of close codes, later than RFC 6455.
const statusTryAgainLater ws.StatusCode = 1013

// errCrowded is the cause of a 400.
var errCrowded = errors.New("more than one SIP message in a WebSocket message")

// A closing is an end of the connection of which a Close frame tells the peer.
type closing struct {
	code   ws.StatusCode // 0: the frame carries none
	reason string
	cause  error
}

// Error implements error.
func (c *closing) Error() string { return fmt.Sprintf("close WebSocket with %d %s", c.code, c.reason) }

// Unwrap returns what it means for the connection.
func (c *closing) Unwrap() error { return c.cause }

// violation is the end of a connection whose peer breaks the protocol.
func violation(code ws.StatusCode, reason string) error {
	return &closing{code: code, reason: reason, cause: ErrGarbled}
}

// closedByPeer reads a Close frame. The answer carries the code back (RFC 6455
// §5.5.1).
func closedByPeer(payload []byte) error {
	if len(payload) == 0 {
		return &closing{cause: io.EOF}
	}
	if len(payload) == 1 {
		return violation(ws.StatusProtocolError, "close code of one byte")
	}
	code, reason := ws.ParseCloseFrameData(payload)
	switch err := ws.CheckCloseFrameData(code, reason); {
	case errors.Is(err, ws.ErrProtocolInvalidUTF8):
		return violation(ws.StatusInvalidFramePayloadData, err.Error())
	case err != nil && !registeredLater(code):
		return violation(ws.StatusProtocolError, err.Error())
	case code >= 5000:
		return violation(ws.StatusProtocolError, "close code that is none") // RFC 6455 §7.4.2.
	}
	return &closing{code: code, cause: io.EOF}
}

// registeredLater reports whether code is one that IANA has registered since RFC
// 6455: 1012 service restart, 1013 try again later, 1014 bad gateway.
func registeredLater(code ws.StatusCode) bool { return code >= 1012 && code <= 1014 }

// appendFrame appends a whole, unmasked frame (RFC 6455 §5.1).
func appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	b := bytes.NewBuffer(dst)
	// Writing to a Buffer cannot fail.
	_ = ws.WriteHeader(b, ws.Header{Fin: true, OpCode: op, Length: int64(len(payload))})
	b.Write(payload)
	return b.Bytes()
}
