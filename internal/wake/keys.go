package wake

import (
	"reveille/internal/sipmsg"
	"reveille/push"
	"reveille/usrloc"
)

// The URI parameters with which a phone hands over the keys of its Web Push
// subscription: what PushSubscription.getKey returns, in base64url. They are an
// extension: RFC 8599 §12 defines none.
const (
	pnP256DH = "pn-p256dh"
	pnAuth   = "pn-auth"
)

// subscriptionKeys are those that the phone of b gave, zero if it did not give
// both.
func subscriptionKeys(b *usrloc.Binding) push.SubscriptionKeys {
	u, err := sipmsg.ParseURI(b.Contact)
	if err != nil {
		return push.SubscriptionKeys{}
	}
	point, _ := u.Param(pnP256DH)
	auth, _ := u.Param(pnAuth)
	if point == "" || auth == "" {
		return push.SubscriptionKeys{}
	}
	return push.SubscriptionKeys{P256DH: sipmsg.Unescape(point), Auth: sipmsg.Unescape(auth)}
}
