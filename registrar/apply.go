package registrar

import (
	"cmp"
	"slices"
	"time"

	"reveille/usrloc"
)

// Apply works one REGISTER into the Record of its AOR: RFC 3261 §10.3 steps 6
// and 7 with the identity of devices by
// instance, reg-id and push data (match.go). It is pure: equal arguments give equal results, rec is not changed, and
// in.Now and in.Random stand for the clock and the dice. A refused request
// changes nothing, whatever its contacts (it is atomic); the error is a
// *Refusal then.
func Apply(p *Policy, rec usrloc.Record, in *Input) (usrloc.Record, Result, error) {
	if err := p.checkLimits(in); err != nil {
		return rec, Result{}, err
	}
	res := Result{GRUU: p.GRUU != nil && in.Supported.Has(ExtGRUU)}
	if in.Supported.Has(ExtPath) && p.Path != PathOff {
		res.Path = in.Path
	}
	switch {
	case in.Star:
		next, err := applyStar(p, rec, in)
		return next, res, err
	case len(in.Contacts) == 0:
		// RFC 3261 §10.3 step 6: without Contact the request only asks.
		res.Fetch = true
		return rec, res, nil
	}
	plans := make([]plan, len(in.Contacts))
	for i := range in.Contacts {
		var err error
		if plans[i], err = p.plan(in, &in.Contacts[i]); err != nil {
			return rec, Result{}, err
		}
	}
	if err := p.checkFlows(in, plans); err != nil {
		return rec, Result{}, err
	}
	if slices.ContainsFunc(plans, func(pl plan) bool { return pl.id.regID != 0 }) {
		p.answerFlow(in, &res)
	}
	a := application{policy: p, in: in, plans: plans, bindings: slices.Clone(rec.Bindings)}
	a.marks = make([]mark, len(a.bindings))
	if a.retransmitted(&res) {
		return rec, res, nil
	}
	// The removals go first: a phone that moved removes its old contact in the
	// request that brings the new one, and stays the same device.
	for i := range plans {
		if plans[i].remove() {
			if err := a.remove(&plans[i]); err != nil {
				return rec, Result{}, err
			}
		}
	}
	for i := range plans {
		if !plans[i].remove() {
			if err := a.register(&plans[i], &res); err != nil {
				return rec, Result{}, err
			}
		}
	}
	if err := a.limit(); err != nil {
		return rec, Result{}, err
	}
	rec.Bindings, rec.Cause = a.remaining(), usrloc.CauseRegister
	return rec, res, nil
}

// A plan is one contact with everything that does not depend on the Record
// already decided.
type plan struct {
	contact *Contact
	id      identity
	// granted is the lifetime; 0 removes.
	granted time.Duration
	q       usrloc.Q
	// push is what to store: zero if the device cannot be woken.
	push pushPlan
}

func (p *plan) remove() bool { return p.granted == 0 }

// plan decides everything about c that the Record has no say in.
func (p *Policy) plan(in *Input, c *Contact) (plan, error) {
	pl := plan{contact: c, id: identityOf(c), q: p.preference(c.Q)}
	// RFC 5627 §5.1: a contact that is the AOR itself would make a loop.
	if p.leadsTo(&pl.id, in.AOR) {
		return plan{}, refuse(403, "Contact Is The Address Of Record")
	}
	err := p.checkGRUU(in, &pl)
	if err != nil {
		return plan{}, err
	}
	asked := p.requested(c.Expires, in.Expires, c.Push.PRID != "")
	if pl.push, err = p.planPush(in, c, asked); err != nil {
		return plan{}, err
	}
	pl.granted, err = p.grant(asked, &pl.push, in.Random)
	return pl, err
}

// preference is the q that a contact gets which names q.
func (p *Policy) preference(q usrloc.Q) usrloc.Q {
	if q == usrloc.QUnset {
		return p.DefaultQ
	}
	return q
}

// A mark says what this request did to a binding so far.
type mark struct {
	// touched: a contact of this request matched it; added: it is new; removed:
	// it will be gone.
	touched, added, removed bool
}

// An application is one REGISTER being worked into one Record.
type application struct {
	policy   *Policy
	in       *Input
	plans    []plan
	bindings []usrloc.Binding
	marks    []mark // beside bindings
}

// stale reports whether b was last touched by this request or by a later one of
// the same Call-ID.
func (a *application) stale(i int) bool {
	b := &a.bindings[i]
	return !a.marks[i].touched && b.CallID == a.in.CallID && a.in.CSeq <= b.CSeq && !b.Expired(a.in.Now)
}

// mergeTime is for how long a request may come by other ways, too: as long as
// a server transaction lives (RFC 3261 §17.2.2, timer J).
const mergeTime = 32 * time.Second

// merged reports whether this very request has reached b before, by another way.
func (a *application) merged(i int) bool {
	b := &a.bindings[i]
	return a.stale(i) && a.in.CSeq == b.CSeq && a.in.Now.Sub(b.Updated) < mergeTime &&
		(a.in.Flow != b.Flow || !slices.Equal(a.policy.storedPath(a.in), b.Path))
}

// retransmitted reports whether the Record already holds this very request.
// Then it is answered again and changes nothing; we keep no transaction to
// absorb it. Of two contacts that are one device only the later one is found.
func (a *application) retransmitted(res *Result) bool {
	held := make([]bool, len(a.bindings))
	for pi := range a.plans {
		for i := range a.bindings {
			b := &a.bindings[i]
			held[i] = held[i] || a.stale(i) && b.CSeq == a.in.CSeq && a.repeats(&a.plans[pi], b)
		}
	}
	again := *res
	for pi := range a.plans {
		pl := &a.plans[pi]
		if pl.remove() {
			continue
		}
		i := slices.IndexFunc(a.bindings, func(b usrloc.Binding) bool { return a.policy.sameDevice(a.in, pl, &b) != noMatch })
		if i < 0 || !held[i] {
			return false
		}
		a.carry(pl, &a.bindings[i], &again)
	}
	if again.Retransmission = len(again.Carried) > 0; again.Retransmission {
		*res = again
	}
	return again.Retransmission
}

// repeats reports whether pl asks for what b holds already.
func (a *application) repeats(pl *plan, b *usrloc.Binding) bool {
	return !pl.remove() && b.Contact == pl.contact.URI && b.Params == pl.contact.Params && b.Q == pl.q && b.Flow == a.in.Flow &&
		slices.Equal(b.Path, a.policy.storedPath(a.in))
}

// carry records in res that the request carried pl, which b now holds.
func (a *application) carry(pl *plan, b *usrloc.Binding, res *Result) {
	if !slices.Contains(res.Carried, b.ID) {
		res.Carried = append(res.Carried, b.ID)
	}
	for _, c := range pl.push.caps {
		// RFC 8599 §5.4: one Feature-Caps per push service.
		if slices.ContainsFunc(res.Caps, func(d Cap) bool { return d.Provider == c.Provider }) {
			continue
		}
		res.Caps = append(res.Caps, a.policy.fit(c, b.ID, &pl.push, pl.granted))
	}
	if pl.push.callsOnly && pl.granted < lastingExpires {
		res.CallsOnly = append(res.CallsOnly, b.ID)
	}
}

// fit makes of an announcement that of binding id.
func (p *Policy) fit(c Cap, id usrloc.BindingID, push *pushPlan, granted time.Duration) Cap {
	if push.wakes() && p.Push.PURR != nil {
		// RFC 8599 §6.2.1: in every 2xx, but not where nothing was stored.
		c.Binding = id
	}
	if n := p.Push.PNSReg; c.PNSReg != 0 && granted <= n {
		// It has to refresh before the end, and after now.
		c.PNSReg = 0
	}
	return c
}

// matches returns the bindings that are pl's device, the best match first.
func (a *application) matches(pl *plan) ([]int, error) {
	type match struct {
		index int
		rank  rank
	}
	var found []match
	for i := range a.bindings {
		r := a.policy.sameDevice(a.in, pl, &a.bindings[i])
		if r == noMatch {
			continue
		}
		if a.merged(i) {
			// RFC 3261 §8.2.2.2: it came before by another way.
			return nil, refuse(482, "Loop Detected")
		}
		if a.stale(i) {
			// RFC 3261 §10.3 step 7: the CSeq must grow within a Call-ID, else
			// the whole request fails.
			return nil, refuse(a.policy.StaleStatus, "CSeq Out Of Order")
		}
		found = append(found, match{i, r})
	}
	slices.SortStableFunc(found, func(x, y match) int {
		return cmp.Or(cmp.Compare(y.rank, x.rank), a.bindings[y.index].Updated.Compare(a.bindings[x.index].Updated))
	})
	indices := make([]int, len(found))
	for i, m := range found {
		indices[i] = m.index
	}
	return indices, nil
}

// remove takes pl's device out. There may be nothing to remove.
func (a *application) remove(pl *plan) error {
	found, err := a.matches(pl)
	for _, i := range found {
		a.marks[i] = mark{touched: true, removed: true}
	}
	return err
}

// register makes pl's device a binding: the one it had, or a new one. Whatever
// else is the same device gives way.
func (a *application) register(pl *plan, res *Result) error {
	found, err := a.matches(pl)
	if err != nil {
		return err
	}
	set := a.gruuSet(pl, found)
	if len(found) == 0 {
		a.bindings = append(a.bindings, usrloc.Binding{ID: pl.contact.ID, Created: a.in.Now})
		a.marks = append(a.marks, mark{added: true})
		found = []int{len(a.bindings) - 1}
	}
	for _, i := range found[1:] {
		a.marks[i] = mark{touched: true, removed: true}
	}
	i := found[0]
	a.fill(&a.bindings[i], pl, set)
	a.marks[i] = mark{touched: true, added: a.marks[i].added}
	a.carry(pl, &a.bindings[i], res)
	return nil
}

// userAgentLen bounds what is kept of a User-Agent, in bytes.
const userAgentLen = 128

// agentOf is what is kept of the request's User-Agent.
func agentOf(in *Input) string { return in.UserAgent[:min(len(in.UserAgent), userAgentLen)] }

// fill writes the contact into b. Identity and birthday stay.
func (a *application) fill(b *usrloc.Binding, pl *plan, gruuSet uint64) {
	c, attributes := pl.contact, b.Attributes
	if a.in.Attributes != nil {
		attributes = *a.in.Attributes
	}
	*b = usrloc.Binding{
		ID: b.ID, Created: b.Created,
		Contact: c.URI, Params: c.Params, Q: pl.q,
		Path: a.policy.storedPath(a.in), Received: a.policy.storedReceived(a.in), Methods: a.in.Methods,
		Instance: c.Instance, RegID: pl.id.regID, GRUUSet: gruuSet, Attributes: attributes,
		Push: pl.push.store,
	}
	a.policy.renew(b, a.in, pl.granted, pl.push.refresh)
}

// renew writes into b what each REGISTER of its device changes. refresh says
// that a push shall refresh it before it ends.
func (p *Policy) renew(b *usrloc.Binding, in *Input, granted time.Duration, refresh bool) {
	expires := in.Now.Add(granted)
	b.CallID, b.CSeq, b.Flow = in.CallID, in.CSeq, in.Flow
	b.UserAgent = agentOf(in)
	b.Updated, b.Expires, b.RetainUntil, b.RefreshAt = in.Now, expires, expires, time.Time{}
	if !b.Push.IsZero() {
		b.RetainUntil = expires.Add(p.Push.Retain)
	}
	switch {
	case refresh:
		// RFC 8599 §5.5: early enough for the REGISTER to arrive in time.
		b.RefreshAt = expires.Add(-p.lead(b.Push, granted))
	case b.RetainUntil.After(expires):
		// Nothing refreshes it; that it has ended is to be told all the same.
		b.RefreshAt = expires
	}
}

// limit applies the policy for one contact too many.
func (a *application) limit() error {
	p, most := a.policy, a.policy.MaxContacts
	if a.in.MaxContacts > 0 {
		most = a.in.MaxContacts
	}
	count, added := 0, false
	for i := range a.bindings {
		if !a.marks[i].removed {
			count++
			added = added || a.marks[i].added
		}
	}
	// The dormant make room first, whatever the policy.
	for ; count > most; count-- {
		i := a.dormant()
		if i < 0 {
			break
		}
		a.marks[i].removed = true
	}
	if count <= most || !added {
		return nil
	}
	if p.Overflow != RejectNew {
		for ; count > most; count-- {
			i := a.oldest()
			if i < 0 {
				break
			}
			a.marks[i].removed = true
		}
	}
	if count <= most {
		return nil
	}
	r := refuse(p.OverflowStatus, "Too Many Contacts")
	if r.Code == 503 {
		r.RetryAfter = p.RetryAfter
	}
	return r
}

// oldest returns the binding that was refreshed longest ago, may be replaced and
// is not part of this request, or -1.
func (a *application) oldest() int {
	at := -1
	for i := range a.bindings {
		// Nobody refreshes what was added by hand: it would always be the first to go,
		// and nothing would bring it back.
		if a.bindings[i].Static() {
			continue
		}
		if a.policy.Overflow == ReplaceUnavailable && a.policy.Reachable(&a.bindings[i]) {
			continue
		}
		if a.marks[i] == (mark{}) && (at < 0 || a.bindings[i].Updated.Before(a.bindings[at].Updated)) {
			at = i
		}
	}
	return at
}

// dormant returns the binding that has ended longest ago and is not part of this
// request, or -1 if none has ended.
func (a *application) dormant() int {
	at := -1
	for i := range a.bindings {
		b := &a.bindings[i]
		if b.Expired(a.in.Now) && a.marks[i] == (mark{}) && (at < 0 || b.Expires.Before(a.bindings[at].Expires)) {
			at = i
		}
	}
	return at
}

// remaining returns the bindings that are left, in their order.
func (a *application) remaining() []usrloc.Binding {
	left := a.bindings[:0]
	for i := range a.bindings {
		if !a.marks[i].removed {
			left = append(left, a.bindings[i])
		}
	}
	return left
}
