package proxy

import (
	"strings"

	"reveille/internal/sipmsg"
	"reveille/internal/wake"
)

// CallerData says what pushes tell of the caller: they pass through a push service.
type CallerData uint8

const (
	// NoCaller tells nothing.
	NoCaller CallerData = iota
	// CallerNumber tells the number, or user name.
	CallerNumber
	// CallerName tells the display name, too.
	CallerName
)

// ParseCallerData reads its name.
func ParseCallerData(s string) (CallerData, bool) {
	switch s {
	case "none":
		return NoCaller, true
	case "number":
		return CallerNumber, true
	case "name":
		return CallerName, true
	}
	return 0, false
}

// callerData is what a push for this request may tell of its sender.
func (f *fork) callerData() wake.Caller {
	tells := f.p.opts().CallerData
	m := f.s.Message()
	if tells == NoCaller || private(m) {
		return wake.Caller{}
	}
	who := f.sender()
	if anonymous(who.URI) {
		return wake.Caller{}
	}
	c := wake.Caller{Number: sipmsg.Unescape(who.URI.User)}
	if strings.EqualFold(who.URI.Scheme, "tel") {
		c.Number, _, _ = strings.Cut(who.URI.Opaque, ";")
	}
	if tells == CallerName {
		c.Name = who.Display
	}
	return c
}

// sender is who sent the request: what we vouch for, or a believed peer does (RFC
// 3325 §9.1), else what From says, for the phone shows that, too.
func (f *fork) sender() sipmsg.NameAddr {
	m := f.s.Message()
	asserted := []string{f.claim.asserted}
	if f.claim.trusted {
		for value := range m.Values(sipmsg.HdrPAssertedIdentity) {
			asserted = append(asserted, value)
		}
	}
	for _, value := range asserted {
		if who, err := sipmsg.ParseNameAddr(value); err == nil && !who.URI.IsZero() {
			return who
		}
	}
	return m.From()
}

// private reports whether the sender asked for any privacy (RFC 3323 §4.2): a push
// service is not told who calls then, whichever header fields are meant.
func private(m *sipmsg.Message) bool {
	if anonymous(m.From().URI) {
		return true
	}
	for value := range m.Values(sipmsg.HdrPrivacy) {
		for level := range strings.SplitSeq(value, ";") {
			level = strings.TrimSpace(level)
			if level != "" && !strings.EqualFold(level, "none") && !strings.EqualFold(level, "critical") {
				return true
			}
		}
	}
	for h := range m.Headers() {
		if strings.EqualFold(h.Name, "Remote-Party-ID") && remotePartyHidden(h.Value) {
			return true
		}
	}
	return false
}
