package resolve

import (
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// A question is a name, folded, and a type of record.
type question struct {
	name string
	kind uint16
}

func (q question) String() string { return dns.TypeToString[q.kind] + " " + q.name }

// A cache keeps answers until they are no longer true; what was asked for longest ago
// makes room. It is safe for concurrent use.
type cache struct {
	entries *lru.Cache[question, entry]
	// flight has one question put once, however many want to know.
	flight singleflight.Group
}

// An entry is an answer, or why there is none.
type entry struct {
	answer answer
	err    error
	until  time.Time
}

func newCache(size int) (*cache, error) {
	entries, err := lru.New[question, entry](size)
	if err != nil {
		return nil, err
	}
	return &cache{entries: entries}, nil
}

// get returns what is known now; ok is false if nothing is.
func (c *cache) get(q question, now time.Time) (a answer, err error, ok bool) {
	q.name = strings.ToLower(q.name)
	e, ok := c.entries.Get(q)
	if !ok || !now.Before(e.until) {
		return answer{}, nil, false
	}
	return e.answer, e.err, true
}

func (c *cache) put(q question, a answer, err error, now time.Time) {
	if err != nil {
		a.ttl = brokenTTL
	}
	if a.ttl <= 0 {
		// It is true this once.
		return
	}
	q.name = strings.ToLower(q.name)
	c.entries.Add(q, entry{a, err, now.Add(a.ttl)})
}
