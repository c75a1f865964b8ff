package registrar

import (
	"maps"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/push"
	"reveille/usrloc"
)

// A Toucher is a Store that changes one binding of an AOR in place, as
// usrloc.Memory.Touch does.
type Toucher interface {
	Touch(aor usrloc.AOR, now time.Time, fn func([]usrloc.Binding) int, wait usrloc.Waiter) usrloc.Touched
}

// A Refresh is a REGISTER that may be no more than the refresh of a binding: one
// contact, one Via, no Path, nothing required, no proxy that wakes the phone. It can be
// used again and is not safe for concurrent use. Its strings need to be valid
// only while it is worked on.
type Refresh struct {
	// Input is what the request says, less Contacts, Star, Relayed, Path with all
	// that belongs to it, and PushIndicated.
	Input Input
	// Contact is the value of its Contact header field, whatever that is.
	Contact string
	// Admit is asked last, when all that is left to do is to write, and may
	// still prevent it; nil lets everything pass. It is called under a lock of
	// the store and must be quick.
	Admit func() bool

	registrar *Registrar
	rules     *rules
	policy    *Policy // of the rules, for this phone
	touch     func([]usrloc.Binding) int

	// What was done. The strings of the bindings lie in kept.
	kept     []byte
	bindings []usrloc.Binding
	carried  [1]usrloc.BindingID
	caps     [1]Cap
	result   Result
	held     time.Time // how long its connection should live; zero: that does not matter
	left     flow.Flow // the connection that it goes by no more; zero: none
}

// NewRefresh returns a Refresh for use with r.
func (r *Registrar) NewRefresh() *Refresh {
	w := &Refresh{registrar: r}
	w.touch = w.work
	return w
}

// Try does in place what Serve does by Apply, if the request is such that the
// store changes one binding of the AOR and nobody wants to hear of it. Then
// it appends what AppendOK writes to dst. If the store declined, nothing was
// changed and appended. With usrloc.TouchPending the answer must not leave before
// wait is told, and whoever waits calls Settled then. Nothing is allocated on the
// way.
//
// It relies on the binding for what does not change: with the same contact,
// under the same policy, everything that Apply would find out about the contact
// it found out when it made the binding. What depends on the request is decided
// by the functions that Apply uses.
func (w *Refresh) Try(store Toucher, dst []byte, wait usrloc.Waiter) ([]byte, usrloc.Touched) {
	r, in := w.registrar, &w.Input
	w.rules, w.held, w.left = r.policy.Load(), time.Time{}, flow.Flow{}
	w.policy = w.rules.of(in)
	// An AOR by another name is looked up the long way, and what is captured read.
	if w.policy.checkLimits(in) != nil || !w.rules.domains.Stands(in.AOR) || len(w.policy.Capture) > 0 {
		return dst, usrloc.TouchDeclined
	}
	touched := store.Touch(in.AOR, in.Now, w.touch, wait)
	if touched == usrloc.TouchDeclined {
		return dst, touched
	}
	if touched == usrloc.TouchDone {
		r.metrics.refreshed()
	}
	if !w.left.IsZero() {
		r.hold(w.left, w.carried[0], time.Time{})
	}
	if !w.held.IsZero() {
		r.hold(in.Flow, w.carried[0], w.held)
	}
	rec := usrloc.Record{AOR: in.AOR, Bindings: w.bindings}
	return AppendOK(dst, w.policy, &rec, &w.result, in.Now), touched
}

// work finds the binding among those of the AOR, and renews it. It returns its
// index, or -1.
func (w *Refresh) work(all []usrloc.Binding) int {
	for i := range all {
		b := &all[i]
		// What does not even hold the URI need not be read.
		if len(all) > 1 && !strings.Contains(w.Contact, b.Contact) {
			continue
		}
		if timing, same := sipmsg.SameContact(w.Contact, b.Contact, b.Params); same {
			if !w.renew(all, i, timing) {
				return -1
			}
			w.keep(all)
			return i
		}
	}
	return -1
}

// renew decides about the binding at index i, and renews it. timing are the
// parameters of the Contact.
func (w *Refresh) renew(all []usrloc.Binding, i int, timing sipmsg.Params) bool {
	p, in, b := w.policy, &w.Input, &all[i]
	switch {
	case b.Updated.UnixMilli() < w.rules.since.Load():
		// Another policy accepted it.
		return false
	case b.Methods != in.Methods:
		// It is written the long way.
		return false
	case b.RegID == 0 && b.Instance != "" && p.Outbound.Mode != OutboundOff && sipmsg.Params(b.Params).Has("reg-id"):
		// It came by proxies that kept no flow, and may be one now.
		return false
	case b.Q != p.preference(readQ(timing)):
		return false
	case b.Expired(in.Now) || b.CallID == in.CallID && in.CSeq <= b.CSeq:
		return false
	case b.CallID != in.CallID && b.Instance == "" && b.Push.IsZero() && p.Match == MatchURICallID:
		// It is another device; with an instance or a token it is the same.
		return false
	}
	if p.mapper.mayDiffer(b, agentOf(in)) {
		return false
	}
	pl := pushPlan{store: b.Push, refresh: !b.RefreshAt.IsZero() && b.RefreshAt.Before(b.Expires)}
	wakes := pl.wakes()
	if wakes && lostOne(b) || !wakes && asksForPush(b.Contact) {
		// It lost a token since, or asked with one that is of no use.
		return false
	}
	asked := p.requested(readExpires(timing), in.Expires, wakes)
	granted, err := p.grant(asked, &pl, in.Random)
	if err != nil || granted == 0 || pl.wakes() != wakes {
		return false
	}
	if p.Ask != nil && granted > b.Expires.Sub(b.Updated) {
		// Whoever was asked may have made it shorter than the Policy does.
		return false
	}
	if len(all) > 1 && !w.alone(all, i, granted) {
		return false
	}
	if b.Instance != "" && b.CallID != in.CallID {
		if hasOtherFlow(all, i) {
			// Its temporary GRUUs are over, too (RFC 5627 §5.1).
			return false
		}
		b.GRUUSet = nextGRUUSet(b.GRUUSet, in.Now)
	}
	before := b.Flow
	agent := b.UserAgent
	w.result = Result{Carried: w.carried[:]}
	w.carried[0] = b.ID
	if wakes {
		announced, ok := w.rules.caps.of(&w.rules.Policy, b.Push)
		if !ok {
			return false
		}
		w.caps[0] = p.fit(announced, b.ID, &pl, granted)
		w.result.Caps = w.caps[:]
	}
	w.result.GRUU = p.GRUU != nil && in.Supported.Has(ExtGRUU)
	if b.RegID != 0 {
		p.answerFlow(in, &w.result)
	}
	p.renew(b, in, granted, pl.refresh)
	sample := w.registrar.refreshed
	if b.Flow != before || b.UserAgent != agent {
		sample = w.registrar.updated
	}
	if event.Heard(w.registrar.sink, sample) || w.Admit != nil && !w.Admit() {
		return false
	}
	if b.Push.IsZero() {
		if before.Stream() && before != b.Flow {
			w.left = before
		}
		if b.Flow.Stream() {
			w.held = b.Expires
		}
	}
	return true
}

// alone reports whether no other binding is the device at index i: Apply would let
// such a one give way, or refuse the request.
func (w *Refresh) alone(all []usrloc.Binding, i int, granted time.Duration) bool {
	b := &all[i]
	pl := plan{id: identityOfURI(b.Contact), granted: granted}
	pl.id.instance, pl.id.regID, pl.id.push = b.Instance, b.RegID, b.Push
	for j := range all {
		if j != i && w.policy.sameDevice(&w.Input, &pl, &all[j]) != noMatch {
			return false
		}
	}
	return true
}

// hasOtherFlow reports whether the device at index i has another binding.
func hasOtherFlow(all []usrloc.Binding, i int) bool {
	for j := range all {
		if j != i && usrloc.SameInstance(all[j].Instance, all[i].Instance) {
			return true
		}
	}
	return false
}

// keep copies what the answer tells of the bindings, which are valid during a call
// only.
func (w *Refresh) keep(all []usrloc.Binding) {
	w.kept, w.bindings = w.kept[:0], w.bindings[:0]
	for i := range all {
		b := &all[i]
		w.kept = append(append(w.kept, b.Contact...), b.Params...)
		w.kept = append(append(w.kept, b.Instance...), b.Push.PRID...)
	}
	kept := unsafe.String(unsafe.SliceData(w.kept), len(w.kept))
	next := func(n int) (s string) {
		s, kept = kept[:n], kept[n:]
		return s
	}
	for i := range all {
		b := &all[i]
		w.bindings = append(w.bindings, usrloc.Binding{
			ID: b.ID, Contact: next(len(b.Contact)), Params: next(len(b.Params)), Instance: next(len(b.Instance)),
			Push: usrloc.Push{PRID: next(len(b.Push.PRID))}, GRUUSet: b.GRUUSet, Q: b.Q, Expires: b.Expires, Flow: flow.Flow{Transport: b.Flow.Transport, Remote: b.Flow.Remote},
		})
	}
}

// lostOne reports whether of the two tokens with which b was registered one is dead.
// Whoever registers with both again has both again, the long way.
func lostOne(b *usrloc.Binding) bool {
	if !strings.EqualFold(b.Push.Provider, push.ProviderAPNs) && !strings.EqualFold(b.Push.Provider, push.ProviderAPNsSandbox) {
		return false
	}
	// What stands in the contact as a whole is all that the phone had. If it is
	// escaped there, two tokens are two for sure.
	at := strings.Index(b.Contact, b.Push.PRID)
	if at < 1 {
		return !strings.Contains(b.Push.PRID, "&")
	}
	rest := b.Contact[at+len(b.Push.PRID):]
	return b.Contact[at-1] != '=' || rest != "" && rest[0] != ';' && rest[0] != '?'
}

// asksForPush reports whether a contact has anything to do with RFC 8599.
func asksForPush(contact string) bool {
	u, err := sipmsg.ParseURI(contact)
	if err != nil {
		return true
	}
	for _, name := range [...]string{pnProvider, pnPRID} {
		if _, ok := u.Param(name); ok {
			return true
		}
	}
	return false
}

// A capCache remembers what a policy announces for each push service in use. It
// forgets nothing and takes no more than maxCaps.
type capCache struct {
	known atomic.Pointer[map[capKey]Cap]
}

type capKey struct {
	provider, param string
	selfWaking      bool
}

// maxCaps bounds the cache, for anybody may register with many pn-param. Beyond
// it Apply answers.
const maxCaps = 256

// of returns the announcement for a binding that p accepted with those push
// data. The strings of data need not outlive the call.
func (c *capCache) of(p *Policy, data usrloc.Push) (Cap, bool) {
	known := c.known.Load()
	if known != nil {
		if announced, ok := (*known)[capKey{data.Provider, data.Param, data.SelfWaking}]; ok {
			return announced, true
		}
		if len(*known) >= maxCaps {
			return Cap{}, false
		}
	}
	data.Provider, data.Param = strings.Clone(data.Provider), strings.Clone(data.Param)
	params, err := push.ParseParams(data.Provider, data.Param)
	if err != nil || p.Push.Waking == nil {
		return Cap{}, false
	}
	announced := p.announcement(params, data.SelfWaking)
	next := map[capKey]Cap{{data.Provider, data.Param, data.SelfWaking}: announced}
	if known != nil {
		maps.Copy(next, *known)
	}
	// If another one was quicker, the next refresh adds this one.
	c.known.CompareAndSwap(known, &next)
	return announced, true
}
