package proxy

import (
	"slices"

	"reveille/internal/rtpengine"
	"reveille/internal/transaction"
)

// This file ends calls at engines: each once, and none that somebody may still answer.

// line is that of the call.
func (med *mediation) line() *mediaLine { return med.p.lane(med.q).mediaLine(med.call.id) }

// hold keeps the line until leave.
func (med *mediation) hold() {
	med.holds = true
	line := med.line()
	line.users++
	if med.begins {
		line.early++
	}
}

// leave gives back the place at the line, once.
func (med *mediation) leave() {
	if !med.holds {
		return
	}
	med.holds = false
	line := med.line()
	line.users--
	if med.begins {
		line.early--
	}
	line.tidy()
}

// dropMedia leaves the media of a branch alone from now on.
func (b *branch) dropMedia() {
	med := b.media
	b.media = nil
	med.leave()
	med.close()
}

// keepMedia notes that the branch's call was answered: it ends with a BYE.
func (b *branch) keepMedia() {
	if b.media != nil {
		b.media.taken = true
		b.media.leave()
	}
}

// endMedia ends the call at the engine with a branch that has failed, unless somebody
// may still answer it. final: nobody may.
func (b *branch) endMedia(final bool) {
	med := b.media
	if med == nil || med.taken {
		return
	}
	if final || !slices.ContainsFunc(med.clients, func(c *transaction.Client) bool { return !c.Done() }) {
		med.leave()
		if med.begins {
			med.close()
		}
	}
}

// endMedia ends what is left at engines when nobody can answer the request any more.
func (f *fork) endMedia() {
	for _, b := range f.branches {
		b.endMedia(true)
	}
}

// close ends the call at the engine, once.
func (med *mediation) close() {
	if med.closed {
		return
	}
	med.closed = true
	med.p.closeMedia(med.q, med.m.CallID(), med.call.id, func() *mediaCall {
		if !med.open {
			return nil
		}
		return med.call
	})
}

// closeMedia ends a call at its engine, behind what is asked about it. call returns it,
// or nil if there is nothing to end.
func (p *Proxy) closeMedia(q *transaction.Queue, callID string, id mediaID, call func() *mediaCall) {
	end := func(next func()) {
		c := call()
		if c == nil || !c.engine.IsValid() {
			next()
			return
		}
		p.askEngine(q, c.engine, callID, rtpengine.Command{Verb: rtpengine.Delete, Call: c.name(callID)}, func(string, error) { next() })
	}
	if !p.lane(q).mediaLine(id).enter(end) {
		end(func() {})
	}
}

// hangUp ends the call at the engine of a dialog with its BYE: who sends that hears and
// says nothing more, whatever becomes of it (RFC 3261 §15.1.1). While the dialog is not
// answered, a BYE may be for one of several phones behind a branch, and the INVITE's end
// decides.
func (f *fork) hangUp() {
	t, m := f.passage.token, f.s.Message()
	if f.method != "BYE" || t.media == nil || f.p.opts().Media.Engines == nil {
		return
	}
	if line := f.lane.media[t.media.id]; line == nil || line.early == 0 {
		f.p.closeMedia(f.s.Queue(), m.CallID(), t.media.id, func() *mediaCall { return t.media })
	}
}
