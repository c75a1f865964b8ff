package main

import (
	"fmt"
	"strings"
)

// A field is a part of a message that changes from one to the next. All fields
// have a fixed width, so that a message is made by writing them into the bytes
// of the last one.
type field uint8

const (
	fieldUser     field = iota // 8 decimal digits
	fieldOctets                // three octets of three digits each, which follow "10."
	fieldDevice                // 12 hexadecimal digits
	fieldToken                 // 32 hexadecimal digits that look random
	fieldCall                  // 8 hexadecimal digits: the generation of Call-IDs
	fieldBranch                // 10 decimal digits
	fieldCSeq                  // 10 decimal digits
	fieldExpires               // 6 decimal digits
	fieldNonce                 // as long as the server's
	fieldCount                 // 8 hexadecimal digits: nc
	fieldResponse              // 64 hexadecimal digits
	fieldCNonce                // 16 hexadecimal digits
	fields
)

// A template is a REGISTER with the places of its fields.
type template struct {
	text []byte
	at   [fields][]int
}

// domain is the server's, and the realm; requestURI is what REGISTERs are for.
const (
	domain     = "example.com"
	requestURI = "sip:" + domain
)

// secret is the password of user.
func secret(user int) string { return fmt.Sprintf("secret-%08d", user) }

// userName is the name of user.
func userName(user int) string { return fmt.Sprintf("user%08d", user) }

// newTemplate makes a REGISTER like those of a phone app, some 850 bytes. run
// tells the Call-IDs of one run from those of others. With push the Contact can be
// woken. With a nonce length the message has credentials.
func newTemplate(run uint32, push bool, nonce int) *template {
	pn := ""
	if push {
		pn = ";pn-provider=fcm;pn-param=example-app-project;pn-prid=eXampl3Inst4nceId_42Qa:APA91bF" + strings.Repeat("Zk7_", 23) + "{token}"
	}
	credentials := ""
	if nonce > 0 {
		credentials = "Authorization: Digest username=\"user{user}\", realm=\"" + domain + "\", nonce=\"{nonce}\", uri=\"" + requestURI +
			"\", response=\"{response}\", algorithm=SHA-256, cnonce=\"{cnonce}\", qop=auth, nc={count}\r\n"
	}
	return parseTemplate("REGISTER "+requestURI+" SIP/2.0\r\n"+
		"Via: SIP/2.0/UDP 10.{octets}:5060;branch=z9hG4bK{branch};rport\r\n"+
		"Max-Forwards: 70\r\n"+
		"From: <sip:user{user}@"+domain+">;tag=b{device}\r\n"+
		"To: <sip:user{user}@"+domain+">\r\n"+
		fmt.Sprintf("Call-ID: %08x-{call}-{device}@phone.example.com\r\n", run)+
		"CSeq: {cseq} REGISTER\r\n"+credentials+
		"Contact: <sip:user{user}@10.{octets}:5060"+pn+">;+sip.instance=\"<urn:uuid:2d0c6a5e-51b4-4f0e-9b7a-{device}>\";expires={expires}\r\n"+
		"Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, MESSAGE\r\n"+
		"Supported: replaces, timer, 100rel, path\r\n"+
		"User-Agent: ExamplePhone/7.4.0 (Pixel 9; Android 16)\r\n"+
		"Content-Length: 0\r\n\r\n", nonce)
}

// parseTemplate finds the {fields} of a text and makes room for them.
func parseTemplate(text string, nonce int) *template {
	names := [fields]string{"user", "octets", "device", "token", "call", "branch", "cseq", "expires", "nonce", "count", "response", "cnonce"}
	widths := [fields]int{8, 11, 12, 32, 8, 10, 10, 6, nonce, 8, 64, 16}
	t := &template{}
	for text != "" {
		literal, rest, ok := strings.Cut(text, "{")
		t.text = append(t.text, literal...)
		if !ok {
			break
		}
		var name string
		name, text, _ = strings.Cut(rest, "}")
		for f := range fields {
			if names[f] == name {
				t.at[f] = append(t.at[f], len(t.text))
				t.text = append(t.text, strings.Repeat("0", widths[f])...)
			}
		}
	}
	return t
}

// A message is a REGISTER that is changed and sent over and over.
type message struct {
	template *template
	bytes    []byte
}

func (t *template) message() message { return message{t, []byte(string(t.text))} }

// set writes a number into all places of a field.
func (m *message) set(f field, v uint64) {
	for _, at := range m.template.at[f] {
		switch f {
		case fieldUser:
			putDecimal(m.bytes[at:at+8], v)
		case fieldBranch, fieldCSeq:
			putDecimal(m.bytes[at:at+10], v)
		case fieldExpires:
			putDecimal(m.bytes[at:at+6], v)
		case fieldOctets:
			putOctets(m.bytes[at:at+11], v)
		case fieldDevice:
			putHex(m.bytes[at:at+12], v)
		case fieldCall, fieldCount:
			putHex(m.bytes[at:at+8], v)
		case fieldCNonce:
			putHex(m.bytes[at:at+16], v)
		case fieldToken:
			putHex(m.bytes[at:at+16], mix(v))
			putHex(m.bytes[at+16:at+32], mix(v+1<<32))
		default: // The others are texts.
		}
	}
}

// setText writes a text of the field's width.
func (m *message) setText(f field, s []byte) {
	for _, at := range m.template.at[f] {
		copy(m.bytes[at:], s)
	}
}

// setUser makes it a REGISTER of another user.
func (m *message) setUser(user int) {
	for _, f := range [...]field{fieldUser, fieldOctets, fieldDevice, fieldToken} {
		m.set(f, uint64(user))
	}
}

func putDecimal(b []byte, v uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
}

func putHex(b []byte, v uint64) {
	const digits = "0123456789abcdef"
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = digits[v&15]
		v >>= 4
	}
}

// putOctets writes three octets from 100 to 227: two million addresses, all of
// one length.
func putOctets(b []byte, v uint64) {
	putDecimal(b[0:3], 100+v>>14&127)
	putDecimal(b[4:7], 100+v>>7&127)
	putDecimal(b[8:11], 100+v&127)
	b[3], b[7] = '.', '.'
}

// mix makes a number that looks random of one that does not.
func mix(v uint64) uint64 {
	v ^= v >> 30
	v *= 0xbf58476d1ce4e5b9
	v ^= v >> 27
	v *= 0x94d049bb133111eb
	return v ^ v>>31
}
