package phone

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// silence describes one audio stream that nobody sends.
const silence = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\na=inactive\r\n"

// callKey finds the call that a request belongs to.
type callKey struct{ callID, localTag string }

// A Call is an established dialog (RFC 3261 §12). It outlives the phone's sleep.
// It is safe for concurrent use.
type Call struct {
	p   *Phone
	key callKey
	// local and remote are From and To as this side writes them.
	local, remote string
	target        sip.Uri
	routes        []string

	mu  sync.Mutex // guards seq
	seq uint32

	// answered is closed when the 200 was sent and told; an ACK waits for it, so
	// that its event comes second.
	answered, confirmed, ended chan struct{}
	confirmOnce, endOnce       sync.Once
}

// CallID returns the call's Call-ID.
func (c *Call) CallID() string { return c.key.callID }

// Ended is closed when either side has hung up.
func (c *Call) Ended() <-chan struct{} { return c.ended }

// Confirmed is closed when a call that the phone answered was acknowledged, and
// from the start in a call that it made.
func (c *Call) Confirmed() <-chan struct{} { return c.confirmed }

// newCall makes a call of an INVITE and its 2xx, as the caller (RFC 3261
// §12.1.2) or the callee (§12.1.1).
func (p *Phone) newCall(req *sip.Request, res *sip.Response, caller bool) *Call {
	c := &Call{p: p, answered: make(chan struct{}), confirmed: make(chan struct{}), ended: make(chan struct{})}
	from, to := res.From(), res.To()
	fromTag, _ := from.Params.Get("tag")
	toTag, _ := to.Params.Get("tag")
	peer, contact := sip.Message(req), req.Contact()
	c.local, c.remote, c.key = to.Value(), from.Value(), callKey{res.CallID().Value(), toTag}
	if caller {
		peer, contact = res, res.Contact()
		c.local, c.remote, c.key.localTag = from.Value(), to.Value(), fromTag
		c.seq = req.CSeq().SeqNo
		// There is no 200 of ours to acknowledge.
		close(c.answered)
		c.confirmOnce.Do(func() { close(c.confirmed) })
	}
	for _, h := range peer.GetHeaders("Record-Route") {
		c.routes = append(c.routes, h.Value())
	}
	if caller {
		slices.Reverse(c.routes)
	}
	if contact != nil {
		c.target = contact.Address
	}
	p.mu.Lock()
	p.calls[c.key] = c
	p.mu.Unlock()
	return c
}

// request builds a request in the dialog (RFC 3261 §12.2.1.1). Every Route that
// we know is a loose router.
func (c *Call) request(l *line, method sip.RequestMethod, seq uint32) *sip.Request {
	req := l.newRequest(method, c.target)
	next := c.target
	for i, route := range c.routes {
		req.AppendHeader(sip.NewHeader("Route", route))
		if i == 0 {
			if uri, err := parseURI(trimBrackets(route)); err == nil {
				next = uri
			}
		}
	}
	setDialog(req, c.local, c.remote, c.key.callID, seq)
	// A name may not resolve here, where the server was given by its address.
	if _, err := netip.ParseAddr(next.Host); err == nil && next.Port != 0 {
		req.SetDestination(next.HostPort())
	}
	req.SetBody(nil)
	return req
}

func trimBrackets(s string) string {
	if n := len(s); n >= 2 && s[0] == '<' && s[n-1] == '>' {
		return s[1 : n-1]
	}
	return s
}

func (c *Call) nextSeq() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	return c.seq
}

// raiseSeq notes that credentials took a number.
func (c *Call) raiseSeq(req *sip.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq = max(c.seq, req.CSeq().SeqNo)
}

// Send sends a request other than INVITE in the call, e.g. "INFO", and returns
// the final status.
func (c *Call) Send(ctx context.Context, method string) (status int, err error) {
	l := c.p.current()
	if l == nil {
		return 0, ErrAsleep
	}
	req := c.request(l, sip.RequestMethod(method), c.nextSeq())
	x, err := l.send(ctx, req, nil)
	c.raiseSeq(req)
	if err != nil {
		return 0, err
	}
	x.tx.Terminate()
	return x.res.StatusCode, nil
}

// Reinvite repeats the session's description in the call (RFC 3261 §14.1).
func (c *Call) Reinvite(ctx context.Context) error {
	l := c.p.current()
	if l == nil {
		return ErrAsleep
	}
	req := c.request(l, sip.INVITE, c.nextSeq())
	addOffer(req, c.p.dialogContact(l), c.p.o.SDP)
	x, err := l.send(ctx, req, nil)
	c.raiseSeq(req)
	if err != nil {
		return err
	}
	if x.res.IsSuccess() {
		c.ackEach(l, x)
	}
	return statusError(x.res)
}

// Bye hangs up. The call is over whatever the answer is (RFC 3261 §15.1.1).
func (c *Call) Bye(ctx context.Context) error {
	status, err := c.Send(ctx, "BYE")
	if errors.Is(err, ErrAsleep) {
		return err
	}
	c.end()
	if err == nil && status != 200 {
		err = &StatusError{status, "answer to BYE"}
	}
	return err
}

func (c *Call) end() {
	c.endOnce.Do(func() {
		c.p.mu.Lock()
		delete(c.p.calls, c.key)
		c.p.mu.Unlock()
		close(c.ended)
		c.p.tell(Event{Kind: Ended, CallID: c.key.callID})
	})
}

// ackEach acknowledges the 2xx to an INVITE of ours, end to end and with a branch
// of its own (RFC 3261 §13.2.2.4), and again each time it is retransmitted, for
// as long as the transaction lives (RFC 6026 §8.4).
func (c *Call) ackEach(l *line, x exchange) {
	seq := x.req.CSeq().SeqNo
	ack := func() { _ = l.client.WriteRequest(c.request(l, sip.ACK, seq), sipgo.ClientRequestBuild) }
	x.tx.OnRetransmission(func(res *sip.Response) {
		l.answered(res)
		ack()
	})
	ack()
}

// addOffer gives an INVITE a Contact and a description of the session.
func addOffer(req *sip.Request, contact, sdp string) {
	req.AppendHeader(sip.NewHeader("Contact", contact))
	req.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	// The dialog's request had an empty body and its length.
	req.RemoveHeader("Content-Length")
	req.SetBody([]byte(sdp))
}

// Call calls a SIP URI and returns when it was answered. The error is a
// *StatusError if it was refused. If ctx ends first, the call is cancelled.
func (p *Phone) Call(ctx context.Context, to string) (*Call, error) {
	l := p.current()
	if l == nil {
		return nil, ErrAsleep
	}
	uri, err := parseURI(to)
	if err != nil {
		return nil, err
	}
	req := l.newRequest(sip.INVITE, uri)
	callID := randomToken()
	setDialog(req, "<"+p.aor+">;tag="+randomToken(), "<"+to+">", callID, 1)
	addOffer(req, p.dialogContact(l), p.o.SDP)
	x, err := l.send(ctx, req, func(res *sip.Response) {
		if res.StatusCode >= 180 {
			p.tell(Event{Kind: Ringing, CallID: callID, Status: res.StatusCode})
		}
	})
	if err != nil {
		p.tell(Event{Kind: Failed, CallID: callID})
		return nil, err
	}
	// sipgo acknowledged any other final response.
	if !x.res.IsSuccess() {
		p.tell(Event{Kind: Failed, CallID: callID, Status: x.res.StatusCode})
		return nil, statusError(x.res)
	}
	c := p.newCall(req, x.res, true)
	c.ackEach(l, x)
	p.tell(Event{Kind: Connected, CallID: callID, Status: x.res.StatusCode, Body: string(x.res.Body())})
	if ctx.Err() != nil {
		// The answer overtook our CANCEL.
		bye, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelWait)
		defer stop()
		_ = c.Bye(bye)
		return nil, ctx.Err()
	}
	return c, nil
}

// retransmit calls again after T1, 2*T1, ... up to T2, until 64*T1 are over or
// one of the channels is closed. It reports whether the time ran out.
func retransmit(again func(), confirmed, ended, asleep <-chan struct{}) (timedOut bool) {
	const t1, t2 = 500 * time.Millisecond, 4 * time.Second
	deadline := time.NewTimer(64 * t1)
	defer deadline.Stop()
	pause := t1
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			again()
			pause = min(2*pause, t2)
			timer.Reset(pause)
		case <-deadline.C:
			return true
		case <-confirmed:
			return false
		case <-ended:
			return false
		case <-asleep:
			return false
		}
	}
}
