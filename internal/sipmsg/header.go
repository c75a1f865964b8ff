package sipmsg

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

// headersByLength lists the IDs whose long names have the index as their length,
// frequent ones first, so that a lookup compares one to three names.
var headersByLength = [...][]HeaderID{
	2:  {HdrTo},
	3:  {HdrVia},
	4:  {HdrFrom, HdrCSeq, HdrPath, HdrDate},
	5:  {HdrRoute, HdrAllow, HdrEvent},
	6:  {HdrAccept, HdrServer, HdrReason},
	7:  {HdrCallID, HdrContact, HdrExpires, HdrRequire, HdrSubject, HdrPrivacy},
	8:  {HdrReplaces, HdrReferTo, HdrIdentity},
	9:  {HdrSupported, HdrTimestamp},
	10: {HdrUserAgent, HdrFlowTimer},
	11: {HdrMinExpires, HdrUnsupported, HdrRetryAfter, HdrMaxBreadth, HdrReferredBy},
	12: {HdrMaxForwards, HdrContentType, HdrRecordRoute, HdrFeatureCaps, HdrAllowEvents, HdrHistoryInfo},
	13: {HdrAuthorization, HdrProxyRequire, HdrServiceRoute},
	14: {HdrContentLength, HdrAcceptContact, HdrRejectContact},
	15: {HdrSessionExpires},
	16: {HdrWWWAuthenticate, HdrContentEncoding},
	18: {HdrProxyAuthenticate, HdrSubscriptionState},
	19: {HdrProxyAuthorization, HdrRequestDisposition, HdrPAssertedIdentity},
	20: {HdrPPreferredIdentity},
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
	if len(name) >= len(headersByLength) {
		return HdrOther
	}
	for _, id := range headersByLength[len(name)] {
		if equalFold(name, headerNames[id]) {
			return id
		}
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

// A HeaderField is a header field to be written. Name and Value are cleaned of
// whatever could end the line (see Edit.Add).
type HeaderField struct {
	Name, Value string
}
