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

// sessions are those who logged in by a token. They live in memory: after a restart
// people log in again. It is safe for concurrent use.
type sessions struct {
	mu   sync.Mutex // guards byID
	byID map[string]*session
	// key makes form tokens.
	key [32]byte
}

// A session holds the token itself, so that somebody whose token is taken out of the
// configuration, or gets another role, has no more than that from the next request on.
type session struct {
	token       string
	began, used time.Time
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.used) >= IdleTime || now.Sub(s.began) >= LongestTime
}

func newSessions() *sessions {
	s := &sessions{byID: map[string]*session{}}
	// It never fails (crypto/rand).
	_, _ = rand.Read(s.key[:])
	return s
}

// open begins a session and returns its identity, of at least 128 random bits.
func (s *sessions) open(token string, now time.Time) (id string) {
	id = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byID) >= MaxSessions {
		s.makeRoom(now)
	}
	s.byID[id] = &session{token: token, began: now, used: now}
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

// token returns the token of a session that is not over, and notes that it is used.
func (s *sessions) token(id string, now time.Time) (token string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.byID[id]
	if x == nil {
		return "", false
	}
	if x.over(now) {
		delete(s.byID, id)
		return "", false
	}
	x.used = now
	return x.token, true
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
