package phone

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/icholy/digest"
)

// exchange is a request and what came back.
type exchange struct {
	res *sip.Response
	tx  sip.ClientTransaction
	req *sip.Request // as sent last, with credentials
}

// send sends req, answers a challenge once, and returns the final response. The
// caller terminates the transaction unless it needs it.
func (l *line) send(ctx context.Context, req *sip.Request, provisional func(*sip.Response)) (exchange, error) {
	for answered := false; ; answered = true {
		x, err := l.sendOnce(ctx, req, provisional)
		if err != nil {
			return x, err
		}
		if c := x.res.StatusCode; c != 401 && c != 407 || answered {
			return x, nil
		}
		// Not terminated: sipgo acknowledges a retransmitted 401 of an INVITE.
		if req.Method != sip.INVITE {
			x.tx.Terminate()
		}
		if err := l.authorize(req, x.res); err != nil {
			return x, err
		}
	}
}

// cancelWait is the usual Options.CancelWait, and bounds the wait for an answer to
// CANCEL.
const cancelWait = 5 * time.Second

func (l *line) sendOnce(ctx context.Context, req *sip.Request, provisional func(*sip.Response)) (exchange, error) {
	x := exchange{req: req}
	err := ctx.Err()
	if err != nil {
		return x, fmt.Errorf("send %s: %w", req.Method, err)
	}
	// Nothing is missing in req: the option keeps sipgo from raising CSeq. If ctx
	// ended now, sipgo would forget what it has sent.
	if x.tx, err = l.client.TransactionRequest(context.WithoutCancel(ctx), req, sipgo.ClientRequestBuild); err != nil {
		return x, fmt.Errorf("send %s: %w", req.Method, err)
	}
	fail := func(err error) (exchange, error) {
		x.tx.Terminate()
		return x, fmt.Errorf("send %s: %w", req.Method, err)
	}
	ended := ctx.Done()
	var giveUp <-chan time.Time
	seen, cancelled := false, false
	for {
		select {
		case res := <-x.tx.Responses():
			if !res.IsProvisional() {
				l.answered(res)
				x.res = res
				return x, nil
			}
			seen = true
			if provisional != nil {
				provisional(res)
			}
		case <-x.tx.Done():
			return fail(x.tx.Err())
		case <-l.done:
			return fail(ErrAsleep)
		case <-giveUp:
			return fail(fmt.Errorf("%w: %w", ErrUnanswered, ctx.Err()))
		case <-ended:
			if req.Method != sip.INVITE {
				return fail(ctx.Err())
			}
			ended, giveUp = nil, time.After(l.p.o.CancelWait)
		}
		// RFC 3261 §9.1: no CANCEL before a provisional response.
		if giveUp != nil && seen && !cancelled {
			cancelled = true
			l.p.work.Go(func() { l.cancel(context.WithoutCancel(ctx), req) })
		}
	}
}

// cancel sends a CANCEL for an INVITE (RFC 3261 §9.1).
func (l *line) cancel(ctx context.Context, invite *sip.Request) {
	req := sip.NewRequest(sip.CANCEL, invite.Recipient)
	req.AppendHeader(sip.HeaderClone(invite.Via()))
	for _, name := range []string{"From", "To", "Call-ID", "Route"} {
		sip.CopyHeaders(name, invite, req)
	}
	maxForwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&maxForwards)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	req.SetTransport(invite.Transport())
	req.SetDestination(invite.Destination())
	req.Laddr = l.laddr
	ctx, stop := context.WithTimeout(ctx, cancelWait)
	defer stop()
	if x, err := l.sendOnce(ctx, req, nil); err == nil {
		x.tx.Terminate()
	}
}

// errNoChallenge: a 401 or 407 that cannot be answered.
var errNoChallenge = errors.New("phone: no challenge that can be answered")

// authorize makes req the next attempt: with credentials, a higher CSeq and a
// new branch (RFC 3261 §22.2). RFC 8760 §2.4: the topmost challenge that is
// understood is the one to answer.
func (l *line) authorize(req *sip.Request, res *sip.Response) error {
	name, reply := "WWW-Authenticate", "Authorization"
	if res.StatusCode == 407 {
		name, reply = "Proxy-Authenticate", "Proxy-Authorization"
	}
	for _, h := range res.GetHeaders(name) {
		challenge, err := digest.ParseChallenge(h.Value())
		if err != nil || !digest.CanDigest(challenge) {
			continue
		}
		credentials, err := digest.Digest(challenge, digest.Options{
			Method:   string(req.Method),
			URI:      req.Recipient.String(),
			Count:    1,
			Username: l.p.o.User,
			Password: l.p.o.Password,
		})
		if err != nil {
			continue
		}
		req.RemoveHeader(reply)
		req.AppendHeader(sip.NewHeader(reply, credentials.String()))
		req.CSeq().SeqNo++
		l.setVia(req)
		return nil
	}
	return fmt.Errorf("answer %d: %w", res.StatusCode, errNoChallenge)
}

// Register registers, and opens a socket first if the phone is asleep. Each
// later call on the same socket is a refresh. The error is a *StatusError if the
// server refused.
func (p *Phone) Register(ctx context.Context) error {
	return p.register(ctx, int(p.o.Expires/time.Second))
}

// Unregister removes the binding (RFC 3261 §10.2.2).
func (p *Phone) Unregister(ctx context.Context) error { return p.register(ctx, 0) }

func (p *Phone) register(ctx context.Context, seconds int) error {
	l, err := p.ensure(ctx)
	if err != nil {
		return err
	}
	l.regMu.Lock()
	defer l.regMu.Unlock()
	l.regSeq++
	req := l.newRequest(sip.REGISTER, sip.Uri{Scheme: "sip", Host: p.o.Domain})
	setDialog(req, "<"+p.aor+">;tag="+randomToken(), "<"+p.aor+">", l.regCallID, l.regSeq)
	req.AppendHeader(sip.NewHeader("Contact", p.registerContact(l, seconds)))
	req.AppendHeader(sip.NewHeader("Supported", "path, outbound"))
	req.SetBody(nil)
	x, err := l.send(ctx, req, nil)
	l.regSeq = req.CSeq().SeqNo
	if err != nil {
		return fmt.Errorf("register %s: %w", p.aor, err)
	}
	x.tx.Terminate()
	if x.res.StatusCode != 200 {
		p.tell(Event{Kind: Refused, CallID: l.regCallID, Status: x.res.StatusCode})
		return fmt.Errorf("register %s: %w", p.aor, &StatusError{x.res.StatusCode, x.res.Reason})
	}
	p.keepPURR(x.res)
	p.tell(Event{Kind: Registered, CallID: l.regCallID, Status: 200})
	return nil
}

// keepPURR takes sip.pnspurr out of Feature-Caps (RFC 8599 §6.1).
func (p *Phone) keepPURR(res *sip.Response) {
	for _, h := range res.GetHeaders("Feature-Caps") {
		_, rest, ok := strings.Cut(h.Value(), `+sip.pnspurr="`)
		if !ok {
			continue
		}
		if purr, _, ok := strings.Cut(rest, `"`); ok {
			p.mu.Lock()
			p.purr = purr
			p.mu.Unlock()
		}
	}
}

// Message sends a MESSAGE (RFC 3428) to a SIP URI. The error is a *StatusError
// if it was refused.
func (p *Phone) Message(ctx context.Context, to, text string) error {
	l := p.current()
	if l == nil {
		return ErrAsleep
	}
	uri, err := parseURI(to)
	if err != nil {
		return err
	}
	req := l.newRequest(sip.MESSAGE, uri)
	setDialog(req, "<"+p.aor+">;tag="+randomToken(), "<"+to+">", randomToken(), 1)
	req.AppendHeader(sip.NewHeader("Content-Type", "text/plain"))
	req.SetBody([]byte(text))
	x, err := l.send(ctx, req, nil)
	if err != nil {
		return err
	}
	x.tx.Terminate()
	return statusError(x.res)
}

func statusError(res *sip.Response) error {
	if res.IsSuccess() {
		return nil
	}
	return &StatusError{res.StatusCode, res.Reason}
}

func parseURI(s string) (sip.Uri, error) {
	var uri sip.Uri
	if err := sip.ParseUri(s, &uri); err != nil {
		return uri, fmt.Errorf("phone: parse %q: %w", s, err)
	}
	return uri, nil
}
