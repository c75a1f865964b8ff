package push

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"strconv"
	"time"
)

// Payload lists what r tells the app, for Senders to put into their form of
// payload: push_id, kind, expires_at (Unix seconds; the request is of no use
// later, which an app that wakes late should know) and r.Data. It says nothing
// about the caller unless Data does.
func Payload(r *Request) map[string]string {
	p := make(map[string]string, len(r.Data)+3)
	maps.Copy(p, r.Data)
	p["kind"] = r.Kind.String()
	if r.PushID != "" {
		p["push_id"] = r.PushID
	}
	if !r.Deadline.IsZero() {
		p["expires_at"] = strconv.FormatInt(r.Deadline.Unix(), 10)
	}
	return p
}

// CollapseID names the pushes of which a push service need deliver only the
// latest: those of one Call-ID, and the refreshes. It is a hash, for a Call-ID
// may tell where the caller is, of 32 characters of base64url: the bound of
// the Topic of RFC 8030 §5.4, and within the 64 bytes of APNs.
func CollapseID(r *Request) string {
	in := r.CallID
	if in == "" {
		in = r.Kind.String()
	}
	sum := sha256.Sum256([]byte(in))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// TTL is how long a push service may keep r: until its Deadline, in whole
// seconds rounded up; 0 means now or never. A request without Deadline has 30 s.
func TTL(r *Request, now time.Time) time.Duration {
	if r.Deadline.IsZero() {
		return defaultDeadline
	}
	left := max(r.Deadline.Sub(now), 0)
	return (left + time.Second - 1).Truncate(time.Second)
}
