package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/event"
	"reveille/internal/feed"
	"reveille/internal/outbox"
	"reveille/internal/sipmsg"
	"reveille/internal/wake"
	"reveille/usrloc"
)

// An audience is who hears what happens, besides the log.
type audience struct {
	feed *feed.Feed
	// outbox is nil if there is no folder in which events can wait.
	outbox *outbox.Outbox
	// file is nil if none is configured.
	file *lineFile
}

// buildEvents makes the Sink of all rooms. others hears all events; lines takes those
// that the log has in their JSON form.
func (a *App) buildEvents(others event.Sink, lines io.Writer) (err error) {
	cfg, log := a.config.Events, a.component("events")
	var fan event.Fan
	var takers []feed.Taker
	filter, err := event.NewFilter(cfg.Log.Types, "")
	if err != nil {
		return fmt.Errorf("events.log.types: %w", err)
	}
	if cfg.Log.Format == configs.JSON && lines != nil {
		takers = append(takers, feed.NewLines("log", lines, filter, log))
	} else {
		fan = append(fan, event.NewLog(log))
	}
	if cfg.Log.File != "" {
		if a.events.file, err = openLines(string(cfg.Log.File)); err != nil {
			return fmt.Errorf("events.log.file: %w", err)
		}
		a.onStop("event file", a.events.file.close)
		takers = append(takers, feed.NewLines("file", a.events.file, filter, log))
	}
	if dir := a.config.SpoolDir(); dir != "" {
		if err := a.buildOutbox(dir); err != nil {
			return err
		}
		takers = append(takers, a.events.outbox)
	}
	a.events.feed = feed.New(feed.Options{
		Node: a.config.Node.ID, Keep: cfg.Buffer, Subscribers: cfg.Subscribers, Takers: takers, Logger: log, Registerer: a.registry,
	})
	a.onStop("events", a.events.feed.Stop)
	fan = append(fan, a.timeline, measuredEvents{a, a.events.feed})
	if err := a.buildSpans(); err != nil {
		return err
	}
	if a.spans != nil {
		fan = append(fan, a.spans)
	}
	if others != nil {
		fan = append(fan, others)
	}
	a.sink = fan
	a.explain()
	return nil
}

// explain has everybody told how requests ended that met a sleeping phone.
func (a *App) explain() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.timeline.Explain(ctx, a.sink)
	}()
	// After the requests have ended, and while others still hear of it.
	a.onStop("explanations", func(stop context.Context) error {
		cancel()
		select {
		case <-ended:
			return nil
		case <-stop.Done():
			return stop.Err()
		}
	})
}

func (a *App) buildOutbox(dir string) error {
	webhooks, err := eventWebhooks(a.config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("events.spool.dir: %w", err)
	}
	spool := a.config.Events.Spool
	a.events.outbox, err = outbox.New(outbox.Options{
		Dir: dir, MaxBytes: int64(spool.MaxMB) << 20, MaxAge: spool.MaxAge, Logger: a.component("webhooks"), Registerer: a.registry,
	})
	if err != nil {
		return err
	}
	a.onStop("webhooks", a.events.outbox.Stop)
	a.events.outbox.Set(webhooks)
	return nil
}

var errNoSpool = errors.New("events.webhooks: there is no folder in which events can wait; name one as events.spool.dir, or set store.dir")

// eventWebhooks translates the webhooks of a configuration.
func eventWebhooks(cfg *configs.Config) (outbox.Prepared, error) {
	if len(cfg.Events.Webhooks) > 0 && cfg.SpoolDir() == "" {
		return outbox.Prepared{}, errNoSpool
	}
	var list []outbox.Webhook
	for _, w := range cfg.Events.Webhooks {
		at := "events.webhooks[" + w.Name + "]"
		filter, err := typesFilter(w.Types)
		if err != nil {
			return outbox.Prepared{}, fmt.Errorf("%s.types: %w", at, err)
		}
		ca, err := readOptional(string(w.CAFile))
		if err != nil {
			return outbox.Prepared{}, fmt.Errorf("%s.ca_file: %w", at, err)
		}
		list = append(list, outbox.Webhook{
			Name: w.Name, URL: w.URL, Secret: []byte(w.Secret.Reveal()), RootCAs: ca, Filter: filter, Tokens: w.Tokens,
			Batch: w.Batch, Timeout: w.Timeout,
		})
	}
	p, err := outbox.Prepare(list)
	if err != nil {
		return p, fmt.Errorf("events.webhooks: %w", err)
	}
	return p, nil
}

// typesFilter reads patterns of types. One that no type matches is misspelt.
func typesFilter(patterns []string) (event.Filter, error) {
	for _, p := range patterns {
		if !event.Known(p) {
			return event.Filter{}, fmt.Errorf("there is no event that %q matches", p)
		}
	}
	return event.NewFilter(patterns, "")
}

// checkEvents reports what New would refuse.
func checkEvents(cfg *configs.Config) error {
	_, err := eventWebhooks(cfg)
	if _, wrong := typesFilter(cfg.Events.Log.Types); wrong != nil {
		err = errors.Join(err, fmt.Errorf("events.log.types: %w", wrong))
	}
	return err
}

// reload takes over webhooks, which nothing is wrong with, and opens the file again.
func (e *audience) reload(webhooks outbox.Prepared, log *slog.Logger) {
	if e.outbox != nil {
		e.outbox.Set(webhooks)
	}
	if e.file == nil {
		return
	}
	if err := e.file.reopen(); err != nil {
		log.Error("events.log.file cannot be opened again and is the same as before", "err", err)
	}
}

// eventCalls are what others may ask about events.
func (a *App) eventCalls() *admin.Events {
	return &admin.Events{Subscribe: a.events.feed.Subscribe, Woken: a.woken}
}

// woken takes the report of a push system.
func (a *App) woken(ctx context.Context, r admin.WakeReport) error {
	report := wake.Report{PushID: r.PushID, Reason: r.Reason, Result: map[string]wake.Result{
		admin.Delivered: wake.Delivered, admin.Gone: wake.Gone, admin.Failed: wake.Failed,
	}[r.Result]}
	if r.AOR != "" {
		u, err := sipmsg.ParseURI(r.AOR)
		if err != nil {
			return fmt.Errorf("aor: %w", admin.ErrUnknown)
		}
		if report.AOR, err = a.gate.aorOf(u); err != nil {
			return fmt.Errorf("aor: %w", admin.ErrUnknown)
		}
	}
	if r.Binding != "" {
		var err error
		if report.Binding, err = usrloc.ParseBindingID(r.Binding); err != nil {
			return fmt.Errorf("binding: %w", admin.ErrUnknown)
		}
	}
	err := a.waker.Report(ctx, report)
	if errors.Is(err, wake.ErrUnknown) {
		return admin.ErrUnknown
	}
	return err
}

// measuredEvents adds to events how fast a phone answers: the Qualifier, which knows,
// is built after those who emit them.
type measuredEvents struct {
	app *App
	event.Hearer
}

// Emit implements event.Sink.
func (m measuredEvents) Emit(e event.Event) {
	if r, ok := e.(event.Registration); ok && r.Binding != "" && m.app.qualifier != nil {
		if id, err := usrloc.ParseBindingID(r.Binding); err == nil {
			r.Latency, _ = measured{m.app}.Latency(id)
			e = r
		}
	}
	m.Hearer.Emit(e)
}

// A lineFile is a file that is appended to and that others may move away. It is safe
// for concurrent use.
type lineFile struct {
	path string

	mu   sync.Mutex // guards file
	file *os.File
}

func openLines(path string) (*lineFile, error) {
	l := &lineFile{path: path}
	return l, l.reopen()
}

// reopen opens the file anew, for instance after it was moved away.
func (l *lineFile) reopen() error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file = f
	if old == nil {
		return nil
	}
	return old.Close()
}

// Write implements io.Writer.
func (l *lineFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Write(b)
}

func (l *lineFile) close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// hexadecimal writes a binding's identity as events do.
func hexadecimal(id [16]byte) string { return usrloc.BindingID(id).String() }
