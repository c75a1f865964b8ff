package feed

import (
	"io"
	"log/slog"

	"reveille/internal/event"
)

// Lines is a Taker that writes each event as a line of JSON, without tokens.
type Lines struct {
	name      string
	filter    event.Filter
	refreshes bool
	w         io.Writer
	log       *slog.Logger
	failing   bool
	// torn: part of a line was written.
	torn bool
	line []byte
}

var _ Taker = (*Lines)(nil)

// NewLines returns a Taker, with a name for metrics, that writes what filter takes to
// w. A line is one Write. Lines that cannot be written are lost, which log hears of once until one can.
func NewLines(name string, w io.Writer, filter event.Filter, log *slog.Logger) *Lines {
	return &Lines{name: name, filter: filter, refreshes: filter.Type(event.TypeRefreshed), w: w, log: log}
}

// Name implements Taker.
func (l *Lines) Name() string { return l.name }

// Refreshes implements Taker.
func (l *Lines) Refreshes() bool { return l.refreshes }

// Take implements Taker.
func (l *Lines) Take(rs []*Record) {
	for _, r := range rs {
		if l.filter.Matches(r.Type, r.AOR) {
			l.write(r)
		}
	}
}

func (l *Lines) write(r *Record) {
	b, err := r.JSON(event.Params)
	if err == nil {
		l.line = l.line[:0]
		if l.torn {
			l.line = append(l.line, '\n') // The rest is lost; the next one is whole.
		}
		l.line = append(append(l.line, b...), '\n')
		var n int
		n, err = l.w.Write(l.line)
		l.torn = err != nil && (l.torn || n > 0)
	}
	if err != nil && !l.failing {
		l.log.Error("write events", "err", err)
	}
	l.failing = err != nil
}
