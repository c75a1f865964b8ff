package pushsim

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"time"
)

// maxRequest bounds a request's body in bytes; all services take less.
const maxRequest = 16 << 10

// A verdict is how a request is answered.
type verdict struct {
	status int
	reason string
	body   any // encoded as JSON unless nil
	header http.Header
}

// words are the answers of a service that faults ask for.
type words struct {
	gone        func(since time.Time) verdict
	badToken    func() verdict
	throttled   func() verdict
	unavailable func() verdict
	refused     func() verdict // our credential
	expired     func() verdict // our credential, by age
}

// finish applies the fault of a token to a good request, answers and logs. ok is
// the answer without fault; a verdict of a bad request takes precedence over
// faults.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, p Push, v verdict, say words) {
	c := connOf(r)
	p.Time, p.Conn = time.Now(), c.id
	// What is wrong by itself is answered so, whatever fault is set: a test of
	// faults must not hide a bad request.
	good := v.status < 300
	if good {
		if f, ok := s.fault(p.Token); ok {
			var answered bool
			if v, answered = s.misbehave(w, r, f, v, say); answered {
				p.Reason = f.Kind.String()
				s.received(p)
				return
			}
		}
	}
	if p.Provider == "apns" && v.status < 300 {
		c.valid.Store(true)
	}
	p.Status, p.Reason = v.status, v.reason
	write(w, v)
	if f, ok := w.(http.Flusher); ok {
		f.Flush() // the answer goes out before OnPush acts on it
	}
	s.received(p)
}

func write(w http.ResponseWriter, v verdict) {
	maps.Copy(w.Header(), v.header)
	if v.body != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(v.status)
	if v.body != nil {
		// The client may be gone; there is nobody to tell.
		_ = json.NewEncoder(w).Encode(v.body)
	}
}

// readBody returns at most maxRequest bytes and whether that is all.
func readBody(r *http.Request) (b []byte, ok bool) {
	b, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	return b, err == nil && len(b) <= maxRequest
}

// told reads from a payload what push.Payload put there.
func told(fields map[string]any) (kind, pushID string) {
	kind, _ = fields["kind"].(string)
	pushID, _ = fields["push_id"].(string)
	return kind, pushID
}
