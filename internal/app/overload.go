package app

import (
	"context"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
)

// spares implements transaction.Options.Spare. A call for help is always tried. A
// phone that is registered and refreshes, comes back or goes is served, too: were it
// refused, the calls that wait for it would be lost, and it costs less than the phones
// that come anew.
func (a *App) spares(m *sipmsg.Message) bool {
	if m.Method() != "REGISTER" {
		return a.proxy.CallsForHelp(m)
	}
	aor, err := a.gate.aorOf(m.To().URI)
	if err != nil {
		return false
	}
	rec, err := a.store.Get(context.Background(), aor)
	return err != nil || len(rec.Bindings) > 0
}

// overloaded implements transaction.Options.Refused.
func (a *App) overloaded(f flow.Flow, m *sipmsg.Message, r sipmsg.Reply) {
	a.proxy.Refused(m, f, &r, event.RuleOverload, "")
}
