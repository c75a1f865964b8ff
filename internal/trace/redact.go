package trace

import (
	"cmp"
	"slices"
	"strings"

	"reveille/internal/sipmsg"
)

// Secrets are what Redact hides besides what it always does. A nil *Secrets has none.
type Secrets struct {
	// Params are parameters of Contacts, and Headers header fields, by which phones say
	// how they are woken besides those of RFC 8599, in any case.
	Params, Headers []string
}

// Hidden stands for what Redact has taken out. It may stand wherever a token may, so that
// what is shown is still read by programs that know SIP.
const Hidden = "***"

// Redact returns the message raw, as it was on the wire, in a form that may be shown:
//
//   - of credentials and challenges (RFC 3261 §22) who, where and by which algorithm is
//     left; responses, nonces, tokens, and passwords in URIs are hidden
//   - so are the values of pn-parameters (RFC 8599 §8) but pn-provider, of PURRs, and of
//     those in s; a push token is hidden wherever else it is repeated
//   - the user part of Route, Record-Route, Path and Service-Route URIs, and of any that
//     looks like a token of ours, for these open the way to a phone
//   - the header fields of URIs (RFC 3261 §19.1.1), which may hold all that, but a few
//   - keys in session descriptions (RFC 4568, RFC 8839); other bodies are left out
//     unless bodies is set, and those that are encoded always
//
// Folded lines become one. Of a message that is damaged so that its header fields cannot
// be told apart only the first line is left. What hides too much is no fault.
func Redact(raw string, s *Secrets, bodies bool) string {
	var scan sipmsg.Scan
	return redact(raw, &scan, scan.Parse(raw), s, bodies)
}

// redact is Redact of raw, which scan has read.
func redact(raw string, scan *sipmsg.Scan, fault error, s *Secrets, bodies bool) string {
	if !scan.IsRequest() && scan.Status() == 0 {
		return "" // No SIP at all.
	}
	if s == nil {
		s = &Secrets{}
	}
	w := scrubber{secrets: s}
	w.startLine(raw, scan)
	if fault != nil && scan.Len() == 0 || sipmsg.Uncopyable(fault) {
		w.text("\r\n(header fields that cannot be told apart: " + fault.Error() + ")\r\n")
		return w.result()
	}
	for i := range scan.Len() {
		h := scan.Header(i)
		w.text("\r\n" + h.Name + ": ")
		w.header(h)
	}
	w.text("\r\n\r\n")
	w.body(scan, bodies)
	return w.result()
}

// A scrubber writes a message without its secrets.
type scrubber struct {
	secrets *Secrets
	out     []byte
	found   []string // secrets that may stand elsewhere, too
}

func (w *scrubber) text(s string) { w.out = append(w.out, s...) }

// result returns what was written, without what was found to be secret.
func (w *scrubber) result() string {
	// A token holds another, maybe; and one that is repeated is looked for once.
	slices.SortFunc(w.found, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	out := string(w.out)
	for _, f := range slices.Compact(w.found) {
		out = strings.ReplaceAll(out, f, Hidden)
	}
	return out
}

func (w *scrubber) startLine(raw string, scan *sipmsg.Scan) {
	if scan.IsRequest() {
		w.text(scan.Method() + " ")
		w.value(scan.RequestURI(), modeURI)
		w.text(" SIP/2.0")
		return
	}
	line, _, _ := strings.Cut(raw, "\r\n")
	w.value(line, modeHeader)
}

// header writes the value of a header field.
func (w *scrubber) header(h sipmsg.Header) {
	v := h.Unfolded()
	switch h.ID {
	case sipmsg.HdrAuthorization, sipmsg.HdrProxyAuthorization, sipmsg.HdrWWWAuthenticate, sipmsg.HdrProxyAuthenticate:
		w.credentials(v)
	case sipmsg.HdrRoute, sipmsg.HdrRecordRoute, sipmsg.HdrPath, sipmsg.HdrServiceRoute:
		w.value(v, modeRoute)
	default:
		if w.hides(h.Name) {
			w.text(Hidden)
			return
		}
		w.value(v, modeHeader)
	}
}

// hides reports whether a header field has no value that may be shown.
func (w *scrubber) hides(name string) bool {
	name = strings.ToLower(name)
	// RFC 3261 §20.6, RFC 7615: nonces and proofs. The others are those of apps, whose
	// names say what they hold.
	for _, word := range []string{"authentication-info", "authorization", "token", "secret", "password", "cookie", "api-key"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return slices.ContainsFunc(w.secrets.Headers, func(h string) bool { return strings.EqualFold(h, name) })
}
