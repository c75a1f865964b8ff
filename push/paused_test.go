package push

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestPaused_OnePartIsEnough: one series for each app, whatever parts it has.
func TestPaused_OnePartIsEnough(t *testing.T) {
	soon := time.Now().Add(time.Minute)
	p := newPaused(func() []LaneHealth {
		return []LaneHealth{
			{App: "android", Provider: "fcm"},
			{App: "ios", Provider: "apns", Part: "alert"},
			{App: "ios", Provider: "apns", Part: "voip", PausedUntil: soon, PausedFor: Credential},
		}
	})
	want := `
# HELP reveille_push_paused 1 while nothing is sent to a push service, or to a part of it, because it refused or failed, else 0.
# TYPE reveille_push_paused gauge
reveille_push_paused{app="android",provider="fcm"} 0
reveille_push_paused{app="ios",provider="apns"} 1
`
	if err := testutil.CollectAndCompare(p, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
