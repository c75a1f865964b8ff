package proxy

import (
	"strconv"
	"strings"

	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// DiversionMode says how the target of a fallback learns who was called, and why it
// gets the call.
type DiversionMode uint8

// The modes.
const (
	// NoDiversion: by nothing but To.
	NoDiversion DiversionMode = iota
	// DiversionHeader: by Diversion (RFC 5806).
	DiversionHeader
	// HistoryInfo: by History-Info (RFC 7044).
	HistoryInfo
)

// ParseDiversionMode reads a mode's name.
func ParseDiversionMode(s string) (DiversionMode, bool) {
	switch s {
	case "none":
		return NoDiversion, true
	case "diversion":
		return DiversionHeader, true
	case "history_info":
		return HistoryInfo, true
	}
	return 0, false
}

// A diversion is what a call that was sent on says of that. Nil says nothing.
type diversion struct {
	mode DiversionMode
	aor  usrloc.AOR
	why  When
	// cause is the SIP status of what the user's devices said.
	cause int
	// to is the new Request-URI; empty: it is the old one.
	to string
}

func (f *fork) newDiversion(r *Fallback, why When) *diversion {
	d := &diversion{mode: r.Diversion, aor: f.aor, why: why, cause: f.best.code}
	if f.best.message == nil && why == WhenNoAnswer {
		// RFC 7044 §10.2: as if a 408 had come.
		d.cause = 408
	}
	if !r.To.IsZero() {
		d.to = requestURI(r.To.String(), f.p.opts().PushParams)
	}
	return d
}

// write adds what d says to a message that leaves. secrets are Options.PushParams;
// ours, for a receiver outside of the trust domain alone, tells whose names are to be
// kept if privacy is asked for.
func (d *diversion) write(m *sipmsg.Message, e *sipmsg.Edit, secrets []string, ours func(sipmsg.URI) bool) {
	switch {
	case d == nil:
	case d.mode == DiversionHeader && ours != nil && keepsHistory(m):
		// RFC 5806 §4, of one whose name is not to be known.
		e.Push("Diversion", anonymousEntry+";reason="+d.why.diversion()+";privacy=full;counter=1")
	case d.mode == DiversionHeader:
		// RFC 5806 §4: the last diversion comes first.
		e.Push("Diversion", "<"+string(d.aor)+">;reason="+d.why.diversion()+";counter=1")
	case d.mode == HistoryInfo:
		e.Remove(sipmsg.HdrHistoryInfo)
		entries := d.history(m, secrets)
		if ours != nil {
			entries = anonymize(m, e, entries, ours)
		}
		for _, entry := range entries {
			e.Add("History-Info", entry)
		}
	}
}

// rewritesHistory reports whether write replaces History-Info.
func (d *diversion) rewritesHistory() bool { return d != nil && d.mode == HistoryInfo }

// anonymousEntry is the URI of RFC 3323 §4.1.1.3.
const anonymousEntry = "<sip:anonymous@anonymous.invalid>"

// anonymize applies the privacy of RFC 7044 §10.1.2 to the entries about users of ours:
// all of them if the message asks for it, else those that ask themselves. The wish has
// been fulfilled then, and goes no further.
func anonymize(m *sipmsg.Message, e *sipmsg.Edit, entries []string, ours func(sipmsg.URI) bool) []string {
	all := keepsHistory(m)
	for i, value := range entries {
		entry, err := sipmsg.ParseNameAddr(value)
		if err != nil || !ours(entry.URI) {
			continue
		}
		headers, own := withoutPrivacy(entry.URI.Headers)
		switch {
		case all || own:
			entries[i] = anonymousEntry + string(entry.Params)
		case headers != entry.URI.Headers:
			u, _, _ := strings.Cut(entry.URI.String(), "?")
			entries[i] = nameAddr(entry.Display, u+headers) + string(entry.Params)
		}
	}
	if all {
		dropHistoryPrivacy(m, e)
	}
	return entries
}

// withoutPrivacy takes Privacy out of the headers of a URI. history reports whether it
// asked to keep the entry's name.
func withoutPrivacy(headers string) (left string, history bool) {
	var kept []string
	for field := range strings.SplitSeq(strings.TrimPrefix(headers, "?"), "&") {
		name, value, _ := strings.Cut(field, "=")
		switch {
		case strings.EqualFold(sipmsg.Unescape(name), "Privacy"):
			history = history || asks(sipmsg.Unescape(value), "history")
		case field != "":
			kept = append(kept, field)
		}
	}
	if len(kept) > 0 {
		left = "?" + strings.Join(kept, "&")
	}
	return left, history
}

// keepsHistory reports whether a message asks that nobody outside learns by which users
// it has come: RFC 7044 §10.1.2.
func keepsHistory(m *sipmsg.Message) bool {
	for value := range m.Values(sipmsg.HdrPrivacy) {
		if asks(value, "history") || asks(value, "header") {
			return true
		}
	}
	return false
}

// asks reports whether a value of Privacy has level among its own.
func asks(value, level string) bool {
	for has := range strings.SplitSeq(value, ";") {
		if strings.EqualFold(strings.TrimSpace(has), level) {
			return true
		}
	}
	return false
}

// dropHistoryPrivacy takes history out of Privacy; the rest stays.
func dropHistoryPrivacy(m *sipmsg.Message, e *sipmsg.Edit) {
	var left []string
	for value := range m.Values(sipmsg.HdrPrivacy) {
		for level := range strings.SplitSeq(value, ";") {
			if level = strings.TrimSpace(level); !strings.EqualFold(level, "history") {
				left = append(left, level)
			}
		}
	}
	e.Remove(sipmsg.HdrPrivacy)
	if len(left) > 0 {
		e.Push("Privacy", strings.Join(left, ";"))
	}
}

// diversion is the reason as RFC 5806 §4 calls it.
func (w When) diversion() string {
	switch w {
	case WhenBusy:
		return "user-busy"
	case WhenNoAnswer:
		return "no-answer"
	default:
		return "unavailable"
	}
}

// history returns the entries of m's History-Info, with one for the user who was
// called, which has the cause, and one for the new target behind it.
func (d *diversion) history(m *sipmsg.Message, secrets []string) []string {
	var entries []string
	for value := range m.Values(sipmsg.HdrHistoryInfo) {
		if entry, ok := concealed(value, secrets); ok {
			entries = append(entries, entry)
		}
	}
	called := m.RequestURI()
	index := "1"
	if n := len(entries); n > 0 {
		last, err := sipmsg.ParseNameAddr(entries[n-1])
		if at, _ := last.Params.Get("index"); err == nil && isIndex(at) {
			index = at
		}
		if err == nil && samePlace(last.URI, called) {
			// RFC 7044 §9.3 step 2: the cause goes into the entry that is there.
			entries[n-1] = nameAddr(last.Display, d.withCause(last.URI, secrets)) + string(last.Params)
		} else {
			// RFC 7044 §10.3 rule 6: whoever sent the request to us wrote none.
			index += ".0"
			entries = append(entries, "<"+d.withCause(called, secrets)+">;index="+index)
		}
	} else {
		entries = append(entries, "<"+d.withCause(called, secrets)+">;index=1")
	}
	// RFC 7044 §10.3 rule 2, §10.4: one level further; mp is for another user, np for a
	// Request-URI that stays.
	to, parameter := d.to, ";mp="
	if to == "" {
		to, parameter = plain(called, secrets), ";np="
	}
	return append(entries, "<"+to+">;index="+index+".1"+parameter+index)
}

// isIndex reports whether s is the index of an entry (RFC 7044 §5.1), of which what
// follows is made. No way has so many stations that it would be longer.
func isIndex(s string) bool {
	return s != "" && len(s) <= 128 && strings.Trim(s, "0123456789.") == ""
}

// withCause is a URI with the Reason of the failure in its headers (RFC 7044 §10.2).
func (d *diversion) withCause(u sipmsg.URI, secrets []string) string {
	headers := "?"
	if u.Headers != "" {
		headers = u.Headers + "&"
	}
	return plain(u, secrets) + headers + "Reason=SIP%3Bcause%3D" + strconv.Itoa(d.cause)
}

// plain is a URI without headers and push parameters.
func plain(u sipmsg.URI, secrets []string) string {
	s, _, _ := strings.Cut(u.WithoutPush(secrets), "?")
	return s
}

// samePlace reports whether an entry of a History-Info is about u: headers do not
// count.
func samePlace(entry, u sipmsg.URI) bool {
	a, err := sipmsg.ParseURI(entry.WithoutHeaders())
	return err == nil && a.Equal(u)
}

// divertedFrom reports whether a request says that it was sent on for aor before.
func divertedFrom(m *sipmsg.Message, aor usrloc.AOR) bool {
	for value := range m.Values(sipmsg.HdrDiversion) {
		if names(value, aor) {
			return true
		}
	}
	for value := range m.Values(sipmsg.HdrHistoryInfo) {
		// An entry without a cause is only a station on the way.
		entry, err := sipmsg.ParseNameAddr(value)
		if err == nil && strings.Contains(strings.ToLower(entry.URI.Headers), "reason=") && names(value, aor) {
			return true
		}
	}
	return false
}

// names reports whether a name-addr is that of a user.
func names(value string, aor usrloc.AOR) bool {
	party, err := sipmsg.ParseNameAddr(value)
	if err != nil {
		return false
	}
	key, err := sipmsg.CanonicalAOR(party.URI)
	return err == nil && usrloc.AOR(key) == aor
}
