package app

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"reveille/configs"
	"reveille/internal/auth"
	"reveille/internal/auth/bearer"
)

// authOptions reads the users; everything that can fail does so here, before
// anything in use is touched. Tokens are checked by verifier, if it is not nil.
func authOptions(cfg *configs.Config, verifier *bearer.Verifier) (auth.Options, error) {
	a := cfg.Auth
	o := auth.Options{
		Realm: cfg.Realm(), Domains: map[string]string{}, FoldUser: !cfg.Registrar.AOR.CaseSensitive, NonceTTL: a.NonceTTL, NonceTable: cfg.Limits.Nonces,
		Failures: auth.LimitOptions{Rate: float64(a.Limit.PerSource) / 60, Burst: a.Limit.Burst},
	}
	realms := cfg.Realms()
	maps.Copy(o.Domains, realms)
	for _, a := range cfg.Aliases() {
		o.Domains[a.Alias] = realms[a.Domain]
	}
	for _, t := range a.Trusted {
		switch {
		case t.Certificate != "":
			o.TrustedNames = append(o.TrustedNames, t.Certificate)
		case t.CIDR.IsValid():
			o.Trusted = append(o.Trusted, t.CIDR)
		}
	}
	if verifier != nil {
		o.Bearer = &auth.Bearer{Tokens: verifier, AuthzServer: a.Bearer.AuthzServer, Scope: a.Bearer.Scope, Plaintext: a.Bearer.Plaintext}
	}
	err := challengeOptions(a, &o)
	if err != nil {
		return o, err
	}
	o.Source, err = readUsers(cfg, &o)
	return o, err
}

// challengeOptions fills in what is offered to whom. configs accepts no names but
// those that are known here.
func challengeOptions(a configs.Auth, o *auth.Options) (err error) {
	if o.Algorithms, err = digestAlgorithms(a.Algorithms); err != nil {
		return fmt.Errorf("auth.algorithms: %w", err)
	}
	for i, rule := range a.Offers {
		offer := auth.Offer{Listener: rule.Listener}
		if offer.Algorithms, err = digestAlgorithms(rule.Algorithms); err != nil {
			return fmt.Errorf("auth.offers[%d].algorithms: %w", i, err)
		}
		if rule.UserAgent != "" {
			if offer.UserAgent, err = regexp.Compile(rule.UserAgent); err != nil {
				return fmt.Errorf("auth.offers[%d].user_agent: %w", i, err)
			}
		}
		o.Offers = append(o.Offers, offer)
	}
	for _, name := range a.QOP {
		qop, ok := auth.ParseQOP(string(name))
		if !ok {
			return fmt.Errorf("auth.qop: %q is unknown", name)
		}
		o.QOP = append(o.QOP, qop)
	}
	for _, name := range a.IdentifyBy {
		means := map[configs.Means]auth.Means{
			configs.ByIP: auth.ByAddress, configs.ByCertificate: auth.ByCertificate, configs.ByUsername: auth.ByCredentials,
			configs.ByFrom: auth.ByFrom, configs.ByTo: auth.ByTo,
		}[name]
		o.IdentifyBy = append(o.IdentifyBy, means)
	}
	return nil
}

func digestAlgorithms(names []configs.Algorithm) ([]auth.Algorithm, error) {
	var list []auth.Algorithm
	for _, name := range names {
		alg, ok := auth.ParseAlgorithm(string(name))
		if !ok {
			return nil, fmt.Errorf("%q is unknown", name)
		}
		list = append(list, alg)
	}
	return list, nil
}

// readUsers reads the users of the configuration and of its users file.
func readUsers(cfg *configs.Config, o *auth.Options) (*auth.Users, error) {
	var accounts []auth.Account
	for i, u := range cfg.Auth.Users {
		account := auth.Account{
			Name: u.Name, Realm: u.Realm, Password: u.Password.Reveal(), AORs: u.AORs, Networks: u.Networks, Origin: fmt.Sprintf("auth.users[%d]", i),
			HA1MD5: u.HA1MD5.Reveal(), HA1SHA256: u.HA1SHA256.Reveal(), HA1SHA512256: u.HA1SHA512256.Reveal(),
		}
		if u.PasswordFile != "" {
			secret, err := readSecret(u.PasswordFile)
			if err != nil {
				return nil, err
			}
			account.Password = string(secret)
		}
		accounts = append(accounts, account)
	}
	if file := cfg.Auth.UsersFile; file != "" {
		// The permissions were looked at when the configuration was checked.
		more, _, err := auth.ReadFile(string(file))
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, more...)
	}
	if o.FoldUser {
		if err := fold(accounts); err != nil {
			return nil, err
		}
	}
	users, err := auth.NewUsers(o.Realm, accounts, offeredAlgorithms(o)...)
	return users, errors.Join(err, dangling(accounts, cfg.Domains))
}

// fold puts the addresses of record of accounts in lower case. Names cannot be
// changed, for the hashes of passwords hold them: those in another case are
// reported, as nobody would find their users.
func fold(accounts []auth.Account) error {
	var errs []error
	for i := range accounts {
		a := &accounts[i]
		for j, aor := range a.AORs {
			a.AORs[j] = strings.ToLower(aor)
		}
		if a.Name != strings.ToLower(a.Name) {
			errs = append(errs, fmt.Errorf("%s: user %q: is not in lower case, and registrar.aor.case_sensitive is false", a.Origin, a.Name))
		}
	}
	return errors.Join(errs...)
}

// offeredAlgorithms are those that some client is offered.
func offeredAlgorithms(o *auth.Options) []auth.Algorithm {
	list := slices.Clone(o.Algorithms)
	for _, offer := range o.Offers {
		list = append(list, offer.Algorithms...)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// dangling reports addresses of record that nobody could ever register, since
// their domain is not served.
func dangling(accounts []auth.Account, domains []string) error {
	var errs []error
	for _, a := range accounts {
		for _, s := range a.AORs {
			aor, err := auth.CanonicalAOR(s)
			if err != nil {
				continue // NewUsers has said so.
			}
			if domain := domainOf(aor); !slices.ContainsFunc(domains, func(d string) bool { return strings.EqualFold(d, domain) }) {
				errs = append(errs, fmt.Errorf("%s: user %q: aor %q: %s is none of domains", a.Origin, a.Name, s, domain))
			}
		}
	}
	return errors.Join(errs...)
}

// newVerifier returns what checks the tokens, nil if none are taken. It fetches
// nothing.
func newVerifier(b configs.Bearer, o bearer.Options) (*bearer.Verifier, error) {
	if b.Issuer == "" {
		return nil, nil //nolint:nilnil // No tokens are taken: that is no error.
	}
	o.Issuer, o.Audience, o.JWKSURL, o.Scope = b.Issuer, b.Audience, b.JWKSURL, b.Scope
	o.UserClaim, o.AORsClaim, o.Skew, o.Refresh = b.UserClaim, b.AORsClaim, b.Skew, b.Refresh
	for _, name := range b.Algorithms {
		o.Algorithms = append(o.Algorithms, string(name))
	}
	return bearer.New(o)
}

func newACL(rules []configs.ACLRule) auth.ACL {
	var list []auth.ACLRule
	for _, r := range rules {
		rule := auth.ACLRule{Permit: r.Permit.IsValid(), Prefix: r.Deny, Listener: r.Listener}
		if rule.Permit {
			rule.Prefix = r.Permit
		}
		list = append(list, rule)
	}
	return auth.NewACL(list...)
}
