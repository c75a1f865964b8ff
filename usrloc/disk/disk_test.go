package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// mustOpen opens a store that the end of the test closes.
func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// failNow is for tests in which no commit may fail.
func failNow(t testing.TB) func(error) {
	return func(err error) { t.Errorf("OnFailure: %v", err) }
}

// tryUpdate runs an Update and waits for it.
func tryUpdate(s usrloc.Store, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error)) error {
	ended := make(chan error, 1)
	s.Update(context.Background(), aor, fn, func(_ usrloc.Record, _ []usrloc.Change, err error) { ended <- err })
	return <-ended
}

func mustUpdate(t testing.TB, s usrloc.Store, aor usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error)) {
	t.Helper()
	if err := tryUpdate(s, aor, fn); err != nil {
		t.Fatalf("Update(%s): %v", aor, err)
	}
}

func mustGet(t testing.TB, s usrloc.Store, aor usrloc.AOR) usrloc.Record {
	t.Helper()
	rec, err := s.Get(t.Context(), aor)
	if err != nil {
		t.Fatalf("Get(%s): %v", aor, err)
	}
	return rec
}

// edit changes the database of a store that is closed.
func edit(t testing.TB, fs vfs.FS, dir string, change func(*pebble.Batch) error) {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatWALSyncChunks, Logger: &pebbleLogger{log: slog.New(slog.DiscardHandler)}})
	if err != nil {
		t.Fatal(err)
	}
	b := db.NewBatch()
	if err := errors.Join(change(b), b.Commit(pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// clock is the present as a Store keeps it.
func clock() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func TestStore_Conformance_Fsync(t *testing.T) { conformance(t, Fsync) }
func TestStore_Conformance_Write(t *testing.T) { conformance(t, Write) }

func conformance(t *testing.T, mode Mode) {
	t.Parallel()
	usrloctest.RunRealTime(t, func(t testing.TB, l usrloctest.Limits) usrloc.Store {
		return mustOpen(t, Options{
			Dir: "store", FS: vfs.NewMem(), Mode: mode, OnFailure: failNow(t),
			Memory: usrloc.MemoryOptions{MaxBindings: l.MaxBindings, MaxWatches: l.MaxWatches, Tokens: true},
		})
	})
}

// TestOpen_TokensAreIndexed: who has a token is known after a start, also of
// bindings that were refreshed or lost it.
func TestOpen_TokensAreIndexed(t *testing.T) {
	o := Options{Dir: "store", FS: vfs.NewMem(), OnFailure: failNow(t), Memory: usrloc.MemoryOptions{Tokens: true}}
	s := mustOpen(t, o)
	first, second, third := usrloctest.Binding(usrloctest.AOR(1), 1, clock()), usrloctest.Binding(usrloctest.AOR(2), 1, clock()), usrloctest.Binding(usrloctest.AOR(3), 1, clock())
	second.Push, third.Push = first.Push, first.Push
	for i, b := range []*usrloc.Binding{&first, &second, &third} {
		mustUpdate(t, s, usrloctest.AOR(i+1), usrloctest.Put(*b))
	}
	second.CSeq++
	mustUpdate(t, s, usrloctest.AOR(2), usrloctest.Put(second))
	third.Push.PRID = ""
	mustUpdate(t, s, usrloctest.AOR(3), usrloctest.Put(third))
	mustClose(t, s)
	got, err := mustOpen(t, o).TokenHolders(t.Context(), first.Push)
	slices.Sort(got)
	if want := []usrloc.AOR{usrloctest.AOR(1), usrloctest.AOR(2)}; !slices.Equal(got, want) || err != nil {
		t.Errorf("TokenHolders = %v, %v, want %v", got, err, want)
	}
}

// TestOpen_ContentIsBack checks what a start must bring back: every field, the
// order of an AOR's bindings, timers, identities and growing Versions.
func TestOpen_ContentIsBack(t *testing.T) {
	for _, mode := range []Mode{Fsync, Write} {
		t.Run(mode.String(), func(t *testing.T) {
			o := Options{Dir: filepath.Join(t.TempDir(), "store"), Mode: mode, OnFailure: failNow(t)}
			s := mustOpen(t, o)
			aor, now := usrloctest.AOR(1), clock()
			var bindings []usrloc.Binding
			for i := range 5 {
				b := usrloctest.Binding(aor, i, now.Add(time.Duration(i)*time.Second))
				b.RefreshAt = now.Add(-time.Minute) // due already
				bindings = append(bindings, b)
			}
			mustUpdate(t, s, aor, usrloctest.Put(bindings...))
			// A plain refresh, and a change of more.
			bindings[1].CSeq, bindings[1].CallID, bindings[1].Expires = 77, "other", now.Add(2*time.Hour)
			bindings[1].RetainUntil, bindings[1].RefreshAt = now.Add(3*time.Hour), time.Time{}
			bindings[1].Flow.Conn, bindings[1].Flow.Listener = 4711, "inside"
			mustUpdate(t, s, aor, usrloctest.Put(bindings[1]))
			bindings[2].CSeq++
			mustUpdate(t, s, aor, usrloctest.Put(bindings[2]))
			bindings[2].Contact += ";x"
			mustUpdate(t, s, aor, usrloctest.Put(bindings[2]))
			mustUpdate(t, s, aor, usrloctest.Remove(usrloc.CauseOperator, bindings[3].ID))
			want := mustGet(t, s, aor)
			mustClose(t, s)

			s = mustOpen(t, o)
			got := mustGet(t, s, aor)
			if d := usrloctest.Diff(want.Bindings, got.Bindings); d != "" || len(got.Bindings) != 4 {
				t.Errorf("after a restart (-before +after):\n%s", d)
			}
			if got.Version <= want.Version {
				t.Errorf("Version %d after a restart, %d before", got.Version, want.Version)
			}
			if back, err := s.Resolve(t.Context(), bindings[4].ID); err != nil || back != aor {
				t.Errorf("Resolve = %q, %v", back, err)
			}
			due, err := s.Claim(t.Context(), time.Now(), 10)
			if err != nil || len(due) != 3 {
				t.Errorf("Claim after a restart: %d timers, %v, want 3 overdue refreshes", len(due), err)
			}
		})
	}
}

func TestOpen_Locked(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := mustOpen(t, o)
	_, err := Open(o)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "this process") {
		t.Errorf("a second Open: %v, want ErrLocked and by whom", err)
	}
	mustClose(t, s)
	mustOpen(t, o)
}

func TestOpen_OtherFormat(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{Dir: "store", FS: fs}
	mustClose(t, mustOpen(t, o))
	edit(t, fs, o.Dir, func(b *pebble.Batch) error { return b.Set([]byte(keyFormat), []byte{9}, nil) })
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "format 09") {
		t.Errorf("Open of format 9: %v", err)
	}
}

func TestOpen_BadOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"NoDir": {}, "Mode": {Dir: t.TempDir(), Mode: 9}, "File": {Dir: file},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := Open(o); err == nil {
				t.Errorf("Open(%+v) = %v", o, s)
			}
		})
	}
}

func TestStore_ClosedTwice(t *testing.T) {
	s := mustOpen(t, Options{Dir: "store", FS: vfs.NewMem()})
	mustClose(t, s)
	mustClose(t, s)
	if err := tryUpdate(s, usrloctest.AOR(1), usrloctest.Keep); !errors.Is(err, usrloc.ErrClosed) {
		t.Errorf("Update after Close: %v", err)
	}
	if err := s.Backup("copy"); !errors.Is(err, usrloc.ErrClosed) {
		t.Errorf("Backup after Close: %v", err)
	}
}

// TestStore_CloseCommitsWhatWaits closes a store while Updates are under way.
func TestStore_CloseCommitsWhatWaits(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, Options{Dir: "store", FS: fs, OnFailure: failNow(t)})
	const n = 500
	ended := make(chan error, n)
	for i := range n {
		s.Update(t.Context(), usrloctest.AOR(i), usrloctest.Put(usrloctest.Binding(usrloctest.AOR(i), 1, clock())),
			func(_ usrloc.Record, _ []usrloc.Change, err error) { ended <- err })
	}
	mustClose(t, s)
	for range n {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("Update: %v", err)
			}
		default:
			t.Fatal("Close returned before an Update had ended")
		}
	}
	if got := mustOpen(t, Options{Dir: "store", FS: fs}).Stats().Bindings; got != n {
		t.Errorf("%d bindings after a restart, want %d", got, n)
	}
}

func ExampleOpen() {
	s, err := Open(Options{Dir: "store", FS: vfs.NewMem(), OnFailure: func(err error) { panic(err) }})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	ended := make(chan struct{})
	aor := usrloc.AOR("sip:alice@example.com")
	put := usrloctest.Put(usrloctest.Binding(aor, 1, time.Now()))
	s.Update(context.Background(), aor, put, func(rec usrloc.Record, _ []usrloc.Change, err error) {
		fmt.Println(len(rec.Bindings), "binding on the disk,", err)
		close(ended)
	})
	<-ended
	// Output: 1 binding on the disk, <nil>
}
