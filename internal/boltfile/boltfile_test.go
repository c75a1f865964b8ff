package boltfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// count returns a reader that counts what is in a file.
func count(n *int) func(*bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte("b")); b != nil {
			return b.ForEach(func(_, _ []byte) error { *n++; return nil })
		}
		return nil
	}
}

// fill makes a file with a hundred entries.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := Open(Options{Path: path, NoSync: true}, count(new(int)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = f.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("b"))
		for i := range 100 {
			err = errors.Join(err, b.Put(fmt.Appendf(nil, "%03d", i), []byte(strings.Repeat("x", 100))))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpen_ShowsWhatIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	fill(t, path)
	n := 0
	f, err := Open(Options{Path: path}, count(&n))
	if err != nil || n != 100 || f.Damage != nil {
		t.Fatalf("Open() read %d entries, %v, damage %v; want 100", n, err, f.Damage)
	}
	if _, err := Open(Options{Path: path}, count(&n)); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second Open() = %v", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	wrong := errors.New("wrong")
	if _, err := Open(Options{Path: path}, func(*bbolt.Tx) error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("Open() = %v, want the reader's error", err)
	}
}

func TestOpen_PutsDamagedFilesAside(t *testing.T) {
	page := os.Getpagesize()
	for name, damage := range map[string]func([]byte) []byte{
		"no database":     func([]byte) []byte { return []byte(strings.Repeat("no database", 2000)) },
		"without a begin": func(b []byte) []byte { clear(b[:2*page]); return b },
		"cut off":         func(b []byte) []byte { return b[:3*page] },
		"zeros inside":    func(b []byte) []byte { clear(b[2*page:]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.db")
			fill(t, path)
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, damage(b), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			f, err := Open(Options{Path: path}, count(new(int)))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Damage == nil || f.Aside != path+".damaged" {
				t.Errorf("damage %v, aside %q", f.Damage, f.Aside)
			}
			if _, err := os.Stat(f.Aside); err != nil {
				t.Error(err)
			}
			n := 0
			if err := f.View(count(&n)); err != nil || n != 0 {
				t.Errorf("%d entries, %v; want none", n, err)
			}
		})
	}
}
