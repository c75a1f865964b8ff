package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Repair makes a sound store of what can be read of the damaged one in dir,
// which no process may have open. The damaged one is kept beside it, under the
// name in the Report: nothing is deleted. A log is used up to its first damage;
// of a table everything is used but the damaged blocks. Devices that are lost
// come back with their next registration. The error says why nothing could be
// saved; the store in dir is then as it was.
//
// If the lights go out while the repaired store takes the place of the damaged
// one, there may be none in dir: Open refuses then, and Repair goes on.
func Repair(dir string) (Report, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Report{}, fmt.Errorf("find directory of store: %w", err)
	}
	return repair(dir, vfs.Default)
}

func repair(dir string, fs vfs.FS) (rep Report, err error) {
	if repairInterrupted(dir, fs) {
		if err := renameDirectory(repairedName(dir), dir, fs); err != nil {
			return rep, fmt.Errorf("put the repaired store in its place: %w", err)
		}
		return check(dir, fs)
	}
	copied, saved := dir+".repair-copy", dir+".repair-new"
	for _, name := range [...]string{copied, saved, repairedName(dir)} {
		if err := fs.RemoveAll(name); err != nil {
			return rep, fmt.Errorf("remove remains of a repair: %w", err)
		}
	}
	lock, err := lockDirectory(dir, fs)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := copyStore(dir, copied, fs); err != nil {
		return rep, fmt.Errorf("copy %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, fs.RemoveAll(copied)) }()
	if err := cutLogs(copied, fs, &rep); err != nil {
		return rep, fmt.Errorf("repair logs of %s: %w", dir, err)
	}
	if err := rescue(copied, saved, fs, &rep); err != nil {
		return rep, errors.Join(fmt.Errorf("repair %s: %w", dir, err), fs.RemoveAll(saved))
	}
	err = rep.replace(dir, saved, fs)
	return rep, err
}

// replace puts the store in saved in the place of the one in dir. Each step is
// on the disk before the next, so that at any time one of the two is found.
func (rep *Report) replace(dir, saved string, fs vfs.FS) error {
	if err := renameDirectory(saved, repairedName(dir), fs); err != nil {
		return fmt.Errorf("name the repaired store: %w", err)
	}
	rep.Aside = dir + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
	if err := renameDirectory(dir, rep.Aside, fs); err != nil {
		return fmt.Errorf("put the damaged store aside: %w", err)
	}
	if err := renameDirectory(repairedName(dir), dir, fs); err != nil {
		return fmt.Errorf("put the repaired store in its place: %w", err)
	}
	return nil
}

// repairedName is where a repaired store waits until the damaged one is aside.
func repairedName(dir string) string { return dir + ".repaired" }

// repairInterrupted reports whether a repair of the store in dir ended after the
// damaged store was put aside and before the repaired one was in its place.
func repairInterrupted(dir string, fs vfs.FS) bool {
	return !exists(dir, fs) && exists(repairedName(dir), fs)
}

// copyStore copies the files of a store but its lock.
func copyStore(from, to string, fs vfs.FS) error {
	if err := makeDirectory(to, fs); err != nil {
		return err
	}
	names, err := fs.List(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == "LOCK" {
			continue
		}
		if err := vfs.Copy(fs, fs.PathJoin(from, name), fs.PathJoin(to, name)); err != nil {
			return err
		}
	}
	return nil
}

// cutLogs ends every log before its first damage.
func cutLogs(dir string, fs vfs.FS, rep *Report) error {
	for {
		err := checkLogs(dir, fs)
		var damaged *DamageError
		if !errors.As(err, &damaged) {
			return err
		}
		rep.Damage = append(rep.Damage, damaged)
		data, err := readFile(fs, damaged.File)
		if err != nil {
			return err
		}
		number, err := logNumber(damaged.File, fs)
		if err != nil {
			return err
		}
		end, _ := checkLog(data, number)
		f, err := fs.Create(damaged.File, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		_, err = f.Write(data[:end])
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
	}
}

// rescue writes what can be read of the store in from into a new one.
func rescue(from, to string, fs vfs.FS, rep *Report) (err error) {
	old, err := openForReading(from, fs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, old.close()) }()
	fresh, err := openDatabase(databaseOptions{
		dir: to, fs: fs, logger: slog.New(slog.DiscardHandler), metrics: newMetrics(nil), fatal: func(error) {},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fresh.close()) }()
	var failed error
	batch := fresh.NewBatch()
	salvage(old, rep, func(sc *scanner) error {
		if failed == nil {
			failed = rescueOne(fresh, batch, sc)
		}
		return nil
	})
	if failed == nil {
		failed = copyVersion(old, batch)
	}
	if failed == nil {
		failed = fresh.commit(batch)
	}
	if failed == nil {
		failed = fresh.Flush()
	}
	return failed
}

// copyVersion takes the greatest Version along, if it can be read.
func copyVersion(old *database, batch *pebble.Batch) error {
	value, err := old.get(keyVersion)
	if err != nil || value == nil {
		return nil //nolint:nilerr // Versions begin anew, which nobody sees
	}
	return batch.Set([]byte(keyVersion), value, nil)
}

// rescueBatch is how long a batch gets, in bytes.
const rescueBatch = 4 << 20

func rescueOne(fresh *database, batch *pebble.Batch, sc *scanner) error {
	key := appendKey(nil, prefixBinding, sc.binding.ID)
	if err := batch.Set(key, appendBinding(nil, sc.aor, &sc.binding), nil); err != nil {
		return err
	}
	if batch.Len() < rescueBatch {
		return nil
	}
	if err := fresh.commit(batch); err != nil {
		return err
	}
	batch.Reset()
	return nil
}
