package load

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

// A push token is as long as those of FCM are: an instance of 22 characters, which
// begins with the name of the user, and a secret.
const (
	tokenInstance = 22
	tokenSecret   = 134
	tokenPart     = ":APA91b"
	// tokenAlphabet has 64 characters.
	tokenAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// appendToken writes the push token of phone i. It looks random, for what is the
// same in all tokens a disk would hold once.
func appendToken(b []byte, i uint32) []byte {
	b = appendUser(b, i)
	b = appendRandom(b, uint64(i), tokenInstance-1-userDigits)
	b = append(b, tokenPart...)
	return appendRandom(b, uint64(i)|1<<32, tokenSecret)
}

// appendRandom writes n characters that look random, always the same for one seed.
func appendRandom(b []byte, seed uint64, n int) []byte {
	var bits uint64
	for at := range n {
		if at%10 == 0 { // A number has bits for ten.
			bits = mix(uint64(at), seed*tokenSecret)
		}
		b = append(b, tokenAlphabet[bits&63])
		bits >>= 6
	}
	return b
}

// tokenOf reads what appendToken wrote.
func tokenOf(s string) (i uint32, ok bool) {
	if len(s) < 1+userDigits {
		return 0, false
	}
	i, ok = userOf(s[:1+userDigits])
	return i, ok && s == string(appendToken(nil, i))
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
