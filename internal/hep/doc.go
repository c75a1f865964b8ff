// Package hep sends copies of SIP messages to a collector such as Homer, by the
// Homer Encapsulation Protocol, version 3 (HEP3 Network Protocol Specification, revision
// 37, published by sipcapture).
//
// An Exporter is a trace.Taker: it gets the messages from a goroutine that nothing waits
// for, packs them into a bounded queue, and sends them from a goroutine of its own. A
// collector that is slow or away costs messages, which are counted, and nothing else.
//
// The encoder is our own: it is a page long, and no library for it is published as a Go
// module that is looked after.
package hep
