package wake

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reveille/push"
	"reveille/usrloc"
)

func pair(prid string) usrloc.Push {
	return usrloc.Push{Provider: "apns", Param: "T.b.voip&remote", PRID: prid}
}

// The push service speaks of one token; the other is another address of the device.
func TestWake_OneDeadTokenOfTwoLeavesTheOther(t *testing.T) {
	tests := []struct {
		name  string
		prid  string
		kind  push.Kind
		want  string
		token push.Token // of the next call
		// refresh says that the binding can still be refreshed.
		refresh bool
	}{
		{"the VoIP token", "aa:voip&bb:remote", push.Call, "bb:remote", push.Token{PRID: "bb"}, true},
		{"in the other order", "bb:remote&aa:voip", push.Call, "bb:remote", push.Token{PRID: "bb"}, true},
		{"the other token", "aa:voip&bb:remote", push.Refresh, "aa:voip", push.Token{PRID: "aa", Use: push.VoIP}, false},
		{"a bare one", "aa&bb:remote", push.Message, "aa", push.Token{PRID: "aa", Use: push.VoIP}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			old := r.bind(time.Now().Add(-time.Minute), pair(tt.prid))[0]
			if _, _, err := r.waker.Wake(alice, &old, Cause{Kind: tt.kind}, func(push.Outcome) {}); err != nil {
				t.Fatal(err)
			}
			r.done[0](gone)
			b := r.bindings()[0]
			if d := cmp.Diff(pair(tt.want), b.Push); d != "" {
				t.Errorf("push data (-want +got):\n%s", d)
			}
			if b.RefreshAt.IsZero() == tt.refresh {
				t.Errorf("refresh at %v, want one: %t", b.RefreshAt, tt.refresh)
			}
			// Whoever still holds the binding as it was does not use the dead one.
			for _, b := range []usrloc.Binding{b, old} {
				if !r.waker.Can(&b) {
					t.Fatal("Can = false, want the device woken by its other token")
				}
				if _, _, err := r.waker.Wake(alice, &b, Cause{Kind: push.Call}, func(push.Outcome) {}); err != nil {
					t.Fatal(err)
				}
				q := r.requests[len(r.requests)-1]
				if got, ok := q.Token(); !ok || got != tt.token || len(q.Tokens) != 1 {
					t.Errorf("next call by %v, want the token of use %v alone", q.Tokens, tt.token.Use)
				}
			}
		})
	}
}

// TestWake_NoMoreRefreshes: with its token for other pushes a phone loses its refreshes.
// If it is kept when its registration ends, that end is still due; if it has ended,
// nothing is.
func TestWake_NoMoreRefreshes(t *testing.T) {
	for _, tt := range []struct {
		name            string
		refresh, retain time.Duration // after its end
		due             bool
	}{
		{"not kept", -time.Minute, 0, false},
		{"kept", -time.Minute, time.Hour, true},
		{"refreshed by calls alone", 0, time.Hour, true},
		{"has ended", time.Minute, time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			old := r.bind(time.Now().Add(-time.Minute), pair("aa:voip&bb:remote"))[0]
			old.RefreshAt, old.RetainUntil = old.Expires.Add(tt.refresh), old.Expires.Add(tt.retain)
			r.store.Update(t.Context(), alice, func(rec usrloc.Record) (usrloc.Record, error) {
				rec.Bindings = []usrloc.Binding{old}
				return rec, nil
			}, func(usrloc.Record, []usrloc.Change, error) {})
			if _, _, err := r.waker.Wake(alice, &old, Cause{Kind: push.Refresh}, func(push.Outcome) {}); err != nil {
				t.Fatal(err)
			}
			r.done[0](gone)
			b := r.bindings()[0]
			if b.Push.PRID != "aa:voip" || b.RefreshAt.Equal(b.Expires) != tt.due || !tt.due && !b.RefreshAt.IsZero() {
				t.Errorf("token %q, refresh at %v, end %v", b.Push.PRID, b.RefreshAt, b.Expires)
			}
		})
	}
}

func TestWake_BothTokensDead(t *testing.T) {
	r := newRig(t)
	old := r.bind(time.Now().Add(-time.Minute), pair("aa:voip&bb:remote"))[0]
	for _, k := range []push.Kind{push.Call, push.Refresh} {
		if _, _, err := r.waker.Wake(alice, &old, Cause{Kind: k}, func(push.Outcome) {}); err != nil {
			t.Fatal(err)
		}
		r.done[len(r.done)-1](gone)
	}
	if b := r.bindings()[0]; b.Push.PRID != "" || b.Push.Provider != "apns" || !b.RefreshAt.IsZero() {
		t.Errorf("push data %v, refresh at %v; want none but the provider", b.Push, b.RefreshAt)
	}
	if _, _, err := r.waker.Wake(alice, &old, Cause{Kind: push.Call}, func(push.Outcome) {}); !errors.Is(err, ErrDead) {
		t.Errorf("Wake = %v, want ErrDead", err)
	}
}

func TestWake_NoBackgroundPushes(t *testing.T) {
	tests := []struct {
		name  string
		data  usrloc.Push
		kind  push.Kind
		token bool
	}{
		{"a call", pair("aa:voip&bb:remote"), push.Call, true},
		{"a call without PushKit", pair("bb:remote"), push.Call, true},
		{"a refresh", pair("aa:voip&bb:remote"), push.Refresh, false},
		{"a message", pair("aa:voip&bb:remote"), push.Message, false},
		{"in a call", pair("bb:remote"), push.MidDialog, false},
		{"a refresh of another platform", fcm(secret), push.Refresh, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.waker.Set(Settings{NoBackground: true})
			b := r.bind(time.Now(), tt.data)[0]
			if _, _, err := r.waker.Wake(alice, &b, Cause{Kind: tt.kind}, func(push.Outcome) {}); err != nil {
				t.Fatal(err)
			}
			if _, ok := r.requests[0].Token(); ok != tt.token {
				t.Errorf("a token to push to: %t, want %t", ok, tt.token)
			}
		})
	}
}
