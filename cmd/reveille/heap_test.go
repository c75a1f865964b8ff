package main

import (
	"errors"
	"io"
	"log/slog"
	"runtime/debug"
	"runtime/metrics"
	"testing"

	"reveille/configs"
)

func TestGCPercent(t *testing.T) {
	for _, tt := range []struct {
		name          string
		live, scanned uint64
		want          int
	}{
		{"nothing", 0, 0, 400},
		{"1 MB", 1 << 20, 1 << 20, 400},
		{"8 MB", 8 << 20, 0, 400},
		{"16 MB", 16 << 20, 0, 200},
		{"16 MB, all looked at", 16 << 20, 16 << 20, 200},
		{"32 MB", 32 << 20, 0, 100},
		{"64 MB", 64 << 20, 0, 50},
		{"64 MB, all looked at", 64 << 20, 64 << 20, 149},
		{"64 MB, a quarter looked at", 64 << 20, 16 << 20, 50},
		{"160 MB", 160 << 20, 0, 20},
		{"a large store", 1 << 30, 20 << 20, 20},
		{"a large store and many calls", 1 << 30, 300 << 20, 43},
		{"many calls", 300 << 20, 280 << 20, 139},
		{"more than there is", 1 << 62, 0, 20},
		{"more looked at than lives", 100 << 20, 1 << 62, 150},
	} {
		if got := gcPercent(tt.live, tt.scanned); got != tt.want {
			t.Errorf("%s: gcPercent(%d, %d) = %d, want %d", tt.name, tt.live, tt.scanned, got, tt.want)
		}
	}
}

// TestServe_GCPercent: it is ours while the server runs, unless the operator has
// set GOGC.
func TestServe_GCPercent(t *testing.T) {
	percent := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	// No percentage of ours.
	const before = mostPercent + 77
	defer debug.SetGCPercent(debug.SetGCPercent(before))
	for _, tt := range []struct {
		name string
		set  bool
	}{
		{"Unset", false},
		{"SetByOperator", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got uint64
			run([]string{"serve"}, program{
				stdout: io.Discard, stderr: io.Discard,
				lookupEnv: func(name string) (string, bool) { return "100", name == "GOGC" && tt.set },
				newServer: func(*configs.Config, *slog.Logger, reloader) (server, error) {
					got = percent()
					return nil, errors.New("enough")
				},
			})
			// How much it is depends on what the tests before have left behind.
			if ours := got != before; ours == tt.set {
				t.Errorf("GC percent %d while serving, %d before", got, before)
			}
			if now := percent(); now != before {
				t.Errorf("GC percent %d afterwards, want %d", now, before)
			}
		})
	}
}
