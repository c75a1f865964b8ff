package transport

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"reveille/flow"
)

// counts returns the values of all metrics that are not zero, by
// "name{label values}".
func counts(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName() + "{"
			for _, l := range m.GetLabel() {
				name += l.GetValue() + " "
			}
			if v := value(m); v != 0 {
				out[name[:len(name)-1]+"}"] = v
			}
		}
	}
	return out
}

func value(m *dto.Metric) float64 {
	if m.GetGauge() != nil {
		return m.GetGauge().GetValue()
	}
	return m.GetCounter().GetValue()
}

func TestMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	inBubble(t, Options{Registerer: r, MaxConnsPerSource: 1, MaxMessage: 2000, DialTimeout: time.Second}, func(t *testing.T, b *bench) {
		phone, host := b.phone("192.0.2.50"), b.net.Host("192.0.2.51")
		for _, m := range []string{"REGISTER", "\r\n\r\n", string(make([]byte, 20)), fmt.Sprintf("%03000d", 1)} {
			sendTo(t, phone, "192.0.2.1:5060", m)
		}
		synctest.Wait()
		c := b.dial(host)
		mustWrite(t, c, message(1, "")+"\r\n\r\n")
		synctest.Wait()
		_ = b.dial(host)
		synctest.Wait()
		f := b.last()
		if err := b.Send(f, []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := b.Send(f, make([]byte, 3000)); err == nil {
			t.Fatal("too long a message was sent")
		}
		<-b.connect(flow.TCP, "192.0.2.99:1")
		want := map[string]float64{
			"reveille_transport_received_messages_total{udp}":          1,
			"reveille_transport_keepalives_total{udp}":                 2,
			"reveille_transport_dropped_datagrams_total{udp}":          1,
			"reveille_transport_received_messages_total{tcp}":          1,
			"reveille_transport_keepalives_total{tcp}":                 1,
			"reveille_transport_sent_messages_total{tcp}":              1,
			"reveille_transport_send_errors_total{tcp too_long}":       1,
			"reveille_transport_connections_opened_total{in tcp}":      1,
			"reveille_transport_connections_refused_total{source tcp}": 1,
			"reveille_transport_connections{tcp}":                      1,
			"reveille_transport_dial_errors_total{tcp failed}":         1,
		}
		if diff := cmp.Diff(want, counts(t, r)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got, _ := readAvailable(t, c); got != "\r\nx" {
			t.Errorf("the peer read %q", got)
		}
		c.Close()
		synctest.Wait()
		got := counts(t, r)
		if got["reveille_transport_connections{tcp}"] != 0 || got["reveille_transport_connections_closed_total{tcp peer}"] != 1 {
			t.Errorf("after the end: %v", got)
		}
	})
}

// The label is one of a few, whatever the network says.
func TestMetrics_Reason(t *testing.T) {
	for want, err := range map[string]error{
		"peer":       io.EOF,
		"garbled":    fmt.Errorf("%w: %w", ErrGarbled, errors.New("x")),
		"queue_full": fmt.Errorf("send: %w", ErrQueueFull),
		"network":    errors.New("connection reset by 192.0.2.1"),
	} {
		if got := reason(err); got != want {
			t.Errorf("reason(%v) = %q, want %q", err, got, want)
		}
	}
}
