package proxy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"reveille/internal/event"
	"reveille/push"
	"reveille/usrloc"
)

// see takes in what the proxy sent.
func (m *model) see() {
	arrived := m.take()
	// Calls have queues of their own, and what these do in the same instant has no order.
	slices.SortStableFunc(arrived, func(a, b sent) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.m.CallID(), b.m.CallID()))
	})
	m.seeDiversions()
	for _, s := range arrived {
		switch {
		case s.m.Status() == 100:
		case s.flow == caller && s.m.Status() > 100 && s.m.Status() < 200:
			m.callerHears(s)
		case s.flow == caller && s.m.Status() >= 200 && s.m.Method() != "CANCEL":
			m.callerSees(s)
		case s.m.IsRequest():
			m.phoneSees(s)
		}
	}
	all := m.asked()
	for ; m.pushes < len(all); m.pushes++ {
		pu := all[m.pushes]
		switch c := m.calls[pu.cause.CallID]; {
		case pu.cause.Kind == push.Cancel:
			m.told++
			// It may be told in the very instant in which the call goes to bob.
			if m.farewell != FarewellPush || !m.ended(c) && !c.overFor(pu.aor, pu.at.Add(1)) || !m.wasPushed(c, pu.binding.Push) {
				m.violated("%s: a phone is told by a push that it has ended", c.id)
			}
		case c.overFor(pu.aor, pu.at):
			m.violated("%s: a phone is woken for nothing", c.id)
		}
	}
	for _, p := range m.phones {
		for _, b := range p.asked {
			if b.call.overFor(p.aor, time.Now()) && b.provisional && b.final == 0 && !b.cancelled && !b.abandoned && m.Open(b.request.flow) {
				m.violated("%s: %s goes on ringing on %s", b.call.id, p.name(), b.request.flow)
				b.cancelled = true
			}
		}
	}
}

// ended reports whether a call is over for its caller, too.
func (m *model) ended(c *modelCall) bool { return c.over() || len(c.finals) > 0 }

// wasPushed reports whether a device was pushed for a call.
func (m *model) wasPushed(c *modelCall, token usrloc.Push) bool {
	return slices.ContainsFunc(m.asked(), func(pu *pushed) bool {
		return pu.cause.Kind == push.Call && pu.cause.CallID == c.id && pu.binding.Push == token
	})
}

// asked returns all pushes so far.
func (m *model) asked() (all []*pushed) {
	m.with(func() { all = m.world.pushes })
	return all
}

// inOrder has an order of pushes that does not depend on which queue was faster.
func inOrder(all []*pushed) []*pushed {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b *pushed) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.cause.CallID, b.cause.CallID))
	})
	return all
}

// over reports whether no phone may ring for the call any more.
func (c *modelCall) over() bool {
	return c.cancelled || c.declined || c.stopped || c.method == "INVITE" && len(c.finals) > 0
}

// overFor reports whether no phone of a user might ring for the call any more at a time.
func (c *modelCall) overFor(aor usrloc.AOR, at time.Time) bool {
	return c.over() || aor == aliceAOR && !c.diverted.IsZero() && at.After(c.diverted)
}

// seeDiversions notes which calls have gone to the fallback.
func (m *model) seeDiversions() {
	m.with(func() {
		for _, e := range m.events {
			call, ok := e.(event.Call)
			if !ok || call.Step != "diverted" || !m.calls[call.CallID].diverted.IsZero() {
				continue
			}
			m.say("%s goes to bob", call.CallID)
			c := m.calls[call.CallID]
			if c.over() || c.method != "INVITE" || !m.fallback {
				m.violated("%s goes to bob", c.id)
			}
			c.diverted = c.began.Add(call.Elapsed)
			m.diverted++
		}
	})
}

func (m *model) callerSees(s sent) {
	c := m.calls[s.m.CallID()]
	if final := fmt.Sprintf("%d %s", s.m.Status(), s.m.ToTag()); !slices.Contains(c.finals, final) {
		m.say("%s gets %s", c.id, final)
		c.finals = append(c.finals, final)
	}
	if c.method == "INVITE" && s.m.Status() >= 300 {
		ack := strings.NewReplacer("INVITE", "ACK", "To: <sip:alice@example.com>", "To: "+s.m.To().String()).Replace(request("INVITE", "sip:alice@example.com", c.id))
		m.post(caller, ack)
		synctest.Wait()
	}
}

func (m *model) phoneSees(s sent) {
	i := slices.IndexFunc(m.phones, func(p *modelPhone) bool {
		return p.flow == s.flow || p.second != nil && p.second.flow == s.flow || slices.ContainsFunc(p.asked, func(b *modelBranch) bool { return b.request.flow == s.flow })
	})
	if i < 0 {
		m.violated("%s to %s, which is no phone", s.m.Method(), s.flow)
		return
	}
	p, c := m.phones[i], m.calls[s.m.CallID()]
	branch := s.m.TopVia().Branch()
	for _, b := range p.asked {
		if b.request.m.TopVia().Branch() == branch {
			if s.m.Method() == "CANCEL" && !b.cancelled {
				m.say("%s is told to CANCEL %s on %s", p.name(), c.id, s.flow)
				b.cancelled = true
				m.post(s.flow, response(s.m, 200))
			}
			return // or a retransmission, or an ACK
		}
	}
	if s.m.Method() != c.method {
		m.inFarewell(p, c, s)
		return
	}
	m.say("%s gets %s on %s", p.name(), c.id, s.flow)
	for _, b := range p.asked {
		if b.call != c {
			continue
		}
		// What failed as a flow says nothing of the phone; 482 speaks of another one,
		// which may break.
		failed := b.final == 408 || b.final == 430 || b.final == 482
		if !b.superseded && !failed && (b.provisional || b.final != 0) {
			m.violated("%s: %s is asked again on %s, after it answered on %s", c.id, p.name(), s.flow, b.request.flow)
		}
		b.superseded = true
	}
	if p.aor != aliceAOR && c.diverted.IsZero() {
		m.violated("%s: %s is asked before all of alice's have failed", c.id, p.name())
	}
	b := &modelBranch{request: s, call: c, phone: p}
	if c.overFor(p.aor, s.at) {
		b.farewell = true
		m.told++
		again := slices.ContainsFunc(p.asked, func(old *modelBranch) bool { return old.call == c && old.farewell })
		if m.farewell != FarewellBranch || again || !m.wasPushed(c, p.push) {
			m.violated("%s: %s is asked when all is over", c.id, p.name())
		}
	}
	p.asked = append(p.asked, b)
}

// inFarewell takes what only a call that the caller does not know of brings.
func (m *model) inFarewell(p *modelPhone, c *modelCall, s sent) {
	i := slices.IndexFunc(p.asked, func(b *modelBranch) bool {
		return b.call == c && b.farewell && b.request.flow == s.flow && b.final == 200
	})
	switch {
	case i < 0:
		m.violated("%s without a request before it", s.m.Method())
	case s.m.Method() == "ACK":
		p.asked[i].acked = true
	case s.m.Method() == "BYE":
		p.asked[i].ended = true
		m.post(s.flow, response(s.m, 200))
	}
}

// judge checks a request's answers when all is over.
func (m *model) judge(c *modelCall) {
	failures := 0
	for _, f := range c.finals {
		if f[0] != '2' {
			failures++
		}
	}
	for _, p := range m.phones {
		for _, b := range p.asked {
			if b.call != c || !b.farewell || b.final != 200 {
				continue
			}
			if slices.Contains(c.finals, "200 "+tagOn(b.request)) {
				m.violated("%s: the caller hears of an answer that came when all was over", c.id)
			}
			if m.Open(b.request.flow) && !(b.acked && b.ended) {
				m.violated("%s: an answer that came when all was over is acknowledged %t, ended %t", c.id, b.acked, b.ended)
			}
		}
	}
	switch {
	case failures > 1, failures == 1 && len(c.finals) > 1:
		m.violated("%s got several finals: %q", c.id, c.finals)
	case c.method == "INVITE" && len(c.finals) == 0:
		m.violated("%s got no final", c.id)
	case c.method != "INVITE" && len(c.finals) > 1:
		m.violated("%s got several finals: %q", c.id, c.finals)
	}
}
