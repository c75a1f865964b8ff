package purr

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoad_CreatesOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	a, err := Load(path, day0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %04o, want 0600", info.Mode().Perm())
	}
	b, err := Load(path, day0.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a.Keys(), b.Keys()); diff != "" {
		t.Errorf("loaded again (-first +second):\n%s", diff)
	}
	if id, err := b.Open(a.Mint(testID(9))); err != nil || id != testID(9) {
		t.Errorf("token of the run before: Open() = %v, %v", id, err)
	}
}

func TestLoad_TwoAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	var rings [8]*Keyring
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			ring, err := Load(path, day0)
			if err != nil {
				t.Error(err)
				return
			}
			rings[i] = ring
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for i := range rings {
		if diff := cmp.Diff(rings[0].Keys(), rings[i].Keys()); diff != "" {
			t.Errorf("ring %d differs:\n%s", i, diff)
		}
	}
	if names, _ := filepath.Glob(filepath.Join(dir, ".*")); len(names) != 0 {
		t.Errorf("temporary files left: %q", names)
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	var keys []Key
	for i := range 5 {
		keys = append(keys, newKeyBeside(keys, day0.Add(-time.Duration(i)*time.Hour)))
	}
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, keys); err != nil {
		t.Fatal(err)
	}
	ring, err := Load(path, day0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(keys, ring.Keys()); diff != "" {
		t.Errorf("saved and loaded (-want +got):\n%s", diff)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("%d files in the directory, want 1", len(names))
	}
	if err := Save(filepath.Join(dir, "no", "keys"), keys); err == nil {
		t.Error("Save to a missing directory succeeds")
	}
}

func TestLoad_Errors(t *testing.T) {
	const good = "0001 2030-01-01T00:00:00Z AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
	const secret = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       string // after the path
		is         error
	}{
		{"readable by all", good, 0o644, "is open to all users (mode 0644)", ErrPermissions},
		{"empty", "# nothing\n\n", 0o600, "no key", ErrNoKey},
		{"fields", good + "\n0002 2030-01-01T00:00:00Z\n", 0o600, ":2: 2 fields, want 3", nil},
		{"id", "xyz " + good[5:], 0o600, ":1: id: want 4 hexadecimal digits", nil},
		{"short id", "1 " + good[5:], 0o600, ":1: id: want 4", nil},
		{"time", "# a\n0001 yesterday " + secret, 0o600, ":2: created: want a time", nil},
		{"secret", "0001 2030-01-01T00:00:00Z " + secret[4:], 0o600, ":1: secret: want 32 bytes", nil},
		{"duplicate", good + "\n" + good, 0o600, "two keys with the same id: 0001", ErrDuplicateKey},
		{"long line", strings.Repeat("a", 70000), 0o600, "token too long", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys")
			if err := os.WriteFile(path, []byte(tt.text), tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path, day0)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("Load() = %v, want %q", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("Load() = %v, want %v", err, tt.is)
			}
			if strings.Contains(err.Error(), secret[4:20]) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestKey_StringHidesSecret(t *testing.T) {
	k := Key{ID: 0xabcd, Secret: [32]byte{0xde, 0xad, 0xbe, 0xef}, Created: day0}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		got := fmt.Sprintf(format, k)
		if want := "key abcd of 2030-01-01T00:00:00Z"; got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add(appendKeys(nil, []Key{{ID: 1, Secret: [32]byte{1}, Created: day0}, {ID: 2, Secret: [32]byte{2}, Created: day0}}))
	f.Add([]byte("0001 2030-01-01T00:00:00+02:00 AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if err != nil {
			return
		}
		again, err := parseKeys(appendKeys(nil, keys))
		if err != nil {
			t.Fatalf("own output: %v", err)
		}
		for i := range keys {
			keys[i].Created = keys[i].Created.Truncate(time.Second)
		}
		if diff := cmp.Diff(keys, again); diff != "" {
			t.Errorf("parse, print, parse (-first +second):\n%s", diff)
		}
	})
}
