package auth

// Successor returns an Authenticator with other options that goes on where a is:
// nonces that are out stay good, used ones stay used, failures stay counted
// unless their limit changed, and so do the metrics; lookups under way count for
// both, and Wait of either waits for all. NonceTTL holds for all
// nonces from now on. NonceKey, NonceTable and Registerer of o are not looked
// at. Both may be used at the same time.
func (a *Authenticator) Successor(o Options) (*Authenticator, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	failures := a.failures
	if o.Failures != a.o.Failures {
		failures = NewLimiter(o.Failures)
	}
	return &Authenticator{
		o:        o,
		nonces:   newNonces(a.nonces.key, o.NonceTTL),
		replays:  a.replays,
		peers:    newPeers(o.Trusted),
		failures: failures,
		metrics:  a.metrics,
		qop:      joinQOP(o.QOP),
		decoy:    a.decoy,
		lookups:  a.lookups,
	}, nil
}
