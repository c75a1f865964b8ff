package app

import (
	"context"
	"errors"
	"runtime/debug"

	"reveille/internal/otlp"
)

// buildSpans makes what tells a collector of OpenTelemetry of requests, if there is one.
func (a *App) buildSpans() (err error) {
	c := a.config.OTLP
	if c.Endpoint == "" {
		return nil
	}
	o := otlp.Options{
		Endpoint: c.Endpoint, Headers: map[string]string{}, Ratio: c.Ratio, Node: a.config.Node.ID, Get: a.timeline.Get,
		Logger: a.component("otlp"), Registerer: a.registry,
	}
	for _, h := range c.Headers {
		o.Headers[h.Name] = h.Value.Reveal()
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		o.Version = info.Main.Version
	}
	if a.spans, err = otlp.New(context.Background(), o); err != nil {
		return err
	}
	running, end := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.spans.Run(running)
	}()
	// After the last requests were explained: the collector is told of them, too.
	a.onStop("spans", func(ctx context.Context) error {
		end()
		select {
		case <-ended:
			return a.spans.Stop(ctx)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), a.spans.Stop(ctx))
		}
	})
	return nil
}
