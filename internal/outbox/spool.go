package outbox

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"reveille/internal/boltfile"
)

// A spool keeps what waits for each webhook, in order, in a bbolt database: a bucket
// for each, in it
//
//	sequence number u64 (big endian) -> Unix milliseconds u64 (big endian) | event
//
// A write that fails changes nothing. It is safe for concurrent use.
type spool struct {
	db       *bbolt.DB
	maxBytes int64
	maxAge   time.Duration

	// writing is held from a transaction that writes until sizes say what it did;
	// taken before mu.
	writing sync.Mutex
	mu      sync.Mutex // guards sizes
	sizes   map[string]size
}

// size is what waits for a webhook.
type size struct {
	events int
	bytes  int64
	oldest time.Time // zero if nothing waits
}

// loss counts events that were left out: too old, or too many.
type loss struct{ old, full int }

// An entry is an event that waits.
type entry struct {
	key  uint64
	at   time.Time
	body []byte
}

// openSpool opens or makes the file. One that cannot be read is put aside: events
// that waited are worth less than those to come.
func openSpool(path string, maxBytes int64, maxAge time.Duration, log *slog.Logger) (*spool, error) {
	sizes := make(map[string]size)
	f, err := boltfile.Open(boltfile.Options{Path: path}, func(tx *bbolt.Tx) error { return measure(tx, sizes) })
	if err != nil {
		return nil, err
	}
	if f.Damage != nil {
		log.Error("events that waited cannot be read and are put aside", "file", f.Aside, "err", f.Damage)
		clear(sizes)
	}
	return &spool{db: f.DB, maxBytes: maxBytes, maxAge: maxAge, sizes: sizes}, nil
}

func (s *spool) close() error { return s.db.Close() }

// measure counts what waits for each webhook.
func measure(tx *bbolt.Tx, sizes map[string]size) error {
	return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		var n size
		err := b.ForEach(func(k, v []byte) error {
			if e, ok := decode(k, v); ok {
				n.grow(e)
			}
			return nil
		})
		sizes[string(name)] = n
		return err
	})
}

func (n *size) grow(e entry) {
	if n.events == 0 {
		n.oldest = e.at
	}
	n.events++
	n.bytes += int64(len(e.body))
}

// waiting returns what waits for a webhook.
func (s *spool) waiting(name string) size {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizes[name]
}

// update has fn change the database and return the sizes that it changed. fn runs
// alone; its errors undo what it did.
func (s *spool) update(fn func(*bbolt.Tx) (map[string]size, error)) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	var sizes map[string]size
	err := s.db.Update(func(tx *bbolt.Tx) (err error) {
		sizes, err = fn(tx)
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.sizes, sizes)
	return nil
}

// keep forgets what waits for others than these.
func (s *spool) keep(names []string) error {
	return s.update(func(tx *bbolt.Tx) (map[string]size, error) {
		gone := make(map[string]size)
		err := tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			if !slices.Contains(names, string(name)) {
				gone[string(name)] = size{}
			}
			return nil
		})
		for name := range gone {
			err = errors.Join(err, tx.DeleteBucket([]byte(name)))
		}
		return gone, err
	})
}

// add appends events and leaves out the oldest beyond the bounds, all of it or
// nothing.
func (s *spool) add(events map[string][][]byte, now time.Time) (left map[string]loss, err error) {
	left = make(map[string]loss)
	err = s.update(func(tx *bbolt.Tx) (map[string]size, error) {
		sizes := make(map[string]size)
		for name, bodies := range events {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return nil, err
			}
			b.FillPercent = 1 // Keys only grow.
			n := s.waiting(name)
			for _, body := range bodies {
				key, err := b.NextSequence()
				if err != nil {
					return nil, err
				}
				e := entry{key, now, body}
				if err := b.Put(e.encode()); err != nil {
					return nil, err
				}
				n.grow(e)
			}
			l, err := s.trim(b, &n, now)
			if err != nil {
				return nil, err
			}
			sizes[name], left[name] = n, l
		}
		return sizes, nil
	})
	if err != nil {
		return nil, err
	}
	return left, nil
}

// trim leaves out what exceeds the bounds.
func (s *spool) trim(b *bbolt.Bucket, n *size, now time.Time) (l loss, err error) {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.First() {
		e, ok := decode(k, v)
		switch {
		case !ok: // Nothing of ours.
		case now.Sub(e.at) > s.maxAge:
			l.old++
		case n.bytes > s.maxBytes:
			l.full++
		default:
			n.oldest = e.at
			return l, nil
		}
		if err := c.Delete(); err != nil {
			return l, err
		}
		if ok {
			n.events--
			n.bytes -= int64(len(e.body))
		}
	}
	*n = size{}
	return l, nil
}

// expire leaves out what is too old.
func (s *spool) expire(name string, now time.Time) (l loss, err error) {
	if n := s.waiting(name); n.events == 0 || now.Sub(n.oldest) <= s.maxAge {
		return l, nil
	}
	err = s.update(func(tx *bbolt.Tx) (map[string]size, error) {
		n := s.waiting(name)
		b := tx.Bucket([]byte(name))
		if b == nil {
			return nil, nil
		}
		var err error
		l, err = s.trim(b, &n, now)
		return map[string]size{name: n}, err
	})
	if err != nil {
		return loss{}, err
	}
	return l, nil
}

// next returns up to count events behind the key after, of together maxBytes at most
// unless the first alone has more.
func (s *spool) next(name string, after uint64, count, maxBytes int) (es []entry, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(name))
		if b == nil {
			return nil
		}
		c, total := b.Cursor(), 0
		for k, v := c.Seek(key(after + 1)); k != nil && len(es) < count; k, v = c.Next() {
			e, ok := decode(k, v)
			if !ok {
				continue
			}
			if total += len(e.body); len(es) > 0 && total > maxBytes {
				break
			}
			e.body = slices.Clone(e.body) // It is gone with the transaction.
			es = append(es, e)
		}
		return nil
	})
	return es, err
}

// remove removes the events up to a key.
func (s *spool) remove(name string, through uint64) error {
	return s.update(func(tx *bbolt.Tx) (map[string]size, error) {
		n := s.waiting(name)
		b := tx.Bucket([]byte(name))
		if b == nil {
			return nil, nil
		}
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.First() {
			e, ok := decode(k, v)
			if ok && e.key > through {
				n.oldest = e.at
				return map[string]size{name: n}, nil
			}
			if err := c.Delete(); err != nil {
				return nil, err
			}
			if ok {
				n.events--
				n.bytes -= int64(len(e.body))
			}
		}
		return map[string]size{name: {}}, nil
	})
}

func key(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func (e entry) encode() (k, v []byte) {
	v = make([]byte, 8, 8+len(e.body))
	binary.BigEndian.PutUint64(v, uint64(e.at.UnixMilli()))
	return key(e.key), append(v, e.body...)
}

// decode reads an entry whose body is v's own memory.
func decode(k, v []byte) (e entry, ok bool) {
	if len(k) != 8 || len(v) < 8 {
		return e, false
	}
	return entry{binary.BigEndian.Uint64(k), time.UnixMilli(int64(binary.BigEndian.Uint64(v))), v[8:]}, true
}
