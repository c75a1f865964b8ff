package app

import (
	"context"
	"fmt"
	"path/filepath"

	"reveille/configs"
	"reveille/usrloc"
	"reveille/usrloc/disk"
)

// The folder of a durable store holds these two.
const (
	bindingsDir = "bindings"
	keysFile    = "purr.keys"
)

// BindingsDir is where a server with store.dir dir keeps its bindings.
func BindingsDir(dir string) string { return filepath.Join(dir, bindingsDir) }

// buildStore opens the location service: in memory, or in memory with a disk
// behind it. onFailure is told when the disk fails.
func (a *App) buildStore(onFailure func(error)) error {
	cfg := a.config
	location, err := newLocation(cfg, a.component("location"), a.registry)
	if err != nil {
		return err
	}
	limits := usrloc.MemoryOptions{
		MaxBindings: cfg.Limits.Bindings, MaxWatches: cfg.Limits.Watches, Registerer: a.registry,
		Tokens: cfg.Push.TokenOwner == configs.TokenLast,
	}
	if location != nil {
		limits.Changed = location.Changed
	}
	if !cfg.Store.OnDisk() {
		m := usrloc.NewMemory(limits)
		a.store = m
		a.onStop("store", func(context.Context) error { return m.Close() })
		a.copyLocations(location, m)
		return nil
	}
	o := disk.Options{
		Dir: BindingsDir(string(cfg.Store.Dir)), MinFree: int64(cfg.Store.MinFreeMB) << 20,
		OnFailure: onFailure, Logger: a.component("store"), Registerer: a.registry, Memory: limits,
	}
	if o.MinFree == 0 {
		o.MinFree = -1 // The operator wants no mark.
	}
	if cfg.Store.Durability == configs.Write {
		o.Mode = disk.Write
	}
	s, err := disk.Open(o)
	if err != nil {
		return closeLocation(location, fmt.Errorf("store.dir: %w", err))
	}
	a.store = s
	a.onStop("store", func(ctx context.Context) error {
		if err := a.backups.end(ctx); err != nil {
			return err
		}
		return s.Close()
	})
	a.copyLocations(location, s)
	return nil
}

// tokenIndex says who has a push token; nil if anybody may.
func (a *App) tokenIndex() usrloc.TokenIndex {
	if a.config.Push.TokenOwner != configs.TokenLast {
		return nil
	}
	index, _ := a.store.(usrloc.TokenIndex)
	return index
}

// sealing returns the configuration of the sealing keys: with a durable store
// they are kept beside it unless a file is named, for PURRs and the way to phones
// in calls must survive as long as the registrations do.
func sealing(cfg *configs.Config) configs.PURR {
	p := cfg.Push.PURR
	if p.KeyFile == "" && cfg.Store.OnDisk() {
		p.KeyFile = configs.KeyringFile(filepath.Join(string(cfg.Store.Dir), keysFile))
	}
	return p
}
