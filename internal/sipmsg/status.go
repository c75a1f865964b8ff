package sipmsg

import (
	"errors"
	"fmt"
)

// A StatusError separates what the wire sees of an error from what the log sees.
type StatusError struct {
	// Code is the response status, 300 to 699.
	Code int
	// Phrase is the reason phrase; "" means ReasonPhrase(Code). It is sent to
	// strangers: it must not carry secrets or anything that the peer sent.
	Phrase string
	// Headers go into the response.
	Headers []HeaderField
	// Err is the cause, for the log only; it may be nil.
	Err error
}

// Error returns the text for the log.
func (e *StatusError) Error() string {
	phrase := e.Phrase
	if phrase == "" {
		phrase = ReasonPhrase(e.Code)
	}
	if e.Err == nil {
		return fmt.Sprintf("%d %s", e.Code, phrase)
	}
	return fmt.Sprintf("%d %s: %v", e.Code, phrase, e.Err)
}

// Unwrap returns the cause.
func (e *StatusError) Unwrap() error { return e.Err }

// StatusOf returns what a response to a request that failed with err says. An
// error that holds no StatusError is a 500 without any detail.
func StatusOf(err error) (code int, phrase string, headers []HeaderField) {
	var se *StatusError
	if !errors.As(err, &se) || se.Code < 300 || se.Code > 699 {
		return 500, ReasonPhrase(500), nil
	}
	if se.Phrase == "" {
		return se.Code, ReasonPhrase(se.Code), se.Headers
	}
	return se.Code, se.Phrase, se.Headers
}

// badRequest returns a 400 whose phrase names what is wrong (RFC 3261 §21.4.1).
func badRequest(phrase string, err error) *StatusError {
	return &StatusError{Code: 400, Phrase: phrase, Err: err}
}

// ReasonPhrase returns the default reason phrase of a status code; for an unknown
// code that of its class.
func ReasonPhrase(code int) string {
	if p, ok := reasonPhrases[code]; ok {
		return p
	}
	switch code / 100 {
	case 1:
		return "Session Progress"
	case 2:
		return "OK"
	case 3:
		return "Redirection"
	case 4:
		return "Request Failure"
	case 5:
		return "Server Failure"
	}
	return "Global Failure"
}

var reasonPhrases = map[int]string{
	100: "Trying",
	180: "Ringing",
	181: "Call Is Being Forwarded",
	182: "Queued",
	183: "Session Progress",
	199: "Early Dialog Terminated",
	200: "OK",
	202: "Accepted",
	204: "No Notification",
	300: "Multiple Choices",
	301: "Moved Permanently",
	302: "Moved Temporarily",
	305: "Use Proxy",
	380: "Alternative Service",
	400: "Bad Request",
	401: "Unauthorized",
	402: "Payment Required",
	403: "Forbidden",
	404: "Not Found",
	405: "Method Not Allowed",
	406: "Not Acceptable",
	407: "Proxy Authentication Required",
	408: "Request Timeout",
	410: "Gone",
	412: "Conditional Request Failed",
	413: "Request Entity Too Large",
	414: "Request-URI Too Long",
	415: "Unsupported Media Type",
	416: "Unsupported URI Scheme",
	420: "Bad Extension",
	421: "Extension Required",
	422: "Session Interval Too Small",
	423: "Interval Too Brief",
	428: "Use Identity Header",
	429: "Provide Referrer Identity",
	430: "Flow Failed",
	433: "Anonymity Disallowed",
	436: "Bad Identity Info",
	437: "Unsupported Credential",
	438: "Invalid Identity Header",
	439: "First Hop Lacks Outbound Support",
	440: "Max-Breadth Exceeded",
	469: "Bad Info Package",
	470: "Consent Needed",
	480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist",
	482: "Loop Detected",
	483: "Too Many Hops",
	484: "Address Incomplete",
	485: "Ambiguous",
	486: "Busy Here",
	487: "Request Terminated",
	488: "Not Acceptable Here",
	489: "Bad Event",
	491: "Request Pending",
	493: "Undecipherable",
	494: "Security Agreement Required",
	500: "Server Internal Error",
	501: "Not Implemented",
	502: "Bad Gateway",
	503: "Service Unavailable",
	504: "Server Time-out",
	505: "Version Not Supported",
	513: "Message Too Large",
	555: "Push Notification Service Not Supported",
	580: "Precondition Failure",
	600: "Busy Everywhere",
	603: "Decline",
	604: "Does Not Exist Anywhere",
	606: "Not Acceptable",
	607: "Unwanted",
	608: "Rejected",
}
