package sipmsg

import "strconv"

// A Reply is a response of our own to a request.
type Reply struct {
	// Code is the status code, 100 to 699.
	Code int
	// Reason is the reason phrase; "" means ReasonPhrase(Code).
	Reason string
	// ToTag is added to To if the request's To has none and Code is above 100.
	ToTag string
	// Headers follow the copied header fields in order.
	Headers []HeaderField
	// Lines follow Headers as they are: whole header field lines, each with its
	// line end, of whoever made sure that nothing in them can end a line. They
	// need to be valid only until the response is written.
	Lines []byte
	// ContentType is written if there is a Body.
	ContentType string
	Body        string
}

// ErrorReply returns the Reply to a request that failed with err; see StatusOf.
func ErrorReply(err error, toTag string) Reply {
	code, phrase, headers := StatusOf(err)
	return Reply{Code: code, Reason: phrase, ToTag: toTag, Headers: headers}
}

// AppendReply appends a response to the request m (RFC 3261 §8.2.6): all Via
// lines, the topmost one stamped with the source (§18.2.1, RFC 3581 §4), From,
// To, Call-ID and CSeq as received; Record-Route if the response can establish a
// dialog (§12.1.1), Timestamp in a 100 (§8.2.6.1). What a damaged request lacks
// is left out. Header fields and reason are cleaned as Edit does.
func (m *Message) AppendReply(dst []byte, r Reply) []byte {
	code := max(100, min(r.Code, 699))
	dst = appendStatusLine(dst, code, r.Reason)
	dst = m.appendVias(dst)
	if m.establishesDialog(code) {
		dst = m.appendLines(dst, HdrRecordRoute)
	}
	dst = m.appendLine(dst, HdrFrom)
	if code == 100 {
		dst = m.appendLine(dst, HdrTo)
		dst = m.appendLine(dst, HdrTimestamp)
	} else {
		dst = m.appendTo(dst, r.ToTag)
	}
	dst = m.appendLine(dst, HdrCallID)
	dst = m.appendLine(dst, HdrCSeq)
	for _, h := range r.Headers {
		if name := clean(h.Name, classToken); name != "" {
			dst = appendHeader(dst, name, cleanValue(h.Value))
		}
	}
	dst = append(dst, r.Lines...)
	if r.Body != "" && r.ContentType != "" {
		dst = appendHeader(dst, "Content-Type", cleanValue(r.ContentType))
	}
	return append(appendEnd(dst, len(r.Body)), r.Body...)
}

// appendStatusLine writes the first line; "" is the code's own phrase.
func appendStatusLine(dst []byte, code int, reason string) []byte {
	if reason != "" {
		reason = cleanValue(reason)
	}
	if reason == "" {
		reason = ReasonPhrase(code)
	}
	dst = append(dst, "SIP/2.0 "...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(append(dst, ' '), reason...)
	return append(dst, "\r\n"...)
}

// appendEnd writes Content-Length and the empty line.
func appendEnd(dst []byte, length int) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(length), 10)
	return append(dst, "\r\n\r\n"...)
}

// establishesDialog reports whether a response with that code to m carries
// Record-Route (RFC 3261 §12.1.1, §16.6 step 4; RFC 6665 §4.1; RFC 3515 §2.4).
func (m *Message) establishesDialog(code int) bool {
	switch m.method {
	case "INVITE":
		return code > 100 && code < 300
	case "SUBSCRIBE", "REFER", "NOTIFY":
		return code >= 200 && code < 300
	}
	return false
}

// appendVias writes all Via lines, the topmost value stamped.
func (m *Message) appendVias(dst []byte) []byte {
	top := true
	for i := range m.headers {
		h := &m.headers[i]
		if h.id != HdrVia {
			continue
		}
		if !top {
			dst = append(dst, m.raw[h.name.start:h.end]...)
			continue
		}
		top = false
		value := h.value.of(m.raw)
		end := valueEnd(value)
		dst = append(dst, m.raw[h.name.start:h.value.start]...)
		dst = appendStamped(dst, value[:end], m.src)
		dst = append(dst, m.raw[int(h.value.start)+end:h.end]...)
	}
	return dst
}

// appendLine writes the first line with id as received.
func (m *Message) appendLine(dst []byte, id HeaderID) []byte {
	for i := range m.headers {
		if h := &m.headers[i]; h.id == id {
			return append(dst, m.raw[h.name.start:h.end]...)
		}
	}
	return dst
}

// appendLines writes all lines with id as received.
func (m *Message) appendLines(dst []byte, id HeaderID) []byte {
	for i := range m.headers {
		if h := &m.headers[i]; h.id == id {
			dst = append(dst, m.raw[h.name.start:h.end]...)
		}
	}
	return dst
}

// appendTo writes To, with a tag if it has none (RFC 3261 §8.2.6.2).
func (m *Message) appendTo(dst []byte, tag string) []byte {
	tag = clean(tag, classToken)
	if tag == "" || m.to >= 0 && m.addrs[m.to].Params.Has("tag") {
		return m.appendLine(dst, HdrTo)
	}
	for i := range m.headers {
		if h := &m.headers[i]; h.id == HdrTo {
			return h.appendTagged(dst, m.raw, tag)
		}
	}
	return dst
}

// appendTagged writes the line of raw with a tag behind its value.
func (h *headerSpan) appendTagged(dst []byte, raw, tag string) []byte {
	dst = append(dst, raw[h.name.start:h.value.end]...)
	dst = append(append(dst, ";tag="...), tag...)
	return append(dst, raw[h.value.end:h.end]...)
}

// AppendACK appends the ACK to resp, a final response other than 2xx to m, the
// INVITE as it was sent on that branch (RFC 3261 §17.1.1.3).
func (m *Message) AppendACK(dst []byte, resp *Message) []byte {
	dst = m.appendHop(dst, "ACK")
	dst = m.appendLine(dst, HdrFrom)
	dst = resp.appendLine(dst, HdrTo)
	return m.appendTail(dst, "ACK", nil)
}

// AppendCancel appends the CANCEL of m, the INVITE as it was sent on that branch
// (RFC 3261 §9.1), with further header fields such as Reason (RFC 3326).
func (m *Message) AppendCancel(dst []byte, headers ...HeaderField) []byte {
	dst = m.appendHop(dst, "CANCEL")
	dst = m.appendLine(dst, HdrFrom)
	dst = m.appendLine(dst, HdrTo)
	return m.appendTail(dst, "CANCEL", headers)
}

// appendHop writes request line, topmost Via and Route of a request that follows
// m hop by hop.
func (m *Message) appendHop(dst []byte, method string) []byte {
	dst = appendRequestLine(dst, method, m.uri.String())
	if len(m.vias) > 0 {
		dst = appendHeader(dst, "Via", m.vias[0].String())
	}
	dst = m.appendLines(dst, HdrRoute)
	return append(dst, "Max-Forwards: 70\r\n"...)
}

func (m *Message) appendTail(dst []byte, method string, headers []HeaderField) []byte {
	dst = m.appendLine(dst, HdrCallID)
	dst = append(dst, "CSeq: "...)
	dst = strconv.AppendUint(dst, uint64(m.cseq.Seq), 10)
	dst = append(append(dst, ' '), method...)
	dst = append(dst, "\r\n"...)
	for _, h := range headers {
		if name := clean(h.Name, classToken); name != "" {
			dst = appendHeader(dst, name, cleanValue(h.Value))
		}
	}
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}
