package feed

import (
	"io"
	"log/slog"

	"reveille/internal/event"
)

// Lines is a Taker that writes each event as a line of JSON, without tokens.
type Lines struct {
	filter    event.Filter
	refreshes bool
	w         io.Writer
	log       *slog.Logger
	failing   bool
	line      []byte
}

var _ Taker = (*Lines)(nil)

// NewLines returns a Taker that writes what filter takes to w. A line is one Write.
// Lines that cannot be written are lost, which log hears of once until one can.
func NewLines(w io.Writer, filter event.Filter, log *slog.Logger) *Lines {
	return &Lines{filter: filter, refreshes: filter.Type(event.TypeRefreshed), w: w, log: log}
}

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
	b, err := r.JSON(false)
	if err == nil {
		l.line = append(append(l.line[:0], b...), '\n')
		_, err = l.w.Write(l.line)
	}
	if err != nil && !l.failing {
		l.log.Error("write events", "err", err)
	}
	l.failing = err != nil
}
