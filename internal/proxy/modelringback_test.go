package proxy

import (
	"slices"

	"reveille/internal/sipmsg"
)

// A modelRinging is what a caller of the model has heard before a final answer.
type modelRinging struct {
	// taken: a push for the call was taken.
	taken bool
	// ours is the To tag of the server's own ringing; gone: it has said that it ends.
	ours string
	gone bool
	// theirs: a phone was heard.
	theirs bool
}

// modelRingback is for every second seed.
func modelRingback(seed uint64) Ringback {
	if seed%2 == 0 {
		return Ringback{}
	}
	return Ringback{Callers: []string{"*"}}
}

// callerHears checks a provisional answer: the server rings in place of a phone once,
// while it wakes one, and not when a phone was heard.
func (m *model) callerHears(s sent) {
	c := m.calls[s.m.CallID()]
	r := &c.ringing
	m.say("%s hears %d %s", c.id, s.m.Status(), s.m.ToTag())
	fromPhone := slices.ContainsFunc(m.phones, func(p *modelPhone) bool {
		return slices.ContainsFunc(p.asked, func(b *modelBranch) bool { return b.call == c && tagOn(b.request) == s.m.ToTag() })
	})
	switch {
	case c.method != "INVITE" || len(c.finals) > 0:
		m.violated("%s hears %d, a %s that got %q", c.id, s.m.Status(), c.method, c.finals)
	case fromPhone:
		if m.rings && c.may199 && r.ours != "" && !r.gone {
			m.violated("%s hears a phone, and the server's ringing has not ended", c.id)
		}
		r.theirs = true
	case s.m.Status() == 180:
		m.rung++
		if !m.rings || !r.taken || r.ours != "" || r.theirs || s.m.HasToken(sipmsg.HdrRequire, "100rel") || s.m.Body() != "" {
			m.violated("%s hears the server ring: %+v", c.id, *r)
		}
		r.ours = s.m.ToTag()
	default:
		if s.m.Status() != 199 || !c.may199 || r.gone || r.ours != s.m.ToTag() {
			m.violated("%s hears %d of the server: %+v", c.id, s.m.Status(), *r)
		}
		r.gone = true
	}
}
