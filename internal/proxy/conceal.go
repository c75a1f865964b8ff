package proxy

import (
	"slices"
	"strings"

	"reveille/internal/sipmsg"
)

// concealPush takes push data out of a message that passes through, where phones may
// have put it although they should not (RFC 8599 §4.1): the other party must not see
// it. What has none stays byte for byte. also names what is no pn-parameter and says
// the same (Options.PushParams).
func concealPush(m *sipmsg.Message, e *sipmsg.Edit, also []string) {
	concealContacts(m, e, also)
	concealHistory(m, e, also)
	concealOthers(m, e, also)
}

// concealHistory is the part for History-Info, which a fallback writes anew.
func concealHistory(m *sipmsg.Message, e *sipmsg.Edit, also []string) {
	concealAddresses(m, e, sipmsg.HdrHistoryInfo, "History-Info", also)
}

// concealOthers is the part for header fields that nobody writes anew.
func concealOthers(m *sipmsg.Message, e *sipmsg.Edit, also []string) {
	concealAddresses(m, e, sipmsg.HdrDiversion, "Diversion", also)
	concealAddresses(m, e, sipmsg.HdrReferTo, "Refer-To", also)
	concealAddresses(m, e, sipmsg.HdrReferredBy, "Referred-By", also)
}

// concealAddresses does it for a header field with addresses of others than the two
// parties: a phone that sends a call on, or has somebody call it, names itself there.
// pn-purr stays, for it is by that that a call with Replaces finds the phone (RFC 8599
// §7), and so do the header fields of the URI.
func concealAddresses(m *sipmsg.Message, e *sipmsg.Edit, id sipmsg.HeaderID, name string, also []string) {
	var values []string
	exposed := false
	for value := range m.Values(id) {
		less, ok := concealed(value, also)
		exposed = exposed || less != value || !ok
		if ok {
			values = append(values, less)
		}
	}
	if !exposed {
		return
	}
	e.Remove(id)
	for _, value := range slices.Backward(values) {
		e.Push(name, value)
	}
}

// concealed is a name-addr as received less the push data in it. ok is false if it
// cannot be read, and might have some.
func concealed(value string, also []string) (less string, ok bool) {
	c, err := sipmsg.ParseNameAddr(value)
	switch {
	case err != nil:
		text := strings.ToLower(sipmsg.Unescape(value))
		hints := func(name string) bool { return strings.Contains(text, strings.ToLower(name)) }
		return value, !hints("pn-") && !slices.ContainsFunc(also, hints)
	case !exposes(c, also):
		return value, true
	}
	return nameAddr(c.Display, c.URI.WithoutPush(also)) + string(c.Params.WithoutPush(also)), true
}

func concealContacts(m *sipmsg.Message, e *sipmsg.Edit, also []string) {
	contacts := m.Contacts()
	if !slices.ContainsFunc(contacts, func(c sipmsg.NameAddr) bool { return exposes(c, also) }) {
		return
	}
	e.Remove(sipmsg.HdrContact)
	for _, c := range slices.Backward(contacts) {
		value := c.String()
		if exposes(c, also) {
			value = nameAddr(c.Display, c.URI.WithoutPush(also)) + string(c.Params.WithoutPush(also))
		}
		e.Push("Contact", value)
	}
}

// exposes reports whether a Contact shows push data. Without angle brackets the
// parameters are the header's (RFC 3261 §20.10).
func exposes(c sipmsg.NameAddr, also []string) bool {
	return c.URI.HasPush(also) || len(c.Params.WithoutPush(also)) != len(c.Params)
}

// dropCredentials removes the Proxy-Authorization values of our realm and no
// others (RFC 3261 §22.3). A bearer token names no realm, and whoever sees it can
// use it (RFC 8898 §2.1.2): if we take tokens, all go no further, also those in
// Authorization, where phones put them in every request (§2.1.4). That of a
// REGISTER is for the registrar to which it goes.
func dropCredentials(m *sipmsg.Message, e *sipmsg.Edit, realm string, tokens bool) {
	e.RemoveIf(func(h sipmsg.Header) bool {
		switch h.ID {
		case sipmsg.HdrProxyAuthorization:
			return realmOf(h.Value) == realm || tokens && isBearer(h.Value)
		case sipmsg.HdrAuthorization:
			return tokens && m.Method() != "REGISTER" && isBearer(h.Value)
		default:
			return false
		}
	})
}

// isBearer reports whether credentials are a token (RFC 6750 §2.1).
func isBearer(credentials string) bool {
	fields := strings.Fields(credentials)
	return len(fields) > 0 && strings.EqualFold(fields[0], "Bearer")
}

// realmOf returns the realm of credentials (RFC 3261 §25.1, credentials); "" if
// they name none.
func realmOf(credentials string) string {
	_, rest, _ := strings.Cut(credentials, " ")
	for rest != "" {
		// The parameters are those of a header field but for what separates them.
		end, quoted := 0, false
		for ; end < len(rest) && (quoted || rest[end] != ','); end++ {
			switch {
			case rest[end] == '"':
				quoted = !quoted
			case rest[end] == '\\' && quoted:
				end++
			}
		}
		end = min(end, len(rest))
		if value, ok := sipmsg.Params(";" + strings.TrimSpace(rest[:end])).Get("realm"); ok {
			return value
		}
		rest = strings.TrimPrefix(rest[end:], ",")
	}
	return ""
}
