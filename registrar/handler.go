package registrar

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// An Exchange is one REGISTER to be answered; *transaction.Server implements
// it.
type Exchange interface {
	// Message returns the request.
	Message() *sipmsg.Message
	// Flow returns where it arrived.
	Flow() flow.Flow
	// Suspend holds back what follows in this Call-ID until resume is called
	// with the function that goes on, which then runs where the Exchange is
	// at home. resume is nil if too many are suspended.
	Suspend() (resume func(fn func()))
	// Refuse gives the final answer, positive or not, without keeping it: a
	// REGISTER that comes again is worked out again, to the same answer. The
	// Lines of r are used for another one when it returns.
	Refuse(r sipmsg.Reply)
}

// Serve answers the REGISTER of x. The caller has seen to it that the request is
// for this server (RFC 3261 §10.3 step 1) and that its sender is who it says
// (step 3): may tells which AORs the sender may register (step 4); nil means
// all. It returns at once; the answer may come later.
func (r *Registrar) Serve(x Exchange, may func(usrloc.AOR) bool) { r.ServeUser(x, User{May: may}) }

// A User is what is known of who sent a REGISTER.
type User struct {
	// Name is by which the user authenticated; empty if nobody asked.
	Name string
	// May tells which AORs the user may register; nil means all.
	May func(usrloc.AOR) bool
	// MaxContacts bounds the contacts of an AOR in place of the Policy's; 0
	// leaves it.
	MaxContacts int
}

// ServeUser is Serve for a user of whom more is known.
func (r *Registrar) ServeUser(x Exchange, u User) {
	// Stores keep milliseconds. The policy is read after the clock: see rules.
	now := time.Now().Truncate(time.Millisecond)
	all := r.policy.Load()
	in, err := r.read(all, x.Message(), x.Flow(), now, u.May)
	in.MaxContacts = u.MaxContacts
	p := all.of(in)
	if err != nil {
		r.refuse(x, in, err)
		return
	}
	resume := x.Suspend()
	if resume == nil {
		r.refuse(x, in, &Refusal{Code: 503, Reason: "Too Many Requests Waiting", RetryAfter: p.RetryAfter})
		return
	}
	q := &serving{exchange: x, user: u, policy: p, in: in, resume: resume}
	if p.Ask == nil || !p.registers(in) {
		r.update(q)
		return
	}
	p.Ask(in, u.Name, func(v Verdict) {
		if v.Refusal != nil {
			resume(func() { r.refuse(x, in, v.Refusal) })
			return
		}
		q.policy = v.limit(p, in)
		r.update(q)
	})
}

// A serving is a REGISTER on its way to the Store; its Exchange is suspended until
// resume is called.
type serving struct {
	exchange Exchange
	user     User
	policy   *Policy
	in       *Input
	resume   func(func())
}

// update works q into the Store and answers it.
func (r *Registrar) update(q *serving) {
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	var res Result
	apply := func(rec usrloc.Record) (next usrloc.Record, err error) {
		next, res, err = Apply(q.policy, rec, q.in)
		return next, err
	}
	r.store.Update(ctx, q.in.AOR, apply, func(rec usrloc.Record, changes []usrloc.Change, err error) {
		cancel()
		q.resume(func() {
			if err != nil {
				r.refuse(q.exchange, q.in, q.policy.storeRefusal(err))
				return
			}
			r.accept(q.exchange, q.policy, &rec, &res, q.in.Now)
			r.accepted(q.in, &res, changes)
			r.takeTokens(q, &rec, &res)
		})
	})
}

// accept sends the 200. checkLimits saw to it that no line of it can be broken.
func (r *Registrar) accept(x Exchange, p *Policy, rec *usrloc.Record, res *Result, now time.Time) {
	lines := r.lines.Get().(*[]byte)
	*lines = AppendOK((*lines)[:0], p, rec, res, now)
	x.Refuse(sipmsg.Reply{Code: 200, Lines: *lines})
	r.lines.Put(lines)
}

// storeRefusal is what a Store's error means to the phone. It never means "not
// registered".
func (p *Policy) storeRefusal(err error) error {
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return err
	case errors.Is(err, usrloc.ErrUnavailable), errors.Is(err, usrloc.ErrFull), errors.Is(err, usrloc.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// The whole server takes no registrations now: upstream may try another.
		return &Refusal{Code: 503, Reason: "Service Unavailable", RetryAfter: p.RetryAfter, Err: err}
	}
	// RFC 3261 §10.3 step 7: what cannot be committed is a 500.
	return &Refusal{Code: 500, Reason: "Server Internal Error", Err: err}
}

// refuse answers err and tells it.
func (r *Registrar) refuse(x Exchange, in *Input, err error) { x.Refuse(r.refusal(in, err)) }

// refusal tells err and returns the answer.
func (r *Registrar) refusal(in *Input, err error) sipmsg.Reply {
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		refusal = &Refusal{Code: 500, Reason: "Server Internal Error", Err: err}
	}
	if refusal.Code >= 500 && refusal.Err != nil {
		r.log.LogAttrs(context.Background(), slog.LevelError, "registration not stored",
			slog.String("aor", string(in.AOR)), slog.String("call_id", in.CallID), slog.Any("err", refusal.Err))
	}
	r.refused(in, refusal)
	return refusal.reply()
}

// reply makes the response.
func (r *Refusal) reply() sipmsg.Reply {
	reply := sipmsg.Reply{Code: r.Code, Reason: r.Reason}
	add := func(name, value string) {
		reply.Headers = append(reply.Headers, sipmsg.HeaderField{Name: name, Value: value})
	}
	if r.MinExpires != 0 {
		// RFC 3261 §10.3 step 7: a 423 says what would do.
		add("Min-Expires", strconv.FormatUint(uint64(r.MinExpires), 10))
	}
	if r.RetryAfter > 0 {
		add("Retry-After", strconv.FormatInt(int64((r.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if len(r.Unsupported) > 0 {
		add("Unsupported", strings.Join(r.Unsupported, ", "))
	}
	if r.Require != "" {
		add("Require", r.Require)
	}
	return reply
}
