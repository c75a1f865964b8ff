package mailbox

import (
	"encoding/binary"
	"errors"
	"log/slog"

	"go.etcd.io/bbolt"

	"reveille/internal/boltfile"
	"reveille/usrloc"
)

// A journal is the file of the messages that wait: a bucket in a bbolt database,
//
//	AOR | 0 | sequence number u64 (big endian) -> Message
//
// A write that fails changes nothing. Reads may run beside writes, of which there must
// be one at a time.
type journal struct{ db *bbolt.DB }

// A place is where a message lies.
type place struct {
	aor usrloc.AOR
	key uint64
}

// maxName is the longest AOR. bbolt takes keys of 32 KiB, and refuses all that is written
// at the same time as a longer one.
const maxName = 1024

func (p place) bytes() []byte {
	return binary.BigEndian.AppendUint64(append([]byte(p.aor), 0), p.key)
}

func placeOf(b []byte) (p place, ok bool) {
	n := len(b) - 9
	if n < 1 || b[n] != 0 {
		return p, false
	}
	return place{usrloc.AOR(b[:n]), binary.BigEndian.Uint64(b[n+1:])}, true
}

func bucket() []byte { return []byte("messages") }

// A found is a message that was there when the file was opened.
type found struct {
	place place
	entry entry
}

// openJournal opens or makes the file and shows what waits, in order. One that cannot be
// read is put aside.
func openJournal(o boltfile.Options, show func(usrloc.AOR, entry), log *slog.Logger) (*journal, error) {
	var all []found
	foreign := 0
	f, err := boltfile.Open(o, func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket())
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			p, ok := placeOf(k)
			m, err := decodeMessage(p.aor, v)
			if !ok || err != nil {
				foreign++
				return nil
			}
			all = append(all, found{p, entry{key: p.key, kept: m.Kept, until: m.Until, size: len(m.Request)}})
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if f.Damage != nil {
		log.Error("messages that waited cannot be read and are put aside", "file", f.Aside, "err", f.Damage)
		all, foreign = nil, 0
	}
	if foreign > 0 {
		log.Warn("some of the messages that waited are in another form and stay where they are", "messages", foreign)
	}
	for i := range all {
		show(all[i].place.aor, all[i].entry)
	}
	return &journal{f.DB}, nil
}

func (j *journal) close() error { return j.db.Close() }

// write removes and adds messages, all or nothing, and returns where the new ones lie.
func (j *journal) write(remove []place, add []*Message) (places []place, err error) {
	err = j.db.Update(func(tx *bbolt.Tx) error {
		places = places[:0]
		b, err := tx.CreateBucketIfNotExists(bucket())
		if err != nil {
			return err
		}
		for _, p := range remove {
			if err := b.Delete(p.bytes()); err != nil {
				return err
			}
		}
		for _, m := range add {
			v, err := m.encode()
			if err != nil {
				return err
			}
			key, err := b.NextSequence()
			if err != nil {
				return err
			}
			p := place{m.AOR, key}
			if err := b.Put(p.bytes(), v); err != nil {
				return err
			}
			places = append(places, p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return places, nil
}

var errNotThere = errors.New("no such message")

// read returns a message.
func (j *journal) read(p place) (m Message, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		var v []byte
		if b := tx.Bucket(bucket()); b != nil {
			v = b.Get(p.bytes())
		}
		if v == nil {
			return errNotThere
		}
		// What bbolt returns is gone with the transaction.
		m, err = decodeMessage(p.aor, append([]byte(nil), v...))
		return err
	})
	return m, err
}
