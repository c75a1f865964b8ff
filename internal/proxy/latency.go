package proxy

import (
	"cmp"
	"math"
	"slices"
	"time"

	"reveille/flow"
	"reveille/usrloc"
)

// Latencies knows how long devices take to answer.
type Latencies interface {
	// Latency returns the time that the device of a binding took for its last
	// answer to OPTIONS, or the longest Duration if it did not answer. ok is false
	// if nobody asked it.
	Latency(id usrloc.BindingID) (d time.Duration, ok bool)
}

// notAsked is the latency of what nobody asked: behind all that answered.
const notAsked time.Duration = math.MaxInt64 - 1

func (o *Options) latency(t *target) time.Duration {
	if o.Latencies == nil || t.reach == park || t.binding.ID.IsZero() {
		return notAsked
	}
	if d, ok := o.Latencies.Latency(t.binding.ID); ok {
		return d
	}
	return notAsked
}

// byLatency sorts by what the devices took for their last answer.
func (o *Options) byLatency(set []target) {
	slices.SortStableFunc(set, func(a, b target) int { return cmp.Compare(o.latency(&a), o.latency(&b)) })
}

// near leaves out the targets that are slower than MaxLatency or did not answer.
// One that sleeps, or was never asked, stays. If nothing were left that can be
// reached, all stay: a slow phone is better than none.
func (o *Options) near(set []target) []target {
	if o.MaxLatency == 0 || o.Latencies == nil {
		return set
	}
	kept := make([]target, 0, len(set))
	for i := range set {
		if d := o.latency(&set[i]); d <= o.MaxLatency || d == notAsked {
			kept = append(kept, set[i])
		}
	}
	if !slices.ContainsFunc(kept, func(t target) bool { return t.reach != unreachable }) {
		return set
	}
	return kept
}

// Way returns the flow on which b's device gets a request now without being
// woken, and the Request-URI. ok is false if it sleeps or has no flow.
func (p *Proxy) Way(b *usrloc.Binding) (to flow.Flow, uri string, ok bool) {
	flows := p.opts().Flows
	if b.Push.Provider == "" {
		ok = flows.Open(b.Flow)
	} else {
		// A flow that is not known to be the phone's any more may be another's.
		ok = flows.Alive(b.Flow, time.Now())
	}
	if !ok {
		return flow.Flow{}, "", false
	}
	return contactFlow(b), requestURI(b.Contact, p.opts().PushParams), true
}
