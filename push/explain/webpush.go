package explain

// ofWebPush returns the words for a reason of a browser's push service.
func ofWebPush(reason string) Words {
	switch reason {
	case "SubscriptionGone":
		return Words{
			"The subscription has ended: the page unsubscribed, the person took back the permission, or the browser forgot it.",
			"The page has to be opened, to subscribe and to register again.",
		}
	case "VAPIDRefused":
		return Words{
			"The push service does not accept the VAPID key for this subscription.",
			"A subscription belongs to the key that it was made with. If vapid_key_file was replaced, name the old one in push.apps[].webpush.old_vapid_key_files; the page must subscribe with the key in Feature-Caps (sip.vapid).",
		}
	case "NoVAPID":
		return Words{"This server cannot identify itself: its VAPID key does not sign.", "Make a new one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256."}
	case "EndpointNotAllowed":
		return Words{
			"The subscription is at no push service that may be contacted, or is no https URL.",
			"If it is one of a browser, add its host to push.apps[].webpush.allowed_hosts. The page must register the endpoint of its subscription, escaped.",
		}
	case "AddressNotAllowed":
		return Words{
			"The push service has a private address, which is not contacted: a page could have this server send requests into its own network.",
			"If it is a push service of yours, set push.apps[].webpush.allow_private.",
		}
	case "TooManyRequests":
		return Words{"The push service of this browser was asked too often.", "Wait."}
	case "PayloadTooLarge":
		return Words{"The push service does not take so much payload.", "Make push.apps[].webpush.template shorter, or set payload: false."}
	case "ServiceUnavailable":
		return Words{"The push service of this browser has trouble of its own.", "Wait."}
	case "BadRequest":
		return Words{
			"The push service of this browser finds the request wrong.",
			"Look whether push.apps[].webpush.subscriber is a mailto: or https: URI, which some insist on; and whether the page registered the whole endpoint.",
		}
	}
	return Words{}
}

// ofWebhook returns the words for what a program of the operator's says.
func ofWebhook(reason string) Words {
	switch reason {
	case "Gone":
		return Words{"Your program says that the token is dead (410).", "The app has to register again."}
	case "NotFound":
		return Words{"Your program does not know the token or the path (404).", "Look at push.apps[].webhook.url. A program that means a dead token should say 410."}
	case "Unauthorized":
		return Words{"Your program does not let this server in (401 or 403).", "Look at push.apps[].webhook.secret, and at how the program checks signatures; both clocks must be right."}
	case "TooManyRequests":
		return Words{"Your program was asked too often (429).", "Wait, or let it take more."}
	case "Unavailable":
		return Words{"Your program has trouble of its own (5xx).", "Look at its log."}
	case "Rejected":
		return Words{"Your program finds the request wrong.", "Look at its log, and at push.apps[].webhook.body."}
	case "Template":
		return Words{"The template makes no request of this push.", "Look at push.apps[].webhook.url and body."}
	}
	return Words{}
}
