//go:build e2e

package main

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/emiago/sipgo/sip"

	"reveille/internal/phone"
)

func TestMain(m *testing.M) {
	phone.AllowLargeDatagrams()
	sip.SetDefaultLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// TestSoak_Short is a few seconds of it. It leaves out what only 64*T1 and minutes
// of memory show.
func TestSoak_Short(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "reveille")
	if out, err := exec.Command("go", "build", "-o", binary, "reveille/cmd/reveille").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	var out bytes.Buffer
	args := []string{"-server", binary, "-lasts", "5s", "-settle", "5s", "-phones", "120", "-rate", "10", "-quick"}
	if code := run(t.Context(), args, &out, &out); code != 0 {
		t.Errorf("soak ended with %d:\n%s", code, &out)
	}
}
