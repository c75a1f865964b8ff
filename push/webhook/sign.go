package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// The header fields of a signed request.
const (
	HeaderTimestamp = "Reveille-Timestamp" // Unix seconds
	HeaderSignature = "Reveille-Signature" // "v1=" and hexadecimal HMAC-SHA256
)

// ErrSignature means that a request was not signed with the secret, or too long ago.
var ErrSignature = errors.New("webhook: signature invalid")

// sign covers the time, so that a request cannot be replayed for long, and the
// method and URI, so that it cannot be sent elsewhere. Lines end with LF.
func sign(secret []byte, at, method, uri string, body []byte) string {
	h := hmac.New(sha256.New, secret)
	for _, line := range []string{at, method, uri} {
		h.Write([]byte(line))
		h.Write([]byte{'\n'})
	}
	h.Write(body)
	return "v1=" + hex.EncodeToString(h.Sum(nil))
}

// Sign puts the signature of a request with that method, URI of the request line and
// body into its header.
func Sign(header http.Header, secret []byte, now time.Time, method, uri string, body []byte) {
	at := strconv.FormatInt(now.Unix(), 10)
	header.Set(HeaderTimestamp, at)
	header.Set(HeaderSignature, sign(secret, at, method, uri, body))
}

// Verify is for the receiver: it returns ErrSignature unless r, whose body was
// read into body, was signed with secret within tolerance of now.
func Verify(secret []byte, r *http.Request, body []byte, now time.Time, tolerance time.Duration) error {
	at := r.Header.Get(HeaderTimestamp)
	sec, err := strconv.ParseInt(at, 10, 64)
	if err != nil || now.Sub(time.Unix(sec, 0)).Abs() > tolerance {
		return ErrSignature
	}
	want := sign(secret, at, r.Method, r.URL.RequestURI(), body)
	if !hmac.Equal([]byte(want), []byte(r.Header.Get(HeaderSignature))) {
		return ErrSignature
	}
	return nil
}
