package push

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewPedanticRegistry()
		release := make(chan struct{})
		f := &fake{send: func(_ context.Context, n int, _ *Request) Outcome {
			<-release
			if n == 1 {
				return Outcome{Class: Network}
			}
			return Outcome{Class: OK}
		}}
		d, err := NewDispatcher(Options{Apps: []App{{Name: "a", Provider: "fcm", Sender: f}}, Registerer: reg})
		if err != nil {
			t.Fatal(err)
		}
		one, two := submit(t, d, fcmRequest("t1")), submit(t, d, fcmRequest("t2"))
		joined := submit(t, d, fcmRequest("t2"))
		nobody := fcmRequest("t")
		nobody.Params.Provider = "acme"
		if _, err := d.Submit(nobody, func(Outcome) {}); err == nil {
			t.Error("no error")
		}
		expect := func(want string) {
			t.Helper()
			var names []string
			for line := range strings.Lines(want) {
				if name, _, ok := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " "); ok && strings.HasPrefix(line, "# TYPE") {
					names = append(names, name)
				}
			}
			if err := testutil.GatherAndCompare(reg, strings.NewReader(want), names...); err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		expect(`# HELP reveille_push_in_flight Attempts under way.
# TYPE reveille_push_in_flight gauge
reveille_push_in_flight{app="a",provider="fcm"} 1
# HELP reveille_push_queue_depth Wakes that wait to be sent.
# TYPE reveille_push_queue_depth gauge
reveille_push_queue_depth{app="a",provider="fcm"} 1
`)
		close(release)
		one.once(t)
		two.once(t)
		joined.once(t)
		time.Sleep(time.Second)
		expect(`# HELP reveille_push_attempts_total Requests sent to push services, by their answer.
# TYPE reveille_push_attempts_total counter
reveille_push_attempts_total{app="a",class="network",provider="fcm"} 1
reveille_push_attempts_total{app="a",class="ok",provider="fcm"} 2
# HELP reveille_push_coalesced_total Wakes that another push answered for.
# TYPE reveille_push_coalesced_total counter
reveille_push_coalesced_total{app="a",provider="fcm"} 1
# HELP reveille_push_in_flight Attempts under way.
# TYPE reveille_push_in_flight gauge
reveille_push_in_flight{app="a",provider="fcm"} 0
# HELP reveille_push_queue_depth Wakes that wait to be sent.
# TYPE reveille_push_queue_depth gauge
reveille_push_queue_depth{app="a",provider="fcm"} 0
# HELP reveille_push_refused_total Wakes not taken, by reason.
# TYPE reveille_push_refused_total counter
reveille_push_refused_total{reason="no_app"} 1
# HELP reveille_push_requests_total Wakes by how they ended.
# TYPE reveille_push_requests_total counter
reveille_push_requests_total{app="a",class="ok",kind="call",provider="fcm"} 2
`)
		closeNow(t, d)
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
	})
}
