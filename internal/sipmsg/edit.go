package sipmsg

import (
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
	removed     [MaxHeaders / 64]uint64
	ops         []insertion
	buf         [4]insertion
}

// An insertion is a header field line to be written before the first line with
// its ID (or, for HdrOther, its name); with last set, behind all lines.
type insertion struct {
	id          HeaderID
	last        bool
	name, value string
}

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
func (e *Edit) AppendRoute(value string) {
	e.ops = append(e.ops, insertion{id: HdrRoute, last: true, name: "Route", value: cleanValue(value)})
}

// PushRecordRoute puts a Record-Route line before all others, like PushRoute.
func (e *Edit) PushRecordRoute(value string) { e.push(HdrRecordRoute, value) }

// Push puts a header field before the first one with that name, or, if there is
// none, near the top; of several pushed, the last one comes first.
func (e *Edit) Push(name, value string) {
	name = clean(name, classToken)
	if name == "" {
		return
	}
	e.ops = append(e.ops, insertion{id: HeaderIDOf(name), name: name, value: cleanValue(value)})
}

func (e *Edit) push(id HeaderID, value string) {
	e.ops = append(e.ops, insertion{id: id, name: headerNames[id], value: cleanValue(value)})
}

// Add puts a header field behind all others. A name without any token character
// is ignored.
func (e *Edit) Add(name, value string) {
	name = clean(name, classToken)
	if name == "" {
		return
	}
	e.ops = append(e.ops, insertion{last: true, name: name, value: cleanValue(value)})
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
	return e.Append(make([]byte, 0, len(e.m.raw)+256))
}

// Append appends the message to be sent to dst. Without edits it is Raw.
func (e *Edit) Append(dst []byte) []byte {
	m := e.m
	dst = e.appendStartLine(dst)
	var wrote [numHeaderIDs]bool
	anchor := e.anchor()
	routes := e.routesToKeep()
	viaDone := false
	for i := range m.headers {
		h := &m.headers[i]
		if i == anchor {
			dst = e.appendNew(dst, &wrote)
		}
		dst = e.appendPushed(dst, h, &wrote)
		if e.removed[i/64]&(1<<(i%64)) != 0 {
			continue
		}
		switch {
		case h.id == HdrVia && !viaDone:
			viaDone = true
			dst = e.appendTopVia(dst, h)
		case h.id == HdrRoute && (e.popRoutes > 0 || e.lastRoutes > 0):
			dst = routes.append(dst, m.raw, h)
		case h.id == HdrMaxForwards && e.maxForwards >= 0:
			dst = append(dst, m.raw[h.name.start:h.value.start]...)
			dst = strconv.AppendInt(dst, int64(e.maxForwards), 10)
			dst = append(dst, m.raw[h.value.end:h.end]...)
		default:
			dst = append(dst, m.raw[h.name.start:h.end]...)
		}
	}
	if anchor >= len(m.headers) {
		dst = e.appendNew(dst, &wrote)
	}
	for i := range e.ops {
		if e.ops[i].last {
			dst = appendHeader(dst, e.ops[i].name, e.ops[i].value)
		}
	}
	if e.length && !m.Has(HdrContentLength) {
		dst = appendHeader(dst, "Content-Length", strconv.Itoa(len(m.Body())))
	}
	dst = append(dst, "\r\n"...)
	return append(dst, m.Body()...)
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

// appendPushed writes, before the first line of a kind, what was pushed of that
// kind.
func (e *Edit) appendPushed(dst []byte, h *headerSpan, wrote *[numHeaderIDs]bool) []byte {
	if h.id == HdrOther || wrote[h.id] || len(e.ops) == 0 {
		return dst
	}
	wrote[h.id] = true
	for i := len(e.ops) - 1; i >= 0; i-- {
		if op := &e.ops[i]; !op.last && op.id == h.id {
			dst = appendHeader(dst, op.name, op.value)
		}
	}
	return dst
}

// appendNew writes, at the anchor, what was pushed and has no line of its kind in
// the message.
func (e *Edit) appendNew(dst []byte, wrote *[numHeaderIDs]bool) []byte {
	for i := len(e.ops) - 1; i >= 0; i-- {
		if op := &e.ops[i]; !op.last && (op.id == HdrOther || !e.m.Has(op.id)) {
			dst = appendHeader(dst, op.name, op.value)
		}
	}
	if e.maxForwards >= 0 && !e.m.Has(HdrMaxForwards) {
		dst = appendHeader(dst, "Max-Forwards", strconv.Itoa(e.maxForwards))
	}
	return dst
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
	addr := src.Addr().Unmap().WithZone("")
	_, wantsPort := via.RPort()
	had := via.Params.Has("received")
	host, isAddr := hostAddr(via.Host)
	// RFC 3581 §4: with rport, received goes in even if it equals sent-by. A
	// received that the sender wrote himself is replaced: it may be a lie.
	needed := wantsPort || had || !isAddr || host.Unmap() != addr
	if !needed {
		return append(dst, value...)
	}
	params := strings.IndexByte(value, ';')
	if params < 0 {
		params = len(value)
	}
	dst = append(dst, value[:params]...)
	for p := value[params:]; p != ""; {
		one, n := nextParam(p)
		name := p[one.name.start:one.name.end]
		switch {
		case equalFold(name, "received"):
			// Written anew below.
		case equalFold(name, "rport"):
			dst = append(append(dst, p[:one.name.end]...), '=')
			dst = strconv.AppendUint(dst, uint64(src.Port()), 10)
		default:
			dst = append(dst, p[:n]...)
		}
		p = p[n:]
	}
	dst = append(dst, ";received="...)
	return addr.AppendTo(dst)
}

// routeCut says which Route values of the message to keep.
type routeCut struct {
	skip int // values to leave out before the first one kept
	keep int // values to write after that
}

func (e *Edit) routesToKeep() *routeCut {
	total := 0
	for i := range e.m.headers {
		if h := &e.m.headers[i]; h.id == HdrRoute && e.removed[i/64]&(1<<(i%64)) == 0 {
			for rest, more := h.value.of(e.m.raw), true; more; total++ {
				_, rest, more = cutValue(rest)
			}
		}
	}
	return &routeCut{skip: e.popRoutes, keep: max(0, total-e.popRoutes-e.lastRoutes)}
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
