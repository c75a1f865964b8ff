package configs

import (
	"path/filepath"
	"time"
)

// Messages say what becomes of a MESSAGE that no phone takes.
type Messages struct {
	Policy MessagePolicy `yaml:"policy" restart:"yes"`
	// Wait is how long phones that are awake have to take a message before it is kept.
	Wait time.Duration `yaml:"wait" range:"100ms..20s"`
	// MaxAge is how long a message is kept, MaxKB its size, in KiB.
	MaxAge time.Duration `yaml:"max_age" range:"1m..90d"`
	MaxKB  int           `yaml:"max_kb" range:"1..1024"`
	// PerUser bounds what is kept for one user.
	PerUser MessageQuota `yaml:"per_user" restart:"yes"`
	// MaxMB bounds what is kept for all, in MiB.
	MaxMB int `yaml:"max_mb" range:"1..1048576" restart:"yes"`
	// Deliveries is how many messages that waited are on their way to phones at a time.
	Deliveries int `yaml:"deliveries" range:"1..10000" restart:"yes"`
	// Dir is a folder of the server's own; see Config.MessagesDir.
	Dir Folder `yaml:"dir" restart:"yes"`
}

// MessageQuota is what may be kept for one user.
type MessageQuota struct {
	Messages int `yaml:"messages" range:"1..100000"`
	KB       int `yaml:"kb" range:"1..1048576"`
}

// MessagePolicy says what becomes of a MESSAGE for phones that sleep or are away.
type MessagePolicy string

// WaitMessages has the sender wait for the phones, StoreMessages keeps the message.
const (
	WaitMessages  MessagePolicy = "wait"
	StoreMessages MessagePolicy = "store"
)

func (MessagePolicy) values() []string {
	return []string{string(WaitMessages), string(StoreMessages)}
}

func defaultMessages() Messages {
	return Messages{
		Policy: WaitMessages, Wait: 5 * time.Second, MaxAge: 7 * day, MaxKB: 64,
		PerUser: MessageQuota{Messages: 200, KB: 1024}, MaxMB: 256, Deliveries: 100,
	}
}

// messagesDir is the name of the folder of messages in store.dir.
const messagesDir = "messages"

// MessagesDir returns the folder in which messages wait for phones, empty for none.
func (c *Config) MessagesDir() string {
	switch {
	case c.Messages.Dir != "":
		return string(c.Messages.Dir)
	case c.Store.OnDisk():
		return filepath.Join(string(c.Store.Dir), messagesDir)
	}
	return ""
}

// MessageUsers is for how many users messages may wait: each takes one of limits.watches,
// of which half is for others.
func (c *Config) MessageUsers() int { return max(1, c.Limits.Watches/2) }

func (l *loader) checkMessages(cfg *Config) {
	m := &cfg.Messages
	if m.Policy != StoreMessages {
		return
	}
	if cfg.MessagesDir() == "" {
		l.errorAt("messages.policy", "needs a folder in which messages can wait", "set store.dir, or name a folder as messages.dir")
	}
	if m.MaxKB > m.PerUser.KB {
		l.warnAt("messages.max_kb", "is more than messages.per_user.kb: the largest messages are never kept", "")
	}
	if m.PerUser.KB > m.MaxMB<<10 {
		l.warnAt("messages.per_user.kb", "is more than messages.max_mb: one user can fill all of it", "")
	}
	if cfg.Auth.Mode.Proxy == Off && len(cfg.Auth.Trusted) == 0 {
		l.warnAt("messages.policy", "keeps nothing: no sender is authenticated or trusted", "see auth.mode.proxy and auth.trusted")
	}
}
