package wake

import (
	"testing"
	"time"

	"reveille/push"
	"reveille/usrloc"
)

func TestSubscriptionKeys(t *testing.T) {
	both := push.SubscriptionKeys{P256DH: "BC-_x", Auth: "aa"}
	for contact, want := range map[string]push.SubscriptionKeys{
		"sip:a@h;pn-provider=webpush;pn-prid=x;pn-p256dh=BC-_x;pn-auth=aa;transport=ws": both,
		"sip:a@h;PN-P256DH=BC%2D_x;pn-Auth=aa?pn-auth=bb":                               both,
		"sip:a@h;pn-p256dh=BC-_x":                                                       {},
		"sip:a@h;pn-auth=aa;pn-p256dh":                                                  {},
		"sip:a@h?pn-p256dh=BC;pn-auth=aa":                                               {},
		"sip:a@h":                                                                       {},
		"no URI":                                                                        {},
	} {
		if got := subscriptionKeys(&usrloc.Binding{Contact: contact}); got != want {
			t.Errorf("subscriptionKeys(%q) = %+v, want %+v", contact, got, want)
		}
	}
}

// TestWake_SubscriptionKeysReachThePush: they are the phone's, for its push
// service alone.
func TestWake_SubscriptionKeysReachThePush(t *testing.T) {
	r := newRig(t)
	b := r.bind(time.Now(), usrloc.Push{Provider: "webpush", PRID: "https://push.example.net/x"})[0]
	b.Contact = "sip:a@h;pn-provider=webpush;pn-prid=https%3A%2F%2Fpush.example.net%2Fx;pn-p256dh=BC;pn-auth=aa"
	if _, _, err := r.waker.Wake(alice, &b, Cause{Kind: push.Call}, func(push.Outcome) {}); err != nil {
		t.Fatal(err)
	}
	if got := r.requests[0].Keys; got != (push.SubscriptionKeys{P256DH: "BC", Auth: "aa"}) {
		t.Errorf("keys = %+v, want those of the Contact", got)
	}
}
