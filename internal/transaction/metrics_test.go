package transaction

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics_Lint(t *testing.T) {
	reg := prometheus.NewRegistry()
	New(Options{Queues: 1, Registerer: reg})
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetrics_CountWhatHappens(t *testing.T) {
	reg := prometheus.NewRegistry()
	bubble(t, Options{Registerer: reg}, func(r *rig) {
		invite := rq{}.on(t, udpCaller)
		r.receive(udpCaller, invite)
		r.receive(udpCaller, invite)
		var resume func(func())
		r.on(r.server, func() { resume = r.server.Suspend() })
		c := r.client(udpPhone, "MESSAGE")
		r.advance(time.Second)
		r.setDown(true)
		r.on(r.server, func() { r.server.Reply(reply(180)) })
		r.setDown(false)
		stray := strings.ReplaceAll(string(c.Message().AppendReply(nil, reply(200))), "ours", "other")
		r.receive(udpPhone, r.parse(udpPhone, []byte(stray)))
		want := `
# HELP reveille_transaction_dropped_total Messages dropped, by reason.
# TYPE reveille_transaction_dropped_total counter
reveille_transaction_dropped_total{reason="stray_response"} 1
# HELP reveille_transaction_live Transactions alive, by kind.
# TYPE reveille_transaction_live gauge
reveille_transaction_live{kind="client_invite"} 0
reveille_transaction_live{kind="client_other"} 1
reveille_transaction_live{kind="server_invite"} 1
reveille_transaction_live{kind="server_other"} 0
# HELP reveille_transaction_retransmissions_absorbed_total Retransmitted requests, and ACKs to unkept answers, that went no further.
# TYPE reveille_transaction_retransmissions_absorbed_total counter
reveille_transaction_retransmissions_absorbed_total 1
# HELP reveille_transaction_retransmissions_sent_total Requests and responses sent again by a timer.
# TYPE reveille_transaction_retransmissions_sent_total counter
reveille_transaction_retransmissions_sent_total 1
# HELP reveille_transaction_send_errors_total Messages that the transport refused.
# TYPE reveille_transaction_send_errors_total counter
reveille_transaction_send_errors_total 1
# HELP reveille_transaction_suspended Keys of flow and Call-ID that wait for a handler.
# TYPE reveille_transaction_suspended gauge
reveille_transaction_suspended 1
`
		err := testutil.GatherAndCompare(reg, strings.NewReader(want),
			"reveille_transaction_dropped_total", "reveille_transaction_live", "reveille_transaction_suspended",
			"reveille_transaction_retransmissions_absorbed_total", "reveille_transaction_retransmissions_sent_total",
			"reveille_transaction_send_errors_total")
		if err != nil {
			t.Error(err)
		}
		resume(nil)
		synctest.Wait()
		r.advance(time.Minute)
		if n := testutil.ToFloat64(r.layer.metrics.timeouts.WithLabelValues("f")); n != 1 {
			t.Errorf("timeouts{timer=f} = %v, want 1", n)
		}
	})
}
