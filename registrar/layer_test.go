package registrar

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// wire is a Sender that keeps what was sent, and the transaction user of a
// server that knows REGISTER alone.
type wire struct {
	*server
	mu   sync.Mutex
	sent []string
}

func (w *wire) Send(_ flow.Flow, b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, string(b))
	return nil
}

func (w *wire) Request(s *transaction.Server)                             { w.Serve(s, nil) }
func (w *wire) Ack(*transaction.Queue, flow.Flow, *sipmsg.Message)        {}
func (w *wire) Cancel(invite *transaction.Server, cancel *sipmsg.Message) {}
func (w *wire) Stray(f flow.Flow, m *sipmsg.Message)                      {}
func (w *wire) receive(t *testing.T, layer *transaction.Layer, text string) {
	t.Helper()
	m, err := sipmsg.Parse([]byte(text), netip.MustParseAddrPort("192.0.2.1:5060"))
	if err != nil {
		t.Fatal(err)
	}
	if !layer.Receive(flowFrom(5060), m) {
		t.Fatal("not taken")
	}
}

// TestServe_OnTransactionLayer_RFC3261_10_3 has a phone send without waiting for
// answers: they are worked in as they come, a copy of the last one too, and no
// transaction is left behind.
func TestServe_OnTransactionLayer_RFC3261_10_3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := usrloc.NewMemory(usrloc.MemoryOptions{})
		defer store.Close()
		w := &wire{server: newServer(t, store)}
		layer := transaction.New(transaction.Options{Sender: w, User: w})
		layer.Start()
		defer layer.Stop(context.Background())

		first := request(1, "Contact: <sip:a@192.0.2.1>")
		second := request(2, "Contact: <sip:b@192.0.2.1>")
		third := request(3, "Contact: *", "Expires: 0")
		fourth := request(4, "Contact: <sip:c@192.0.2.1>")
		for _, text := range []string{first, second, third, fourth, fourth} {
			w.receive(t, layer, text)
		}
		synctest.Wait()
		want := []string{
			"CSeq: 1 REGISTER\r\nContact: <sip:a@192.0.2.1>;expires=3600\r\nDate",
			"CSeq: 2 REGISTER\r\nContact: <sip:a@192.0.2.1>;expires=3600\r\nContact: <sip:b@192.0.2.1>;expires=3600\r\nDate",
			"CSeq: 3 REGISTER\r\nDate",
			"CSeq: 4 REGISTER\r\nContact: <sip:c@192.0.2.1>;expires=3600\r\nDate",
			"CSeq: 4 REGISTER\r\nContact: <sip:c@192.0.2.1>;expires=3600\r\nDate",
		}
		if len(w.sent) != len(want) {
			t.Fatalf("%d answers: %q", len(w.sent), w.sent)
		}
		for i := range want {
			if !strings.Contains(w.sent[i], want[i]) {
				t.Errorf("answer %d\n%s\nwant\n%s", i, w.sent[i], want[i])
			}
		}
		if a, b := w.sent[3], w.sent[4]; a != b {
			t.Errorf("the copy was answered\n%s\nnot\n%s", b, a)
		}
		if layer.Busy("one", &sipmsg.URI{}) {
			t.Error("something is left in the queue")
		}
	})
}
