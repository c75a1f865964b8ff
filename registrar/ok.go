package registrar

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// AppendOK appends to dst the header lines that the 200 to a REGISTER adds to
// those every response has, each ended by CRLF: all bindings of rec as of now,
// the Path if it is to be shown, the routes to take, what was agreed on for a
// flow, the push services and the date. It allocates nothing if dst is large
// enough.
func AppendOK(dst []byte, p *Policy, rec *usrloc.Record, res *Result, now time.Time) []byte {
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		if b.Expired(now) {
			continue
		}
		carried := slices.Contains(res.Carried, b.ID)
		if p.RequestContactsOnly && !carried && !res.Fetch {
			continue
		}
		dst = appendContact(dst, b, carried, now)
		if res.GRUU && b.Instance != "" {
			dst = appendGRUUs(dst, p.GRUU, rec.AOR, b)
		}
		if p.ReceivedParam != "" {
			dst = appendReceived(dst, p.ReceivedParam, b)
		}
		dst = append(dst, "\r\n"...)
	}
	// RFC 3327 §5.3: the Path as received.
	for _, v := range res.Path {
		dst = append(dst, "Path: "...)
		dst = append(dst, v...)
		dst = append(dst, "\r\n"...)
	}
	if len(res.Path) > 0 {
		dst = append(dst, "Supported: path\r\n"...)
	}
	// RFC 3608 §6.1: in each answer the same.
	for _, uri := range p.ServiceRoute {
		dst = append(append(append(dst, "Service-Route: <"...), uri...), ">\r\n"...)
	}
	if res.Outbound {
		dst = append(dst, "Require: outbound\r\n"...)
	}
	if res.FlowTimer != 0 {
		dst = strconv.AppendUint(append(dst, "Flow-Timer: "...), uint64(res.FlowTimer), 10)
		dst = append(dst, "\r\n"...)
	}
	for i := range res.Caps {
		dst = appendCap(dst, &res.Caps[i], p.Push.PURR)
	}
	// RFC 3261 §10.3 step 8.
	dst = append(dst, "Date: "...)
	dst = appendDate(dst, now)
	return append(dst, "\r\n"...)
}

// appendDate appends t in the form of RFC 3261 §20.17, "Mon, 02 Jan 2006
// 15:04:05 GMT". Every 200 has it, and time.Time.AppendFormat would take as long
// for it as the fast path takes for five header fields.
func appendDate(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = append(dst, t.Weekday().String()[:3]...)
	dst = appendTwo(append(dst, ", "...), day)
	dst = append(append(dst, ' '), month.String()[:3]...)
	dst = appendTwo(appendTwo(append(dst, ' '), year/100), year%100)
	dst = appendTwo(append(dst, ' '), hour)
	dst = appendTwo(append(dst, ':'), minute)
	dst = appendTwo(append(dst, ':'), second)
	return append(dst, " GMT"...)
}

// appendTwo appends n, 0 to 99, as two digits.
func appendTwo(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

// appendContact appends one binding with what is left of its lifetime (RFC 3261
// §10.3 step 8), without the end of the line.
func appendContact(dst []byte, b *usrloc.Binding, carried bool, now time.Time) []byte {
	dst = append(dst, "Contact: <"...)
	if carried {
		dst = append(dst, b.Contact...)
		dst = append(dst, '>')
		dst = append(dst, b.Params...)
	} else {
		// RFC 8599 §13: the tokens of the user's other devices are not for this
		// one.
		params := strings.IndexByte(b.Contact, '@') + 1
		dst = append(dst, b.Contact[:params]...)
		dst = appendWithoutSecrets(dst, b.Contact[params:], b.Push.PRID)
		dst = append(dst, '>')
		dst = appendWithoutSecrets(dst, b.Params, b.Push.PRID)
	}
	if b.Q >= 0 {
		dst = append(dst, ";q="...)
		dst = appendQ(dst, b.Q)
	}
	dst = append(dst, ";expires="...)
	// What is left of a second counts as one, for 0 would mean "removed".
	return strconv.AppendInt(dst, max(int64(b.Expires.Sub(now)/time.Second), 1), 10)
}

// appendReceived appends from where a binding was registered.
func appendReceived(dst []byte, name string, b *usrloc.Binding) []byte {
	dst = append(append(append(dst, ';'), name...), `="`...)
	if b.Received != "" {
		return append(append(dst, b.Received...), '"')
	}
	dst = append(dst, "sip:"...)
	if addr := b.Flow.Remote.Addr().Unmap(); addr.Is6() {
		dst = append(addr.WithZone("").AppendTo(append(dst, '[')), ']')
	} else {
		dst = addr.AppendTo(dst)
	}
	dst = strconv.AppendUint(append(dst, ':'), uint64(b.Flow.Remote.Port()), 10)
	dst = append(append(dst, ";transport="...), transportParam(b.Flow.Transport)...)
	return append(dst, '"')
}

// transportParam is the value of a URI's transport parameter for t (RFC 3261
// §19.1.1, RFC 7118 §5.2).
func transportParam(t flow.Transport) string {
	switch t {
	case flow.UDP:
		return "udp"
	case flow.TCP:
		return "tcp"
	case flow.TLS:
		return "tls"
	case flow.WS, flow.WSS:
		return "ws"
	}
	return "udp"
}

// appendWithoutSecrets appends parameters ("host;a=b;c?headers") less those that say
// how the phone is woken: all pn-parameters but pn-provider and pn-param, which name
// the app, and what holds the token prid by another name.
func appendWithoutSecrets(dst []byte, s, prid string) []byte {
	for s != "" {
		n := parameterLen(s)
		name, value, _ := strings.Cut(s[:n], "=")
		name = strings.Trim(name, "; \t")
		if s[0] != ';' || !sipmsg.HoldsToken(value, prid) && (!sipmsg.IsPush(name, nil) || namesApp(name)) {
			dst = append(dst, s[:n]...)
		}
		s = s[n:]
	}
	return dst
}

// namesApp reports whether a parameter says which app a phone uses, not which phone
// it is.
func namesApp(name string) bool {
	name = sipmsg.Unescape(name)
	return strings.EqualFold(name, pnProvider) || strings.EqualFold(name, pnParam)
}

// parameterLen returns where the next parameter of s, or the headers of a URI,
// begin. A quoted string may hold anything.
func parameterLen(s string) int {
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ';' || c == '?'):
			return i
		}
	}
	return len(s)
}

// appendQ appends q in its shortest form: "1", "0.5", "0".
func appendQ(dst []byte, q usrloc.Q) []byte {
	if q >= 1000 {
		return append(dst, '1')
	}
	dst = append(dst, '0')
	if q == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+q/100))
	if q%100 != 0 {
		dst = append(dst, byte('0'+q/10%10))
	}
	if q%10 != 0 {
		dst = append(dst, byte('0'+q%10))
	}
	return dst
}

// appendCap appends one Feature-Caps line. RFC 8599 §5.4: each push service has
// its own, with everything that belongs to it; RFC 6809 §6: it begins with '*'.
func appendCap(dst []byte, c *Cap, purr PURR) []byte {
	dst = append(dst, `Feature-Caps: *;+sip.pns="`...)
	dst = append(dst, c.Provider...)
	dst = append(dst, '"')
	if c.VAPID != "" {
		dst = append(dst, `;+sip.vapid="`...)
		dst = append(dst, c.VAPID...)
		dst = append(dst, '"')
	}
	if c.PNSReg != 0 {
		dst = append(dst, `;+sip.pnsreg="`...)
		dst = strconv.AppendUint(dst, uint64(c.PNSReg), 10)
		dst = append(dst, '"')
	}
	if purr != nil && !c.Binding.IsZero() {
		dst = append(dst, `;+sip.pnspurr="`...)
		dst = purr.AppendMint(dst, c.Binding)
		dst = append(dst, '"')
	}
	return append(dst, "\r\n"...)
}
