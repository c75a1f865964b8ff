package proxy

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
)

// A Ringback says which callers hear ringing as soon as the push service has taken the
// push for a phone, in place of silence until it has woken. The zero value: nobody.
type Ringback struct {
	// Callers are patterns of path.Match for what From names, without the scheme, such
	// as "*@example.com"; "*" is everybody.
	Callers []string
	// Routes are names of Options.Routes: whoever calls from one of their next hops is
	// meant, as far as Trunks knows these.
	Routes []string
	// Networks are those of other trunks whose calls are meant, whoever calls.
	Networks []netip.Prefix
}

func (r *Ringback) validate() error {
	for _, pattern := range r.Callers {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("proxy: ringback for %q: %w", pattern, err)
		}
	}
	return nil
}

// hearsRingback reports whether the sender of m, which came on from, is one of those whom
// Options.Ringback names.
func (p *Proxy) hearsRingback(m *sipmsg.Message, from flow.Flow) bool {
	r := &p.opts().Ringback
	return r.covers(m, from) || len(r.Routes) > 0 && slices.ContainsFunc(p.routesAt(from), func(at *Route) bool {
		return slices.Contains(r.Routes, at.Name)
	})
}

// covers reports whether Callers or Networks name the sender of m, which came on from.
func (r *Ringback) covers(m *sipmsg.Message, from flow.Flow) bool {
	source := from.Remote.Addr().Unmap()
	if slices.ContainsFunc(r.Networks, func(n netip.Prefix) bool { return n.Contains(source) }) {
		return true
	}
	if len(r.Callers) == 0 {
		return false
	}
	_, caller, _ := strings.Cut(identity(m.From().URI), ":")
	return slices.ContainsFunc(r.Callers, func(pattern string) bool {
		// validate has read them.
		ok, _ := path.Match(pattern, caller)
		return ok
	})
}

// A ringback is what a caller hears from us while a phone is being woken. A proxy does
// not ring (RFC 3261 §16.7 step 5); for this we are one more user agent that the call
// was forked to: the early dialog has a To tag and a Contact of ours, which are also
// those of a final of ours. Nothing is ever done in it: no answer of ours is reliable
// (RFC 3262), none has a body, and what is sent in it is answered 481.
type ringback struct {
	// heard: the caller has heard ringing, from us or a phone. It does not hear more
	// from us.
	heard bool
	// early: our early dialog is the only one that the caller has.
	early bool
}

// begin has the caller hear ringing, if it is to: the push for b was taken.
func (r *ringback) begin(f *fork, b *branch) {
	m := f.s.Message()
	switch {
	case r.heard || f.over || f.closed || !f.invite() || f.inDialog || b.ended():
		return
	case m.HasToken(sipmsg.HdrRequire, "100rel"):
		// RFC 3262 §3: all but a 100 would have to be sent reliably, and the PRACK to
		// be taken.
		return
	case !f.p.hearsRingback(m, f.s.Flow()):
		return
	}
	r.heard, r.early = true, true
	contact := f.p.contact(f.s.Flow())
	if f.sips && f.s.Flow().Transport.Secure() {
		// RFC 3261 §12.1.1.
		contact = "sips" + strings.TrimPrefix(contact, "sip")
	}
	f.p.metrics.ringbacks.Inc()
	f.emit(event.Call{Step: "ringback", AOR: string(f.aor), Binding: b.id(), PushID: b.wait.pushID, Status: 180, Elapsed: time.Since(f.began)})
	f.s.Reply(sipmsg.Reply{Code: 180, Headers: []sipmsg.HeaderField{{Name: "Contact", Value: "<" + contact + ">"}}})
}

// end ends our early dialog: the caller is about to hear from a phone. Later ends of it
// need no word: a final answer ends all but its own (RFC 3261 §13.2.2.4).
func (r *ringback) end(f *fork) {
	r.heard = true
	if !r.early {
		return
	}
	r.early = false
	if f.s.Message().HasToken(sipmsg.HdrSupported, "199") {
		// RFC 6228 §4, §5. It goes ahead of the phone's answer, which is the one that a
		// repeated INVITE is to get.
		f.s.Reply(sipmsg.Reply{Code: 199, Reason: "Early Dialog Terminated", Headers: []sipmsg.HeaderField{reasonFor(480)}})
	}
}
