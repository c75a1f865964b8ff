package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/internal/app"
	"reveille/usrloc"
	"reveille/usrloc/disk"
	"reveille/usrloc/usrloctest"
)

// storeWith makes a folder as store.dir with n bindings in it.
func storeWith(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s, err := disk.Open(disk.Options{Dir: app.BindingsDir(dir), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range n {
		aor := usrloctest.AOR(i)
		done := make(chan error, 1)
		s.Update(t.Context(), aor, usrloctest.Put(usrloctest.Binding(aor, i, time.Now())), func(_ usrloc.Record, _ []usrloc.Change, err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBindings_MoveBetweenStores(t *testing.T) {
	from, to := storeWith(t, 3), storeWith(t, 0)
	code, lines, stderr := runWith(program{}, "bindings", "export", from)
	if code != exitOK || strings.Count(lines, "\n") != 3 || stderr != "3 bindings written\n" {
		t.Fatalf("export: code %d, %q, %d lines", code, stderr, strings.Count(lines, "\n"))
	}
	code, _, stderr = runWith(program{input: strings.NewReader(lines)}, "bindings", "import", to)
	if code != exitOK || stderr != "3 bindings read\n" {
		t.Fatalf("import: code %d, %q", code, stderr)
	}
	code, stdout, _ := runWith(program{}, "bindings", "check", to)
	if code != exitOK || !strings.HasPrefix(stdout, "3 bindings, 0 expired") {
		t.Errorf("check: code %d, %q", code, stdout)
	}
	code, _, stderr = runWith(program{input: strings.NewReader("{\n")}, "bindings", "import", to)
	if code != exitFailed || !strings.Contains(stderr, "binding 1") {
		t.Errorf("import of what is no export: code %d, %q", code, stderr)
	}
}

func TestBindings_DamageIsNamedAndRepaired(t *testing.T) {
	dir := storeWith(t, 50)
	logs, err := filepath.Glob(filepath.Join(app.BindingsDir(dir), "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no log in the store: %v", err)
	}
	for _, file := range logs {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 100 {
			b[len(b)/2] ^= 0xff
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr := runWith(program{}, "bindings", "check", dir)
	if code != exitFailed || !strings.Contains(stdout, ".log") || !strings.Contains(stderr, "bindings repair") {
		t.Fatalf("check of a damaged store: code %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, stderr = runWith(program{}, "bindings", "repair", dir); code != exitOK || !strings.Contains(stdout, "is kept in") {
		t.Fatalf("repair: code %d\n%s%s", code, stdout, stderr)
	}
	if code, stdout, _ = runWith(program{}, "bindings", "check", dir); code != exitOK {
		t.Errorf("check after repair: code %d, %s", code, stdout)
	}
}

func TestBindings_Mistakes(t *testing.T) {
	dir := storeWith(t, 1)
	s, err := disk.Open(disk.Options{Dir: app.BindingsDir(dir), MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tests := []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"no folder named", []string{"bindings", "check"}, exitUsage, "takes one folder"},
		{"no such folder", []string{"bindings", "check", "/nonexistent"}, exitFailed, "is no folder"},
		{"a server has it", []string{"bindings", "export", dir}, exitFailed, "in use"},
		{"no such command", []string{"bindings", "burn"}, exitUsage, "unknown command"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, _, stderr := runWith(program{}, tt.args...)
			if code != tt.code || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("code %d, %q; want %d and %q", code, stderr, tt.code, tt.stderr)
			}
		})
	}
}
