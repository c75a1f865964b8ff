// Package transaction orders SIP messages and runs their transactions: RFC 3261
// §17 with the changes of RFC 6026 (2xx to INVITE) and RFC 4320 (non-INVITE).
//
// A Layer owns a fixed set of queues. The hash of a message's Call-ID picks its
// queue, and one goroutine works each queue in the order of arrival. So the
// server transaction of a call, its branches, their timers and whatever was
// posted to the queue run one after another: the user needs no locks, a CANCEL
// cannot overtake its INVITE, nor a 200 its 180. No goroutine waits for a
// request. A handler that must wait for something else calls Server.Suspend,
// returns, and goes on in a callback; meanwhile only messages of the same flow
// and Call-ID are held back.
//
// The package keeps no sockets: it sends through Sender and is fed by Receive
// and FlowClosed. It does not choose targets, build forwarded requests, match
// dialogs or detect loops: that is the work of its User (proxy, registrar). It
// does not send ACK for 2xx, which is end to end, and it never retransmits a 2xx
// to INVITE by itself.
package transaction
