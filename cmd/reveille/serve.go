package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"reveille/configs"
)

// A server is what serve runs: the application, as far as this command needs
// it. It is built with its sockets bound, so that a port in use is found early.
type server interface {
	// Start begins to serve.
	Start() error
	// Reload takes over cfg, all of it or nothing. The keys that need a restart
	// are as they were in the configuration that the server has.
	Reload(cfg *configs.Config) error
	// Unreadable notes that the configuration to take over cannot be read.
	Unreadable()
	// Stop ends calls and connections in order, or when ctx ends. It may be
	// called again.
	Stop(ctx context.Context) error
}

// stopTime bounds the orderly end once calls under way have had their time
// (stop.drain). Service managers commonly kill after 90 s.
const stopTime = 15 * time.Second

func (p program) serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server",
		Long: "Run the server. Without a file it listens on this machine's loopback address only.\n" +
			"SIGHUP reloads the file, SIGTERM and SIGINT end the server in order, a second one at once.",
		Args: exactly(0, "no argument; the file is given as --config FILE"),
		RunE: func(*cobra.Command, []string) error { return p.serve(file) },
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file (YAML)")
	return cmd
}

// serve runs the server until a signal ends it.
func (p program) serve(file string) error {
	defer p.keepHeapSmall()()
	cfg, err := p.load(file)
	if err != nil {
		fmt.Fprintln(p.stderr, err)
		return fmt.Errorf("%w, %w", errReported, err)
	}
	level := new(slog.LevelVar)
	log := p.logger(cfg.Log, level)
	asked := make(chan reloadRequest)
	// Closed before the server is stopped, which waits for calls under way.
	ended := make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	defer end()
	srv, err := p.newServer(cfg, log, reloadOver(asked, ended))
	if err != nil {
		return err
	}
	if err := srv.Start(); err != nil {
		return errors.Join(err, stop(srv, cfg))
	}
	log.Info("serving", "listeners", len(cfg.Listen), "config", file)
	manager, quiet := p.notifier(log)
	defer quiet()
	manager.tell(notifyReady)
	reload := func() (changes configs.Changes, err error) {
		manager.tell(notifyReloading)
		cfg, changes, err = p.reload(srv, cfg, file, level, log)
		manager.tell(notifyReady)
		return changes, err
	}
	for {
		select {
		case <-manager.alive:
			manager.tell(notifyAlive)
		case r := <-asked:
			var answer reloadAnswer
			answer.changes, answer.err = reload()
			r.answer <- answer
		case sig, open := <-p.signals:
			switch {
			case !open:
				end()
				return stop(srv, cfg)
			case sig == syscall.SIGHUP:
				// The log has said what became of it.
				_, _ = reload()
			default:
				log.Info("stopping; once more to end at once", "signal", sig.String(), "drain", cfg.Stop.Drain)
				manager.tell(notifyStopping)
				end()
				return p.stopOrSignal(srv, cfg, manager, log)
			}
		}
	}
}

// A reloader reads the configuration again and says which keys changed.
type reloader = func(context.Context) (configs.Changes, error)

// A reloadRequest asks serve's loop for a reload; answer has room for one.
type reloadRequest struct{ answer chan reloadAnswer }

type reloadAnswer struct {
	changes configs.Changes
	err     error
}

// errEnding answers a reload that came when the server was about to stop.
var errEnding = errors.New("the server is stopping")

// reloadOver returns a reloader that has serve's loop do the work, so that two
// reloads never meet.
func reloadOver(asked chan<- reloadRequest, ended <-chan struct{}) reloader {
	return func(ctx context.Context) (configs.Changes, error) {
		r := reloadRequest{answer: make(chan reloadAnswer, 1)}
		select {
		case asked <- r:
		case <-ended:
			return configs.Changes{}, errEnding
		case <-ctx.Done():
			return configs.Changes{}, ctx.Err()
		}
		a := <-r.answer
		return a.changes, a.err
	}
}

// errNoFile means that the server was started without a file.
var errNoFile = errors.New(noFile)

const noFile = "nothing to reload: the server was started without a file"

// reload reads the file again and hands it to the server. It returns the
// configuration that is in use afterwards, and what changed. What needs a restart
// is named and stays as it is; a file with problems changes nothing.
func (p program) reload(srv server, current *configs.Config, file string, level *slog.LevelVar, log *slog.Logger) (*configs.Config, configs.Changes, error) {
	if file == "" {
		log.Warn(noFile)
		return current, configs.Changes{}, errNoFile
	}
	next, err := p.load(file)
	if err != nil {
		srv.Unreadable()
		log.Error("configuration not reloaded", "err", err)
		return current, configs.Changes{}, err
	}
	changes := configs.Compare(current, next)
	if len(changes.Restart) > 0 {
		log.Warn("these changes need a restart", "keys", strings.Join(changes.Restart, ", "))
	}
	next = configs.Merge(current, next)
	if err := srv.Reload(next); err != nil {
		log.Error("configuration not reloaded", "err", err)
		return current, configs.Changes{}, err
	}
	level.Set(slogLevel(next.Log.Level))
	log.Info("configuration reloaded", "changed", strings.Join(changes.Reload, ", "))
	return next, changes, nil
}

// stopOrSignal stops the server in order, or at once when another signal says so.
func (p program) stopOrSignal(srv server, cfg *configs.Config, manager notifier, log *slog.Logger) error {
	done := make(chan error, 1)
	// The goroutine ends with Stop, which is bounded, or with the process.
	go func() { done <- stop(srv, cfg) }()
	for {
		select {
		case err := <-done:
			return err
		case <-manager.alive:
			manager.tell(notifyAlive)
		case sig := <-p.signals:
			if sig != syscall.SIGHUP {
				log.Warn("stopped at once", "signal", sig.String())
				return errReported
			}
		}
	}
}

func stop(srv server, cfg *configs.Config) error {
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Stop.Drain+stopTime)
	defer cancel()
	return srv.Stop(ctx)
}

// logger writes to standard error; level can be changed later.
func (p program) logger(cfg configs.Log, level *slog.LevelVar) *slog.Logger {
	level.Set(slogLevel(cfg.Level))
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == configs.JSON {
		return slog.New(slog.NewJSONHandler(p.stderr, options))
	}
	return slog.New(slog.NewTextHandler(p.stderr, options))
}

func slogLevel(l configs.Level) slog.Level {
	switch l {
	case configs.Debug:
		return slog.LevelDebug
	case configs.Warn:
		return slog.LevelWarn
	case configs.Error:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}
