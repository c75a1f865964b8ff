// Package sipmsg reads and writes SIP messages as they are on the wire (RFC 3261
// §7, §18.3, §19, §20, §25).
//
// Every message goes through one scanner (Scan), which finds the start line, the
// header fields and the body without allocating. Parse builds a Message on top
// of it: one copy of the received bytes, and typed values that are substrings of
// that copy. A Message is immutable and may be shared by any number of
// goroutines. What is forwarded is the received bytes plus a list of edits
// (Edit); what is answered is built from the request (AppendReply).
//
// The package is strict where a lenient reading would be ambiguous or would let
// two servers disagree about a message, and lenient elsewhere; RFC 4475 and RFC
// 5118 are its yardsticks. It does no I/O, keeps no state between messages and
// knows nothing of transactions, registrations or routing.
package sipmsg
