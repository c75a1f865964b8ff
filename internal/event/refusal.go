package event

// A Rule refused a request before anybody looked for a phone. Its name is the key of
// the configuration that has it.
type Rule uint8

// The rules.
const (
	// RuleNone: no rule, or a plain question for credentials.
	RuleNone Rule = iota
	// RuleSource: an access list has the sender's address.
	RuleSource
	// RuleTrusted: nobody is asked for credentials, and the sender is none of those who
	// may without.
	RuleTrusted
	// RuleCredentials: credentials came, and were not good. Call.Reason has the reason of
	// AuthFailed.
	RuleCredentials
	// RuleRate: the sender is too fast.
	RuleRate
	// RulePerUser: the user is called too often.
	RulePerUser
	// RuleRouteHook: the program that says where calls go said no, or nothing.
	RuleRouteHook
	// RuleOverload: the server has too much to do.
	RuleOverload
)

// String returns the rule's name, empty for RuleNone.
func (r Rule) String() string {
	switch r {
	case RuleSource:
		return "acl.source"
	case RuleTrusted:
		return "auth.trusted"
	case RuleCredentials:
		return "auth.users"
	case RuleRate:
		return "guard.rate"
	case RulePerUser:
		return "guard.per_aor"
	case RuleRouteHook:
		return "hooks.route"
	case RuleOverload:
		return "overload"
	case RuleNone:
	}
	return ""
}
