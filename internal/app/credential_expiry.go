package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/push/apns"
)

// credentialSoon is how long before its end a push certificate is worth a
// warning: a new one is made by hand, at Apple's developer site.
const credentialSoon = 30 * 24 * time.Hour

// A credentialEnd says when the certificate of an app ends. Keys do not.
type credentialEnd struct {
	app      string
	notAfter time.Time
}

// ends lists when certificates end.
func (s *senders) ends() (all []credentialEnd) {
	for _, x := range s.list {
		if a, ok := x.app.Sender.(*apns.Sender); ok && !a.NotAfter().IsZero() {
			all = append(all, credentialEnd{x.app.Name, a.NotAfter()})
		}
	}
	return all
}

// useSenders takes over senders. It is called with a.mu held, or by New.
func (a *App) useSenders(s *senders) {
	a.senders = s
	ends := s.ends()
	a.ends.Store(&ends)
}

// credentialEnds does not wait for a reload.
func (a *App) credentialEnds() []credentialEnd { return *a.ends.Load() }

// credentialExpiry is the metric of when push certificates end.
type credentialExpiry struct {
	desc *prometheus.Desc
	ends func() []credentialEnd
}

func newCredentialExpiry(ends func() []credentialEnd) prometheus.Collector {
	return credentialExpiry{
		desc: prometheus.NewDesc("reveille_push_credential_expiry_timestamp_seconds",
			"When the certificate of a push app ends, in seconds since 1970.", []string{"app"}, nil),
		ends: ends,
	}
}

// Describe implements prometheus.Collector.
func (e credentialExpiry) Describe(to chan<- *prometheus.Desc) { to <- e.desc }

// Collect implements prometheus.Collector.
func (e credentialExpiry) Collect(to chan<- prometheus.Metric) {
	for _, end := range e.ends() {
		to <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(end.notAfter.Unix()), end.app)
	}
}

// watchCredentials warns of push certificates that end soon, at once and then
// daily, until ctx ends.
func (a *App) watchCredentials(ctx context.Context) {
	tick := time.NewTicker(expiryEvery)
	defer tick.Stop()
	for {
		warnOfEnds(ctx, a.component("push"), a.credentialEnds(), time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func warnOfEnds(ctx context.Context, log *slog.Logger, ends []credentialEnd, now time.Time) {
	for _, end := range ends {
		left := end.notAfter.Sub(now)
		attrs := []slog.Attr{slog.String("app", end.app), slog.Time("expires", end.notAfter), slog.Int("days", int(left/(24*time.Hour)))}
		switch {
		case left <= 0:
			log.LogAttrs(ctx, slog.LevelError, "push certificate has expired: no phone of this app can be woken", attrs...)
		case left <= 24*time.Hour:
			log.LogAttrs(ctx, slog.LevelError, "push certificate ends within a day", attrs...)
		case left <= credentialSoon:
			log.LogAttrs(ctx, slog.LevelWarn, "push certificate ends soon", attrs...)
		}
	}
}
