package webpush

import (
	"crypto/sha256"
	"fmt"
	"slices"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxOld bounds the old keys of a Sender: each is one more attempt for a
// subscription that nobody takes any more.
const maxOld = 8

// maxRemembered bounds the subscriptions of which the key is remembered, at
// about 100 bytes each. One that is forgotten costs an attempt more.
const maxRemembered = 1 << 16

// keys are the VAPID keys of a Sender. A subscription is bound to the key that
// the browser was given when it was made (RFC 8292 §4), which the phone does not
// tell: it is found by trying. Safe for concurrent use.
type keys struct {
	all   []*vapid                             // the current one first
	known *lru.Cache[[sha256.Size]byte, uint8] // by hash of the endpoint: index of a key that is not current
}

func newKeys(o Options) (*keys, error) {
	if len(o.OldVAPIDPrivate) > maxOld {
		return nil, fmt.Errorf("webpush: %d old VAPID keys, at most %d are allowed; drop the oldest", len(o.OldVAPIDPrivate), maxOld)
	}
	current, err := newVAPID(o.VAPIDPublic, o.VAPIDPrivate, o.Subscriber)
	if err != nil {
		return nil, err
	}
	k := &keys{all: []*vapid{current}}
	for i, private := range o.OldVAPIDPrivate {
		old, err := newVAPID("", private, o.Subscriber)
		if err != nil {
			return nil, fmt.Errorf("old VAPID key %d: %w", i+1, err)
		}
		if slices.ContainsFunc(k.all, func(v *vapid) bool { return v.public == old.public }) {
			return nil, fmt.Errorf("webpush: old VAPID key %d is there twice, or the current one", i+1)
		}
		k.all = append(k.all, old)
	}
	k.known, err = lru.New[[sha256.Size]byte, uint8](maxRemembered)
	return k, err
}

func (k *keys) current() *vapid { return k.all[0] }

// order returns the keys in the order in which a subscription is tried with
// them: the one that worked last, then the current one, then the others.
func (k *keys) order(endpoint string) []*vapid {
	if len(k.all) == 1 {
		return k.all
	}
	i, ok := k.known.Get(sha256.Sum256([]byte(endpoint)))
	if !ok {
		return k.all
	}
	order := []*vapid{k.all[i]}
	return append(order, slices.DeleteFunc(slices.Clone(k.all), func(v *vapid) bool { return v == k.all[i] })...)
}

// took remembers that the push service took v for a subscription.
func (k *keys) took(endpoint string, v *vapid) {
	if len(k.all) == 1 {
		return
	}
	sum := sha256.Sum256([]byte(endpoint))
	if i := slices.Index(k.all, v); i > 0 {
		k.known.Add(sum, uint8(i)) //nolint:gosec // at most maxOld
	} else {
		k.known.Remove(sum)
	}
}
