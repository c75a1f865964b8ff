package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reveille/configs"
	"reveille/usrloc"
	"reveille/usrloc/disk"
)

const aliceAOR = usrloc.AOR("sip:alice@example.com")

// A server starts on the copy that was made of a running one, and knows the
// phone and the PURR that the phone was given. A stopped one can be copied too.
func TestBackup_IsACompleteStore(t *testing.T) {
	base := t.TempDir()
	storeIn := func(name string) string { return "store: {dir: " + filepath.Join(base, name) + "}" }
	r := newRig(t, storeIn("store"))
	r.sleeper("alice", "udp", "token-of-alice")
	before, err := r.Store().Get(t.Context(), aliceAOR)
	if err != nil || len(before.Bindings) != 1 {
		t.Fatalf("%d bindings, %v; want one", len(before.Bindings), err)
	}
	purr := r.keys.Mint(before.Bindings[0].ID)
	if err := Backup(t.Context(), r.config(storeIn("store")), filepath.Join(base, "no")); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("Backup of a store in use = %v, want ErrLocked", err)
	}
	// An empty folder is as good as none.
	if err := os.Mkdir(filepath.Join(base, "running"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.Backup(t.Context(), filepath.Join(base, "running")); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(r.within()); err != nil {
		t.Fatal(err)
	}
	if err := r.Backup(t.Context(), filepath.Join(base, "late")); !errors.Is(err, errBackingUp) {
		t.Errorf("Backup after Stop = %v, want a refusal", err)
	}
	if err := Backup(t.Context(), r.config(storeIn("store")), filepath.Join(base, "stopped")); err != nil {
		t.Fatal(err)
	}
	for _, copied := range []string{"running", "stopped"} {
		t.Run(copied, func(t *testing.T) {
			if info, err := os.Stat(filepath.Join(base, copied)); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the backup is open to others: %v, %v", info.Mode(), err)
			}
			again, err := New(Options{Config: r.config(storeIn(copied))})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Stop(r.within())
			after, err := again.Store().Get(t.Context(), aliceAOR)
			if err != nil || len(after.Bindings) != 1 || after.Bindings[0].ID != before.Bindings[0].ID {
				t.Fatalf("%+v in the copy, %v", after.Bindings, err)
			}
			if id, err := again.keys.Open(purr); err != nil || id != after.Bindings[0].ID {
				t.Errorf("PURR of before: %v, %v", id, err)
			}
		})
	}
	if left, err := filepath.Glob(filepath.Join(base, ".*partial*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestBackup_Refusals(t *testing.T) {
	base := t.TempDir()
	path := func(name ...string) string { return filepath.Join(append([]string{base}, name...)...) }
	for _, dir := range []string{path("full"), path("elsewhere")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{path("file"), path("full", "file")} {
		if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(path("elsewhere"), path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path("store"), path("way")); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "store: {dir: "+path("store")+"}")
	r.register(r.phone("alice", "udp", ""))
	ended, end := context.WithCancel(t.Context())
	end()
	tests := []struct {
		name string
		ctx  context.Context
		dir  string
		says string
	}{
		{"not empty", t.Context(), path("full"), "not empty"},
		{"a file", t.Context(), path("file"), "is no folder"},
		{"a symbolic link", t.Context(), path("link"), "is no folder"},
		{"nowhere", t.Context(), path("no", "where"), "there is no folder"},
		{"the store itself", t.Context(), path("store"), "folder of the server"},
		{"in the store", t.Context(), path("store", "bindings", "x"), "folder of the server"},
		{"in the store, by another way", t.Context(), path("way", "x"), "folder of the server"},
		{"nobody waits", ended, path("unwanted"), "nobody waits"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := r.Backup(tt.ctx, tt.dir); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Backup(%s) = %v, want an error that says %q", tt.dir, err, tt.says)
			}
		})
	}
	if !r.backups.take() {
		t.Fatal("a backup that failed is still being made")
	}
	if err := r.Backup(t.Context(), path("second")); !errors.Is(err, errBackingUp) {
		t.Errorf("a second backup at once: %v", err)
	}
	r.backups.done()
	names, err := os.ReadDir(base)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.Contains(n.Name(), "partial") || n.Name() == "unwanted" || n.Name() == "second" {
			t.Errorf("%s stayed behind", n.Name())
		}
	}
	if text, err := os.ReadFile(path("full", "file")); err != nil || string(text) != "precious" {
		t.Errorf("what was there: %q, %v", text, err)
	}
	if list, err := os.ReadDir(path("elsewhere")); err != nil || len(list) > 0 {
		t.Errorf("the link was followed: %v, %v", list, err)
	}
}

func TestBackup_NothingToCopy(t *testing.T) {
	r := newRig(t)
	if err := r.Backup(t.Context(), filepath.Join(t.TempDir(), "a")); !errors.Is(err, errInMemory) {
		t.Errorf("Backup of a server in memory = %v", err)
	}
	if err := Backup(t.Context(), configs.Default(), filepath.Join(t.TempDir(), "a")); !errors.Is(err, errInMemory) {
		t.Errorf("Backup without a store = %v", err)
	}
	cfg := configs.Default()
	cfg.Store.Dir = configs.Folder(t.TempDir())
	if err := Backup(t.Context(), cfg, filepath.Join(t.TempDir(), "a")); err == nil {
		t.Error("Backup of a folder without a store made one")
	}
	if list, err := os.ReadDir(string(cfg.Store.Dir)); err != nil || len(list) > 0 {
		t.Errorf("something was made there: %v, %v", list, err)
	}
}
