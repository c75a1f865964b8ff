package registrar

import "reveille/usrloc"

// applyStar removes all bindings: Contact: *.
func applyStar(p *Policy, rec usrloc.Record, in *Input) (usrloc.Record, error) {
	// RFC 3261 §10.3 step 6: only alone and only with Expires: 0.
	if len(in.Contacts) > 0 || !in.Expires.Present || in.Expires.Seconds != 0 {
		return rec, refuse(400, "Wildcard Contact Without Expires Zero")
	}
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		// RFC 3261 §10.3 step 6: a binding of the same Call-ID goes only if the
		// CSeq is higher; otherwise the whole request fails.
		if b.CallID == in.CallID && in.CSeq <= b.CSeq && !b.Expired(in.Now) {
			return rec, refuse(p.StaleStatus, "CSeq Out Of Order")
		}
	}
	rec.Bindings, rec.Cause = nil, usrloc.CauseRegister
	return rec, nil
}
