package push

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The registered providers (RFC 8599 §10 to §12), and the private name that
// phones in the field use for Apple's sandbox.
const (
	ProviderAPNs        = "apns"
	ProviderAPNsSandbox = "apns.dev"
	ProviderFCM         = "fcm"
	ProviderWebPush     = "webpush"
)

// Bounds of what a phone may send, in bytes. A Web Push URL is the longest PRID
// in use, with about 500.
const (
	maxProvider = 64
	maxParam    = 256
	maxPRID     = 2048
)

// Errors of Parse. The binding is an ordinary one then (RFC 8599 §5.6.1.1).
var (
	// ErrNoProvider: pn-provider has no value.
	ErrNoProvider = errors.New("push: pn-provider missing")
	// ErrProvider: pn-provider cannot be the value of sip.pns.
	ErrProvider = errors.New("push: pn-provider malformed")
	// ErrNoPRID: pn-prid is missing or empty.
	ErrNoPRID = errors.New("push: pn-prid missing")
	// ErrNoParam: the provider needs pn-param.
	ErrNoParam = errors.New("push: pn-param missing")
	// ErrParam: pn-param is not what the provider asks for.
	ErrParam = errors.New("push: pn-param malformed")
	// ErrPRID: pn-prid is not what the provider asks for.
	ErrPRID = errors.New("push: pn-prid malformed")
)

// Parse reads the values of pn-provider, pn-param and pn-prid, percent-decoded
// once by the caller; an absent parameter is "". The provider's name is folded
// to lower case, for URI parameters ignore case (RFC 3261 §19.1.4); the others
// keep theirs, for they are opaque to us.
//
// One form goes beyond RFC 8599 because phones in the field use it: two
// services in pn-param and two tokens in pn-prid,
// "TEAM.bundle.voip&remote" and "token1:voip&token2:remote", in any order.
//
// Errors name the parameter, never its value.
func Parse(provider, param, prid string) (Params, []Token, error) {
	p, err := ParseParams(provider, param)
	if err != nil {
		return Params{}, nil, err
	}
	switch {
	case prid == "":
		return Params{}, nil, ErrNoPRID
	case len(prid) > maxPRID:
		return Params{}, nil, fmt.Errorf("%w: longer than %d bytes", ErrPRID, maxPRID)
	case !printable(prid):
		return Params{}, nil, fmt.Errorf("%w: control character or space", ErrPRID)
	}
	if !p.Apple() {
		return p, []Token{{PRID: prid}}, nil
	}
	tokens, err := appleTokens(p, prid)
	if err != nil {
		return Params{}, nil, err
	}
	return p, tokens, nil
}

// ParseParams reads pn-provider and pn-param alone, as a query without pn-prid
// has them (RFC 8599 §4.1.5).
func ParseParams(provider, param string) (Params, error) {
	p := Params{Provider: strings.ToLower(provider), Param: param}
	switch {
	case provider == "":
		return Params{}, ErrNoProvider
	case len(provider) > maxProvider || !TagValue(provider):
		return Params{}, ErrProvider
	case len(param) > maxParam || !printable(param):
		return Params{}, ErrParam
	}
	switch p.Provider {
	case ProviderAPNs, ProviderAPNsSandbox:
		// RFC 8599 §10: the Team ID, the app's topic and the service.
		if param == "" {
			return Params{}, ErrNoParam
		}
		if team, topic, ok := strings.Cut(param, "."); !ok || team == "" || strings.Trim(topic, ".") == "" {
			return Params{}, fmt.Errorf("%w: not TEAM.bundle.service", ErrParam)
		}
		p.Param = p.canonical()
	case ProviderFCM:
		// RFC 8599 §11: the project.
		if param == "" {
			return Params{}, ErrNoParam
		}
	case ProviderWebPush:
		// RFC 8599 §12: pn-param must not be used.
		if param != "" {
			return Params{}, fmt.Errorf("%w: webpush has none", ErrParam)
		}
	}
	return p, nil
}

// Apple reports whether p is about an Apple device, whose tokens have uses.
func (p Params) Apple() bool {
	return p.Provider == ProviderAPNs || p.Provider == ProviderAPNsSandbox
}

// split separates the services from the rest of an Apple pn-param:
// "T.com.example.app.voip&remote" is "T.com.example.app" with voip and remote.
// A last label that is no service that we know belongs to the bundle ID.
func (p Params) split() (app string, services []string) {
	i := strings.LastIndexByte(p.Param, '.')
	if i < 0 || !p.Apple() {
		return p.Param, nil
	}
	services = strings.Split(p.Param[i+1:], "&")
	for _, s := range services {
		if s != "voip" && s != "remote" {
			return p.Param, nil
		}
	}
	slices.Sort(services)
	slices.Reverse(services) // voip first
	return p.Param[:i], slices.Compact(services)
}

// canonical writes the services in one order, so that equal apps are equal.
func (p Params) canonical() string {
	app, services := p.split()
	if services == nil {
		return app
	}
	return app + "." + strings.Join(services, "&")
}

// services lists p.Param with each of its services alone: what an app's pattern
// is matched with, too. It is nil unless the phone uses two services.
func (p Params) services() []string {
	if !strings.Contains(p.Param, "&") {
		return nil
	}
	app, services := p.split()
	if len(services) < 2 {
		return nil
	}
	all := make([]string, 0, len(services))
	for _, s := range services {
		all = append(all, app+"."+s)
	}
	return all
}

// Topic is the apns-topic for a token of use u: pn-param without the Team ID
// (RFC 8599 §10), with ".voip" for VoIP and without it otherwise, because a
// PushKit token has no other topic and no other token has this one.
func (p Params) Topic(u Use) string {
	app, _ := p.split()
	_, bundle, _ := strings.Cut(app, ".")
	if u == VoIP {
		return bundle + ".voip"
	}
	return bundle
}

// Team is the Team ID of an Apple pn-param, "" for others.
func (p Params) Team() string {
	if !p.Apple() {
		return ""
	}
	team, _, _ := strings.Cut(p.Param, ".")
	return team
}

// appleTokens reads pn-prid of an Apple device.
func appleTokens(p Params, prid string) ([]Token, error) {
	_, services := p.split()
	var tokens []Token
	for part := range strings.SplitSeq(prid, "&") {
		tok, service, labelled := strings.Cut(part, ":")
		if tok == "" {
			return nil, fmt.Errorf("%w: empty token", ErrPRID)
		}
		if !labelled {
			service = ""
			if len(services) > 0 {
				// A bare token is of the service that pn-param names; of the
				// stricter one if it names two.
				service = services[0]
			}
		}
		var use Use
		switch service {
		case "voip":
			use = VoIP
		case "remote":
			use = Remote
		case "":
			use = Any
		default:
			return nil, fmt.Errorf("%w: unknown service", ErrPRID)
		}
		if slices.ContainsFunc(tokens, func(t Token) bool { return t.Use == use }) {
			return nil, fmt.Errorf("%w: two tokens for one service", ErrPRID)
		}
		tokens = append(tokens, Token{PRID: tok, Use: use})
	}
	slices.SortFunc(tokens, func(a, b Token) int { return int(a.Use) - int(b.Use) })
	return alone(tokens), nil
}

// TagValue reports whether s can stand between the quotes of a feature tag (RFC
// 3840 §9, token-nobang), where the providers that are supported are named (RFC
// 8599 §8.2).
func TagValue(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') &&
			strings.IndexByte("-.%*_+`'~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// printable reports whether s has neither spaces nor control characters, which
// no provider's values have.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
