package disk

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

func TestCheck_Sound(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	s := mustOpen(t, Options{Dir: dir, OnFailure: failNow(t)})
	fillStore(t, s, 300)
	aor := usrloctest.AOR(1)
	b := mustGet(t, s, aor).Bindings[0]
	b.CSeq++
	mustUpdate(t, s, aor, usrloctest.Put(b))
	if _, err := Check(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("Check of a store in use: %v, want ErrLocked", err)
	}
	mustClose(t, s)
	rep, err := Check(dir)
	if err != nil || rep.Bindings != 300 || rep.Refreshes != 1 || len(rep.Damage) != 0 {
		t.Errorf("Check = %+v, %v", rep, err)
	}
	for _, other := range []string{filepath.Join(dir, "no"), t.TempDir()} {
		if rep, err := Check(other); err == nil || errors.Is(err, ErrLocked) || errors.Is(err, ErrDamaged) {
			t.Errorf("Check where there is no store: %+v, %v", rep, err)
		}
	}
}

// TestRepair_SavesWhatCanBeRead damages a table and a log.
func TestRepair_SavesWhatCanBeRead(t *testing.T) {
	const n = 1000
	for _, suffix := range []string{".sst", ".log"} {
		t.Run(suffix, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			s := mustOpen(t, Options{Dir: "store", FS: fs, OnFailure: failNow(t), blockSize: 1 << 8}) // See damagedStore.
			for i := range n {
				mustUpdate(t, s, usrloctest.AOR(i), usrloctest.Put(usrloctest.Binding(usrloctest.AOR(i), 1, clock())))
			}
			if suffix == ".sst" {
				if err := s.db.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			crashed := fs.CrashClone(vfs.CrashCloneCfg{})
			mustClose(t, s)
			name := largest(t, crashed, suffix)
			flip(t, crashed, name, int64(fileSize(t, crashed, name)*2/3))

			rep, err := check("store", crashed)
			if err != nil || len(rep.Damage) == 0 || !strings.Contains(rep.Damage[0].Error(), filepath.Base(name)) {
				t.Fatalf("check of a damaged %s: %+v, %v", name, rep, err)
			}
			rep, err = repair("store", crashed)
			if err != nil || rep.Aside == "" || len(rep.Damage) == 0 {
				t.Fatalf("repair = %+v, %v", rep, err)
			}
			s = mustOpen(t, Options{Dir: "store", FS: crashed, OnFailure: failNow(t)})
			if got := s.Stats().Bindings; got != rep.Bindings || got < n/2 || got >= n {
				t.Errorf("%d bindings after the repair, which saved %d of %d", got, rep.Bindings, n)
			}
			if _, err := Open(Options{Dir: rep.Aside, FS: crashed}); !errors.Is(err, ErrDamaged) {
				t.Errorf("the damaged store is not kept as it was: %v", err)
			}
			t.Logf("%d of %d saved", rep.Bindings, n)
		})
	}
}

// largest returns the largest file of the store whose name ends in suffix.
func largest(t *testing.T, fs vfs.FS, suffix string) (found string) {
	t.Helper()
	names, err := fs.List("store")
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, name := range names {
		if n := fileSize(t, fs, "store/"+name); strings.HasSuffix(name, suffix) && n > size {
			found, size = "store/"+name, n
		}
	}
	return found
}

// TestOpen_BadRecords: what Pebble finds sound and this package did not write.
func TestOpen_BadRecords(t *testing.T) {
	aor := usrloctest.AOR(1)
	b := usrloctest.Binding(aor, 1, clock())
	for name, change := range map[string]func(*pebble.Batch) error{
		"Key":     func(w *pebble.Batch) error { return w.Set([]byte("b\x00\x00short"), nil, nil) },
		"Value":   func(w *pebble.Batch) error { return w.Set(appendKey(nil, 'b', b.ID), []byte("x"), nil) },
		"Refresh": func(w *pebble.Batch) error { return w.Set(appendKey(nil, 'r', b.ID), []byte("x"), nil) },
		"Orphan": func(w *pebble.Batch) error {
			return w.Set(appendKey(nil, 'r', usrloctest.ID(aor, 2)), appendRefresh(nil, &b), nil)
		},
		"LostBinding": func(w *pebble.Batch) error {
			return errors.Join(w.Delete(appendKey(nil, 'b', b.ID), nil), w.Set(appendKey(nil, 'r', b.ID), appendRefresh(nil, &b), nil))
		},
		"Version":  func(w *pebble.Batch) error { return w.Set([]byte(keyVersion), []byte("x"), nil) },
		"NoFormat": func(w *pebble.Batch) error { return w.Delete([]byte(keyFormat), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := mustOpen(t, Options{Dir: "store", FS: fs})
			mustUpdate(t, s, aor, usrloctest.Put(b))
			mustClose(t, s)
			edit(t, fs, "store", change)
			if _, err := Open(Options{Dir: "store", FS: fs}); !errors.Is(err, ErrDamaged) {
				t.Errorf("Open: %v, want ErrDamaged", err)
			}
		})
	}
}

func TestBackup_WhileRunning(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Options{Dir: filepath.Join(dir, "store"), OnFailure: failNow(t)})
	fillStore(t, s, 500)
	copied := filepath.Join(dir, "copy")
	if err := s.Backup(copied); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(copied); err == nil {
		t.Error("a backup went over another")
	}
	aor := usrloctest.AOR(3)
	mustUpdate(t, s, aor, usrloctest.Remove(usrloc.CauseRegister, usrloctest.ID(aor, 1)))
	back := mustOpen(t, Options{Dir: copied, OnFailure: failNow(t)})
	if got := back.Stats().Bindings; got != 500 {
		t.Errorf("%d bindings in the backup, want 500", got)
	}
	if d := usrloctest.Diff(mustGet(t, s, usrloctest.AOR(7)).Bindings, mustGet(t, back, usrloctest.AOR(7)).Bindings); d != "" {
		t.Errorf("backup (-store +backup):\n%s", d)
	}
}

// TestBackup_WithoutRoomThereHarmsNothing: what cannot be written to the place of
// a backup is no failure of the store, and no part of the backup stays.
func TestBackup_WithoutRoomThereHarmsNothing(t *testing.T) {
	dir := t.TempDir()
	copied := filepath.Join(dir, "copy")
	full := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasPrefix(op.Path, copied) && strings.HasSuffix(op.Path, ".log") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	s := mustOpen(t, Options{Dir: filepath.Join(dir, "store"), FS: full, OnFailure: failNow(t)})
	fillStore(t, s, 50)
	if err := s.Backup(copied); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Backup: %v, want ENOSPC", err)
	}
	if _, err := os.Stat(copied); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is left of the backup: %v", err)
	}
	mustUpdate(t, s, usrloctest.AOR(3), usrloctest.Put(usrloctest.Binding(usrloctest.AOR(3), 77, clock())))
}

func TestExportImport_RoundTrip(t *testing.T) {
	from := usrloc.NewMemory(usrloc.MemoryOptions{})
	now, r := clock(), newRand(3)
	const n = 700
	for i := range n {
		aor := usrloctest.AOR(i / 2)
		b := refreshed(r, usrloctest.Binding(aor, i, now.Add(time.Duration(i)*time.Second)))
		b.Updated, b.Expires, b.RetainUntil = now, now.Add(time.Hour), now.Add(2*time.Hour)
		b.RefreshAt = time.Time{}
		if !b.Flow.Remote.IsValid() {
			b.Flow.Remote = netip.AddrPort{} // a port without an address has no text form
		}
		if i%3 == 0 {
			b.RefreshAt, b.Push, b.Path = now.Add(time.Minute), usrloc.Push{}, []string{"<sip:a;lr>", "<sip:b&c>"}
		}
		mustUpdate(t, from, aor, usrloctest.Put(b))
	}
	var text bytes.Buffer
	if got, err := Export(t.Context(), from, &text); got != n || err != nil {
		t.Fatalf("Export = %d, %v", got, err)
	}
	if lines := strings.Count(text.String(), "\n"); lines != n {
		t.Errorf("%d lines of %d bindings", lines, n)
	}
	to := mustOpen(t, Options{Dir: "store", FS: vfs.NewMem(), OnFailure: failNow(t)})
	// One that is newer there stays, and a second import changes nothing.
	aor := usrloctest.AOR(5)
	newer := mustGet(t, from, aor).Bindings[0]
	newer.Updated, newer.CSeq = now.Add(time.Second), 4711
	mustUpdate(t, to, aor, usrloctest.Put(newer))
	for range 2 {
		if got, err := Import(t.Context(), to, bytes.NewReader(text.Bytes())); got != n || err != nil {
			t.Fatalf("Import = %d, %v", got, err)
		}
	}
	for i := range n / 2 {
		aor := usrloctest.AOR(i)
		want := mustGet(t, from, aor).Bindings
		if i == 5 {
			want[0] = newer
		}
		if d := usrloctest.Diff(want, mustGet(t, to, aor).Bindings); d != "" {
			t.Fatalf("%s (-from +to):\n%s", aor, d)
		}
	}
}

func TestImport_Malformed(t *testing.T) {
	for name, text := range map[string]string{
		"NoJSON": "hello", "NoID": `{"aor":"sip:a@b","contact":"sip:c"}`, "Truncated": `{"aor":"sip:a@b"`,
		"NoAOR":     `{"id":"00112233445566778899aabbccddeeff","contact":"sip:c"}`,
		"Foreign":   `{"aor":"sip:a@b","id":"00112233445566778899aabbccddeeff","contact":"sip:c","retain_until":"2100-01-01T00:00:00Z"}`,
		"Contact":   importLine(t, "contact", "<sip:c>\r\nX: y"),
		"Params":    importLine(t, "params", "x=\x00"),
		"CallID":    importLine(t, "call_id", "\n"),
		"AOR":       importLine(t, "aor", "sip:a\r@b"),
		"Received":  importLine(t, "received", "sip:a\n"),
		"UserAgent": importLine(t, "user_agent", "\x7f"),
		"Path":      importLine(t, "path", []string{"<sip:p>\n"}),

		"Attributes":         importLine(t, "attributes", "{"),
		"AttributesNoObject": importLine(t, "attributes", `["a"]`),
	} {
		t.Run(name, func(t *testing.T) {
			if n, err := Import(t.Context(), usrloc.NewMemory(usrloc.MemoryOptions{}), strings.NewReader(text)); err == nil || n != 0 {
				t.Errorf("Import(%q) = %d, %v", text, n, err)
			}
		})
	}
}

// What a REGISTER may hold comes back: tabs, letters beyond ASCII that are control
// characters for Unicode, and any character in what a program says of the device.
func TestImport_WhatPhonesMaySend(t *testing.T) {
	for name, text := range map[string]string{
		"Params":     importLine(t, "params", ";\ta=b"),
		"CallID":     importLine(t, "call_id", "a\tb"),
		"UserAgent":  importLine(t, "user_agent", "phone\t1\u0085"),
		"Attributes": importLine(t, "attributes", "{\"a\":\"\x7f\u0085\"}"),
	} {
		t.Run(name, func(t *testing.T) {
			if n, err := Import(t.Context(), usrloc.NewMemory(usrloc.MemoryOptions{}), strings.NewReader(text)); err != nil || n != 1 {
				t.Errorf("Import(%q) = %d, %v", text, n, err)
			}
		})
	}
}

// importLine is a line that Import would take, if it were not for the field name.
func importLine(t *testing.T, name string, value any) string {
	t.Helper()
	fields := map[string]any{"aor": "sip:a@b", "contact": "<sip:c>", "retain_until": "2100-01-01T00:00:00Z"}
	fields[name] = value
	id, err := usrloc.NewBindingID(usrloc.AOR(fields["aor"].(string)), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	fields["id"] = id.String()
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
