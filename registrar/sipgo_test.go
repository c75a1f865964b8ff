package registrar

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"reveille/flow"
	"reveille/usrloc"
)

// transaction of sipgo that keeps the response.
type sipgoTx struct {
	sip.ServerTransaction
	res *sip.Response
	err error
}

func (tx *sipgoTx) Respond(res *sip.Response) error { tx.res = res; return tx.err }

func sipgoRequest(t *testing.T, text, transport string) *sip.Request {
	t.Helper()
	msg, err := sip.ParseMessage([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	req, ok := msg.(*sip.Request)
	if !ok {
		t.Fatalf("%T is no request", msg)
	}
	req.SetSource("192.0.2.1:40000")
	req.SetTransport(transport)
	return req
}

func TestOnRegister(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	s := newServer(t, store)
	tx := &sipgoTx{}
	s.OnRegister(sipgoRequest(t, request(1, "Contact: "+web+";expires=600"), "TCP"), tx)
	got := tx.res.String()
	for _, want := range []string{
		"SIP/2.0 200 OK\r\n",
		"Contact: " + web + ";expires=600\r\n",
		`Feature-Caps: *;+sip.pns="webpush";+sip.vapid="BPub-Key_0";+sip.pnspurr="purr`,
		"Call-ID: one\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q not in\n%s", want, got)
		}
	}
	rec, err := store.Get(t.Context(), alice)
	if err != nil || len(rec.Bindings) != 1 {
		t.Fatalf("stored %v, %v", rec.Bindings, err)
	}
	if f := rec.Bindings[0].Flow; f.Transport != flow.TCP || f.Remote.String() != "192.0.2.1:40000" {
		t.Errorf("flow %v", f)
	}
}

func TestServeSipgo_NotAllowed_RFC3261_10_3_4(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	s := newServer(t, store)
	tx := &sipgoTx{}
	s.ServeSipgo(sipgoRequest(t, request(1, "Contact: <sip:a@h>"), "UDP"), tx, func(usrloc.AOR) bool { return false })
	if tx.res.StatusCode != 403 {
		t.Errorf("answer %s", tx.res)
	}
}

func TestServeSipgo_Damaged(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	s := newServer(t, store)
	for _, line := range []string{"Max-Forwards: 1000", "Contact: <sip:a@h>;expires=\"unclosed", "CSeq: 1 INVITE"} {
		tx := &sipgoTx{}
		req := sipgoRequest(t, request(1), "UDP")
		name, value, _ := strings.Cut(line, ": ")
		req.AppendHeader(sip.NewHeader(name, value))
		s.OnRegister(req, tx)
		if tx.res == nil || tx.res.StatusCode != 400 {
			t.Errorf("%s: answer %v, want a 400", line, tx.res)
		}
	}
}

func TestServeSipgo_AnswerIsLost(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	s := newServer(t, store)
	s.OnRegister(sipgoRequest(t, request(1, "Contact: <sip:a@h>"), "UDP"), &sipgoTx{err: errors.New("no route to host")})
	if got := s.log.String(); !strings.Contains(got, "no route to host") || !strings.Contains(got, slog.LevelWarn.String()) {
		t.Errorf("log\n%s", got)
	}
}

func TestServeSipgo_OtherDomain_RFC3261_10_3_1(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	s := newServer(t, store)
	for uri, want := range map[string]int{
		"sip:example.net": 404, "sip:EXAMPLE.com": 200, "sip:alice@example.com;x": 200, "sips:example.com:5061": 200,
	} {
		tx := &sipgoTx{}
		s.OnRegister(sipgoRequest(t, strings.Replace(request(1), "sip:example.com", uri, 1), "UDP"), tx)
		if tx.res.StatusCode != want {
			t.Errorf("%s: answer %d, want %d", uri, tx.res.StatusCode, want)
		}
	}
}
