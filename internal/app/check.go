package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"reveille/configs"
	"reveille/internal/auth"
	"reveille/internal/auth/bearer"
	"reveille/internal/proxy"
	"reveille/internal/transport"
	"reveille/push"
	"reveille/usrloc"
)

// Warnings returns what is legal in a configuration but unlikely to be meant,
// one sentence each, beyond what configs.Load warns of.
func Warnings(cfg *configs.Config) []string {
	o := transportOptions(cfg)
	for i := range o.Listeners {
		if l := &o.Listeners[i]; l.Advertise == "" {
			// Load has warned of addresses that others may not reach, with the
			// line to change.
			l.Advertise = "sip.example.com"
		}
	}
	return append(transport.Warnings(o), doubts(cfg.Push, time.Now())...)
}

// Check reports everything for which New would refuse cfg, but for what the
// machine has to say: ports in use. It reads the credentials, the users and the
// sealing keys, and makes no file, binds no socket, starts nothing. cfg is as
// configs.Load returns it.
func Check(cfg *configs.Config) error {
	_, routes := proxyRoutes(cfg)
	return errors.Join(
		transport.Check(transportOptions(cfg)),
		checkCertificates(cfg),
		CheckUsers(cfg),
		checkPolicy(cfg),
		checkKeys(sealing(cfg)),
		checkApps(cfg.Push),
		checkHooks(cfg),
		checkEvents(cfg),
		routes,
		routing(new(proxy.Options), cfg),
	)
}

// CheckUsers is the part of Check that is about users and how they are asked.
func CheckUsers(cfg *configs.Config) error {
	verifier, err := newVerifier(cfg.Auth.Bearer, bearer.Options{})
	if err != nil {
		return err
	}
	o, err := authOptions(cfg, verifier)
	if err != nil {
		return err
	}
	if _, err = auth.New(o); err != nil {
		return err
	}
	directory, err := newDirectory(cfg.Auth, nil, nil)
	if err != nil {
		return err
	}
	return directory.close()
}

func checkPolicy(cfg *configs.Config) error {
	// What wakes phones counts as present, so that the rules for push do.
	policy, err := registrarPolicy(cfg, new(push.Dispatcher), nil, func(*usrloc.Binding) bool { return true })
	if err != nil {
		return err
	}
	return policy.Validate()
}

func checkHooks(cfg *configs.Config) error {
	h, err := newHooks(cfg, nil, nil)
	if err != nil {
		return err
	}
	return h.close(context.Background())
}

// checkKeys reads the sealing keys. A file that does not exist is made by New.
func checkKeys(cfg configs.PURR) error {
	if cfg.KeyFile == "" {
		return nil
	}
	if _, err := os.Stat(string(cfg.KeyFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err := loadKeys(cfg, time.Now())
	return err
}

// checkApps makes the senders of all apps, which connect only when they send.
func checkApps(cfg configs.Push) error {
	var errs []error
	enabled := cfg.Apps
	if !cfg.Enabled {
		enabled = nil
	}
	made := &senders{}
	for i := range enabled {
		// One at a time: the others are looked at even if this one fails.
		one := cfg
		one.Apps = enabled[i : i+1]
		s, err := newSenders(context.Background(), one, nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		made.list = append(made.list, s.list...)
	}
	if err := push.Check(made.apps()); err != nil {
		errs = append(errs, fmt.Errorf("push.apps: %w", err))
	}
	return errors.Join(append(errs, made.close())...)
}
