package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"reveille/configs"
	"reveille/internal/tlscert"
	"reveille/internal/transport"
)

// certificates are those of the listeners that speak TLS, by listener; that of
// http.addr is called httpListener.
type certificates map[string]*tlscert.Source

// httpListener cannot be the name of one in listen.
const httpListener = "http.addr"

// An encrypted is a listener that speaks TLS.
type encrypted struct {
	name, key string // key is that of the configuration
	tls       *configs.ListenTLS
}

// encryptedOf returns the listeners of a configuration that speak TLS.
func encryptedOf(cfg *configs.Config) (list []encrypted) {
	for _, l := range cfg.Listen {
		if l.TLS != nil {
			list = append(list, encrypted{l.Name, "listen[" + l.Name + "].tls", l.TLS})
		}
	}
	if h := cfg.HTTP.TLS; cfg.HTTP.Addr != "" && h.CertFile != "" {
		t := &configs.ListenTLS{CertFile: h.CertFile, KeyFile: h.KeyFile, ClientCAFile: h.ClientCAFile, ClientAuth: configs.NoClientAuth}
		if h.ClientCAFile != "" {
			// Others come with a token, or for the metrics.
			t.ClientAuth = configs.RequestClientAuth
		}
		list = append(list, encrypted{httpListener, "http.tls", t})
	}
	return list
}

// loadCertificates reads the certificates of all listeners; the error names every
// file that cannot be used.
func loadCertificates(cfg *configs.Config) (map[string]*tlscert.Set, error) {
	sets := make(map[string]*tlscert.Set)
	var errs []error
	for _, l := range encryptedOf(cfg) {
		o, err := tlsOptions(l.tls)
		if err == nil {
			sets[l.name], err = tlscert.Load(o)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.key, err))
		}
	}
	return sets, errors.Join(errs...)
}

func tlsOptions(t *configs.ListenTLS) (tlscert.Options, error) {
	o := tlscert.Options{ClientCA: string(t.ClientCAFile), ServerCA: string(t.ServerCAFile)}
	for _, c := range t.All() {
		o.Pairs = append(o.Pairs, tlscert.Pair{CertFile: string(c.CertFile), KeyFile: string(c.KeyFile)})
	}
	switch t.ClientAuth {
	case configs.RequestClientAuth:
		o.ClientAuth = tlscert.Request
	case configs.RequireClientAuth:
		o.ClientAuth = tlscert.Require
	case configs.NoClientAuth:
	}
	if t.MinVersion == configs.TLS13 {
		o.MinVersion = tls.VersionTLS13
	}
	for _, name := range t.Ciphers {
		id, ok := tlscert.Cipher(name)
		if !ok {
			return o, fmt.Errorf("ciphers: %q is unknown", name)
		}
		o.Ciphers = append(o.Ciphers, id)
	}
	return o, nil
}

// newCertificates reads the certificates of all listeners.
func newCertificates(cfg *configs.Config) (certificates, error) {
	sets, err := loadCertificates(cfg)
	if err != nil {
		return nil, err
	}
	certs := make(certificates)
	for name, set := range sets {
		certs[name] = tlscert.NewSource(set)
	}
	return certs, nil
}

// install gives each listener its own.
func (c certificates) install(o *transport.Options) {
	for i := range o.Listeners {
		if s := c[o.Listeners[i].Name]; s != nil {
			o.Listeners[i].TLS, o.Listeners[i].DialTLS = s.Server(), s.Client
		}
	}
}

// replace puts what was read anew into force for the listeners that there are.
func (c certificates) replace(sets map[string]*tlscert.Set) {
	for name, set := range sets {
		if s := c[name]; s != nil {
			s.Replace(set)
		}
	}
}

// expiryEvery is how often certificates that end soon are told.
const expiryEvery = 24 * time.Hour

// watchExpiry warns of certificates that end soon, at once and then daily.
func watchExpiry(ctx context.Context, sources func() map[string]*tlscert.Source, log *slog.Logger) {
	tick := time.NewTicker(expiryEvery)
	defer tick.Stop()
	for {
		certificates(sources()).warn(ctx, log, time.Now())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c certificates) warn(ctx context.Context, log *slog.Logger, now time.Time) {
	for name, s := range c {
		for _, l := range tlscert.Expiring(s.Current().Leaves(), now) {
			attrs := []slog.Attr{slog.String("listener", name), slog.String("file", l.File), slog.Time("expires", l.NotAfter)}
			if now.After(l.NotAfter) {
				// Nobody who verifies it connects any more.
				log.LogAttrs(ctx, slog.LevelError, "certificate has expired", attrs...)
				continue
			}
			log.LogAttrs(ctx, slog.LevelWarn, "certificate ends soon", attrs...)
		}
	}
}

// checkCertificates reads all certificates.
func checkCertificates(cfg *configs.Config) error {
	_, err := loadCertificates(cfg)
	return err
}
