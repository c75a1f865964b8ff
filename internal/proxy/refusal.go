package proxy

import (
	"golang.org/x/time/rate"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
)

// Refusals that are told of in a second, on end and at once. Whoever asks why a phone
// did not ring wants to hear of the last ones; of a flood nobody reads more.
const (
	refusalsRate  = 10
	refusalsBurst = 50
)

func newRefusals() *rate.Limiter { return rate.NewLimiter(refusalsRate, refusalsBurst) }

// Refused tells that m, which came on from, was answered r by a rule before anybody
// looked for a phone: else whoever asks why the phone did not ring would hear that all
// is well. reason is the event's, that of r if it is empty. Nothing is told of plain
// questions for credentials, of requests within dialogs, of those that ring nowhere,
// and of many at once. It may be called on any goroutine.
func (p *Proxy) Refused(m *sipmsg.Message, from flow.Flow, r *sipmsg.Reply, rule event.Rule, reason string) {
	if rule == event.RuleNone || m.ToTag() != "" || !p.opts().wakes(m.Method()) {
		return
	}
	aor, ours := p.aorOf(p.dialled(m.RequestURI()))
	if !ours {
		return
	}
	if !p.refusals.Allow() {
		p.metrics.untold.Inc()
		return
	}
	if reason == "" {
		reason = r.Reason
	}
	p.emit(m, event.Call{Step: "refused", AOR: event.Text(string(aor)), Flow: from, Status: r.Code, Reason: reason, Rule: rule})
}
