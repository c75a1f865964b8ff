package main

import (
	"errors"
	"io"
	"log/slog"
	"runtime/metrics"
	"testing"

	"reveille/configs"
)

// TestServe_GCPercent: it is small while the server runs, unless the operator
// has set GOGC.
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
		want uint64
	}{
		{"Unset", false, gcPercent},
		{"SetByOperator", true, before},
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
			if got != tt.want {
				t.Errorf("GC percent %d while serving, want %d", got, tt.want)
			}
			if now := percent(); now != before {
				t.Errorf("GC percent %d afterwards, want %d", now, before)
			}
		})
	}
}
