package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"reveille/internal/admin"
	"reveille/internal/event"
)

// An audit tells of what is changed by the admin API: as an event, and as a line in a
// file if there is one. The line is written before the next call is: a flood of
// events cannot make it be lost.
type audit struct {
	sink event.Sink
	node uint32
	file *lineFile // nil: there is none
	log  *slog.Logger
}

// buildAudit opens the file of http.audit.
func (a *App) buildAudit() error {
	a.audit = audit{sink: a.sink, node: a.config.Node.ID, log: a.component("http")}
	if a.config.HTTP.Audit == "" {
		return nil
	}
	var err error
	if a.audit.file, err = openLines(string(a.config.HTTP.Audit)); err != nil {
		return fmt.Errorf("http.audit: %w", err)
	}
	a.onStop("audit file", a.audit.file.close)
	return nil
}

// tell implements admin.Options.Audit.
func (l *audit) tell(c admin.Change) {
	e := event.AdminChange{
		Who: c.Who, Kind: c.Kind, Role: c.Role, Remote: c.Remote, Operation: c.Operation, Target: c.Target, Status: c.Status, Problem: c.Problem,
	}
	l.sink.Emit(e)
	if l.file == nil {
		return
	}
	if err := l.write(e, c.Time); err != nil {
		l.log.Error("write http.audit", "err", err)
	}
}

func (l *audit) write(e event.Event, at time.Time) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	line, err := event.Encode(e, id.String(), at, l.node, event.Plain)
	if err != nil {
		return err
	}
	_, err = l.file.Write(append(line, '\n'))
	return err
}

// reload opens the file again.
func (l *audit) reload(ctx context.Context) {
	if l.file == nil {
		return
	}
	if err := l.file.reopen(); err != nil {
		l.log.ErrorContext(ctx, "http.audit cannot be opened again and is the same as before", "err", err)
	}
}
