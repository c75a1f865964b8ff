package mailbox

import (
	"strings"
	"time"

	"reveille/internal/sipmsg"
)

// Keepable reports whether a MESSAGE is worth anything later.
func Keepable(m *sipmsg.Message) bool {
	// RFC 3994 §3: "is typing" tells of this moment.
	if isTyping(m) {
		return false
	}
	// RFC 3261 §20.19, RFC 3428 §4: its sender wants it to be read now or not at all.
	seconds, ok := expires(m)
	return !ok || seconds > 0
}

// expires returns for how many seconds a message is of use. ok is false if it does not
// say so.
func expires(m *sipmsg.Message) (seconds uint32, ok bool) {
	value, ok := m.Expires()
	if !ok {
		return 0, false
	}
	return sipmsg.ParseDeltaSeconds(value)
}

// Until returns when a message that came at now is of no more use: when its sender says
// (RFC 3428 §4), after longest at the latest. Its Date is not asked: the sender's clock
// may be wrong, and it came within seconds.
func Until(m *sipmsg.Message, now time.Time, longest time.Duration) time.Time {
	if seconds, ok := expires(m); ok {
		longest = min(longest, time.Duration(seconds)*time.Second)
	}
	return now.Add(longest)
}

// isTyping reports whether a message is a notice of composing, also inside of
// message/cpim (RFC 3862), in which group chats wrap everything.
func isTyping(m *sipmsg.Message) bool {
	const typing = "application/im-iscomposing+xml"
	value, _ := m.Header(sipmsg.HdrContentType)
	switch mediaType(value) {
	case typing:
		return true
	case "message/cpim":
		// RFC 3862 §2: header fields of the message, an empty line, those of its content.
		_, content, _ := strings.Cut(strings.ReplaceAll(m.Body(), "\r\n", "\n"), "\n\n")
		head, _, _ := strings.Cut(content, "\n\n")
		for line := range strings.SplitSeq(head, "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "Content-Type") {
				return mediaType(value) == typing
			}
		}
	}
	return false
}

// mediaType returns a media type without its parameters, in lower case.
func mediaType(value string) string {
	t, _, _ := strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

// A Result says what becomes of a message.
type Result uint8

const (
	// Later says that no phone took it, and one may. The zero value.
	Later Result = iota
	// Delivered says that a phone has it.
	Delivered
	// Refused says that no phone will ever take it.
	Refused
)

// resultOf says what the final answer of a phone means.
func resultOf(status int) Result {
	switch {
	case status/100 == 2:
		return Delivered
	case status == 482:
		// RFC 3261 §8.2.2.2: the phone has got it by another way.
		return Delivered
	case status == 408, status == 430, status == 480, status == 486, status == 491:
		return Later
	case status == 501, status == 505, status == 513:
		// These speak of what the phone is able to.
		return Refused
	case status/100 == 5:
		return Later
	}
	return Refused
}

// Permanent reports whether a final answer of a phone says that it will never take the
// message.
func Permanent(status int) bool { return resultOf(status) == Refused }

// An Outcome is what became of an attempt to hand a message over.
type Outcome struct {
	Result Result
	// Status is the answer that decided, 0 if no phone answered.
	Status int
	// Version is that of the user's Record when the attempt was made.
	Version uint64
}

// Answer takes the final answer of one of the phones, 408 for one that gave none. What one phone has is delivered;
// 6xx speaks for the user (RFC 3428 §7); else it waits for those that may take it.
func (o *Outcome) Answer(status int) {
	result := resultOf(status)
	switch {
	case o.Result == Delivered, o.Status/100 == 6 && result != Delivered:
	case result == Delivered, status/100 == 6, o.Status == 0, result == Later:
		o.Result, o.Status = result, status
	}
}
