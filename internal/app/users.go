package app

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"reveille/configs"
	"reveille/internal/auth"
	authhttp "reveille/internal/auth/http"
	"reveille/internal/auth/source"
	authsql "reveille/internal/auth/sql"
)

// maxLookups is how many requests may wait for an answer about their sender.
const maxLookups = 4096

// A directory is a source of users outside of this process, with what is
// remembered of it.
type directory struct {
	*source.Cached
	asked interface {
		auth.Source
		Close() error
	}
}

// newDirectory returns the directory of a configuration, nil if there is none. It
// connects when it is asked.
func newDirectory(cfg configs.Auth, log *slog.Logger, r prometheus.Registerer) (*directory, error) {
	if !cfg.External() {
		return nil, nil //nolint:nilnil // All users are in files: that is no error.
	}
	d := &directory{}
	o := source.Options{Users: cfg.Cache.Users, TTL: cfg.Cache.TTL, NegativeTTL: cfg.Cache.NegativeTTL, Logger: log, Registerer: r}
	var err error
	if cfg.SQL.URL != "" {
		o.Timeout, o.Concurrent = cfg.SQL.Timeout, cfg.SQL.MaxConns
		if d.asked, err = authsql.New(sqlUsers(cfg.SQL, log, r)); err != nil {
			return nil, fmt.Errorf("auth.sql: %w", err)
		}
	} else {
		o.Timeout, o.Concurrent = cfg.HTTP.Timeout, cfg.HTTP.MaxConns
		if d.asked, err = newHTTPUsers(cfg.HTTP); err != nil {
			return nil, fmt.Errorf("auth.http: %w", err)
		}
	}
	o.Source = d.asked
	if d.Cached, err = source.NewCached(o); err != nil {
		return nil, errors.Join(err, d.asked.Close())
	}
	return d, nil
}

// close ends all questions. A nil directory has none.
func (d *directory) close() error {
	if d == nil {
		return nil
	}
	d.Close()
	return d.asked.Close()
}

func sqlUsers(cfg configs.SQLUsers, log *slog.Logger, r prometheus.Registerer) authsql.Options {
	o := authsql.Options{
		URL: cfg.URL.Reveal(), MaxConns: cfg.MaxConns, Timeout: cfg.Timeout, Proof: proofs(cfg.Proof),
		Table: cfg.Table, Domain: cfg.UseDomain, Query: cfg.Query, Logger: log, Registerer: r,
	}
	for _, name := range cfg.Attributes {
		o.Attributes = append(o.Attributes, string(name))
	}
	return o
}

func newHTTPUsers(cfg configs.HTTPUsers) (*authhttp.Source, error) {
	ca, err := readOptional(string(cfg.CAFile))
	if err != nil {
		return nil, err
	}
	roots, err := rootCAs(ca)
	if err != nil {
		return nil, err
	}
	return authhttp.New(authhttp.Options{
		URL: cfg.URL, Bearer: cfg.Bearer.Reveal(), RootCAs: roots, Timeout: cfg.Timeout, MaxConns: cfg.MaxConns, Proof: proofs(cfg.Proof),
	})
}

// proofs translates names that configs has checked.
func proofs(names []configs.Proof) []source.Proof {
	var list []source.Proof
	for _, name := range names {
		list = append(list, source.Proof(name))
	}
	return list
}
