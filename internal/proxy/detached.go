package proxy

import (
	"slices"
	"strconv"
	"strings"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
)

// A detachedCall is an INVITE of ours to a phone for a call that has ended: the
// caller's, with its Call-ID and From tag, so that the app finds the call that it was
// woken for, but with our Contact, for the caller knows nothing of it. It is cancelled
// as soon as it may be. It lives on the queue of the call.
type detachedCall struct {
	proxy  *Proxy
	queue  *transaction.Queue
	flow   flow.Flow
	client *transaction.Client
	// why goes into CANCEL and BYE.
	why []sipmsg.HeaderField
	// done hears how it ended: "cancelled", "answered", "refused" or "failed".
	done func(result string)
	// ended holds the To tags of the dialogs that were ended: a proxy next to the
	// phone may have made several.
	ended []string
}

// maxDetachedDialogs bounds the dialogs of one call. More answers than a user's phones
// are not the phone's.
const maxDetachedDialogs = 4

// start sends the INVITE m, as o says.
func (d *detachedCall) start(m *sipmsg.Message, o outgoing) {
	o.contact = "<" + d.proxy.contact(d.flow) + ">"
	// It is for this phone alone.
	o.breadth = 1
	client, err := d.queue.NewClient(d.flow, d.proxy.build(m, o, newBranch(loopHash(m))), d)
	if err != nil {
		d.done("failed")
		return
	}
	d.client = client
	// RFC 3261 §9.1: it leaves behind the first provisional response.
	client.Cancel(d.why...)
}

// Response implements transaction.ClientUser.
func (d *detachedCall) Response(c *transaction.Client, m *sipmsg.Message) {
	switch code := m.Status(); {
	case code < 200:
	case code < 300:
		d.hangUp(c, m)
		d.done("answered")
	case code == 487:
		d.done("cancelled")
	default:
		d.done("refused")
	}
}

// Failed implements transaction.ClientUser.
func (d *detachedCall) Failed(*transaction.Client, error) { d.done("failed") }

// hangUp acknowledges a 2xx, each time that it comes (RFC 3261 §13.2.2.4), and ends
// its dialog once (§15).
func (d *detachedCall) hangUp(c *transaction.Client, ok *sipmsg.Message) {
	invite := c.Message()
	seq := invite.CSeq().Seq
	if err := d.proxy.opts().Flows.Send(d.flow, d.inDialog("ACK", seq, invite, ok)); err != nil {
		// The phone repeats its 2xx.
		return
	}
	if tag := ok.ToTag(); len(d.ended) < maxDetachedDialogs && !slices.Contains(d.ended, tag) {
		d.ended = append(d.ended, tag)
		if _, err := d.queue.NewClient(d.flow, d.inDialog("BYE", seq+1, invite, ok), nil); err != nil {
			// The connection has gone, and the phone with it.
			return
		}
	}
}

// inDialog is a request of the dialog that ok made (RFC 3261 §12.2.1.1). The routers
// between us and the phone are loose ones: it registered through them.
func (d *detachedCall) inDialog(method string, seq uint32, invite, ok *sipmsg.Message) []byte {
	var b strings.Builder
	line := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	target := invite.RequestURI().String()
	if contacts := ok.Contacts(); len(contacts) > 0 {
		target = contacts[0].URI.WithoutHeaders()
	}
	b.WriteString(method + " " + target + " SIP/2.0\r\n")
	line("Via", d.proxy.via(d.flow, newBranch(loopHash(invite))))
	line("Max-Forwards", "70")
	for _, r := range slices.Backward(ok.RecordRoutes()) {
		line("Route", r.String())
	}
	line("From", invite.From().String())
	line("To", ok.To().String())
	line("Call-ID", invite.CallID())
	line("CSeq", strconv.FormatUint(uint64(seq), 10)+" "+method)
	if method == "BYE" {
		for _, h := range d.why {
			line(h.Name, h.Value)
		}
	}
	line("Content-Length", "0")
	b.WriteString("\r\n")
	return []byte(b.String())
}
