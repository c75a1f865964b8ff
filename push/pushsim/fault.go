package pushsim

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A FaultKind is a way to misbehave.
type FaultKind uint8

// The faults. Each service says them in its own words.
const (
	// Accept: no fault; takes the push.
	Accept FaultKind = iota
	// Gone: the token died at Since, or just now.
	Gone
	// BadToken: the token does not fit the credential.
	BadToken
	// Throttle: too many pushes; wait RetryAfter.
	Throttle
	// Unavailable: the service has trouble; wait RetryAfter.
	Unavailable
	// Refuse: the credential is refused.
	Refuse
	// ExpireCredential: APNs finds the JWT too old, FCM the access token.
	ExpireCredential
	// BlackHole: never answers.
	BlackHole
	// Reset: the connection breaks without an answer.
	Reset
	// GoAway: takes the push and closes the connection in good order.
	GoAway
	// Garbage: status 502 and a page of HTML, as from a proxy.
	Garbage
	// Huge: status 500 and a body without end.
	Huge
)

var faultNames = [...]string{
	Accept: "accept", Gone: "gone", BadToken: "bad-token", Throttle: "throttle", Unavailable: "unavailable",
	Refuse: "refuse", ExpireCredential: "expire-credential", BlackHole: "black-hole", Reset: "reset",
	GoAway: "go-away", Garbage: "garbage", Huge: "huge",
}

func (k FaultKind) String() string {
	if int(k) < len(faultNames) {
		return faultNames[k]
	}
	return "unknown"
}

// A Fault is how pushes to one token are answered.
type Fault struct {
	Kind FaultKind
	// Times is how many pushes are answered so before all is well again; 0 for
	// all.
	Times int
	// Since is for Gone; zero for now.
	Since time.Time
	// RetryAfter is for Throttle and Unavailable, in whole seconds; 0 sends none.
	RetryAfter time.Duration
	// Delay is the time before the answer.
	Delay time.Duration
}

// SetFault sets what pushes to token get; the token is a whole PRID. "" is for
// all tokens without a fault of their own.
func (s *Server) SetFault(token string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[token] = &f
}

// ClearFaults ends all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// fault returns what the next push to token gets.
func (s *Server) fault(token string) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := token
	f := s.faults[key]
	if f == nil {
		key = ""
		f = s.faults[key]
	}
	if f == nil {
		return Fault{}, false
	}
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			delete(s.faults, key)
		}
	}
	return *f, true
}

// misbehave applies f to a push that would get ok. answered is true if there is
// nothing more to say.
func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, f Fault, ok verdict, say words) (v verdict, answered bool) {
	if f.Delay > 0 {
		s.pause(r, f.Delay)
	}
	switch f.Kind {
	case Gone:
		if f.Since.IsZero() {
			f.Since = time.Now()
		}
		return say.gone(f.Since), false
	case BadToken:
		return say.badToken(), false
	case Throttle:
		return say.throttled().after(f.RetryAfter), false
	case Unavailable:
		return say.unavailable().after(f.RetryAfter), false
	case Refuse:
		return say.refused(), false
	case ExpireCredential:
		return say.expired(), false
	case GoAway:
		// net/http makes a GOAWAY of it on HTTP/2.
		w.Header().Set("Connection", "close")
		return ok, false
	case BlackHole:
		s.pause(r, time.Hour)
		// Returning would be an answer, if the server ends before its connection.
		panic(http.ErrAbortHandler)
	case Reset:
		connOf(r).abort()
		return v, true
	case Garbage:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html><body>Bad Gateway</body></html>"))
		return v, true
	case Huge:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		chunk := []byte(strings.Repeat(" ", 16<<10))
		for range 1 << 10 { // 16 MiB unless the client has enough
			if _, err := w.Write(chunk); err != nil {
				break
			}
		}
		return v, true
	default:
		return ok, false
	}
}

// pause waits until d, the client or the server ended.
func (s *Server) pause(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	case <-s.done:
	}
}

// after adds Retry-After.
func (v verdict) after(d time.Duration) verdict {
	if d > 0 {
		v.header = http.Header{"Retry-After": {strconv.Itoa(int(d / time.Second))}}
	}
	return v
}
