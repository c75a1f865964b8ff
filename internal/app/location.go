package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/configs"
	"reveille/flow"
	"reveille/internal/locationdb"
)

// newLocation returns what copies registrations into a SQL table, nil if none is
// configured. It does not connect.
func newLocation(cfg *configs.Config, log *slog.Logger, r prometheus.Registerer) (*locationdb.Writer, error) {
	c := cfg.Location
	if c.URL == "" {
		return nil, nil //nolint:nilnil // There is no table: that is no error.
	}
	w, err := locationdb.New(locationdb.Options{
		URL: c.URL.Reveal(), Table: c.Table, Node: cfg.Node.ID, PushParams: c.PushParams, Socket: sockets(cfg.Listen),
		Interval: c.Interval, Queue: c.Queue, Logger: log, Registerer: r,
	})
	if err != nil {
		return nil, fmt.Errorf("location: %w", err)
	}
	return w, nil
}

// copyLocations runs w until the server stops.
func (a *App) copyLocations(w *locationdb.Writer, from locationdb.Records) {
	if w == nil {
		return
	}
	ctx, cancel := context.WithCancel(a.background)
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx, from) })
	a.onStop("location", func(context.Context) error {
		cancel()
		running.Wait()
		return w.Close()
	})
}

// sockets names where a flow came in as Kamailio does, "udp:192.0.2.1:5060".
func sockets(listen []configs.Listen) func(flow.Flow) string {
	names := make(map[string]string, len(listen))
	for _, l := range listen {
		addr := l.Advertise
		if addr == "" {
			addr = l.Addr
		}
		names[l.Name] = addr
	}
	return func(f flow.Flow) string {
		addr := names[f.Listener]
		if addr == "" {
			return ""
		}
		return strings.ToLower(f.Transport.String()) + ":" + addr
	}
}

// closeLocation ends a Writer that never ran.
func closeLocation(w *locationdb.Writer, err error) error {
	if w == nil {
		return err
	}
	return errors.Join(err, w.Close())
}
