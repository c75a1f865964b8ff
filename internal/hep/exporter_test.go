package hep

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/trace"
)

// A collector takes connections of an Exporter.
type collector struct {
	t     *testing.T
	dials []time.Duration // when, since the start
	start time.Time
	// refused is how many attempts fail first.
	refused int
	conns   []net.Conn // the collector's ends
}

func (c *collector) dial(context.Context, string, string) (net.Conn, error) {
	c.dials = append(c.dials, time.Since(c.start))
	if len(c.dials) <= c.refused {
		return nil, errors.New("refused")
	}
	near, far := net.Pipe()
	c.conns = append(c.conns, far)
	return near, nil
}

// read returns the next packet of the newest connection.
func (c *collector) read() Packet {
	c.t.Helper()
	synctest.Wait()
	conn := c.conns[len(c.conns)-1]
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	head := make([]byte, headerLen)
	if _, err := io.ReadFull(conn, head); err != nil {
		c.t.Fatal(err)
	}
	packet := append(head, make([]byte, int(head[4])<<8+int(head[5])-headerLen)...)
	if _, err := io.ReadFull(conn, packet[headerLen:]); err != nil {
		c.t.Fatal(err)
	}
	p, err := decode(packet)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// inBubble runs test with an Exporter in a bubble.
func inBubble(t *testing.T, o Options, refused int, test func(t *testing.T, e *Exporter, c *collector)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &collector{t: t, start: time.Now(), refused: refused}
		o.Addr, o.Dial, o.Registerer = "homer.example.com:9060", c.dial, prometheus.NewRegistry()
		e, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			e.Run(ctx)
			close(done)
		}()
		test(t, e, c)
		cancel()
		<-done
		for _, conn := range c.conns {
			conn.Close()
		}
	})
}

// message is one that arrived, or left.
func message(sent bool, callID, body string) *trace.Message {
	m := &trace.Message{
		At: time.Now(), Sent: sent, Flow: flow.Flow{Transport: flow.UDP, Remote: netip.MustParseAddrPort("192.0.2.9:5060")},
		Local: netip.MustParseAddrPort("192.0.2.1:5062"), Raw: "OPTIONS sip:a SIP/2.0\r\nCall-ID: " + callID + "\r\n\r\n" + body, Scan: new(sipmsg.Scan),
	}
	m.Fault = m.Scan.Parse(m.Raw)
	return m
}

// waiting is how many bytes wait.
func waiting(e *Exporter) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.queue)
}

func lost(e *Exporter, reason string) float64 {
	return testutil.ToFloat64(e.metrics.losses.WithLabelValues(reason))
}

func TestExporter_SendsBothDirections(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			inBubble(t, Options{Network: network, CaptureID: 7, Password: "pw"}, 0, func(t *testing.T, e *Exporter, c *collector) {
				at := time.Now()
				synctest.Wait()
				e.Take(message(false, "c1", ""))
				e.Take(message(true, "c2", "body"))
				failed := message(true, "c3", "")
				failed.Err = errors.New("x")
				e.Take(failed)
				want := []Packet{
					{At: at, Src: netip.MustParseAddrPort("192.0.2.9:5060"), Dst: netip.MustParseAddrPort("192.0.2.1:5062"), CaptureID: 7, Password: "pw", CorrelationID: "c1", Payload: "OPTIONS sip:a SIP/2.0\r\nCall-ID: c1\r\n\r\n"},
					{At: at, Src: netip.MustParseAddrPort("192.0.2.1:5062"), Dst: netip.MustParseAddrPort("192.0.2.9:5060"), CaptureID: 7, Password: "pw", CorrelationID: "c2", Payload: "OPTIONS sip:a SIP/2.0\r\nCall-ID: c2\r\n\r\nbody"},
				}
				same := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
				if diff := cmp.Diff(want, []Packet{c.read(), c.read()}, same); diff != "" {
					t.Error(diff)
				}
				synctest.Wait()
				if got := testutil.ToFloat64(e.metrics.sent); got != 2 {
					t.Errorf("%v sent, want 2", got)
				}
			})
		})
	}
}

func TestExporter_SendsNoSecrets(t *testing.T) {
	inBubble(t, Options{Network: "tcp", Redact: func(m *trace.Message) string { return m.Redact(nil, false) }}, 0, func(t *testing.T, e *Exporter, c *collector) {
		synctest.Wait()
		e.Take(message(false, "c1", "text"))
		if got, want := c.read().Payload, "OPTIONS sip:a SIP/2.0\r\nCall-ID: c1\r\n\r\n(4 bytes of a body)"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		e.Take(message(false, "c1;pn-prid=S", ""))
		if got := c.read(); got.CorrelationID != "" || strings.Contains(got.Payload, "=S") {
			t.Errorf("got %+v", got)
		}
	})
}

func TestExporter_TriesAgain(t *testing.T) {
	inBubble(t, Options{Network: "tcp"}, 3, func(t *testing.T, e *Exporter, c *collector) {
		e.Take(message(false, "c1", ""))
		time.Sleep(7 * time.Second)
		if got := c.read().CorrelationID; got != "c1" {
			t.Errorf("got %q: what waited is lost", got)
		}
		if diff := cmp.Diff([]time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}, c.dials); diff != "" {
			t.Error(diff)
		}
		// The collector ends; what is under way then is lost, and counted. What comes
		// later waits for it.
		c.conns[0].Close()
		e.Take(message(false, "c2", ""))
		synctest.Wait()
		e.Take(message(false, "c3", ""))
		time.Sleep(time.Second)
		if got := c.read().CorrelationID; got != "c3" || lost(e, lostUnsent) != 1 {
			t.Errorf("got %q, %v are lost", got, lost(e, lostUnsent))
		}
	})
}

// A collector that does not read holds up nobody.
func TestExporter_NeverWaits(t *testing.T) {
	inBubble(t, Options{Network: "tcp"}, 0, func(t *testing.T, e *Exporter, c *collector) {
		synctest.Wait()
		begin := time.Now()
		e.Take(message(false, "c0", ""))
		synctest.Wait()
		body := strings.Repeat("x", 60000)
		for range maxQueued/len(body) + 10 {
			e.Take(message(false, "c", body))
		}
		if lost(e, lostFull) < 9 || waiting(e) > maxQueued {
			t.Errorf("%v are lost, %d bytes wait", lost(e, lostFull), waiting(e))
		}
		if time.Since(begin) != 0 {
			t.Error("it waited")
		}
		time.Sleep(writeTimeout + firstPause)
		synctest.Wait()
		if len(c.dials) != 2 || lost(e, lostUnsent) != 1 {
			t.Errorf("%d connections, %v lost", len(c.dials), lost(e, lostUnsent))
		}
	})
}

func TestExporter_Bounds(t *testing.T) {
	inBubble(t, Options{Network: "udp"}, 0, func(t *testing.T, e *Exporter, _ *collector) {
		e.Take(message(false, "c", strings.Repeat("x", 65400)))
		e.Take(message(false, "c", strings.Repeat("x", 65530)))
		e.Lost(5)
		if lost(e, lostTooLong) != 2 || lost(e, lostUnseen) != 5 || waiting(e) != 0 {
			t.Errorf("%v too long, %v unseen, %d bytes wait", lost(e, lostTooLong), lost(e, lostUnseen), waiting(e))
		}
	})
}

func TestNew_Refuses(t *testing.T) {
	for _, o := range []Options{{Network: "sctp", Addr: "a:1"}, {Network: "udp", Addr: "a"}, {}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%v) takes it", o)
		}
	}
}
