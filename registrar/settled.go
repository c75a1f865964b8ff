package registrar

import (
	"errors"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// Settled does for a refresh that was usrloc.TouchPending what remains to be done
// when its Waiter is told err. ok, which was not sent yet, is the 200 that Try
// made, complete, and f the flow on which the request arrived. Settled returns
// what to send: ok, or what Serve answers if a commit fails.
func (r *Registrar) Settled(f flow.Flow, ok []byte, err error) []byte {
	if err == nil {
		r.metrics.refreshed()
		return ok
	}
	// It says all of the request that a refusal repeats.
	m, bad := sipmsg.Parse(ok, f.Remote)
	if bad != nil {
		r.log.Error("registration not stored, and its answer cannot be read", "err", errors.Join(err, bad))
		return nil
	}
	in := Input{CallID: m.CallID(), Flow: f}
	if aor, err := sipmsg.CanonicalAOR(m.To().URI); err == nil {
		in.AOR = usrloc.AOR(aor)
	}
	for _, na := range m.Contacts() {
		in.Contacts = append(in.Contacts, readContact(&na))
	}
	return m.AppendReply(nil, r.refusal(&in, r.policy.Load().storeRefusal(err)))
}
