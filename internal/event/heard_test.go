package event

import (
	"log/slog"
	"testing"
)

type ear struct{}

func (ear) Emit(Event) {}

func TestHeard(t *testing.T) {
	at := func(l slog.Level) Sink {
		return NewLog(slog.New(slog.NewTextHandler(discard{}, &slog.HandlerOptions{Level: l})))
	}
	refreshed, created := Registration{Action: "refreshed"}, Registration{Action: "created"}
	for _, tt := range []struct {
		name               string
		sink               Sink
		refreshed, created bool
	}{
		{"discard", Discard{}, false, false},
		{"log at debug", at(slog.LevelDebug), true, true},
		{"log at info", at(slog.LevelInfo), false, true},
		{"log at warn", at(slog.LevelWarn), false, false},
		{"fan of none", Fan{}, false, false},
		{"fan of two", Fan{at(slog.LevelWarn), at(slog.LevelInfo)}, false, true},
		{"unknown", ear{}, true, true},
		{"fan with an unknown one", Fan{at(slog.LevelWarn), ear{}}, true, true},
	} {
		if got := Heard(tt.sink, refreshed); got != tt.refreshed {
			t.Errorf("%s: a refresh is heard: %v", tt.name, got)
		}
		if got := Heard(tt.sink, created); got != tt.created {
			t.Errorf("%s: a new registration is heard: %v", tt.name, got)
		}
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
