package wake

import (
	"slices"

	"reveille/push"
	"reveille/usrloc"
)

// Settings are what an operator may decide about pushes.
type Settings struct {
	// NoBackground wakes Apple's devices for calls alone: iOS may delay or drop
	// pushes in the background, and counts them.
	NoBackground bool
	// RefreshesPerHour bounds the pushes to refresh that one device gets in an hour;
	// 0 sets no bound.
	RefreshesPerHour int
	// Learning shortens the wait for devices that have not woken for long.
	Learning Learning
}

// Set replaces the settings for pushes to come. It may be called at any time.
func (w *Waker) Set(s Settings) { w.settings.Store(&s) }

// tokensFor returns the tokens that may be used for a push of kind k. With none
// that fits, the outcome of the push is Forbidden.
func (w *Waker) tokensFor(k push.Kind, d *device) []push.Token {
	if k == push.Call || !d.params.Apple() || !w.settings.Load().NoBackground {
		return d.tokens
	}
	return slices.DeleteFunc(d.tokens, func(t push.Token) bool { return t.Use != push.VoIP })
}

// A device is what a binding says of its device, as far as push is concerned.
type device struct {
	params push.Params
	// tokens are those that are not known to be dead, at least one.
	tokens []push.Token
}

// device reads the push data of b. The error is ErrDead if none of its tokens is
// alive.
func (w *Waker) device(b *usrloc.Binding) (device, error) {
	params, tokens, err := push.Parse(b.Push.Provider, b.Push.Param, b.Push.PRID)
	if err != nil {
		return device{}, err
	}
	// Of a device with two tokens one may be dead alone: the app gave up PushKit,
	// or the user took away its notifications.
	tokens = push.Living(tokens, func(prid string) bool { return w.dead.has(tokenOf(params, prid), b.Updated) })
	if len(tokens) == 0 {
		return device{}, ErrDead
	}
	return device{params: params, tokens: tokens}, nil
}

// tokenOf is a single token of an app, as the push service knows it.
func tokenOf(p push.Params, prid string) usrloc.Push {
	return usrloc.Push{Provider: p.Provider, Param: p.Param, PRID: prid}
}

// without returns push data less a token that is dead. carried is false if they do
// not hold it.
func without(data, dead usrloc.Push) (left usrloc.Push, carried bool) {
	params, err := push.ParseParams(data.Provider, data.Param)
	if err != nil || params != (push.Params{Provider: dead.Provider, Param: dead.Param}) {
		return data, false
	}
	left = data
	left.PRID = params.WithoutToken(data.PRID, dead.PRID)
	return left, left.PRID != data.PRID
}

// Refreshable reports whether push data hold a token that may be used to refresh a
// binding.
func Refreshable(data usrloc.Push) bool {
	_, tokens, err := push.Parse(data.Provider, data.Param, data.PRID)
	if err != nil {
		return false
	}
	_, ok := (&push.Request{Kind: push.Refresh, Tokens: tokens}).Token()
	return ok
}
