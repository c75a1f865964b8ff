package auth

// Successor returns an Authenticator with other options that goes on where a is:
// nonces that are out stay good, used ones stay used, and the metrics go on
// counting. NonceKey, NonceTTL, NonceTable and Registerer of o are not looked
// at, but for NonceTTL, which holds for all nonces from now on.
func (a *Authenticator) Successor(o Options) (*Authenticator, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Authenticator{
		o:        o,
		nonces:   newNonces(a.nonces.key, o.NonceTTL),
		replays:  a.replays,
		peers:    newPeers(o.Trusted),
		failures: NewLimiter(o.Failures),
		metrics:  a.metrics,
		decoy:    a.decoy,
	}, nil
}
