package proxy

import (
	"slices"
	"strings"
	"time"

	"reveille/usrloc"
)

// This file is what an operator decides about waking: when, for what, and for how
// long a request waits.

// Mode is a wake policy.
type Mode uint8

// The wake policies.
const (
	// Race forwards on a live flow at once and pushes too if no provisional
	// answer comes within RaceDelay.
	Race Mode = iota
	// Asleep pushes only if no flow is alive.
	Asleep
	// Always pushes and waits for the phone to register.
	Always
)

// ParseMode reads a policy's name.
func ParseMode(s string) (Mode, bool) {
	switch s {
	case "race":
		return Race, true
	case "asleep":
		return Asleep, true
	case "always":
		return Always, true
	}
	return 0, false
}

// Waits say how long a request waits for a sleeping phone.
type Waits struct {
	// Rules come first; the first that fits a request counts. Nil: 45 s for calls to
	// webpush, where a person may have to click before a page comes back.
	Rules []WaitRule
	// Invite is for calls.
	Invite time.Duration
	// Message is for other requests outside a dialog. A sender of such a request
	// gives up after 32 s (RFC 8599 §5.6.2).
	Message time.Duration
	// InDialog is for requests inside a dialog.
	InDialog time.Duration
	// Silent is for requests that wait although no push may be sent.
	Silent time.Duration
}

// A WaitRule is how long some requests wait.
type WaitRule struct {
	// InDialog: it is for requests inside a dialog; otherwise for those outside.
	InDialog bool
	// Method is the method, empty for all; Provider the device's pn-provider, empty
	// for all.
	Method, Provider string
	Wait             time.Duration
}

func (w *Waits) setDefaults() {
	if w.Rules == nil {
		w.Rules = []WaitRule{{Method: "INVITE", Provider: "webpush", Wait: 45 * time.Second}}
	}
	defaultTo(&w.Invite, 25*time.Second)
	defaultTo(&w.Message, 15*time.Second)
	defaultTo(&w.InDialog, 15*time.Second)
	defaultTo(&w.Silent, 8*time.Second)
}

// of returns how long a request may wait for a device of provider.
func (w *Waits) of(method string, inDialog bool, provider string) time.Duration {
	for _, r := range w.Rules {
		if r.InDialog == inDialog && (r.Method == "" || r.Method == method) && (r.Provider == "" || strings.EqualFold(r.Provider, provider)) {
			return r.Wait
		}
	}
	switch {
	case inDialog:
		return w.InDialog
	case method == "INVITE":
		return w.Invite
	}
	return w.Message
}

// wakes reports whether a request outside a dialog wakes a sleeping phone.
func (o *Options) wakes(method string) bool {
	switch method {
	case "INVITE", "MESSAGE":
		return true
	case "ACK", "CANCEL", "PRACK":
		return false
	}
	return slices.Contains(o.Wakes, method)
}

// fresh reports whether b's device registered so lately that it is taken to be
// awake.
func (v view) fresh(b *usrloc.Binding) bool {
	return v.now.Sub(b.Updated) < v.skip(b.Push.Provider) && v.flows.Open(b.Flow)
}

// counts reports whether b is a way to its device: the registration goes on, or
// the device is woken although it has ended.
func (v view) counts(b *usrloc.Binding) bool {
	switch {
	case v.sips && !securely(b):
		return false
	case !b.Expired(v.now):
		return true
	}
	return v.keeps && v.wakes && !b.Push.IsZero() && v.can(b)
}
