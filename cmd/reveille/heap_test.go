package main

import (
	"errors"
	"io"
	"log/slog"
	"runtime/metrics"
	"testing"

	"reveille/configs"
)

func TestGCPercent(t *testing.T) {
	for _, tt := range []struct {
		live uint64
		want int
	}{
		{0, 400}, {1 << 20, 400}, {8 << 20, 400}, {16 << 20, 200}, {32 << 20, 100}, {64 << 20, 50}, {160 << 20, 20}, {1 << 30, 20}, {1 << 62, 20},
	} {
		if got := gcPercent(tt.live); got != tt.want {
			t.Errorf("gcPercent(%d) = %d, want %d", tt.live, got, tt.want)
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
	before := percent()
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
