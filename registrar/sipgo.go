package registrar

import (
	"context"
	"log/slog"
	"strings"

	"github.com/emiago/sipgo/sip"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// sipgoListener is the listener name in flows of requests that came by sipgo,
// which does not say by which of its sockets.
const sipgoListener = "sipgo"

// OnRegister answers a REGISTER on a plain sipgo server:
//
//	server.OnRegister(registrar.OnRegister)
//
// It returns when the request is answered. The Request-URI must name one of the
// policy's domains, and the sender may register any AOR of them; see ServeSipgo
// for less. Mind sip.UDPMTUSize: sipgo sends no longer response over UDP, and
// push contacts are long.
func (r *Registrar) OnRegister(req *sip.Request, tx sip.ServerTransaction) {
	r.ServeSipgo(req, tx, nil)
}

// ServeSipgo is OnRegister for a sender that was authenticated: may says which
// AORs it may register.
func (r *Registrar) ServeSipgo(req *sip.Request, tx sip.ServerTransaction, may func(usrloc.AOR) bool) {
	x := &sipgoExchange{registrar: r, req: req, tx: tx, next: make(chan func(), 1)}
	m, err := sipmsg.FromRequest(req)
	if err != nil {
		code, phrase, headers := sipmsg.StatusOf(err)
		if m == nil {
			code, phrase = 400, "Bad Request"
		}
		x.Refuse(sipmsg.Reply{Code: code, Reason: phrase, Headers: headers})
		return
	}
	x.m = m
	// RFC 3261 §10.3 step 1: the registrar of another domain is elsewhere.
	if uri := m.RequestURI(); uri.IsSIP() && !r.policy.Load().domains.Serves(uri.Host) {
		x.Refuse(sipmsg.Reply{Code: 404})
		return
	}
	r.Serve(x, may)
	if x.suspended {
		// The Store calls back exactly once, within StoreTimeout.
		(<-x.next)()
	}
}

// sipgoExchange is the Exchange of a sipgo transaction. sipgo ends the
// transaction when its handler returns, so that the handler waits.
type sipgoExchange struct {
	registrar *Registrar
	req       *sip.Request
	tx        sip.ServerTransaction
	m         *sipmsg.Message
	suspended bool
	next      chan func()
}

func (x *sipgoExchange) Message() *sipmsg.Message { return x.m }

func (x *sipgoExchange) Flow() flow.Flow {
	t, ok := flow.ParseTransport(x.req.Transport())
	if !ok {
		t = flow.UDP
	}
	return flow.Flow{Listener: sipgoListener, Transport: t, Remote: x.m.Source()}
}

func (x *sipgoExchange) Suspend() func(fn func()) {
	x.suspended = true
	return func(fn func()) { x.next <- fn }
}

func (x *sipgoExchange) Refuse(reply sipmsg.Reply) {
	reason := reply.Reason
	if reason == "" {
		reason = sipmsg.ReasonPhrase(reply.Code)
	}
	res := sip.NewResponseFromRequest(x.req, reply.Code, reason, nil)
	for _, h := range reply.Headers {
		res.AppendHeader(sip.NewHeader(h.Name, h.Value))
	}
	for line := range strings.Lines(string(reply.Lines)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ": ")
		res.AppendHeader(sip.NewHeader(name, value))
	}
	if err := x.tx.Respond(res); err != nil {
		x.registrar.log.LogAttrs(context.Background(), slog.LevelWarn, "answer REGISTER",
			slog.Int("status", reply.Code), slog.Any("err", err))
	}
}
