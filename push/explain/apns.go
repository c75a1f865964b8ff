package explain

// ofAPNs returns the words for a reason of Apple's push service.
func ofAPNs(reason string) Words {
	switch reason {
	case "BadDeviceToken":
		return Words{
			"Apple knows no such token in the environment that was asked.",
			"Builds from Xcode have sandbox tokens, those from TestFlight and the App Store production tokens: push.apps[].apns.environment must be the build's, or two apps stand side by side, one of each. " +
				"Otherwise the app must register the token that iOS gave it last, in hexadecimal.",
		}
	case "DeviceTokenNotForTopic":
		return Words{
			"The token is of another app than pn-param names.",
			"pn-param must be TEAM.bundle.id, with .voip behind it for a token of PushKit and without it for any other.",
		}
	case "Unregistered":
		return Words{
			"The token is dead: the app was removed from the device, or got another token since.",
			"The app has to run and register again. If it did, it must send the token of this start, not one that it kept.",
		}
	case "ExpiredToken":
		return Words{"The token has expired.", "The app has to run and register again with a new one."}
	case "BadTopic", "MissingTopic":
		return Words{
			"Apple takes what pn-param names for no app.",
			"pn-param must be TEAM.bundle.id, with .voip behind it for a token of PushKit: the 10 characters of the team, and the bundle ID as in the app.",
		}
	case "TopicDisallowed":
		return Words{
			"The credential may not push to this app.",
			"A key may be limited to some apps, and is of one team: compare pn-param with key_id and team_id. A certificate is for one bundle ID, and must be one for VoIP services if the token is of PushKit.",
		}
	case "InvalidPushType":
		return Words{
			"The kind of push does not fit the app that pn-param names.",
			"A pn-param with .voip is for tokens of PushKit and calls alone; look whether the app sends its other token under it.",
		}
	case "BadCertificate":
		return Words{"Apple does not accept the certificate.", "Make a new one in Apple's developer account, or better a key (.p8), which does not expire."}
	case "BadCertificateEnvironment":
		return Words{"The certificate is for the other environment.", "Set push.apps[].apns.environment, or use a certificate for sandbox and production."}
	case "ExpiredProviderToken":
		return Words{
			"Apple finds the token by which this server identifies itself too old.",
			"This server renews it in time, so look at the clock of this machine (NTP).",
		}
	case "InvalidProviderToken":
		return Words{
			"Apple does not accept the token by which this server identifies itself.",
			"key_id, team_id and key_file of push.apps[].apns must belong together, and the key must not be revoked. Look at the clock of this machine, too (NTP).",
		}
	case "MissingProviderToken":
		return Words{
			"Apple saw neither a token nor a certificate of this server.",
			"A certificate is lost where something in between ends TLS. Connect directly, or use a key (.p8).",
		}
	case "BadEnvironmentKeyIdInToken":
		return Words{"The key is for the other environment.", "Keys can be limited to sandbox or production: set push.apps[].apns.environment, or use another key."}
	case "UnrelatedKeyIdInToken":
		return Words{"Another key of the same account was used on this connection before.", "Give each key an app of its own in push.apps. Until the connection ends Apple goes on refusing."}
	case "Forbidden":
		return Words{"Apple does not allow this.", "Look whether key or certificate are revoked, and whether the app may receive pushes at all (Push Notifications capability)."}
	case "TooManyProviderTokenUpdates":
		return Words{
			"The token by which servers identify themselves was renewed too often: Apple wants 20 minutes between two.",
			"Other servers, or a test of yours, use the same key: give each its own.",
		}
	case "TooManyRequests":
		return Words{"This one device got too many pushes in a row.", "Wait. If it happens with real calls, look who calls so often."}
	case "PayloadTooLarge":
		return Words{"The payload is longer than Apple takes: 4 KB, 5 KB for VoIP.", "Make push.apps[].apns.template shorter."}
	case "PayloadEmpty":
		return Words{"The payload is empty.", "Look at push.apps[].apns.template."}
	case "InternalServerError", "ServiceUnavailable", "Shutdown":
		return Words{"Apple's push service has trouble of its own.", "Wait. Apple's status page is https://developer.apple.com/system-status/."}
	case "IdleTimeout":
		return Words{"Apple closed a connection on which nothing came.", "Try again."}
	case "BadCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority", "DuplicateHeaders", "MissingDeviceToken", "BadPath", "MethodNotAllowed":
		return Words{
			"Apple finds the request itself wrong.",
			"Look whether a proxy in between changes it; otherwise this is a fault of the server: please report it.",
		}
	case "VoIPForCallsOnly":
		return Words{
			"The token is one of PushKit, which may be used for calls alone: iOS ends an app that gets such a push and shows no call.",
			"The app should register its other token, too. To try this one, send a push for a call: the iPhone rings.",
		}
	}
	return Words{}
}
