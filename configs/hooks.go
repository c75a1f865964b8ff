package configs

import "time"

// Hooks are programs that decide what scripts decide elsewhere.
type Hooks struct {
	// Register is asked whether a phone may register.
	Register Hook `yaml:"register"`
	// Route is asked where a call goes.
	Route Hook `yaml:"route"`
}

// Hook is a program that is asked. Without a URL there is none.
type Hook struct {
	// URL is where questions are posted.
	URL string `yaml:"url"`
	// Bearer goes with each question; BearerFile holds it instead.
	Bearer     Secret     `yaml:"bearer"`
	BearerFile SecretFile `yaml:"bearer_file"`
	CAFile     CertFile   `yaml:"ca_file"`
	// Timeout bounds one question, MaxPending how many are open at one time.
	Timeout    time.Duration `yaml:"timeout" range:"10ms..5s"`
	MaxPending int           `yaml:"max_pending" range:"1..10000"`
	// OnFailure counts in place of an answer.
	OnFailure HookFailure `yaml:"on_failure"`
}

// HookFailure says what becomes of a request about which no answer came.
type HookFailure string

// HookAllow goes on as if there were no hook, HookRefuse refuses the request.
const (
	HookAllow  HookFailure = "allow"
	HookRefuse HookFailure = "refuse"
)

func (HookFailure) values() []string { return []string{string(HookAllow), string(HookRefuse)} }

func defaultHook() Hook {
	return Hook{Timeout: time.Second, MaxPending: 256, OnFailure: HookRefuse}
}

func (l *loader) checkHooks(h *Hooks) {
	l.checkHook("hooks.register", &h.Register)
	l.checkHook("hooks.route", &h.Route)
}

func (l *loader) checkHook(at string, h *Hook) {
	if h.URL != "" {
		l.checkURL(at+".url", h.URL, "https://host/path", "https", "http")
	}
	l.checkSecretPair(at+".bearer", h.BearerFile, &h.Bearer)
}
