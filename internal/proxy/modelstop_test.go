package proxy

import (
	"strings"
	"testing/synctest"
	"time"
)

// stop stops the server as internal/app does: no call comes after it. No phone may ring
// any more for those that are there, and their callers are answered.
func (m *model) stop() {
	m.see()
	for _, p := range m.phones {
		for _, b := range p.asked {
			// Seldom does a phone ring by chance at this very moment.
			if b.final == 0 && time.Since(b.request.at) < 32*time.Second && m.Open(b.request.flow) && m.rng.IntN(2) == 0 {
				m.say("%s rings for %s on %s", p.name(), b.call.id, b.request.flow)
				b.provisional = true
				m.recv(b.request.flow, strings.ReplaceAll(response(b.request.m, 180), "tag=callee", "tag="+tagOn(b.request)))
			}
		}
	}
	m.see()
	m.say("the server stops")
	m.stopped = true
	for _, c := range m.calls {
		if c.method == "INVITE" && !c.over() {
			c.stopped = true
			m.cutOff++
		}
	}
	for _, p := range m.phones {
		for _, b := range p.asked {
			// RFC 3261 §9.1: who has said nothing is sent no CANCEL, and nobody is left to
			// send it later.
			b.abandoned = b.call.stopped && !b.provisional && b.final == 0
		}
	}
	m.proxy.Stop()
	synctest.Wait()
}
