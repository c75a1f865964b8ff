package configs

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Events say who is told what happens, besides the log.
type Events struct {
	// Buffer is how many events are kept for readers of the stream who come back,
	// Subscribers how many readers there may be.
	Buffer      int `yaml:"buffer" range:"16..1000000" restart:"yes"`
	Subscribers int `yaml:"subscribers" range:"1..1000" restart:"yes"`
	// Bearer opens the stream and the reports of pushes to whoever reaches http.addr
	// and has it; BearerFile holds it instead. Without it both are on the control
	// socket alone.
	Bearer     Secret     `yaml:"bearer" restart:"yes"`
	BearerFile SecretFile `yaml:"bearer_file" restart:"yes"`
	// Tokens shows push tokens to readers at http.addr who ask for them.
	Tokens bool       `yaml:"tokens" restart:"yes"`
	Log    EventLog   `yaml:"log" restart:"yes"`
	Spool  EventSpool `yaml:"spool" restart:"yes"`
	// Webhooks get events by HTTP POST.
	Webhooks []EventWebhook `yaml:"webhooks"`
}

// EventLog says how events are logged.
type EventLog struct {
	// Format is text for log lines like others, JSON for lines that are events in
	// their JSON form.
	Format Format `yaml:"format"`
	// File takes events in their JSON form, whatever Format says; a reload opens it
	// again.
	File LogFile `yaml:"file"`
	// Types are those that come in their JSON form, see EventWebhook.
	Types []string `yaml:"types"`
}

// EventSpool is where events wait for webhooks.
type EventSpool struct {
	// Dir is a folder of the server's own; see Config.SpoolDir.
	Dir Folder `yaml:"dir"`
	// MaxMB bounds what waits for one webhook, in MiB, MaxAge how long.
	MaxMB  int           `yaml:"max_mb" range:"1..1048576"`
	MaxAge time.Duration `yaml:"max_age" range:"1m..30d"`
}

// EventWebhook is a program that is sent events.
type EventWebhook struct {
	// Name is what logs and metrics call it; unique.
	Name string `yaml:"name"`
	URL  string `yaml:"url"`
	// Secret signs requests; it comes from the file or the environment.
	Secret     Secret     `yaml:"secret"`
	SecretFile SecretFile `yaml:"secret_file"`
	CAFile     CertFile   `yaml:"ca_file"`
	// Types are patterns of types in which * stands for any characters; a leading !
	// leaves out what matches.
	Types []string `yaml:"types"`
	// Tokens sends push tokens for apps that are pushed to by whoever gets events.
	Tokens bool `yaml:"tokens"`
	// Batch bounds the events of one request, Timeout the time for one.
	Batch   int           `yaml:"batch" range:"1..1000"`
	Timeout time.Duration `yaml:"timeout" range:"100ms..1m"`
}

// setDefaults implements defaulter.
func (w *EventWebhook) setDefaults() {
	*w = EventWebhook{Types: usualTypes(), Batch: 100, Timeout: 10 * time.Second}
}

// usualTypes are all but that which comes with every refresh of every phone.
func usualTypes() []string { return []string{"*", "!binding.refreshed"} }

func defaultEvents() Events {
	return Events{
		Buffer: 4096, Subscribers: 32, Log: EventLog{Format: Text, Types: usualTypes()},
		Spool: EventSpool{MaxMB: 256, MaxAge: day},
	}
}

// spoolDir is the spool's name in store.dir.
const spoolDir = "events"

// SpoolDir returns the folder in which events wait for webhooks, empty for none.
func (c *Config) SpoolDir() string {
	switch {
	case c.Events.Spool.Dir != "":
		return string(c.Events.Spool.Dir)
	case c.Store.OnDisk():
		return filepath.Join(string(c.Store.Dir), spoolDir)
	}
	return ""
}

func (l *loader) checkEvents(cfg *Config) {
	e := &cfg.Events
	l.checkSecretPair("events.bearer", e.BearerFile, &e.Bearer)
	if e.Bearer != "" && len(e.Bearer) < minBearer {
		l.errorAt("events.bearer", fmt.Sprintf("is shorter than %d characters", minBearer), "whoever guesses it hears who calls whom")
	}
	if e.Tokens && e.Bearer == "" {
		l.warnAt("events.tokens", "changes nothing: without events.bearer there is no stream at http.addr", "")
	}
	l.checkTypes("events.log.types", e.Log.Types)
	seen := names{}
	for i := range e.Webhooks {
		w := &e.Webhooks[i]
		at := fmt.Sprintf("events.webhooks[%d]", i)
		l.checkName(seen, "events.webhooks", i, w.Name)
		if w.URL == "" {
			l.required(at+".url", "write https://host/path")
		} else {
			l.checkURL(at+".url", w.URL, "https://host/path", "https", "http")
		}
		l.checkSecretPair(at+".secret", w.SecretFile, &w.Secret)
		l.checkTypes(at+".types", w.Types)
		if w.Tokens && strings.HasPrefix(w.URL, "http://") && !onThisMachine(w.URL) {
			l.warnAt(at+".tokens", "sends push tokens without TLS", "write https:// in url")
		}
	}
}

// onThisMachine reports whether a URL leads nowhere else.
func onThisMachine(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// minBearer keeps guesses away from a token.
const minBearer = 16

// checkTypes looks at the form of patterns; whether there are such types app knows.
func (l *loader) checkTypes(at string, patterns []string) {
	for i, p := range patterns {
		name := strings.TrimPrefix(p, "!")
		if _, err := path.Match(name, ""); err != nil || name == "" {
			l.errorAt(fmt.Sprintf("%s[%d]", at, i), fmt.Sprintf("%q is no pattern", p), `write "binding.*" or "!binding.refreshed"`)
		}
	}
}
