package event

import (
	"log/slog"
	"time"
)

// SourceBanned says that all messages of a source are dropped for a while, in
// the one stable form that fail2ban reads.
type SourceBanned struct {
	// Source is an IPv4 address or an IPv6 network.
	Source string
	Reason string
	// DatagramsOnly: connections of the source are still served.
	DatagramsOnly bool
	Until         time.Time
}

func (SourceBanned) level() slog.Level { return slog.LevelInfo }

// line's message, and the order of its attributes, are what fail2ban filters
// match: docs/operations.md shows the filter.
func (e SourceBanned) line() (string, []slog.Attr) {
	return "source banned", []slog.Attr{
		slog.String("source", e.Source), slog.String("reason", e.Reason),
		slog.Bool("datagrams_only", e.DatagramsOnly), slog.Time("until", e.Until),
	}
}
