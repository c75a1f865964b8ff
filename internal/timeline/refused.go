package timeline

import "reveille/internal/event"

// ofRule judges a request that a rule refused before anybody looked for a phone. The
// phone has nothing to do with it, so it is said who the caller was.
func ofRule(r *Record) Verdict {
	who := "The caller, " + orUnknown(r.From)
	if from := cameFrom(r); from != "" {
		who += " at " + from
	}
	who += ","
	who += " was refused before anybody looked for a phone: "
	told := " It was told " + phrase(r) + "."
	switch r.Rule {
	case event.RuleSource.String():
		return Verdict{CodeForbidden, who + "the access list acl.source denies its address." + told, "If it should call, let its address pass in acl.source."}
	case event.RuleTrusted.String():
		return Verdict{
			CodeForbidden, who + "where it came in nobody is asked for a password, and its address is not among auth.trusted." + told,
			"If it is a gateway of yours, add its address to auth.trusted; if it is a phone, have it use a listener that asks for passwords.",
		}
	case event.RuleCredentials.String():
		return Verdict{CodeCallerRefused, who + credentialWords(r.Reason) + ".", "Look at the caller's user name and password, not at the phone that was called."}
	case event.RuleRate.String():
		return Verdict{CodeTooFast, who + "its address sent too much at once." + told, "guard.rate has the limit, and guard.exempt those who have none."}
	case event.RulePerUser.String():
		return Verdict{CodeTooFast, who + "the user was called too often." + told, "guard.per_aor.calls has the limit."}
	case event.RuleRouteHook.String():
		return Verdict{CodeForbidden, who + "the program of hooks.route said so, or did not answer." + told, "Look at that program, and at hook in the log."}
	case event.RuleOverload.String():
		return Verdict{CodeOverload, who + "the server had too much to do." + told, "Look at overload and limits.transactions, and at `reveille status`."}
	}
	return Verdict{CodeForbidden, who + r.Rule + "." + told, ""}
}

// cameFrom is where a request came from, as its first step has it.
func cameFrom(r *Record) string {
	if len(r.Steps) == 0 {
		return ""
	}
	return r.Steps[0].Flow
}

// credentialWords say what was wrong with a caller's credentials, by the reasons of
// auth.failed.
func credentialWords(reason string) string {
	switch reason {
	case "no_user":
		return "there is no user of the name that it gave"
	case "password":
		return "its password is wrong"
	case "limited":
		return "its address gave wrong passwords too often"
	case "token":
		return "its token is not valid"
	case "token_expired":
		return "its token has expired"
	case "token_scope":
		return "its token is for other services"
	case "busy", "unavailable":
		return "it could not be found out who it is, for the user source did not answer"
	}
	return "its credentials cannot be taken (" + orUnknown(reason) + ")"
}
