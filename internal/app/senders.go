package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"reveille/configs"
	"reveille/push"
	"reveille/push/apns"
)

// senders are the push credentials of a configuration.
type senders struct {
	list []sender
}

// A sender is one app's credential. mark is a hash of everything it was made
// from, so that a reload keeps those that did not change, and with them their
// connections and what APNs has seen of their tokens.
type sender struct {
	config configs.App
	app    push.App
	mark   [sha256.Size]byte
}

func (s *senders) apps() []push.App {
	apps := make([]push.App, len(s.list))
	for i := range s.list {
		apps[i] = s.list[i].app
	}
	return apps
}

func (s *senders) close() error {
	var errs []error
	for _, x := range s.list {
		errs = append(errs, x.app.Sender.Close())
	}
	return errors.Join(errs...)
}

// newSenders reads all credentials. Those that are as in old are taken over. If
// one fails, what was made is closed again.
func newSenders(ctx context.Context, cfg configs.Push, old *senders) (_ *senders, err error) {
	s := &senders{}
	var made []push.Sender
	defer func() {
		if err != nil {
			for _, m := range made {
				err = errors.Join(err, m.Close())
			}
		}
	}()
	if !cfg.Enabled {
		return s, nil
	}
	for _, app := range cfg.Apps {
		c, err := readCredential(app)
		if err != nil {
			return nil, fmt.Errorf("push.apps[%s].%w", app.Name, err)
		}
		x := sender{config: app, mark: c.mark(app), app: push.App{
			Name: app.Name, Provider: app.Provider, ParamPattern: app.Param, QueueLen: app.Queue, InFlight: app.InFlight,
		}}
		if x.app.Provider == "" {
			x.app.Provider = app.Type()
		}
		if kept := old.find(app.Name, x.mark); kept != nil {
			x.app.Sender = kept
		} else {
			if x.app.Sender, err = newSender(ctx, app, c, append(old.tokens(), s.tokens()...)); err != nil {
				return nil, fmt.Errorf("push.apps[%s].%w", app.Name, err)
			}
			made = append(made, x.app.Sender)
		}
		s.list = append(s.list, x)
	}
	return s, nil
}

// tokens are those with which the senders authenticate to APNs.
func (s *senders) tokens() (tokens []*apns.Token) {
	if s == nil {
		return nil
	}
	for _, x := range s.list {
		if a, ok := x.app.Sender.(*apns.Sender); ok && a.Token() != nil {
			tokens = append(tokens, a.Token())
		}
	}
	return tokens
}

func (s *senders) find(name string, m [sha256.Size]byte) push.Sender {
	if s == nil {
		return nil
	}
	for _, x := range s.list {
		if x.app.Name == name && x.mark == m {
			return x.app.Sender
		}
	}
	return nil
}
