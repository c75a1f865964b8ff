package proxy

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"reveille/internal/event"
	"reveille/internal/mailbox"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// This file is about MESSAGEs that nobody takes now: they are kept, and their sender is
// told so (RFC 3428 §7: a relay that stores messages answers 202). delivery hands them
// over.

// Messages say which MESSAGEs are kept. The zero value keeps none.
type Messages struct {
	// Box keeps them; *mailbox.Box is one. Nil: none is kept.
	Box Mailbox
	// Wait is how long the devices that are awake have to take a message before it is
	// kept; default 5 s. Where all sleep, it is kept at once.
	Wait time.Duration
	// MaxSize bounds the bytes of a request that is kept, MaxAge how long it is;
	// default 64 KiB and 7 days.
	MaxSize int
	MaxAge  time.Duration
}

// A Mailbox keeps messages. Its methods do not wait, and done functions run on any
// goroutine.
type Mailbox interface {
	// Waiting reports whether messages wait for a user, whom another one must not
	// overtake.
	Waiting(aor usrloc.AOR) bool
	// Keep says by done whether the message is safe.
	Keep(m mailbox.Message, done func(mailbox.Ticket, error))
	// Withdraw forgets a message.
	Withdraw(t mailbox.Ticket)
	// Try hands over what waits for a user.
	Try(aor usrloc.AOR)
}

func (m *Messages) setDefaults() {
	defaultTo(&m.Wait, 5*time.Second)
	defaultTo(&m.MaxSize, 64<<10)
	defaultTo(&m.MaxAge, 7*24*time.Hour)
}

// A keepStep is how far the keeping of a message has come.
type keepStep uint8

const (
	unkept  keepStep = iota // a device may still take it
	keeping                 // it is on its way to the disk
	kept                    // it is there, and its sender was told
	never                   // it cannot be kept
)

// A keep is what a MESSAGE has that may be kept.
type keep struct {
	step   keepStep
	ticket mailbox.Ticket
	// behind: older messages wait for the user. The devices that are awake get this one
	// behind those.
	behind bool
	timer  *transaction.Timer
}

// mayKeep returns a keep if the request is a message to a user alone that may be kept;
// nil: it is not.
func (f *fork) mayKeep(aor usrloc.AOR) *keep {
	o := f.p.opts()
	m := f.s.Message()
	switch a := o.AORs[aor]; {
	case o.Messages.Box == nil || f.method != "MESSAGE" || f.inDialog:
		return nil
	case f.stranger || !f.p.known(aor):
		// What strangers send, and what is for nobody, takes no room.
		return nil
	case len(a.Rings) > 0 || len(a.Contacts) > 0:
		// Others get it too, of whose registrations nothing is known.
		return nil
	case len(m.Raw()) > o.Messages.MaxSize || !mailbox.Keepable(m):
		return nil
	}
	k := &keep{behind: o.Messages.Box.Waiting(aor)}
	k.timer = f.s.Queue().After(o.Messages.Wait, func() {
		if !f.closed {
			f.keepIt()
		}
	})
	return k
}

// behindOlder leaves those of a look-up to be called now that have to be woken, if older
// messages wait for the user: the others get this one in its turn.
func (f *fork) behindOlder(l *lookup) {
	if f.keep == nil || !f.keep.behind || len(l.set) == 0 {
		return
	}
	l.set = slices.DeleteFunc(l.set, func(t target) bool { return t.reach != park })
	l.known = true
	if len(l.set) == 0 {
		l.methods = 0
	}
}

// keepIfAllSleep keeps the message as soon as all that is left of the fork waits for
// devices to wake: its sender need not wait for them.
func (f *fork) keepIfAllSleep() {
	if f.keep == nil || f.closed {
		return
	}
	for _, b := range f.branches {
		if b.state != parked && b.state != ended {
			return
		}
	}
	f.keepIt()
}

// keepIt begins to keep the message, unless it is kept already. It reports false if it
// is not to be kept.
func (f *fork) keepIt() bool {
	k := f.keep
	switch {
	case k == nil || k.step == never:
		return false
	case k.step != unkept:
		return true
	case f.best.code >= 600:
		// RFC 3428 §7: the user has it and does not want it.
		return false
	case !f.pending() && f.best.message != nil && mailbox.Permanent(f.best.code):
		// No device will ever take it; its sender can do something about that.
		return false
	}
	k.step = keeping
	m := f.s.Message()
	now := time.Now()
	f.p.opts().Messages.Box.Keep(mailbox.Message{
		AOR: f.aor, CallID: m.CallID(), From: identity(m.From().URI), To: identity(m.To().URI),
		Kept: now, Until: mailbox.Until(m, now, f.p.opts().Messages.MaxAge),
		Trusted: f.claim.trusted, Asserted: f.claim.asserted, Sender: f.claim.from,
		Request: f.p.keepable(m, now),
	}, func(t mailbox.Ticket, err error) {
		f.s.Post(func() { f.kept(t, err) })
	})
	return true
}

// keepable is what is kept of a message: all but what concerns the way that it came, and
// credentials and push data, which are nobody else's business.
func (p *Proxy) keepable(m *sipmsg.Message, now time.Time) []byte {
	e := m.Edit()
	e.SetRequestURI(m.RequestURI().WithoutPush(p.opts().PushParams))
	concealPush(m, e, p.opts().PushParams)
	e.RemoveIf(func(h sipmsg.Header) bool {
		switch h.ID {
		case sipmsg.HdrVia, sipmsg.HdrRoute, sipmsg.HdrRecordRoute, sipmsg.HdrAuthorization, sipmsg.HdrProxyAuthorization:
			return true
		}
		return false
	})
	// A message has a Via, and gets another one when it leaves.
	e.PushVia("SIP/2.0/UDP mailbox.invalid;branch=" + branchCookie + "kept")
	if !m.Has(sipmsg.HdrDate) {
		// RFC 3261 §20.17: who reads it tomorrow wants to know when it was sent. RFC 3428
		// §4: Expires counts from there.
		e.Add("Date", now.UTC().Format(http.TimeFormat))
	}
	e.EnsureContentLength()
	return e.Bytes()
}

// kept goes on when the message is on disk, or could not be kept.
func (f *fork) kept(t mailbox.Ticket, err error) {
	k, box := f.keep, f.p.opts().Messages.Box
	switch {
	case err != nil:
		k.step = never
		f.notKept(err)
	case f.closed || f.best.code >= 600:
		// A device took it meanwhile, the user declined, or the sender gave up.
		k.step = never
		box.Withdraw(t)
	default:
		k.step, k.ticket = kept, t
		f.closed = true
		k.timer.Stop()
		f.p.metrics.answered(f.method, 202)
		f.emit(event.Call{Step: "answered", AOR: string(f.aor), Flow: f.s.Flow(), Status: 202, Reason: "Kept", Elapsed: time.Since(f.began)})
		f.s.Reply(sipmsg.Reply{Code: 202})
		if !slices.ContainsFunc(f.branches, func(b *branch) bool { return b.state == idle || b.state == calling }) {
			// A device may have registered meanwhile, or be awake and not its turn.
			box.Try(f.aor)
		}
	}
	f.conclude()
}

// notKept goes on without a mailbox: the request waits for the devices like any other.
// Behind older messages it must not, for it would overtake them.
func (f *fork) notKept(err error) {
	why := "Message Cannot Be Kept"
	if errors.Is(err, mailbox.ErrUserFull) {
		why = "Too Many Messages Wait"
	}
	if f.closed {
		return
	}
	if f.keep.behind {
		f.over = true
		f.stopOthers(nil)
	}
	if f.best.message == nil {
		f.best = f.unavailable(why)
	}
}

// withdraw is told that a device has the message: it is not kept any longer.
func (f *fork) withdraw() {
	if f.keep != nil && f.keep.step == kept {
		f.keep.step = never
		f.p.opts().Messages.Box.Withdraw(f.keep.ticket)
	}
}

// mailed reports whether the message is kept: whoever wakes gets it from the mailbox.
func (f *fork) mailed() bool { return f.keep != nil && f.keep.step == kept }

// leaveToMailbox ends a branch whose device is awake and gets the message from the
// mailbox. It reports false if the message is not there, nor on its way there behind
// older ones, which it would overtake.
func (b *branch) leaveToMailbox() bool {
	f := b.fork
	if !f.mailed() && (f.keep == nil || !f.keep.behind || f.keep.step != keeping) {
		return false
	}
	b.unpark("")
	since := b.countWake()
	f.emit(event.Call{Step: "woken", AOR: string(b.user()), Binding: b.id(), PushID: b.wait.pushID, Flow: b.target.binding.Flow, Elapsed: since})
	b.finish(f.unavailable("Left To Mailbox"))
	f.p.opts().Messages.Box.Try(f.aor)
	return true
}
