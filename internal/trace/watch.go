package trace

import (
	"context"
	"errors"
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"

	"reveille/internal/sipmsg"
)

// Bounds of Watchers.
const (
	// MaxWatchers is how many there may be at a time: each looks at every message.
	MaxWatchers = 4
	// maxShown bounds the messages that wait for a reader, maxFollowed the Call-IDs that
	// a Watcher follows, and maxRemembered the messages that it knows again.
	maxShown      = 512
	maxFollowed   = 1024
	maxRemembered = 1024
)

// ErrFull says that there are as many Watchers as there may be.
var ErrFull = errors.New("trace: too many look at messages already")

// A Shown is a message as it is shown: without secrets, and what is known of it. It is
// what programs get as JSON.
type Shown struct {
	At        time.Time `json:"at" doc:"when it arrived, or was sent"`
	Direction string    `json:"direction" doc:"in or out"`
	Transport string    `json:"transport" doc:"UDP, TCP, TLS, WS or WSS"`
	Listener  string    `json:"listener" doc:"name of the listener"`
	Local     string    `json:"local,omitempty" doc:"our address"`
	Remote    string    `json:"remote" doc:"address of the peer"`
	CallID    string    `json:"call_id,omitempty" doc:"value of Call-ID"`
	First     string    `json:"first" doc:"the first line"`
	Message   string    `json:"message" doc:"the message without secrets"`
	// Again says that the same message passed before in this direction: it is a
	// retransmission.
	Again bool `json:"again,omitempty" doc:"whether it is a retransmission"`
	// Error is why it could not be sent.
	Error string `json:"error,omitempty" doc:"why it could not be sent"`
}

// Directions of a Shown.
const (
	In  = "in"
	Out = "out"
)

// A Query says what a Watcher is shown.
type Query struct {
	// AOR is the key of a user: an address of record as NewWatchers' function writes it.
	AOR string
	// Bodies shows bodies that are no session descriptions.
	Bodies bool
}

// Watchers are those who look at the messages of one user each. They are safe for
// concurrent use.
type Watchers struct {
	hub     *Hub
	key     func(sipmsg.URI) string
	secrets func() *Secrets

	mu  sync.Mutex // guards n
	now int        // how many there are
}

// NewWatchers returns Watchers of hub. key returns the key of the user whom a URI names,
// empty for none; secrets what is hidden at the moment.
func NewWatchers(hub *Hub, key func(sipmsg.URI) string, secrets func() *Secrets) *Watchers {
	return &Watchers{hub: hub, key: key, secrets: secrets}
}

// Watch begins to look. The caller calls Close in the end. The error is ErrFull.
func (w *Watchers) Watch(q Query) (*Watcher, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == MaxWatchers {
		return nil, ErrFull
	}
	w.now++
	x := &Watcher{
		query: q, all: w, ready: make(chan struct{}, 1), seed: maphash.MakeSeed(),
		followed: newRecent[string](maxFollowed), seen: newRecent[uint64](maxRemembered),
	}
	x.remove = w.hub.Add(x)
	return x, nil
}

// A Watcher looks at the messages of one user. Next is for one goroutine.
type Watcher struct {
	query  Query
	all    *Watchers
	remove func()
	closed sync.Once

	// The Hub's goroutine alone uses these: the Call-IDs that are followed, and what has
	// been seen.
	followed *recent[string]
	seen     *recent[uint64]
	seed     maphash.Seed

	ready chan struct{} // holds a token when there is something for Next
	mu    sync.Mutex    // guards the fields below
	queue []Shown
	lost  int
}

// Close ends the looking.
func (w *Watcher) Close() {
	w.closed.Do(func() {
		w.remove()
		w.all.mu.Lock()
		defer w.all.mu.Unlock()
		w.all.now--
	})
}

// Next waits for messages and returns them, and how many were lost before them because
// they came faster than they were taken. The error is that of ctx.
func (w *Watcher) Next(ctx context.Context) (list []Shown, lost int, err error) {
	select {
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	case <-w.ready:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	list, lost = w.queue, w.lost
	w.queue, w.lost = nil, 0
	return list, lost, nil
}

// Take implements Taker.
func (w *Watcher) Take(m *Message) {
	if !w.concerns(m) {
		return
	}
	w.mu.Lock()
	full := len(w.queue) == maxShown
	w.mu.Unlock()
	if full {
		w.Lost(1)
		return
	}
	s := w.show(m)
	w.mu.Lock()
	w.queue = append(w.queue, s)
	w.mu.Unlock()
	w.wake()
}

// Lost implements Taker. Nobody knows whether those were about this user.
func (w *Watcher) Lost(n int) {
	w.mu.Lock()
	w.lost += n
	w.mu.Unlock()
	w.wake()
}

func (w *Watcher) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// concerns reports whether m is about the user, or has the Call-ID of one that was.
func (w *Watcher) concerns(m *Message) bool {
	id := m.CallID()
	if id != "" && w.followed.has(id) {
		return true
	}
	if !w.named(m.Scan) {
		return false
	}
	if id != "" {
		w.followed.add(strings.Clone(id))
	}
	return true
}

// named reports whether the user is named where messages name who they are about.
func (w *Watcher) named(scan *sipmsg.Scan) bool {
	if scan.IsRequest() {
		if u, err := sipmsg.ParseURI(scan.RequestURI()); err == nil && w.is(u) {
			return true
		}
	}
	for i := range scan.Len() {
		h := scan.Header(i)
		switch h.ID {
		case sipmsg.HdrFrom, sipmsg.HdrTo, sipmsg.HdrContact, sipmsg.HdrPAssertedIdentity:
		default:
			continue
		}
		for value := range h.Values() {
			if a, err := sipmsg.ParseNameAddr(value); err == nil && w.is(a.URI) {
				return true
			}
		}
	}
	return false
}

func (w *Watcher) is(u sipmsg.URI) bool { return w.all.key(u) == w.query.AOR }

// show returns m as it is shown.
func (w *Watcher) show(m *Message) Shown {
	s := Shown{
		At: m.At, Direction: In, Transport: m.Flow.Transport.String(), Listener: m.Flow.Listener,
		Local: address(m.Local), Remote: address(m.Flow.Remote),
		Message: m.Redact(w.all.secrets(), w.query.Bodies),
	}
	s.CallID = strings.Clone(m.CallIDIn(s.Message))
	s.First, _, _ = strings.Cut(s.Message, "\r\n")
	if m.Sent {
		s.Direction = Out
	}
	if m.Err != nil {
		s.Error = m.Err.Error()
		return s
	}
	print := maphash.Comparable(w.seed, passed{m.Sent, m.Flow.Remote, maphash.String(w.seed, m.Raw)})
	if s.Again = w.seen.has(print); !s.Again {
		w.seen.add(print)
	}
	return s
}

// passed is a message that passed in one direction.
type passed struct {
	sent   bool
	remote netip.AddrPort
	hash   uint64
}

func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// A recent is a set that forgets the oldest when it is full. It is not safe for concurrent
// use.
type recent[K comparable] struct {
	set  map[K]struct{}
	ring []K
	next int
}

func newRecent[K comparable](n int) *recent[K] {
	return &recent[K]{set: make(map[K]struct{}), ring: make([]K, 0, n)}
}

func (r *recent[K]) has(k K) bool {
	_, ok := r.set[k]
	return ok
}

// add adds k, which is not in the set.
func (r *recent[K]) add(k K) {
	if len(r.ring) < cap(r.ring) {
		r.ring = append(r.ring, k)
	} else {
		delete(r.set, r.ring[r.next])
		r.ring[r.next] = k
		r.next = (r.next + 1) % len(r.ring)
	}
	r.set[k] = struct{}{}
}
