package disk

import (
	"fmt"
	"log/slog"
)

// A pebbleLogger takes what Pebble says.
type pebbleLogger struct {
	log   *slog.Logger
	fatal func(error)
}

// A fatalError is what Pebble cannot go on after.
type fatalError struct{ text string }

func (e *fatalError) Error() string { return e.text }

// Infof takes the life of Pebble's files, which is of interest to nobody here.
func (*pebbleLogger) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn("the database complains", "what", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. It must not return: Pebble would go on as if
// nothing had happened, and report the commit as durable. In the committer the
// panic is caught and fails the commit; elsewhere (the manifest cannot be
// written) it ends the process, if fatal has not done so.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := &fatalError{text: fmt.Sprintf(format, args...)}
	l.fatal(err)
	panic(err)
}
