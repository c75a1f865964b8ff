package explain

// ofFCM returns the words for a reason of Google's push service or of its token
// server.
func ofFCM(reason string) Words {
	switch reason {
	case "UNREGISTERED", "NOT_FOUND":
		return Words{
			"The registration token is dead: the app was removed, its data were cleared, or it got another token since.",
			"The app has to run and register again. It must register anew in onNewToken.",
		}
	case "INVALID_ARGUMENT":
		return Words{
			"Google finds the registration token, or the message, wrong.",
			"The app must register the whole registration token of FCM, not the installation ID; if there is a template, it must make an object of strings of less than 4 KB.",
		}
	case "SENDER_ID_MISMATCH":
		return Words{
			"The registration token belongs to another Firebase project than the credential.",
			"The app's google-services.json and push.apps[].fcm.service_account_file must be of one project; pn-param should name it.",
		}
	case "QUOTA_EXCEEDED", "RESOURCE_EXHAUSTED":
		return Words{
			"The project, or this one device, got too many messages.",
			"Wait. The Google Cloud console shows the quota of the Firebase Cloud Messaging API.",
		}
	case "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "ABORTED":
		return Words{"Google's push service has trouble of its own.", "Wait. Its status page is https://status.firebase.google.com/."}
	case "UNSPECIFIED_ERROR", "UNKNOWN":
		return Words{"Google refused and gave no reason.", "Try again, and look at the status page https://status.firebase.google.com/."}
	case "THIRD_PARTY_AUTH_ERROR":
		return Words{
			"The token is of an iPhone or a browser, and Google's own credential for those is missing or wrong.",
			"Put the APNs key or the Web Push key into the Firebase console, under Cloud Messaging; or let such phones register with pn-provider apns or webpush.",
		}
	case "PERMISSION_DENIED":
		return Words{
			"The service account may not send messages in this project.",
			"Give it the role Firebase Cloud Messaging API Admin, switch on the Firebase Cloud Messaging API (v1), and look whether push.apps[].fcm.project is its project.",
		}
	case "UNAUTHENTICATED":
		return Words{"Google does not accept the access token of the service account.", "Look whether its key was deleted, and at the clock of this machine (NTP)."}
	case "FAILED_PRECONDITION":
		return Words{"Something of the project is not set up for messages.", "Switch on the Firebase Cloud Messaging API (v1) in the Google Cloud console."}
	case "invalid_grant":
		return Words{
			"Google's token server does not accept the key of the service account.",
			"The key was deleted, the service account disabled, or the clock of this machine is wrong (NTP). Make a new key and put it into push.apps[].fcm.service_account_file.",
		}
	case "invalid_client", "unauthorized_client", "deleted_client", "disabled_client":
		return Words{"Google's token server does not know the service account, or no longer.", "Make a new service account with a key, and put that into push.apps[].fcm.service_account_file."}
	case "invalid_scope", "access_denied", "admin_policy_enforced":
		return Words{"Google's token server does not let the service account send messages.", "A policy of the organisation forbids it, or the API is off: look in the Google Cloud console."}
	case "invalid_request", "unsupported_grant_type":
		return Words{"Google's token server finds the request wrong.", "Look whether push.apps[].fcm.service_account_file names Google's own token_uri."}
	case "InvalidMessage":
		return Words{"The message was found wrong before it was sent.", "Look at push.apps[].fcm.template: it must make a JSON object of strings; and at the token that the app registered."}
	}
	return Words{}
}
