package load

import (
	"math"
	"strconv"
	"strings"
)

// A call is described, not made: nobody sends media.
const sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0 8 101\r\n" +
	"a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"

// userAgent names the phones.
const userAgent = "reveille-load"

// registerTail is what phones say of themselves with every REGISTER, at a usual
// length.
const registerTail = "Supported: replaces, path, outbound\r\n" +
	"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE, INFO, UPDATE, REFER, NOTIFY, SUBSCRIBE\r\n" +
	"Accept: application/sdp, text/plain\r\n" +
	"User-Agent: " + userAgent + " (simulated phone)\r\n"

// Kinds of transaction, as a branch names them.
const (
	branchRegister = 'r'
	branchInvite   = 'i' // and the CANCEL of it (RFC 3261 §9.1)
	branchAck      = 'a'
	branchBye      = 'b'
)

// cookie begins every branch (RFC 3261 §8.1.1.7).
const cookie = "z9hG4bK"

// A tag tells by a branch or a Call-ID what a message belongs to: the run, a kind,
// the number of a phone or call, and for a REGISTER its CSeq.
type tag struct {
	run  uint32
	kind byte
	id   uint32
	seq  uint32
}

// tagLen is how many characters a tag has.
const tagLen = 1 + 3*8

func (t tag) append(b []byte) []byte {
	b = append(b, t.kind)
	b = appendHex(b, t.run)
	b = appendHex(b, t.id)
	return appendHex(b, t.seq)
}

// readTag reads what append wrote at the beginning of s.
func readTag(s string) (t tag, ok bool) {
	if len(s) < tagLen {
		return tag{}, false
	}
	t.kind = s[0]
	for i, n := range []*uint32{&t.run, &t.id, &t.seq} {
		if *n, ok = hexOf(s[1+8*i : 9+8*i]); !ok {
			return tag{}, false
		}
	}
	return t, true
}

// branchTag reads the tag in the branch of a Via value.
func branchTag(via string) (tag, bool) {
	_, branch, ok := strings.Cut(via, cookie)
	if !ok {
		return tag{}, false
	}
	return readTag(branch)
}

const hexDigits = "0123456789abcdef"

func appendHex(b []byte, n uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, hexDigits[n>>shift&15])
	}
	return b
}

func hexOf(s string) (n uint32, ok bool) {
	for i := range len(s) {
		switch d := s[i]; {
		case '0' <= d && d <= '9':
			n = n<<4 | uint32(d-'0')
		case 'a' <= d && d <= 'f':
			n = n<<4 | uint32(d-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// appendVia writes a Via of ours.
func (c *core) appendVia(b []byte, line uint16, t tag) []byte {
	b = append(b, "Via: SIP/2.0/UDP "...)
	b = append(b, c.wire.addr(line)...)
	b = append(b, ";rport;branch="+cookie...)
	b = t.append(b)
	return append(b, "\r\nMax-Forwards: 70\r\n"...)
}

// appendAOR writes the address-of-record of phone i.
func (c *core) appendAOR(b []byte, i uint32) []byte {
	b = append(b, "sip:"...)
	b = appendUser(b, i)
	b = append(b, '@')
	return append(b, c.o.Domain...)
}

// appendRegister writes the REGISTER of phone i that its state says; written
// again it is the same.
func (c *core) appendRegister(b []byte, i uint32) []byte {
	p := &c.phones[i]
	b = append(b, "REGISTER sip:"...)
	b = append(b, c.o.Domain...)
	b = append(b, " SIP/2.0\r\n"...)
	b = c.appendVia(b, p.line, tag{c.run, branchRegister, i, p.seq})
	b = append(b, "From: <"...)
	b = c.appendAOR(b, i)
	b = append(b, ">;tag="...)
	b = appendHex(b, i^c.run)
	b = append(b, "\r\nTo: <"...)
	b = c.appendAOR(b, i)
	b = append(b, ">\r\nCall-ID: "...)
	b = tag{c.run, branchRegister, i, c.starts}.append(b)
	b = append(b, "\r\nCSeq: "...)
	b = strconv.AppendUint(b, uint64(p.seq), 10)
	b = append(b, " REGISTER\r\nContact: <sip:"...)
	b = appendUser(b, i)
	b = append(b, '@')
	b = append(b, c.wire.addr(p.line)...)
	b = append(b, ";transport=udp"...)
	if c.o.Push.Provider != "" && !c.phase.Plain {
		b = append(b, ";pn-provider="...)
		b = append(b, c.o.Push.Provider...)
		if c.o.Push.Param != "" {
			b = append(b, ";pn-param="...)
			b = append(b, c.o.Push.Param...)
		}
		b = append(b, ";pn-prid="...)
		b = appendToken(b, i)
	}
	b = append(b, ">;+sip.instance=\"<urn:uuid:5e7a0a1c-0000-4000-8000-0000"...)
	b = appendHex(b, i)
	b = append(b, ">\";expires="...)
	b = strconv.AppendInt(b, c.askedExpires(i), 10)
	b = append(b, "\r\n"...)
	if c.proofs != nil && c.proofs[i].nonce != "" {
		b = c.appendAuthorization(b, i)
	}
	return appendEnd(append(b, registerTail...))
}

// askedExpires is the lifetime in seconds that the present REGISTER of phone i
// asks for. It is drawn by the numbers of both, so that a retransmission asks for
// the same.
func (c *core) askedExpires(i uint32) int64 {
	asked := c.o.Expires
	if c.phase.Expires != (Span{}) {
		asked = c.phase.Expires
	}
	least, most := int64(asked.Min.Seconds()), int64(asked.Max.Seconds())
	if most <= least {
		return least
	}
	return least + int64(mix(uint64(i)<<32|uint64(c.phones[i].seq), c.seed)%uint64(most-least+1))
}

// mix is a hash of n (the finish of SplitMix64).
func mix(n, seed uint64) uint64 {
	n += seed + 0x9E3779B97F4A7C15
	n = (n ^ n>>30) * 0xBF58476D1CE4E5B9
	n = (n ^ n>>27) * 0x94D049BB133111EB
	return n ^ n>>31
}

// share reports whether n belongs to the given share of all numbers.
func share(n, seed uint64, of float64) bool {
	return float64(mix(n, seed)) < of*math.MaxUint64
}

// appendCallHead writes what all requests of a caller share: the request line to
// CSeq. route is the route set.
func (c *core) appendCallHead(b []byte, k *call, method, uri string, branch tag, seq uint64, toTag string, route []string) []byte {
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, uri...)
	b = append(b, " SIP/2.0\r\n"...)
	b = c.appendVia(b, k.line, branch)
	for _, r := range route {
		b = append(b, "Route: "...)
		b = append(b, r...)
		b = append(b, "\r\n"...)
	}
	b = append(b, "From: <sip:caller@"...)
	b = append(b, c.o.Domain...)
	b = append(b, ">;tag="...)
	b = appendHex(b, k.number)
	b = append(b, "\r\nTo: <"...)
	b = c.appendAOR(b, k.phone)
	b = append(b, '>')
	if toTag != "" {
		b = append(b, ";tag="...)
		b = append(b, toTag...)
	}
	b = append(b, "\r\nCall-ID: "...)
	b = tag{c.run, branchInvite, k.number, k.phone}.append(b)
	b = append(b, "\r\nCSeq: "...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, ' ')
	b = append(b, method...)
	return append(b, "\r\n"...)
}

// appendOffer writes the Contact of user on line, and what ends a message with a
// description of the session.
func (c *core) appendOffer(b []byte, user string, line uint16) []byte {
	b = append(b, "Contact: <sip:"...)
	b = append(b, user...)
	b = append(b, '@')
	b = append(b, c.wire.addr(line)...)
	b = append(b, ">\r\nUser-Agent: "+userAgent+"\r\nContent-Type: application/sdp\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(sdp)), 10)
	return append(b, "\r\n\r\n"+sdp...)
}

// appendEnd ends a message without a body.
func appendEnd(b []byte) []byte { return append(b, "Content-Length: 0\r\n\r\n"...) }
