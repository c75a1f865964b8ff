package sipmsg

import "iter"

// A HeaderID names a header field that some part of the server looks at. All
// others are HdrOther and are told apart by their names. The numbers are not
// stable between versions; do not store them.
type HeaderID uint8

// The header fields with an ID. A compact form (RFC 3261 §7.3.3) has the ID of
// its long form.
const (
	HdrOther HeaderID = iota
	HdrVia
	HdrFrom
	HdrTo
	HdrCallID
	HdrCSeq
	HdrContact
	HdrMaxForwards
	HdrRoute
	HdrRecordRoute
	HdrPath
	HdrServiceRoute
	HdrExpires
	HdrMinExpires
	HdrContentLength
	HdrContentType
	HdrContentEncoding
	HdrAuthorization
	HdrProxyAuthorization
	HdrWWWAuthenticate
	HdrProxyAuthenticate
	HdrRequire
	HdrProxyRequire
	HdrSupported
	HdrUnsupported
	HdrUserAgent
	HdrServer
	HdrReason
	HdrFeatureCaps
	HdrAllow
	HdrAccept
	HdrEvent
	HdrAllowEvents
	HdrSubscriptionState
	HdrTimestamp
	HdrDate
	HdrRetryAfter
	HdrMaxBreadth
	HdrSessionExpires
	HdrReplaces
	HdrReferTo
	HdrReferredBy
	HdrSubject
	HdrRequestDisposition
	HdrAcceptContact
	HdrRejectContact
	HdrHistoryInfo
	HdrDiversion
	HdrIdentity
	HdrPAssertedIdentity
	HdrPPreferredIdentity
	HdrPrivacy
	HdrFlowTimer
	numHeaderIDs
)

// headerNames holds the long form of each name as we write it ourselves.
var headerNames = [numHeaderIDs]string{
	HdrVia:                "Via",
	HdrFrom:               "From",
	HdrTo:                 "To",
	HdrCallID:             "Call-ID",
	HdrCSeq:               "CSeq",
	HdrContact:            "Contact",
	HdrMaxForwards:        "Max-Forwards",
	HdrRoute:              "Route",
	HdrRecordRoute:        "Record-Route",
	HdrPath:               "Path",
	HdrServiceRoute:       "Service-Route",
	HdrExpires:            "Expires",
	HdrMinExpires:         "Min-Expires",
	HdrContentLength:      "Content-Length",
	HdrContentType:        "Content-Type",
	HdrContentEncoding:    "Content-Encoding",
	HdrAuthorization:      "Authorization",
	HdrProxyAuthorization: "Proxy-Authorization",
	HdrWWWAuthenticate:    "WWW-Authenticate",
	HdrProxyAuthenticate:  "Proxy-Authenticate",
	HdrRequire:            "Require",
	HdrProxyRequire:       "Proxy-Require",
	HdrSupported:          "Supported",
	HdrUnsupported:        "Unsupported",
	HdrUserAgent:          "User-Agent",
	HdrServer:             "Server",
	HdrReason:             "Reason",
	HdrFeatureCaps:        "Feature-Caps",
	HdrAllow:              "Allow",
	HdrAccept:             "Accept",
	HdrEvent:              "Event",
	HdrAllowEvents:        "Allow-Events",
	HdrSubscriptionState:  "Subscription-State",
	HdrTimestamp:          "Timestamp",
	HdrDate:               "Date",
	HdrRetryAfter:         "Retry-After",
	HdrMaxBreadth:         "Max-Breadth",
	HdrSessionExpires:     "Session-Expires",
	HdrReplaces:           "Replaces",
	HdrReferTo:            "Refer-To",
	HdrReferredBy:         "Referred-By",
	HdrSubject:            "Subject",
	HdrRequestDisposition: "Request-Disposition",
	HdrAcceptContact:      "Accept-Contact",
	HdrRejectContact:      "Reject-Contact",
	HdrHistoryInfo:        "History-Info",
	HdrDiversion:          "Diversion",
	HdrIdentity:           "Identity",
	HdrPAssertedIdentity:  "P-Asserted-Identity",
	HdrPPreferredIdentity: "P-Preferred-Identity",
	HdrPrivacy:            "Privacy",
	HdrFlowTimer:          "Flow-Timer",
}

// compactForms maps a lower-case letter to the header field that it abbreviates.
var compactForms = [26]HeaderID{
	'a' - 'a': HdrAcceptContact, //nolint:staticcheck // One form for each letter reads best.
	'b' - 'a': HdrReferredBy,
	'c' - 'a': HdrContentType,
	'd' - 'a': HdrRequestDisposition,
	'e' - 'a': HdrContentEncoding,
	'f' - 'a': HdrFrom,
	'i' - 'a': HdrCallID,
	'j' - 'a': HdrRejectContact,
	'k' - 'a': HdrSupported,
	'l' - 'a': HdrContentLength,
	'm' - 'a': HdrContact,
	'o' - 'a': HdrEvent,
	'r' - 'a': HdrReferTo,
	's' - 'a': HdrSubject,
	't' - 'a': HdrTo,
	'u' - 'a': HdrAllowEvents,
	'v' - 'a': HdrVia,
	'x' - 'a': HdrSessionExpires,
	'y' - 'a': HdrIdentity,
}

// headersByHash holds the ID of each long name at its headerHash. No two of them
// have the same, so that a look-up compares one name.
var headersByHash = func() (t [256]HeaderID) {
	for id, name := range headerNames {
		if name != "" {
			t[headerHash(name)] = HeaderID(id)
		}
	}
	return t
}()

// headerHash tells the long names apart, whatever their case; name must not be
// empty. The factor was found by trial.
func headerHash(name string) uint8 {
	return uint8(len(name)) + 97*(name[0]|0x20) + (name[len(name)-1] | 0x20)
}

// HeaderIDOf returns the ID of a header field name in any case, long or compact;
// HdrOther if it has none.
func HeaderIDOf(name string) HeaderID {
	if len(name) == 1 {
		if c := lower(name[0]); c >= 'a' && c <= 'z' {
			return compactForms[c-'a']
		}
		return HdrOther
	}
	if name == "" {
		return HdrOther
	}
	id := headersByHash[headerHash(name)]
	// Most write a name as we do.
	if long := headerNames[id]; name == long || equalFold(name, long) {
		return id
	}
	return HdrOther
}

// String returns the long name of the header field; "" for HdrOther.
func (id HeaderID) String() string {
	if id < numHeaderIDs {
		return headerNames[id]
	}
	return ""
}

// A Header is one header field line of a message.
type Header struct {
	ID HeaderID
	// Name is written as received: any case, long or compact.
	Name string
	// Value is the field's value without the white space around it. It may hold
	// folds (CRLF and white space), since it is what was received.
	Value string
}

// Unfolded returns the value on one line: each fold is one space (RFC 3261 §7.3.1).
func (h Header) Unfolded() string { return unfold(h.Value) }

// Values yields the comma-separated values in order, unfolded, as Message.Values does.
func (h Header) Values() iter.Seq[string] {
	return func(yield func(string) bool) { yieldValues(unfold(h.Value), yield) }
}

// yieldValues yields the values of a list and reports whether all were taken.
func yieldValues(list string, yield func(string) bool) bool {
	for rest := list; rest != ""; {
		end := valueEnd(rest)
		v := trim(rest[:end])
		rest = rest[min(end+1, len(rest)):]
		if v != "" && !yield(v) {
			return false
		}
	}
	return true
}

// A HeaderField is a header field to be written. Name and Value are cleaned of
// whatever could end the line (see Edit.Add).
type HeaderField struct {
	Name, Value string
}
