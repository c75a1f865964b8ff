// Package trace lets an operator look at the SIP messages of one user while they come
// and go, with the secrets taken out (Redact), and hands all messages to those who
// collect them.
//
// A Hub copies what passes the sockets into a bounded queue and looks at it on a
// goroutine of its own, so that whoever looks costs the signalling no more than the
// copy, and nothing at all when nobody does. What it cannot keep up with is lost, and
// counted. A Watcher gets the messages that name its user, and all others with the same
// Call-ID: responses, ACKs, and what the call became on the other side.
//
// internal/app connects it to the sockets (transport.Tap), to GET /v1/trace and to
// internal/hep.
package trace
