// Package explain says in words what a push service answered and what to do about
// it, for operators: docs/push.md has the same for whole classes of answers. It
// decides nothing.
package explain

import (
	"strings"

	"reveille/push"
)

// Words are an outcome in plain words: whole sentences.
type Words struct {
	// Said is what the answer means.
	Said string
	// Do is what to do about it; empty: nothing.
	Do string
}

// IsZero reports whether there are none.
func (w Words) IsZero() bool { return w == Words{} }

// Outcome returns the words for an outcome of a push to a device of that
// provider.
func Outcome(provider string, o push.Outcome) Words {
	w := ofService(provider, o.Reason)
	if w.IsZero() {
		w = ofOurs(o.Reason)
	}
	if w.IsZero() {
		w = ofClass(o.Class)
	}
	switch {
	case o.Class == push.Suspect && o.Proven:
		w.Do = join(w.Do, "The credential is good: the push service took another push with it within the last hour. So it is this token.")
	case o.Class == push.Suspect:
		w.Do = join(w.Do, "No push with this credential was taken within the last hour, so it may as well be the credential; the token is kept.")
	case o.Attempts == 0 && paused(o.Class):
		w.Said = join("Nothing was sent: pushes with this credential rest because of an earlier answer.", w.Said)
	}
	return w
}

// Wake returns the words for what came of a push that was taken: whether the phone
// has registered since, and whether it was awake before.
func Wake(registered, awake bool) Words {
	switch {
	case registered:
		return Words{"The phone has registered.", ""}
	case awake:
		return Words{
			"The phone did not register in time. It had a live connection: some apps answer a push with a keep-alive then, and calls reach them there.",
			"Let the phone fall asleep and try again.",
		}
	}
	return Words{
		"The phone did not register in time.",
		"The app must register as soon as a push arrives. What keeps it from that is on the phone: a battery saver, notifications that are switched off, an app that was force-stopped, or no network.",
	}
}

// Known reports whether there are words for a reason by itself, besides those for
// its class.
func Known(provider, reason string) bool {
	return !ofService(provider, reason).IsZero() || !ofOurs(reason).IsZero()
}

// paused reports whether an outcome of that class may be that of an earlier push.
func paused(c push.Class) bool {
	return c == push.Credential || c == push.Unavailable || c == push.Network || c == push.Throttled
}

func join(a, b string) string { return strings.TrimSpace(a + " " + b) }

// ofService returns the words for what a push service says.
func ofService(provider, reason string) Words {
	switch provider {
	case push.ProviderAPNs, push.ProviderAPNsSandbox:
		return ofAPNs(reason)
	case push.ProviderFCM:
		return ofFCM(reason)
	case push.ProviderWebPush:
		return ofWebPush(reason)
	}
	return ofWebhook(reason)
}

// ofOurs returns the words for reasons that are not a push service's.
func ofOurs(reason string) Words {
	switch reason {
	case "NoTokenForKind":
		return Words{
			"The device gave no token that may be used for a push of this kind. A VoIP token is for calls alone: iOS ends an app that gets such a push and shows no call.",
			"The app should register its other token, too (pn-param ending in voip&remote). To try the VoIP token, send a push for a call: the iPhone rings.",
		}
	case "Timeout":
		return Words{
			"The push service did not answer in time.",
			"Look whether a firewall lets this server reach it, and at its status page.",
		}
	case "NoAnswer":
		return Words{
			"The push service could not be reached, or the connection ended without an answer.",
			"Look at the cause: a name that is not resolved, a firewall, or a certificate that is not believed (a proxy that opens TLS?).",
		}
	case "DeadlinePassed":
		return Words{
			"The push waited in this server's own queue until nobody needed it any more.",
			"`reveille providers` shows which queue is long, and why.",
		}
	case "Canceled":
		return Words{"Nobody waited for the push any more, so it was not sent.", ""}
	case "Closed":
		return Words{"The server was stopped, or its credentials were replaced, before the push was sent.", "Try again."}
	case "NoApp":
		return Words{
			"No app of push.apps takes this provider and param, so nothing was sent.",
			"An entry of push.apps must have the pn-provider, and a pattern that the pn-param fits.",
		}
	case "QueueFull":
		return ofClass(push.Shed)
	case "DeadToken":
		return Words{
			"The push service has declared this token dead, so nothing was sent.",
			"The app has to run and register again with a new one.",
		}
	case "TooOften":
		return Words{"The phone had as many pushes to refresh as it may get in an hour, so nothing was sent.", "Wait, or ask for a push of another kind."}
	case "BadParameters":
		return Words{"The push parameters that the phone registered cannot be read, so nothing was sent.", "docs/push.md says how they are written."}
	case "NoServer":
		return Words{
			"Pushes of this app are sent by a program of yours, which hears of them as events of a running server, and none runs.",
			"Start the server, and ask again.",
		}
	case "SenderPanic":
		return Words{"A fault of this server kept the push from being sent.", "Please report it, with the line in the log."}
	case "NoReason":
		return Words{
			"The push service refused and gave no reason.",
			"An answer without a reason often comes from something in between: look whether a proxy answers in place of the push service.",
		}
	case "Unreadable":
		return Words{
			"The answer is not one of this push service.",
			"Look whether a proxy answers in its place, and at the address in the configuration.",
		}
	}
	return Words{}
}

// ofClass returns the words for a reason that is not known.
func ofClass(c push.Class) Words {
	switch c {
	case push.OK:
		return Words{
			"The push service took the push.",
			"Whether the phone wakes is another matter: `reveille wake` waits until it has registered.",
		}
	case push.Gone:
		return Words{"The push service says that this token is dead.", "The app has to register again with a new one."}
	case push.Suspect:
		return Words{"The push service does not know the token with this credential.", "Look whether token and credential are of the same app and environment."}
	case push.Credential:
		return Words{"The push service refuses this server's credential.", "Look at the credential in push.apps: nobody of this app is woken until it is good."}
	case push.Rejected:
		return Words{"The push service finds the push itself wrong.", "Look at the template, if there is one; otherwise this is a fault of the server: please report it."}
	case push.Throttled:
		return Words{"The push service was asked too often.", "Wait; calls that come meanwhile are tried again if there is time."}
	case push.Unavailable:
		return Words{"The push service has trouble of its own.", "Wait, and look at its status page."}
	case push.Network:
		return ofOurs("NoAnswer")
	case push.Expired:
		return ofOurs("DeadlinePassed")
	case push.Shed:
		return Words{"This server's own queue for the push service is full.", "`reveille providers` shows why; push.apps[].queue bounds it."}
	case push.Forbidden:
		return Words{"No push of this kind may be sent to this device.", ""}
	}
	return Words{"The outcome is not known.", ""}
}
