package trace

import (
	"fmt"
	"strings"

	"reveille/internal/sipmsg"
)

// body writes what may be shown of the body: session descriptions without their keys, and
// with all set other bodies without what looks like a secret; otherwise how long it is.
func (w *scrubber) body(scan *sipmsg.Scan, all bool) {
	body := scan.Body()
	if body == "" {
		return
	}
	kind := mediaType(scan)
	switch {
	case w.encoded(scan), scan.Count(sipmsg.HdrContentType) > 1, !all && !strings.Contains(kind, "sdp"), w.speaksOfCredentials(body):
		w.text(fmt.Sprintf("(%d bytes of %s)", len(body), shownType(kind)))
	default:
		for line := range strings.Lines(body) {
			w.bodyLine(line)
		}
	}
}

// mediaType returns the type of the body in lower case, without parameters.
func mediaType(scan *sipmsg.Scan) string {
	v, _ := scan.Value(sipmsg.HdrContentType)
	v, _, _ = strings.Cut(v, ";")
	return strings.ToLower(strings.TrimSpace(v))
}

// shownType is a media type as far as it is one.
func shownType(kind string) string {
	main, sub, ok := strings.Cut(kind, "/")
	if !ok || !isToken(main) || !isToken(sub) {
		return "a body"
	}
	return kind
}

// encoded reports whether nobody can see what the body says.
func (w *scrubber) encoded(scan *sipmsg.Scan) bool {
	v, ok := scan.Value(sipmsg.HdrContentEncoding)
	return ok && !strings.EqualFold(v, "identity")
}

// speaksOfCredentials reports whether the body has some that lines of their own do not
// show, as a part of another message may (RFC 3420), or a part that nobody can read as it
// stands (RFC 2045 §6).
func (w *scrubber) speaksOfCredentials(body string) bool {
	body = bare(body)
	return strings.Contains(body, "authorization") || strings.Contains(body, "authenticat") ||
		strings.Contains(body, "content-transfer-encoding") && (strings.Contains(body, "base64") || strings.Contains(body, "quoted-printable"))
}

// keyLines are the starts of lines of session descriptions that hold keys: RFC 4566 §5.12,
// RFC 4567 §3.1, RFC 8839 §5.4.
var keyLines = []string{"k=", "a=key-mgmt:", "a=ice-pwd:"}

// bodyLine writes a line of a body, its line end included.
func (w *scrubber) bodyLine(line string) {
	text := strings.TrimRight(line, "\r\n")
	end := line[len(text):]
	low := strings.ToLower(text)
	// RFC 4568 §4: a tag, a suite, and then keys.
	if i := strings.Index(low, "a=crypto:"); i >= 0 {
		fields := strings.Fields(text[i:])
		w.text(strings.Join(fields[:min(2, len(fields))], " ") + " " + Hidden + end)
		return
	}
	for _, k := range keyLines {
		if i := strings.Index(low, k); i == 0 || i > 0 && k != "k=" {
			w.text(text[:i+len(k)] + Hidden + end)
			return
		}
	}
	if i := strings.Index(low, "inline:"); i >= 0 {
		text = text[:i] + Hidden
	}
	start := len(w.out)
	w.value(text, modeText)
	if w.names(string(w.out[start:])) {
		w.out = append(w.out[:start], Hidden...)
	}
	w.text(end)
}

// names reports whether a line that was written still names a secret parameter, other
// than one whose value is hidden: text has more ways to write them than SIP, such as
// those of JSON and of forms.
func (w *scrubber) names(line string) bool {
	line = bare(line)
	for _, name := range append([]string{"pn-prid", "pn-param", "pn-purr", "pnspurr"}, w.secrets.Params...) {
		name = strings.ToLower(name)
		if strings.Contains(line, name) && strings.Contains(strings.ReplaceAll(line, name+"="+Hidden, ""), name) {
			return true
		}
	}
	return false
}
