package load

import "strings"

// A phone is all that is kept of one, so that a million fit into a small
// process. Times are nanoseconds since the run began.
type phone struct {
	// began is when the REGISTER under way was first sent.
	began int64
	// ends is when the binding ends unless the phone registers before; 0 without
	// a binding.
	ends int64
	// seq is the CSeq of the last REGISTER.
	seq uint32
	// line is the socket that the phone is reached at.
	line uint16
	// tries is how often the REGISTER under way was sent.
	tries uint8
	flags flags
}

// flags of a phone.
type flags uint8

const (
	registering flags = 1 << iota // a REGISTER is under way
	pumped                        // the phase's pump waits for it
	challenged                    // it answers a challenge
	asleep                        // its socket is closed
	dead                          // no push wakes it
	waking                        // a push came; it will register, or does
)

func (p *phone) is(f flags) bool { return p.flags&f != 0 }
func (p *phone) set(f flags)     { p.flags |= f }
func (p *phone) unset(f flags)   { p.flags &^= f }

// A proof is what a phone keeps to answer challenges with one nonce.
type proof struct {
	nonce string
	nc    uint32
}

// userDigits is how many digits the name of a user has.
const userDigits = 7

// UserName is the name of phone i, as users and the digest know it.
func UserName(i int) string { return string(appendUser(nil, uint32(i))) }

// appendUser writes the name of phone i.
func appendUser(b []byte, i uint32) []byte { return appendDigits(append(b, 'u'), i, userDigits) }

// userOf reads what appendUser wrote.
func userOf(s string) (i uint32, ok bool) {
	if len(s) != 1+userDigits || s[0] != 'u' {
		return 0, false
	}
	for _, d := range []byte(s[1:]) {
		if d < '0' || d > '9' {
			return 0, false
		}
		i = 10*i + uint32(d-'0')
	}
	return i, true
}

// tokenFill makes a push token as long as those of FCM are.
const tokenFill = ":APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ-hQMRKRrZuJAEcl7B338qju59zJMjw2DELjzEvxwYv7hH5Ynpc1ODQ0aT4U4OFEeco8ohsN5PjL1iC2dNtk2BAokeMCg2ZXKqpc8FXKmhX94kIxQ"

// appendToken writes the push token of phone i.
func appendToken(b []byte, i uint32) []byte { return append(appendUser(b, i), tokenFill...) }

// tokenOf reads what appendToken wrote.
func tokenOf(s string) (i uint32, ok bool) {
	user, fill, _ := strings.Cut(s, ":")
	if ":"+fill != tokenFill {
		return 0, false
	}
	return userOf(user)
}

// appendDigits writes n with leading zeros.
func appendDigits(b []byte, n uint32, digits int) []byte {
	at := len(b) + digits
	for range digits {
		b = append(b, '0')
	}
	for i := at - 1; n > 0 && i >= at-digits; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}
