package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"reveille/configs"
	"reveille/internal/admin"
	"reveille/internal/mailbox"
	"reveille/internal/proxy"
	"reveille/internal/transaction"
)

// buildMailbox opens the mailbox, if messages are to be kept, or were when the server
// ran before: what was accepted is handed over whatever the policy is now.
func (a *App) buildMailbox() (err error) {
	cfg, dir := a.config, a.config.MessagesDir()
	if cfg.Messages.Policy != configs.StoreMessages {
		_, err := os.Stat(filepath.Join(dir, mailbox.File))
		if dir == "" || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("messages.dir: %w", err)
	}
	a.mailbox, err = mailbox.New(mailbox.Options{
		Dir: dir, NoSync: cfg.Store.Durability == configs.Write, Limits: mailboxLimits(cfg), Deliveries: cfg.Messages.Deliveries,
		Store: a.store, Sink: a.sink, Logger: a.component("mailbox"), Registerer: a.registry,
	})
	if err != nil {
		return err
	}
	a.onStop("mailbox", a.mailbox.Stop)
	return nil
}

func mailboxLimits(cfg *configs.Config) mailbox.Limits {
	m := cfg.Messages
	return mailbox.Limits{
		Bytes: int64(m.MaxMB) << 20, UserMessages: m.PerUser.Messages, UserBytes: int64(m.PerUser.KB) << 10,
		Users: cfg.MessageUsers(),
	}
}

// messages says which messages the proxy gives to the mailbox.
func (a *App) messages(cfg *configs.Config) proxy.Messages {
	m := proxy.Messages{Wait: cfg.Messages.Wait, MaxAge: cfg.Messages.MaxAge, MaxSize: cfg.Messages.MaxKB << 10}
	if cfg.Messages.Policy == configs.StoreMessages {
		m.Box = a.mailbox
	}
	return m
}

// startMailbox begins to hand over what waits.
func (a *App) startMailbox() {
	if a.mailbox != nil {
		a.mailbox.Start(carrier{a.proxy, a.layer})
	}
}

// haltMailbox hands nothing over any more.
func (a *App) haltMailbox() {
	if a.mailbox != nil {
		a.mailbox.Halt()
	}
}

// A carrier is the way of messages that waited to phones.
type carrier struct {
	proxy *proxy.Proxy
	layer *transaction.Layer
}

// Carry implements mailbox.Carrier.
func (c carrier) Carry(m mailbox.Message, done func(mailbox.Outcome)) {
	c.proxy.Carry(c.layer.Queue(m.CallID), m, done)
}

// Behind implements mailbox.Carrier.
func (c carrier) Behind(callID string, fn func()) { c.layer.Queue(callID).Post(fn) }

// waitingMessages implements admin.Messages; nil: none are kept.
func (a *App) waitingMessages() *admin.Messages {
	if a.mailbox == nil {
		return nil
	}
	return &admin.Messages{List: func() (list []admin.MessageUser) {
		for _, u := range a.mailbox.Users() {
			list = append(list, admin.MessageUser{User: string(u.AOR), Messages: u.Messages, Bytes: u.Bytes, Oldest: u.Oldest, Until: u.Until})
		}
		return list
	}}
}
