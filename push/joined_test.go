package push

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A phone may be back before it is known what became of the push: whoever joins one
// knows at once by which name the app was woken.
func TestSubmit_TellsWhichPushIsJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{send: func(context.Context, int, *Request) Outcome {
			time.Sleep(10 * time.Millisecond)
			return Outcome{Class: OK}
		}}
		d := newTestDispatcher(t, App{Name: "a", Provider: "fcm", Sender: f, InFlight: 9})
		first, second, third := *fcmRequest("t1"), *fcmRequest("t1"), *fcmRequest("t1")
		first.PushID, second.PushID, third.PushID = "1", "2", "3"
		one, two := submit(t, d, &first), submit(t, d, &second)
		if first.SentAs != "" || second.SentAs != "1" {
			t.Errorf("under way: %q and %q, want the second to be sent as the first", first.SentAs, second.SentAs)
		}
		one.once(t)
		two.once(t)
		submit(t, d, &third).once(t)
		if third.SentAs != "1" {
			t.Errorf("a moment later: sent as %q, want 1", third.SentAs)
		}
		closeNow(t, d)
	})
}
