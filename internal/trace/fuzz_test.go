package trace

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"reveille/internal/sipmsg"
)

// canary is the secret that is put into messages. No part of it may come out.
const canary = "Zq7canary4Wx"

// A writer writes what the grammar allows, as choices say.
type writer struct{ choices []byte }

// pick returns a number below n.
func (w *writer) pick(n int) int {
	if len(w.choices) == 0 {
		return 0
	}
	c := w.choices[0]
	w.choices = w.choices[1:]
	return int(c) % n
}

func (w *writer) one(of ...string) string { return of[w.pick(len(of))] }

// lws is white space where there may be some.
func (w *writer) lws() string { return w.one("", "", " ", "\t", "\r\n ", " \r\n\t ") }

// name writes a name in any case, and in a URI with escapes.
func (w *writer) name(s string, escapes bool) string {
	var b strings.Builder
	for i := range len(s) {
		switch k := w.pick(8); {
		case k == 1:
			b.WriteString(strings.ToUpper(s[i : i+1]))
		case k == 2 && escapes:
			fmt.Fprintf(&b, w.one("%%%02x", "%%%02X"), s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// secret writes the canary, some of it escaped, with other characters around it.
func (w *writer) secret(around string) string {
	var b strings.Builder
	for i := range len(canary) {
		// Most of it stays, so that one can see whether it comes out.
		if i < 3 && w.pick(4) == 1 {
			fmt.Fprintf(&b, "%%%02x", canary[i])
		} else {
			b.WriteByte(canary[i])
		}
		if around != "" && w.pick(9) == 1 {
			b.WriteByte(around[w.pick(len(around))])
		}
	}
	return b.String()
}

// quoted writes the canary as a quoted-string with quoted pairs.
func (w *writer) quoted() string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range w.secret(" ;,<>=?@:") {
		if w.pick(6) == 1 {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
		if w.pick(12) == 1 {
			b.WriteString(`\"`)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func (w *writer) paramName() string {
	return w.one("pn-prid", "pn-param", "pn-purr", "pn-tok", "app-token")
}

// uriParams writes parameters of a URI, one of which is secret.
func (w *writer) uriParams() string {
	return w.one("", ";ob", ";transport=tcp", ";pn-provider=apns") + ";" + w.name(w.paramName(), true) + "=" + w.secret("-_.!~*'()[]/:&+$") + w.one("", ";lr", ";x=y")
}

// uri writes a URI with the secret in it. bare ones have no characters that need brackets.
func (w *writer) uri() string {
	host := w.one("example.com", "192.0.2.9:5060", "[2001:db8::1]", "h.")
	user := w.one("alice", "al%69ce", "a;b=c", "+49", "a?b")
	scheme := w.one("sip:", "SIP:", "sips:")
	switch w.pick(5) {
	case 0:
		return scheme + user + "@" + host + w.uriParams()
	case 1:
		return scheme + host + w.uriParams()
	case 2:
		return scheme + "alice:" + w.secret("-_.!~*'()&=+$,") + "@" + host
	case 3:
		return scheme + user + "@" + host + "?" + w.one("", "Subject=x&") + w.name(w.one("Authorization", "Contact", "X-Any", "body"), true) + "=" + w.secret("-_.!~*'()[]/?:+$") + w.one("", "&Priority=x")
	}
	nested := "sip:x@y;" + w.paramName() + "=" + canary
	return scheme + user + "@" + host + "?" + w.name(w.one("Replaces", "Reason", "Contact"), false) + "=" + strings.NewReplacer(":", "%3A", ";", "%3b", "=", "%3D", "@", "%40").Replace(nested)
}

// address writes a value of Contact and the like.
func (w *writer) address() string {
	display := w.one("", "", `"A \" B" `, "Alice ", `"<sip:x@y>;"`)
	switch w.pick(4) {
	case 0:
		return w.one("sip:a@b", "sip:b") + w.headerParams()
	case 1:
		return display + "<sip:a@b>" + w.headerParams()
	}
	return display + "<" + w.uri() + ">" + w.one("", ";q=0.5", ";+sip.instance=\"<urn:uuid:1>\"")
}

func (w *writer) headerParams() string {
	value := w.quoted()
	if w.pick(2) == 1 {
		value = w.secret("-.!%*_+`'~?&=@:/[]")
	}
	return w.lws() + ";" + w.lws() + w.name(w.one(w.paramName(), "+sip.pnspurr"), false) + w.lws() + "=" + w.lws() + value + w.one("", ";q=1", " ;expires=60")
}

// credentials writes some with the secret in a parameter that proves something.
func (w *writer) credentials() string {
	if w.pick(3) == 1 {
		return w.one("Bearer", "Basic", "Negotiate") + " " + canary
	}
	comma := func() string { return w.lws() + "," + w.lws() }
	value := w.quoted()
	if w.pick(2) == 1 {
		value = canary
	}
	list := `username="alice"` + comma() + w.name("realm", false) + w.lws() + "=" + w.lws() + `"example.com"`
	secret := w.name(w.one("response", "nonce", "cnonce", "opaque", "nextnonce", "x"), false) + w.lws() + "=" + w.lws() + value
	if w.pick(2) == 1 {
		list, secret = secret, list
	}
	return w.one("Digest", "digest", "DIGEST") + " " + w.lws() + list + comma() + secret
}

// line writes a header field with the secret in it.
func (w *writer) line() string {
	colon := w.one(":", ": ", " :\t", ":\r\n ")
	switch w.pick(6) {
	case 0:
		return w.name(w.one("Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate"), false) + colon + w.credentials()
	case 1:
		return w.name(w.one("Authentication-Info", "X-MPUSH", "X-Voip-Token"), false) + colon + canary
	case 2:
		return w.name(w.one("Route", "Record-Route", "Path", "Service-Route"), false) + colon + "<sip:" + canary + "@192.0.2.1;lr>" + w.one("", ", <sip:b;lr>")
	case 3:
		return w.name("Feature-Caps", false) + colon + "*" + w.headerParams()
	}
	return w.name(w.one("Contact", "m", "From", "f", "To", "t", "Refer-To", "r", "Referred-By", "b", "History-Info", "Diversion", "X-Other", "Route"), false) +
		colon + w.address() + w.one("", w.lws()+","+w.lws()+w.address())
}

func (w *writer) message() string {
	var b strings.Builder
	if w.pick(3) == 1 {
		b.WriteString("SIP/2.0 200 OK\r\n")
	} else {
		b.WriteString(w.one("INVITE ", "REGISTER ", "MESSAGE ") + w.uri() + " SIP/2.0\r\n")
	}
	for range 1 + w.pick(4) {
		b.WriteString(w.line() + "\r\n")
	}
	switch w.pick(3) {
	case 0:
		b.WriteString(w.name(w.one("Content-Type", "c"), false) + ": application/sdp\r\n\r\n")
		b.WriteString("v=0\r\n" + w.one("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+canary, "a=ice-pwd:"+canary, "k=base64:"+canary, "a=crypto: 1  X  inline:"+canary) + w.one("\r\n", "\n", ""))
	case 1:
		b.WriteString("Content-Type: text/plain\r\n\r\n" + canary)
	default:
		b.WriteString("\r\n")
	}
	return b.String()
}

// traces returns the forms of a text in which somebody might find the canary.
func traces(s string) []string {
	all := []string{s}
	for range maxNested {
		s = strings.ReplaceAll(sipmsg.Unescape(s), `\`, "")
		all = append(all, s)
	}
	return all
}

// comesOut returns the part of the canary that out shows, empty for none.
func comesOut(out string) string {
	const part = 6
	for _, s := range traces(out) {
		for i := range len(canary) - part {
			if strings.Contains(strings.ToLower(s), strings.ToLower(canary[i:i+part])) {
				return canary[i : i+part]
			}
		}
	}
	return ""
}

// FuzzRedact_Canary puts a secret into messages, in all forms that the grammar has for
// it, and looks for it in what is shown.
func FuzzRedact_Canary(f *testing.F) {
	for i := range 60 {
		seed := make([]byte, 200)
		for j := range seed {
			seed[j] = byte(i*j*7 + j*j*13 + i*31)
		}
		f.Add(seed)
	}
	secrets := &Secrets{Params: []string{"app-token"}, Headers: []string{"x-mpush"}}
	f.Fuzz(func(t *testing.T, choices []byte) {
		raw := (&writer{choices}).message()
		if part := comesOut(Redact(raw, secrets, false)); part != "" {
			t.Errorf("%q of the secret comes out\n%s\n-- of --\n%s", part, Redact(raw, secrets, false), raw)
		}
	})
}

// FuzzRedact_AnyBytes holds Redact to what it promises of bytes from anybody: it does not
// fail, what is shown is as good a message as the one received, and showing it again
// changes nothing that matters.
func FuzzRedact_AnyBytes(f *testing.F) {
	f.Add([]byte("INVITE sip:a@b;pn-prid=x SIP/2.0\r\nContact: \"a\\\"\" <sip:a:b@c?d=e&f>;pn-prid=\"x\r\n y\"\r\n\r\nv=0\r\nk=x"))
	f.Add([]byte("SIP/2.0 200 OK\r\nAuthorization: Digest a=\"b\r\nm: <sip:a@b;;pn-prid>, sip:?=\r\nr: <sips:a?&=&>;?x=y\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		out := Redact(string(raw), &Secrets{Params: []string{"t"}}, true)
		if m, err := sipmsg.Parse(raw, netip.AddrPort{}); err == nil {
			first, _, _ := strings.Cut(out, "\r\n")
			if m.IsRequest() && !strings.HasPrefix(first, m.Method()+" ") {
				t.Errorf("first line %q of %q", first, raw)
			}
			if v, _ := m.HeaderNamed("Call-ID"); !strings.Contains(v, "\"") && !strings.Contains(v, ";") && !strings.Contains(v, "sip") && !strings.Contains(v, "?") && !strings.Contains(out, v) && !strings.Contains(string(raw), "pn-") {
				t.Errorf("the Call-ID %q is missing in %q", v, out)
			}
		}
		if again := Redact(out, &Secrets{Params: []string{"t"}}, true); len(again) > 2*len(out)+64 {
			t.Errorf("%q grows to %q", out, again)
		}
	})
}
