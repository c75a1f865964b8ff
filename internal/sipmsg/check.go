package sipmsg

import "errors"

// Defects that Parse reports inside a StatusError. The wire sees its phrase, the
// log these.
var (
	errMissing       = errors.New("mandatory header field is missing")
	errRepeated      = errors.New("header field may occur only once")
	errTooManyValues = errors.New("more than 256 values")
	errCSeq          = errors.New("malformed CSeq, or another method than the request")
	errCallID        = errors.New("malformed Call-ID")
	errMaxForwards   = errors.New("value of Max-Forwards is not 0 to 255")
	errShortBody     = errors.New("body shorter than Content-Length")
)
