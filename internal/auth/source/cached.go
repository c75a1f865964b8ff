package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"reveille/internal/auth"
)

// Defaults of Options.
const (
	DefaultUsers       = 100_000
	DefaultTTL         = 5 * time.Minute
	DefaultNegativeTTL = 30 * time.Second
	DefaultTimeout     = 2 * time.Second
	DefaultConcurrent  = 8
)

// doubtPause is the least time between two questions about one user who is
// remembered.
const doubtPause = 10 * time.Second

// maxName bounds the names that are asked for, in bytes.
const maxName = 255

// Options configure a Cached.
type Options struct {
	// Source is asked. Its Lookup obeys its context. Required.
	Source auth.Source
	// Users is how many users are remembered, some 500 bytes each; a quarter as
	// many names that nobody has are remembered beside them, so that guessing
	// drives no user out.
	Users int
	// TTL is how long a user is remembered: so long the password before the last
	// change, or a removed user, goes on working, unless somebody tries another
	// password meanwhile. NegativeTTL is how long it is that there is no such user.
	TTL, NegativeTTL time.Duration
	// Timeout bounds a question, its wait for a turn included.
	Timeout time.Duration
	// Concurrent is how many questions there are at one time.
	Concurrent int
	// Logger is told when the source fails and when it is back.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
}

func (o *Options) setDefaults() {
	for _, d := range [...]struct {
		value    *int
		fallback int
	}{{&o.Users, DefaultUsers}, {&o.Concurrent, DefaultConcurrent}} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	for _, d := range [...]struct {
		value    *time.Duration
		fallback time.Duration
	}{{&o.TTL, DefaultTTL}, {&o.NegativeTTL, DefaultNegativeTTL}, {&o.Timeout, DefaultTimeout}} {
		if *d.value <= 0 {
			*d.value = d.fallback
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// Cached is a Source that remembers what another one said. Many who ask for one
// user at a time are one question. Failures are not remembered: who asks next
// asks anew, and a user whose TTL has passed is not let in meanwhile.
//
// It is safe for concurrent use.
type Cached struct {
	o         Options
	users     *lru.Cache[key, entry]
	strangers *lru.Cache[key, time.Time] // and until when
	doubted   *lru.Cache[key, time.Time] // and from when they may be again
	flights   singleflight.Group
	turns     *semaphore.Weighted // questions at one time
	learners  *semaphore.Weighted // Learns at one time
	metrics   *metrics
	failing   atomic.Bool

	// alive ends with Close, and with it all questions.
	alive context.Context
	stop  context.CancelFunc

	mu       sync.Mutex // guards learning.Add against Close
	closed   bool
	learning sync.WaitGroup
}

type key struct{ realm, user string }

type entry struct {
	credentials auth.Credentials
	until       time.Time
}

var _ auth.Renewer = (*Cached)(nil)

// NewCached returns a Cached. It has nothing to ask before the first Lookup.
func NewCached(o Options) (*Cached, error) {
	if o.Source == nil {
		return nil, errors.New("source: Source is required")
	}
	o.setDefaults()
	n := int64(o.Concurrent)
	s := &Cached{o: o, turns: semaphore.NewWeighted(n), learners: semaphore.NewWeighted(n), metrics: newMetrics(o.Registerer)}
	var err error
	if s.users, err = lru.New[key, entry](o.Users); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if s.strangers, err = lru.New[key, time.Time](max(o.Users/4, 1)); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	if s.doubted, err = lru.New[key, time.Time](max(o.Users/4, 1)); err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	s.alive, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends all questions; those that come later fail. It waits for Learn.
func (s *Cached) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.learning.Wait()
}

// Algorithms implements auth.Source.
func (s *Cached) Algorithms(realm string) []auth.Algorithm { return s.o.Source.Algorithms(realm) }

// Recall implements auth.Recaller: it answers from memory.
func (s *Cached) Recall(realm, user string) (auth.Credentials, bool, error) {
	if !possible(user) {
		return auth.Credentials{}, true, auth.ErrNoUser
	}
	k, now := key{realm, user}, time.Now()
	if e, ok := s.users.Get(k); ok && now.Before(e.until) {
		s.metrics.remembered.Inc()
		return e.credentials, true, nil
	}
	if until, ok := s.strangers.Get(k); ok && now.Before(until) {
		s.metrics.remembered.Inc()
		return auth.Credentials{}, true, auth.ErrNoUser
	}
	return auth.Credentials{}, false, nil
}

// possible reports whether anybody can be called so. What is no text some
// databases refuse with an error, which would look as if they were ill.
func possible(user string) bool {
	return user != "" && len(user) <= maxName && utf8.ValidString(user) && !strings.ContainsFunc(user, unicode.IsControl)
}

// Lookup implements auth.Source: it asks if it does not remember, for no longer
// than Timeout.
func (s *Cached) Lookup(ctx context.Context, realm, user string) (auth.Credentials, error) {
	if c, known, err := s.Recall(realm, user); known {
		return c, err
	}
	return s.Renew(ctx, realm, user)
}

// Doubt implements auth.Renewer: about each user once in doubtPause.
func (s *Cached) Doubt(realm, user string) bool {
	if !possible(user) {
		return false
	}
	k, now := key{realm, user}, time.Now()
	if from, ok := s.doubted.Get(k); ok && now.Before(from) {
		return false
	}
	s.doubted.Add(key{strings.Clone(realm), strings.Clone(user)}, now.Add(doubtPause))
	return true
}

// Renew implements auth.Renewer: it asks, for no longer than Timeout.
func (s *Cached) Renew(ctx context.Context, realm, user string) (auth.Credentials, error) {
	if err := ctx.Err(); err != nil {
		return auth.Credentials{}, err
	}
	// The strings may be parts of a message, which memory is not to hold.
	k := key{strings.Clone(realm), strings.Clone(user)}
	s.metrics.asked.Inc()
	// Who joins a question must not depend on the patience of who asked first:
	// its time is that of the source, and each waits as long as its own context.
	answer := s.flights.DoChan(k.realm+"\x00"+k.user, func() (any, error) { return s.ask(k) }) //nolint:contextcheck // See above.
	select {
	case a := <-answer:
		c, _ := a.Val.(auth.Credentials)
		return c, a.Err
	case <-ctx.Done():
		return auth.Credentials{}, ctx.Err()
	}
}

// ask asks the source, when its turn has come, and remembers the answer.
func (s *Cached) ask(k key) (auth.Credentials, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(s.alive, s.o.Timeout)
	defer cancel()
	s.metrics.underWay.Inc()
	defer s.metrics.underWay.Dec()
	if err := s.turns.Acquire(ctx, 1); err != nil {
		err = fmt.Errorf("wait to ask for a user: %w", err)
		s.failed(start, err)
		return auth.Credentials{}, err
	}
	defer s.turns.Release(1)
	c, err := s.o.Source.Lookup(ctx, k.realm, k.user)
	switch {
	case err == nil:
		s.strangers.Remove(k)
		s.users.Add(k, entry{c, time.Now().Add(s.o.TTL)})
		s.metrics.answered(s.metrics.found, time.Since(start))
	case errors.Is(err, auth.ErrNoUser):
		s.users.Remove(k)
		s.strangers.Add(k, time.Now().Add(s.o.NegativeTTL))
		s.metrics.answered(s.metrics.none, time.Since(start))
	default:
		s.failed(start, err)
		return auth.Credentials{}, err
	}
	if s.failing.Swap(false) {
		s.o.Logger.Info("the source of users answers again")
	}
	return c, err
}

// failed tells of the first failure in a row. Each request that it costs is
// counted as one that could not be authenticated.
func (s *Cached) failed(start time.Time, err error) {
	s.metrics.answered(s.metrics.failed, time.Since(start))
	if s.alive.Err() == nil && !s.failing.Swap(true) {
		s.o.Logger.Warn("the source of users fails; users that are not remembered cannot log in", "err", err)
	}
}

// Learn looks a user up in the background whom Recall does not know. It never
// waits: while as many users as may are being learned it does nothing.
func (s *Cached) Learn(realm, user string) {
	if _, known, _ := s.Recall(realm, user); known {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !s.learners.TryAcquire(1) {
		return
	}
	realm, user = strings.Clone(realm), strings.Clone(user)
	s.learning.Go(func() {
		defer s.learners.Release(1)
		// Whoever wants the answer asks Recall; of failures ask tells.
		_, _ = s.Lookup(s.alive, realm, user)
	})
}
