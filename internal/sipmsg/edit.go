package sipmsg

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// An Edit builds what is forwarded of a message: the received bytes with a few
// edits, everything else byte for byte (RFC 3261 §16.6). The Message stays
// untouched, so each branch has an Edit of its own. An Edit is not safe for
// concurrent use.
//
// Arguments are cleaned before they are written: CR, LF and NUL are dropped from
// values, everything that is no token character from names, and white space,
// control characters, quotes and angle brackets from a Request-URI. So no
// argument can start a header field of its own, whatever a peer put into it.
type Edit struct {
	m           *Message
	uri         string
	maxForwards int // -1: as received
	stamp       bool
	popVia      bool
	popRoutes   int
	lastRoutes  int // how many Route values to remove at the end
	length      bool
	body        *string // nil: as received
	removed     [MaxHeaders / 64]uint64
	ops         []insertion
	buf         [4]insertion
}

// An insertion is a header field line to be written before the received line
// with index at; behind all lines if at is atEnd.
type insertion struct {
	at          int
	name, value string
}

const atEnd = -1

// Edit starts a forwarded copy of m.
func (m *Message) Edit() *Edit {
	e := &Edit{m: m, maxForwards: -1}
	e.ops = e.buf[:0]
	return e
}

// SetRequestURI replaces the Request-URI. It has no effect on a response, or if
// nothing is left of uri after cleaning.
func (e *Edit) SetRequestURI(uri string) { e.uri = clean(uri, classURI) }

// SetMaxForwards sets Max-Forwards to n, 0 to 255, inserting it if missing.
func (e *Edit) SetMaxForwards(n int) { e.maxForwards = max(0, min(n, 255)) }

// StampVia adds where the request came from to its topmost Via (RFC 3261
// §18.2.1, RFC 3581 §4). Without a known source it does nothing.
func (e *Edit) StampVia() { e.stamp = true }

// PushVia puts a Via line above all others.
func (e *Edit) PushVia(value string) { e.push(HdrVia, value) }

// PopVia removes the topmost Via value, of a response that is forwarded (RFC
// 3261 §16.7 step 3).
func (e *Edit) PopVia() { e.popVia = true }

// PopRoutes removes the first n Route values in addition to those removed before.
func (e *Edit) PopRoutes(n int) { e.popRoutes += max(0, n) }

// RemoveLastRoute removes the last Route value (RFC 3261 §16.4).
func (e *Edit) RemoveLastRoute() { e.lastRoutes++ }

// PushRoute puts a Route line before all others; of several pushed, the last one
// comes first.
func (e *Edit) PushRoute(value string) { e.push(HdrRoute, value) }

// AppendRoute puts a Route line behind all others (RFC 3261 §16.6 step 6).
func (e *Edit) AppendRoute(value string) { e.Add("Route", value) }

// PushRecordRoute puts a Record-Route line before all others, like PushRoute.
func (e *Edit) PushRecordRoute(value string) { e.push(HdrRecordRoute, value) }

// Push puts a header field before the first one with that name, or, if there is
// none, near the top; of several pushed, the last one comes first.
func (e *Edit) Push(name, value string) {
	if name = clean(name, classToken); name == "" {
		return
	}
	id := HeaderIDOf(name)
	for i := range e.m.headers {
		h := &e.m.headers[i]
		if h.id == id && (id != HdrOther || equalFold(h.name.of(e.m.raw), name)) {
			e.insert(i, name, value)
			return
		}
	}
	e.insert(e.anchor(), name, value)
}

func (e *Edit) push(id HeaderID, value string) { e.Push(headerNames[id], value) }

func (e *Edit) insert(at int, name, value string) {
	e.ops = append(e.ops, insertion{at: at, name: name, value: cleanValue(value)})
}

// Add puts a header field behind all others. A name without any token character
// is ignored.
func (e *Edit) Add(name, value string) {
	if name = clean(name, classToken); name != "" {
		e.insert(atEnd, name, value)
	}
}

// Remove removes all received lines of a header field. HdrOther removes nothing.
func (e *Edit) Remove(id HeaderID) {
	if id == HdrOther {
		return
	}
	e.RemoveIf(func(h Header) bool { return h.ID == id })
}

// RemoveNamed removes all received lines of a header field, long or compact, in
// any case.
func (e *Edit) RemoveNamed(name string) {
	if id := HeaderIDOf(name); id != HdrOther {
		e.Remove(id)
		return
	}
	e.RemoveIf(func(h Header) bool { return h.ID == HdrOther && equalFold(h.Name, name) })
}

// RemoveIf removes the received lines for which f returns true.
func (e *Edit) RemoveIf(f func(Header) bool) {
	for i := range e.m.headers {
		if f(e.m.header(i)) {
			e.removed[i/64] |= 1 << (i % 64)
		}
	}
}

// EnsureContentLength adds Content-Length if the message came without, as a
// stream demands (RFC 3261 §16.6 step 9).
func (e *Edit) EnsureContentLength() { e.length = true }

// Bytes returns the message to be sent.
func (e *Edit) Bytes() []byte {
	// It is kept for as long as it may be sent again, and so has no byte too much.
	var room [2048]byte
	if len(e.m.raw)+roomForEdits > len(room) {
		return e.Append(make([]byte, 0, len(e.m.raw)+roomForEdits))
	}
	return bytes.Clone(e.Append(room[:0]))
}

// roomForEdits is what a proxy adds to a message: a Via, a Record-Route or two.
const roomForEdits = 640

// Append appends the message to be sent to dst. Without edits it is Raw.
func (e *Edit) Append(dst []byte) []byte {
	m := e.m
	dst = e.appendStartLine(dst)
	newMaxForwards := -1
	if e.maxForwards >= 0 && !m.Has(HdrMaxForwards) {
		newMaxForwards = e.anchor()
	}
	routes := e.routesToKeep()
	top := true
	for i := range m.headers {
		dst = e.appendPushed(dst, i)
		if i == newMaxForwards {
			dst = e.appendMaxForwards(dst)
		}
		h := &m.headers[i]
		switch {
		case e.removed[i/64]&(1<<(i%64)) != 0:
		case h.id == HdrVia && top:
			top = false
			dst = e.appendTopVia(dst, h)
		case h.id == HdrRoute && (e.popRoutes > 0 || e.lastRoutes > 0):
			dst = routes.append(dst, m.raw, h)
		case h.id == HdrContentLength && e.body != nil:
			dst = append(dst, m.raw[h.name.start:h.value.start]...)
			dst = strconv.AppendInt(dst, int64(len(*e.body)), 10)
			dst = append(dst, m.raw[h.value.end:h.end]...)
		case h.id == HdrMaxForwards && e.maxForwards >= 0:
			dst = append(dst, m.raw[h.name.start:h.value.start]...)
			dst = strconv.AppendInt(dst, int64(e.maxForwards), 10)
			dst = append(dst, m.raw[h.value.end:h.end]...)
		default:
			dst = append(dst, m.raw[h.name.start:h.end]...)
		}
	}
	dst = e.appendPushed(dst, len(m.headers))
	if newMaxForwards == len(m.headers) {
		dst = e.appendMaxForwards(dst)
	}
	for i := range e.ops {
		if e.ops[i].at == atEnd {
			dst = appendHeader(dst, e.ops[i].name, e.ops[i].value)
		}
	}
	if e.length && !m.Has(HdrContentLength) {
		dst = appendHeader(dst, "Content-Length", strconv.Itoa(len(e.newBody())))
	}
	dst = append(dst, "\r\n"...)
	return append(dst, e.newBody()...)
}

func (e *Edit) appendStartLine(dst []byte) []byte {
	line := e.m.startLine()
	if e.uri == "" || !e.m.IsRequest() {
		return append(append(dst, line...), "\r\n"...)
	}
	return appendRequestLine(dst, e.m.method, e.uri)
}

func appendRequestLine(dst []byte, method, uri string) []byte {
	dst = append(append(dst, method...), ' ')
	return append(append(dst, uri...), " SIP/2.0\r\n"...)
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// anchor returns the index of the line before which new header fields go that
// have no line of their kind to stand before: behind the first run of Via lines,
// near the top, where the next proxy looks (RFC 3261 §7.3.1).
func (e *Edit) anchor() int {
	h := e.m.headers
	i := 0
	for i < len(h) && h[i].id != HdrVia {
		i++
	}
	if i == len(h) {
		return 0
	}
	for i < len(h) && h[i].id == HdrVia {
		i++
	}
	return i
}

// appendPushed writes what was pushed in front of line i.
func (e *Edit) appendPushed(dst []byte, i int) []byte {
	for k := len(e.ops) - 1; k >= 0; k-- {
		if op := &e.ops[k]; op.at == i {
			dst = appendHeader(dst, op.name, op.value)
		}
	}
	return dst
}

func (e *Edit) appendMaxForwards(dst []byte) []byte {
	return appendHeader(dst, "Max-Forwards", strconv.Itoa(e.maxForwards))
}

// appendTopVia writes the first Via line, popped or stamped as asked.
func (e *Edit) appendTopVia(dst []byte, h *headerSpan) []byte {
	raw := e.m.raw
	value := h.value.of(raw)
	end := valueEnd(value)
	if e.popVia {
		if end == len(value) {
			return dst
		}
		rest := trimLeft(value[end+1:])
		dst = append(dst, raw[h.name.start:h.value.start]...)
		dst = append(dst, rest...)
		return append(dst, raw[h.value.end:h.end]...)
	}
	if !e.stamp {
		return append(dst, raw[h.name.start:h.end]...)
	}
	dst = append(dst, raw[h.name.start:h.value.start]...)
	dst = appendStamped(dst, value[:end], e.m.src)
	return append(dst, raw[int(h.value.start)+end:h.end]...)
}

// appendStamped writes a Via value with received and rport by its source (RFC
// 3261 §18.2.1, RFC 3581 §4), and unchanged if there is nothing to add.
func appendStamped(dst []byte, value string, src netip.AddrPort) []byte {
	var via Via
	if !src.IsValid() || parseVia(&via, trim(unfold(value))) != nil {
		return append(dst, value...)
	}
	return via.appendStamped(dst, value, src)
}

// appendStamped is the function of that name for a value that is read already,
// as via, from a valid source.
func (via *Via) appendStamped(dst []byte, value string, src netip.AddrPort) []byte {
	addr := src.Addr().Unmap().WithZone("")
	start := len(dst)
	params := strings.IndexByte(value, ';')
	if params < 0 {
		params = len(value)
	}
	dst = append(dst, value[:params]...)
	// RFC 3581 §4: with rport, received goes in even if it equals sent-by. A
	// received that the sender wrote himself is replaced: it may be a lie.
	needed := false
	for p := value[params:]; p != ""; {
		one, n := nextParam(p)
		name := p[one.name.start:one.name.end]
		switch {
		case equalFold(name, "received"):
			// Written anew below.
			needed = true
		case equalFold(name, "rport"):
			dst = append(append(dst, p[:one.name.end]...), '=')
			dst = strconv.AppendUint(dst, uint64(src.Port()), 10)
			needed = true
		default:
			dst = append(dst, p[:n]...)
		}
		p = p[n:]
	}
	if !needed {
		if host, ok := hostAddr(via.Host); ok && host.Unmap() == addr {
			return append(dst[:start], value...)
		}
	}
	dst = append(dst, ";received="...)
	return addr.AppendTo(dst)
}

// routeCut says which Route values of the message to keep.
type routeCut struct {
	skip int // values to leave out before the first one kept
	keep int // values to write after that
}

func (e *Edit) routesToKeep() routeCut {
	total := 0
	if e.popRoutes == 0 && e.lastRoutes == 0 {
		return routeCut{}
	}
	for i := range e.m.headers {
		if h := &e.m.headers[i]; h.id == HdrRoute && e.removed[i/64]&(1<<(i%64)) == 0 {
			for rest, more := h.value.of(e.m.raw), true; more; total++ {
				_, rest, more = cutValue(rest)
			}
		}
	}
	return routeCut{skip: e.popRoutes, keep: max(0, total-e.popRoutes-e.lastRoutes)}
}

// append writes what is left of one Route line; nothing if nothing is.
func (c *routeCut) append(dst []byte, raw string, h *headerSpan) []byte {
	value := h.value.of(raw)
	start, end := -1, 0
	for i := 0; ; {
		next := i + valueEnd(value[i:])
		switch {
		case c.skip > 0:
			c.skip--
		case c.keep > 0:
			c.keep--
			if start < 0 {
				start = skipLWS(value, i)
			}
			end = next
		}
		if next == len(value) {
			break
		}
		i = next + 1
	}
	if start < 0 {
		return dst
	}
	dst = append(dst, raw[h.name.start:h.value.start]...)
	dst = append(dst, trimRight(value[start:end])...)
	return append(dst, raw[h.value.end:h.end]...)
}
