package app

import (
	"reflect"
	"slices"

	"reveille/configs"
	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/auth/bearer"
	"reveille/internal/domain"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// gateRules are what one configuration says about who may do what. They are
// immutable.
type gateRules struct {
	auth *auth.Authenticator
	// modes are those of the listeners by name.
	modes map[string]configs.AuthModes
	// closed: without credentials only trusted peers may do anything.
	closed          bool
	source, contact auth.ACL
	hosts           *domain.Set
	// home is the domain of the users of each realm, realms the realm of each
	// domain.
	home, realms map[string]string
	// anybody: there are no accounts, so that every name may be a user.
	anybody bool
	// users are those of the files.
	users *auth.Users
	// verifier checks the tokens that bearer describes; nil: none are taken.
	verifier *bearer.Verifier
	bearer   configs.Bearer
}

// build makes the rules of a configuration without putting them into force.
func (g *gate) build(cfg *configs.Config) (r *gateRules, err error) {
	old := g.rules.Load()
	r = &gateRules{
		modes: map[string]configs.AuthModes{}, closed: len(cfg.Auth.Trusted) > 0, bearer: cfg.Auth.Bearer,
		source: newACL(cfg.ACL.Rules(cfg.ACL.Source)), contact: newACL(cfg.ACL.Rules(cfg.ACL.Contact)),
	}
	if r.hosts, err = domainSet(cfg); err != nil {
		return nil, err
	}
	for i := range cfg.Listen {
		r.modes[cfg.Listen[i].Name] = cfg.AuthModes(&cfg.Listen[i])
	}
	if old != nil && reflect.DeepEqual(old.bearer, r.bearer) {
		// It knows the keys.
		r.verifier = old.verifier
	} else if r.verifier, err = newVerifier(r.bearer, bearer.Options{Logger: g.log}); err != nil {
		return nil, err
	}
	o, err := authOptions(cfg, r.verifier)
	if err != nil {
		return nil, err
	}
	r.users, _ = o.Source.(*auth.Users) // authOptions has no others.
	if g.directory != nil {
		// Those of the files come first: an operator can set one user right
		// whatever the database says.
		o.Source, o.MaxLookups = auth.Sources{o.Source, g.directory}, maxLookups
	}
	r.home, r.realms = map[string]string{}, map[string]string{}
	realms := cfg.Realms()
	// The first domain of a realm is the home of its users.
	for i, domain := range slices.Backward(r.hosts.Names()) {
		realm := realms[cfg.Domains[i]]
		r.realms[domain], r.home[realm] = realm, domain
	}
	r.anybody = r.verifier != nil || g.directory == nil && r.users.Len() == 0
	o.Sink, o.Registerer, o.PeerNames = g.sink, g.registry, g.transport.PeerNames
	o.TrustedAddr = trustedAddr(cfg, g.trunks.Owns)
	o.Own = func(host string) bool {
		return g.transport.IsOwn(host, 0, 0)
	}
	if old != nil {
		// One Authenticator counts for the registry; its successors add to the
		// same counters.
		r.auth, err = old.auth.Successor(o)
	} else {
		r.auth, err = auth.New(o)
	}
	return r, err
}

// open answers a request under a mode that asks for no credentials: everybody
// may, or, if trusted peers are named, only they.
func (r *gateRules) open(f flow.Flow) (trusted, allowed bool) {
	trusted = r.closed && r.auth.Trusts(f)
	return trusted, trusted || !r.closed
}

// identity is the AOR under which an authenticated user calls: that of From if
// it is one of the user's, else the user's own.
func (r *gateRules) identity(u auth.User, m *sipmsg.Message) usrloc.AOR {
	if aor, _, err := r.hosts.AOR(m.From().URI); err == nil && r.auth.MayUse(u, aor) {
		return aor
	}
	aor, err := sipmsg.CanonicalAOR(sipmsg.URI{Scheme: "sip", User: sipmsg.EscapeParam(u.Name), Host: r.home[u.Realm]})
	if err != nil {
		return ""
	}
	return usrloc.AOR(aor)
}
