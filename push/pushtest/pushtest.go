// Package pushtest is the conformance suite of push.Sender.
package pushtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/push"
	"reveille/push/pushsim"
)

// A Fixture is a Sender with a pretend service that it pushes to.
type Fixture struct {
	Sender push.Sender
	// Request makes a request of kind Call that the service takes. Each has the
	// same token, of use Any or VoIP.
	Request func() *push.Request
	// Set makes the service answer pushes to that token with a fault.
	Set func(pushsim.Fault)
	// Received counts the pushes that the service was sent.
	Received func() int
}

// patience bounds what must end soon, on a slow machine.
const patience = 10 * time.Second

// Run checks that a Sender does what push.Sender promises. start is called for
// each case and cleans up by t.Cleanup.
func Run(t *testing.T, start func(t *testing.T) Fixture) {
	t.Helper()
	// Each case makes the service misbehave once, checks what the Sender says of
	// it, and that the next push is none the worse.
	for _, c := range []struct {
		name  string
		fault pushsim.Fault
		want  []push.Class
		// retryAfter is what the Outcome must say.
		retryAfter time.Duration
	}{
		{name: "accepts", want: []push.Class{push.OK}},
		{name: "accepts slowly", fault: pushsim.Fault{Delay: 50 * time.Millisecond}, want: []push.Class{push.OK}},
		{name: "gone", fault: pushsim.Fault{Kind: pushsim.Gone}, want: []push.Class{push.Gone}},
		{name: "wrong token", fault: pushsim.Fault{Kind: pushsim.BadToken}, want: []push.Class{push.Suspect}},
		{
			name: "throttled", fault: pushsim.Fault{Kind: pushsim.Throttle, RetryAfter: 7 * time.Second},
			want: []push.Class{push.Throttled}, retryAfter: 7 * time.Second,
		},
		{
			// A Sender that retries by itself would come back with OK.
			name: "unavailable once", fault: pushsim.Fault{Kind: pushsim.Unavailable, RetryAfter: 3 * time.Second, Times: 1},
			want: []push.Class{push.Unavailable}, retryAfter: 3 * time.Second,
		},
		{name: "unavailable", fault: pushsim.Fault{Kind: pushsim.Unavailable}, want: []push.Class{push.Unavailable}},
		// Web Push cannot tell a wrong key from a subscription made with another.
		{name: "credential refused", fault: pushsim.Fault{Kind: pushsim.Refuse}, want: []push.Class{push.Credential, push.Suspect}},
		{name: "garbage", fault: pushsim.Fault{Kind: pushsim.Garbage}, want: []push.Class{push.Unavailable}},
		{name: "huge body", fault: pushsim.Fault{Kind: pushsim.Huge}, want: []push.Class{push.Unavailable}},
		{name: "reset", fault: pushsim.Fault{Kind: pushsim.Reset}, want: []push.Class{push.Network}},
		{name: "goes away", fault: pushsim.Fault{Kind: pushsim.GoAway}, want: []push.Class{push.OK}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			f.Set(c.fault)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r := f.Request()
			o := f.Sender.Send(ctx, r)
			if !slices.Contains(c.want, o.Class) {
				t.Fatalf("class = %v (%q, status %d, err %v), want %v", o.Class, o.Reason, o.Status, o.Err, c.want)
			}
			if o.RetryAfter != c.retryAfter && c.retryAfter != 0 {
				t.Errorf("retry after = %v, want %v", o.RetryAfter, c.retryAfter)
			}
			if o.Class == push.OK && (o.Err != nil || o.Status < 200 || o.Status > 299) {
				t.Errorf("success with status %d, err %v", o.Status, o.Err)
			}
			if o.Class != push.OK && (o.Err == nil || o.Reason == "") {
				t.Errorf("failure without reason or cause: %q, %v", o.Reason, o.Err)
			}
			checkSecret(t, r, o)

			// Whatever happened, it works again.
			f.Set(pushsim.Fault{})
			if o := f.Sender.Send(ctx, f.Request()); o.Class != push.OK {
				t.Errorf("afterwards: %v (%q, err %v), want ok", o.Class, o.Reason, o.Err)
			}
		})
	}

	// A push service that is silent must not hold a lane for longer than ctx.
	t.Run("black hole", func(t *testing.T) {
		f := start(t)
		f.Set(pushsim.Fault{Kind: pushsim.BlackHole})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		r := f.Request()
		o := f.Sender.Send(ctx, r)
		if took := time.Since(began); took > patience {
			t.Errorf("returned %v after ctx had ended", took)
		}
		if o.Class != push.Network || !errors.Is(o.Err, context.DeadlineExceeded) {
			t.Errorf("outcome = %v, err %v; want network, deadline exceeded", o.Class, o.Err)
		}
		checkSecret(t, r, o)
	})

	t.Run("ctx ended", func(t *testing.T) {
		f := start(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if o := f.Sender.Send(ctx, f.Request()); o.Class != push.Network {
			t.Errorf("class = %v, want network", o.Class)
		}
		if n := f.Received(); n != 0 {
			t.Errorf("%d pushes sent, want none", n)
		}
	})

	// iOS ends an app that gets a VoIP push and shows no call. The Dispatcher
	// knows that, too; the Sender is the last to know.
	t.Run("VoIP token is for calls alone", func(t *testing.T) {
		f := start(t)
		for _, k := range []push.Kind{push.Message, push.MidDialog, push.Refresh, push.Cancel} {
			r := f.Request()
			r.Kind = k
			r.Tokens = []push.Token{{PRID: r.Tokens[0].PRID, Use: push.VoIP}}
			if o := f.Sender.Send(t.Context(), r); o.Class != push.Forbidden {
				t.Errorf("%v: class = %v, want forbidden", k, o.Class)
			}
		}
		if n := f.Received(); n != 0 {
			t.Errorf("%d pushes sent, want none", n)
		}
	})

	t.Run("concurrent", func(t *testing.T) {
		f := start(t)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var wg sync.WaitGroup
		const n = 32
		for range n {
			wg.Go(func() {
				if o := f.Sender.Send(ctx, f.Request()); o.Class != push.OK {
					t.Errorf("class = %v (%q, err %v), want ok", o.Class, o.Reason, o.Err)
				}
			})
		}
		wg.Wait()
		if got := f.Received(); got != n {
			t.Errorf("%d pushes received, want %d", got, n)
		}
	})

	t.Run("close twice", func(t *testing.T) {
		f := start(t)
		for range 2 {
			if err := f.Sender.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	})
}

// checkSecret fails if the PRID shows in what will be logged.
func checkSecret(t *testing.T, r *push.Request, o push.Outcome) {
	t.Helper()
	text := o.Reason
	if o.Err != nil {
		text += " " + o.Err.Error()
	}
	for _, tok := range r.Tokens {
		if strings.Contains(text, tok.PRID) {
			t.Errorf("outcome tells the token: %q", text)
		}
	}
	if len(o.Reason) > 64 {
		t.Errorf("reason has %d bytes, want at most 64", len(o.Reason))
	}
}
