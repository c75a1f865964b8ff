package sipmsg

import (
	"strings"
	"time"
)

// RetryAfter returns for how long the message asks to be left in peace, which may be
// for years. A comment and parameters may follow the seconds (RFC 3261 §20.33). ok is
// false if it does not say so.
func (m *Message) RetryAfter() (wait time.Duration, ok bool) {
	value, ok := m.Header(HdrRetryAfter)
	if !ok {
		return 0, false
	}
	digits := trim(value)
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = digits[:i]
	}
	seconds, ok := ParseDeltaSeconds(digits)
	if !ok {
		return 0, false
	}
	return time.Duration(seconds) * time.Second, true
}
