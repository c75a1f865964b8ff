package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// This file sends a call that nobody of a user takes somewhere else, such as to
// voicemail. RFC 3261 §16.5: targets may be added until the best response is chosen.

// A When is a set of reasons why nobody takes a call.
type When uint8

// The reasons.
const (
	// WhenBusy: a device is busy, or its user does not want the call there.
	WhenBusy When = 1 << iota
	// WhenNoAnswer: a device rang, and nobody answered.
	WhenNoAnswer
	// WhenAsleep: none rang, and one that was pushed to did not wake in time.
	WhenAsleep
	// WhenUnreachable: none is registered, or none could be reached.
	WhenUnreachable
)

// ParseWhen reads the name of one reason.
func ParseWhen(s string) (When, bool) {
	for _, w := range [...]When{WhenBusy, WhenNoAnswer, WhenAsleep, WhenUnreachable} {
		if w.String() == s {
			return w, true
		}
	}
	return 0, false
}

// String returns the name of one reason.
func (w When) String() string {
	switch w {
	case WhenBusy:
		return "busy"
	case WhenNoAnswer:
		return "no_answer"
	case WhenAsleep:
		return "timeout"
	case WhenUnreachable:
		return "unreachable"
	}
	return ""
}

// A Fallback is where calls go that nobody of a user takes. The user's own right to
// be called is what they go by: callers need none to relay.
type Fallback struct {
	// When are the reasons that it is for; 0: all.
	When When
	// Route is the name of a Route, whose next hop gets the call; empty: To is a user
	// of ours.
	Route string
	// To is the new Request-URI; the zero URI, with a Route only, keeps the old one.
	To sipmsg.URI
	// Mailbox, with a Route only, is in place of To where that depends on who was
	// called: {user} stands for the user part, and behind the @ {aor} for the address.
	Mailbox string
	// Diversion says how the new target learns who was called.
	Diversion DiversionMode
}

func (r *Fallback) validate() error {
	if r.Route == "" && r.To.IsZero() {
		return errors.New("proxy: a fallback has neither a route nor a target")
	}
	if u, err := r.of("sip:user@example.com"); err != nil || r.Mailbox != "" && !u.IsSIP() {
		return fmt.Errorf("proxy: fallback to %q: %w", r.Mailbox, cmp.Or(err, errors.New("no SIP URI")))
	}
	return nil
}

// of is the new Request-URI for calls to aor.
func (r *Fallback) of(aor usrloc.AOR) (sipmsg.URI, error) {
	if r.Mailbox == "" {
		return r.To, nil
	}
	user, host := r.Mailbox, ""
	if at := strings.LastIndexByte(r.Mailbox, '@'); at >= 0 {
		user, host = r.Mailbox[:at], r.Mailbox[at:]
	}
	_, called, _ := strings.Cut(string(aor), ":")
	called, _, _ = strings.Cut(called, "@")
	// In an AOR a user part is escaped as RFC 3261 §25.1 wants it there; parameters may
	// hold other characters. So nobody's name becomes a host or a parameter of its own.
	behind := strings.NewReplacer("{user}", sipmsg.EscapeParam(sipmsg.Unescape(called)), "{aor}", sipmsg.EscapeParam(string(aor)))
	uri := strings.ReplaceAll(user, "{user}", called) + behind.Replace(host)
	if strings.ContainsAny(uri, "{}") {
		return sipmsg.URI{}, errors.New("a name in braces that stands for nothing there")
	}
	return sipmsg.ParseURI(uri)
}

// mayFallBack returns the rules for calls to aor; nil if this one has no fallback.
func (f *fork) mayFallBack(aor usrloc.AOR) []Fallback {
	o := f.p.opts()
	switch a := o.AORs[aor]; {
	case !f.invite() || f.inDialog || a.NoFallback:
		return nil
	case divertedFrom(f.s.Message(), aor):
		// It was sent on for this user before and has come back: what takes the calls
		// of this user sends its own to it.
		return nil
	case len(a.Fallbacks) > 0:
		return a.Fallbacks
	}
	return o.Fallbacks
}

// fallBack sends the call to the fallback of the user whom nobody answers for, once
// all branches have failed. It reports false if there is none; then the best of the
// finals is the answer.
func (f *fork) fallBack() bool {
	why := f.missed()
	i := slices.IndexFunc(f.fallbacks, func(r Fallback) bool { return r.When == 0 || r.When&why != 0 })
	// A 6xx speaks for the user, and after a CANCEL nobody waits.
	if f.over || why == 0 || i < 0 {
		return false
	}
	rule := f.fallbacks[i]
	to, err := rule.of(f.aor)
	if err != nil {
		f.noFallback(err.Error(), rule.Mailbox)
		return false
	}
	rule.To = to
	// There is no fallback for the fallback.
	f.fallbacks = nil
	f.total.Stop()
	set := f.fallbackTargets(&rule)
	// The devices that were looked up are all; those that come are not added.
	f.joins = false
	if len(set) == 0 {
		return false
	}
	// For the devices of this user the call is over, and was missed, whoever answers it.
	f.why = []sipmsg.HeaderField{reasonFor(408)}
	for _, b := range f.branches {
		f.part(b)
	}
	f.diversion = f.newDiversion(&rule, why)
	f.p.metrics.fallbacks.WithLabelValues(why.String()).Inc()
	f.emit(event.Call{
		Step: "diverted", AOR: string(f.aor), Status: f.best.status(true), Reason: why.String(), Elapsed: time.Since(f.began),
	})
	f.rest = set
	f.next()
	return true
}

// missed says why nobody took the call; 0 if it failed for another reason, such as
// one of the caller's.
func (f *fork) missed() (why When) {
	rang := slices.ContainsFunc(f.branches, func(b *branch) bool { return b.rang })
	slept := slices.ContainsFunc(f.branches, func(b *branch) bool { return b.slept })
	switch code := f.best.code; {
	case code == 486:
		return WhenBusy
	case (code == 408 || code == 480) && rang:
		return WhenNoAnswer
	case (code == 408 || code == 480) && slept:
		return WhenAsleep
	case code == 404 || code == 408 || code == 410 || code == 480 || code/100 == 5:
		return WhenUnreachable
	}
	return 0
}

// fallbackTargets returns where a rule leads, in the order in which it is tried; none
// if it leads nowhere.
func (f *fork) fallbackTargets(r *Fallback) []target {
	o := f.p.opts()
	if r.Route != "" {
		route, ok := f.p.routeNamed(r.Route)
		if !ok {
			f.noFallback("no such route", r.Route)
			return nil
		}
		t := route.target()
		if !r.To.IsZero() {
			t.uri = requestURI(r.To.String(), o.PushParams)
		}
		return []target{t}
	}
	aor, ours := f.p.aorOf(r.To)
	switch {
	case !ours:
		f.noFallback("no user of ours", r.To.Host)
		return nil
	case aor == f.aor:
		// The voicemail itself was called.
		return nil
	}
	var l lookup
	if err := f.gather(aor, r.To, &l); err != nil {
		return nil
	}
	// A phone that both have has failed already.
	set := slices.DeleteFunc(l.set, func(t target) bool {
		return slices.ContainsFunc(f.branches, func(b *branch) bool {
			return sameDevice(b.target.binding, t.binding) || t.samePlace(&b.target)
		})
	})
	set = o.of(aor).order(o.of(aor).near(set))
	return set[:min(len(set), max(0, o.MaxForks-len(f.branches)))]
}

func (f *fork) noFallback(why, what string) {
	f.p.opts().Logger.Warn("a fallback leads nowhere", slog.String("aor", string(f.aor)), slog.String("reason", why), slog.String("target", what))
}

// rings notes that a device rings, and starts the time after which the call goes to
// the fallback for those that nobody answers, if there is one.
func (f *fork) rings() {
	d := f.p.opts().RingTotal
	waits := slices.ContainsFunc(f.fallbacks, func(r Fallback) bool { return r.When == 0 || r.When&WhenNoAnswer != 0 })
	if d == 0 || !waits || f.total != nil || f.over {
		return
	}
	f.total = f.s.Queue().After(d, f.rungInTotal)
}

// rungInTotal gives up all devices: they have rung for as long as the caller is to
// wait.
func (f *fork) rungInTotal() {
	if f.over || f.fallbacks == nil {
		return
	}
	f.rest, f.joins = nil, false
	for _, b := range f.branches {
		if b.ended() {
			continue
		}
		if b.client != nil {
			// The answer to the CANCEL is not waited for. RFC 3261 §16.7 step 5: a 2xx
			// that crosses it still counts.
			b.client.Cancel(reasonFor(408))
			b.client.Abandon()
		}
		b.unpark("cancelled")
		b.finish(f.unavailable("No Answer"))
	}
	f.conclude()
}
