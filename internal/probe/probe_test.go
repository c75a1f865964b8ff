package probe

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// A peer is who is asked, at the other end of a real transaction layer with one queue,
// inside a synctest bubble: the test looks when that has nothing to do.
type peer struct {
	t      *testing.T
	layer  *transaction.Layer
	prober Prober
	// host and port are our address as the peer sees it.
	host string
	port uint16
	// codes are what it answers, one after another, after each so long; none: nothing.
	codes []int
	after time.Duration
	err   error // of sending
	asked []string
}

func withPeer(t *testing.T, fn func(p *peer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &peer{t: t, host: "192.0.2.1", port: 5060, after: 20 * time.Millisecond}
		p.layer = transaction.New(transaction.Options{Sender: p, User: p, Queues: 1})
		p.layer.Start()
		p.prober = Prober{Layer: p.layer, Flows: p, Domain: "example.com"}
		defer func() {
			if err := p.layer.Stop(context.Background()); err != nil {
				t.Errorf("Stop: %v", err)
			}
		}()
		fn(p)
	})
}

func (p *peer) Advertised(flow.Flow) (string, uint16) { return p.host, p.port }

// Send implements transaction.Sender.
func (p *peer) Send(f flow.Flow, b []byte) error {
	p.asked = append(p.asked, string(b))
	if p.err != nil {
		return p.err
	}
	m, err := sipmsg.Parse(b, f.Remote)
	if err != nil {
		p.t.Errorf("what is sent does not parse: %v\n%s", err, b)
		return nil
	}
	for i, code := range p.codes {
		r, err := sipmsg.Parse(m.AppendReply(nil, sipmsg.Reply{Code: code}), f.Remote)
		if err != nil {
			p.t.Errorf("the answer does not parse: %v", err)
			return nil
		}
		time.AfterFunc(time.Duration(i+1)*p.after, func() { p.layer.Receive(f, r) })
	}
	return nil
}

func (*peer) Request(*transaction.Server)                        {}
func (*peer) Ack(*transaction.Queue, flow.Flow, *sipmsg.Message) {}
func (*peer) Cancel(*transaction.Server, *sipmsg.Message)        {}
func (*peer) Stray(flow.Flow, *sipmsg.Message)                   {}

const timeout = 2 * time.Second

// pass lets time pass, and then whoever has something to do.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// ask returns the answers, of which there is one a minute later, and what gives up.
func (p *peer) ask(path ...string) (answers *[]Answer, giveUp func()) {
	answers = &[]Answer{}
	to := flow.Flow{Listener: "udp", Transport: flow.UDP, Remote: netip.MustParseAddrPort("198.51.100.9:5060")}
	giveUp = p.prober.Ask(to, "sip:gw.example", path, timeout, func(a Answer) { *answers = append(*answers, a) })
	return answers, giveUp
}

func TestAsk_WhatItComesTo_RFC3261_11(t *testing.T) {
	for _, tt := range []struct {
		name   string
		codes  []int
		after  time.Duration
		err    error
		giveUp time.Duration // after which nobody wants to know; 0: somebody does
		unsent bool
		want   Answer // but for Sent
	}{
		{name: "an answer", codes: []int{200}, want: Answer{Code: 200, Took: 20 * time.Millisecond}},
		{name: "a refusal is one, too", codes: []int{503}, want: Answer{Code: 503, Took: 20 * time.Millisecond}},
		{name: "a provisional one is none", codes: []int{100, 404}, want: Answer{Code: 404, Took: 40 * time.Millisecond}},
		{name: "the first counts", codes: []int{200, 500}, want: Answer{Code: 200, Took: 20 * time.Millisecond}},
		{name: "silence", want: Answer{Err: transaction.ErrTimeout}},
		{name: "nothing but a provisional one", codes: []int{100}, want: Answer{Err: transaction.ErrTimeout}},
		{name: "too late", codes: []int{200}, after: timeout + time.Second, want: Answer{Err: transaction.ErrTimeout}},
		{name: "not reached", err: errors.New("refused"), unsent: true, want: Answer{Err: transaction.ErrTransport}},
		{name: "given up", giveUp: time.Second, want: Answer{Err: ErrGivenUp}},
		{name: "given up after the answer", codes: []int{200}, giveUp: time.Second, want: Answer{Code: 200, Took: 20 * time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withPeer(t, func(p *peer) {
				p.codes, p.err = tt.codes, tt.err
				if tt.after > 0 {
					p.after = tt.after
				}
				began := time.Now()
				answers, giveUp := p.ask()
				if tt.giveUp > 0 {
					pass(tt.giveUp)
					giveUp()
				}
				pass(timeout - time.Since(began))
				inTime := len(*answers)
				pass(time.Minute)
				if inTime != 1 || len(*answers) != 1 {
					t.Fatalf("%d answers in time and %d later, want one: %+v", inTime, len(*answers), *answers)
				}
				a := (*answers)[0]
				if a.Code != tt.want.Code || a.Took != tt.want.Took || !errors.Is(a.Err, tt.want.Err) {
					t.Errorf("got %+v, want %+v", a, tt.want)
				}
				if !tt.unsent && !a.Sent.Equal(began) || tt.unsent && !a.Sent.IsZero() {
					t.Errorf("sent at %v, want %v", a.Sent, began)
				}
			})
		})
	}
}

// Who gives up at once has asked nobody.
func TestAsk_GivenUpAtOnce(t *testing.T) {
	withPeer(t, func(p *peer) {
		blocked := make(chan struct{})
		// Nothing is sent before the test has given up.
		p.layer.Queue("any").Post(func() { <-blocked })
		answers, giveUp := p.ask()
		giveUp()
		giveUp()
		close(blocked)
		pass(time.Minute)
		if len(*answers) != 1 || !errors.Is((*answers)[0].Err, ErrGivenUp) || !(*answers)[0].Sent.IsZero() {
			t.Errorf("got %+v, want one that was given up and not sent", *answers)
		}
		if len(p.asked) > 0 {
			t.Errorf("sent %q", p.asked)
		}
	})
}

// The request is whole, goes along the path, and no two can be taken for one another.
func TestAsk_Request_RFC3261_11_1(t *testing.T) {
	for _, tt := range []struct {
		host   string
		port   uint16
		sentBy string
	}{
		{"192.0.2.1", 5060, "192.0.2.1:5060"},
		{"sip.example.com", 0, "sip.example.com"},
		{"[2001:db8::1]", 5070, "[2001:db8::1]:5070"},
		{"2001:db8::1", 0, "[2001:db8::1]"},
	} {
		t.Run(tt.sentBy, func(t *testing.T) {
			withPeer(t, func(p *peer) {
				p.host, p.port, p.codes = tt.host, tt.port, []int{200}
				p.ask("<sip:edge1.example;lr>", "<sip:edge2.example;lr>")
				p.ask()
				pass(time.Second)
				if len(p.asked) != 2 {
					t.Fatalf("sent %q, want two requests", p.asked)
				}
				first := p.asked[0]
				m, err := sipmsg.Parse([]byte(first), netip.MustParseAddrPort("198.51.100.9:5060"))
				if err != nil {
					t.Fatal(err)
				}
				for _, line := range []string{
					"OPTIONS sip:gw.example SIP/2.0", "Via: SIP/2.0/UDP " + tt.sentBy + ";branch=z9hG4bK" + m.CallID() + ";rport",
					"Max-Forwards: 70", "Route: <sip:edge1.example;lr>\r\nRoute: <sip:edge2.example;lr>",
					"From: <sip:example.com>;tag=" + m.CallID()[:10], "To: <sip:gw.example>", "CSeq: 1 OPTIONS", "Content-Length: 0\r\n",
				} {
					if !strings.Contains(first, line+"\r\n") {
						t.Errorf("no %q in\n%s", line, first)
					}
				}
				if other := p.asked[1]; strings.Contains(other, "Route:") || strings.Contains(other, m.CallID()) {
					t.Errorf("the other one has a Route or the same Call-ID:\n%s", other)
				}
			})
		})
	}
}
