package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
	"time"
)

// Bounds of sessions.
const (
	// MaxSessions bounds those there are at a time; one more ends that which was used
	// least recently. Each takes some 300 bytes.
	MaxSessions = 256
	// IdleTime ends a session that nobody uses. Pages that keep themselves up to date
	// use it as long as they are seen.
	IdleTime = 30 * time.Minute
	// LongestTime ends every session.
	LongestTime = 12 * time.Hour
)

// sessions are those who logged in. They live in memory: after a restart people log in
// again. It is safe for concurrent use.
type sessions struct {
	mu   sync.Mutex // guards byID
	byID map[string]*session
	// key makes form tokens.
	key [32]byte
}

// proof is what somebody logged in with. It is looked at with each request, so that
// those whose token or role is taken out of the configuration have no more than that
// from the next one on.
type proof struct {
	// token is one of those in the configuration; empty: person logged in at the
	// provider.
	token  string
	person person
}

type session struct {
	proof
	used time.Time
	// end is when it ends however it is used.
	end time.Time
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.used) >= IdleTime || !now.Before(s.end)
}

func newSessions() *sessions {
	s := &sessions{byID: map[string]*session{}}
	// It never fails (crypto/rand).
	_, _ = rand.Read(s.key[:])
	return s
}

// open begins a session and returns its identity, of at least 128 random bits.
func (s *sessions) open(p proof, longest time.Duration, now time.Time) (id string) {
	id = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= MaxSessions {
		s.makeRoom(now)
	}
	s.byID[id] = &session{proof: p, used: now, end: now.Add(min(longest, LongestTime))}
	return id
}

// makeRoom forgets the sessions that are over and, if there are none, that which was
// used least recently. Call with mu held.
func (s *sessions) makeRoom(now time.Time) {
	oldest := ""
	for id, x := range s.byID {
		if x.over(now) {
			delete(s.byID, id)
		} else if oldest == "" || x.used.Before(s.byID[oldest].used) {
			oldest = id
		}
	}
	if len(s.byID) >= MaxSessions {
		delete(s.byID, oldest)
	}
}

// proof returns that of a session that is not over, and notes that it is used.
func (s *sessions) proof(id string, now time.Time) (p proof, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byID[id]
	if x == nil {
		return proof{}, false
	}
	if x.over(now) {
		delete(s.byID, id)
		return proof{}, false
	}
	x.used = now
	return x.proof, true
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

// formToken is what forms of a visitor carry: only a page that was made for the same
// session or certificate has it.
func (s *sessions) formToken(visitor string) string {
	h := hmac.New(sha256.New, s.key[:])
	h.Write([]byte(visitor))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func (s *sessions) formTokenIs(visitor, got string) bool {
	return hmac.Equal([]byte(got), []byte(s.formToken(visitor)))
}

// cookieName is that of the session. With the prefix a browser takes it over TLS
// alone, for this host and all paths (RFC 6265bis §4.1.3.2).
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-reveille"
	}
	return "reveille"
}

func sessionCookie(r *http.Request, id string) *http.Cookie {
	return &http.Cookie{
		Name: cookieName(r), Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
}

// noCookie takes the cookie back.
func noCookie(r *http.Request) *http.Cookie {
	c := sessionCookie(r, "")
	c.MaxAge = -1
	return c
}
