package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A Report says what Check or Repair found in a store.
type Report struct {
	// Bindings are those that live, Expired those whose time is over.
	Bindings, Expired int
	// Refreshes is how many bindings have a refresh record.
	Refreshes int
	// Damage is what cannot be trusted; empty for a sound store.
	Damage []error
	// Aside is where Repair put the damaged store.
	Aside string
}

// Check reads all of the store in dir, which no process may have open, and
// changes nothing in its content. The error says why it could not look; damage
// is in the Report.
func Check(dir string) (Report, error) { return check(dir, vfs.Default) }

func check(dir string, fs vfs.FS) (rep Report, err error) {
	db, err := openForReading(dir, fs)
	if errors.Is(err, ErrDamaged) {
		return Report{Damage: []error{err}}, nil
	}
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	if err := db.checkLevels(); err != nil {
		rep.Damage = append(rep.Damage, db.damage(err))
	}
	salvage(db, &rep, func(*scanner) error { return nil })
	return rep, nil
}

func openForReading(dir string, fs vfs.FS) (*database, error) {
	return openDatabase(databaseOptions{
		dir: dir, fs: fs, readOnly: true,
		logger: slog.New(slog.DiscardHandler), metrics: newMetrics(nil), fatal: func(error) {},
	})
}

// checkLevels has Pebble compare its tables with each other.
func (db *database) checkLevels() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", pebble.ErrCorruption, p)
		}
	}()
	return db.CheckLevels(nil)
}

// salvage calls keep for every binding that can be read, expired ones left out,
// and notes what cannot. It goes on behind damage at the next partition.
func salvage(db *database, rep *Report, keep func(*scanner) error) {
	now := time.Now()
	seen := make(map[string]bool) // one file, one complaint
	for from := 0; from < 1<<16; {
		next, err := salvageRun(db, from, now, rep, keep)
		if err != nil {
			err = db.damage(err)
			if !seen[err.Error()] {
				seen[err.Error()] = true
				rep.Damage = append(rep.Damage, err)
			}
		}
		from = next
	}
}

// salvageRun reads from a partition on until the end or the first damage, and
// returns the partition to go on with.
func salvageRun(db *database, from int, now time.Time, rep *Report, keep func(*scanner) error) (next int, err error) {
	sc, err := db.scan(from, 1<<16)
	if err != nil {
		return from + 1, err
	}
	at := from
	for err == nil && sc.next() {
		at = int(sc.binding.ID.Partition())
		if sc.refreshed {
			rep.Refreshes++
		}
		if !now.Before(sc.binding.RetainUntil) {
			rep.Expired++
			continue
		}
		rep.Bindings++
		err = keep(sc)
	}
	if broken := sc.close(); broken != nil {
		err = broken
	}
	if err == nil {
		return 1 << 16, nil
	}
	// What stands where cannot be told when a block is gone: go on behind the
	// last partition that could be read.
	return max(at, from) + 1, err
}
