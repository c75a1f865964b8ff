// Package regevent tells subscribers which contacts a user has registered: the
// "reg" event package (RFC 3680) of a SIP notifier (RFC 6665), with GRUUs (RFC
// 5628).
//
// document.go makes the XML of a notification from values, contact.go knows what
// happened to a contact, and a Notifier keeps the subscriptions and sends. All that
// belongs to a subscription runs on the queue of its Call-ID. It sees the location
// service through a watch of each AOR that somebody subscribed to, so that an AOR
// without subscribers costs nothing.
//
// Who a sender is, and what is no SUBSCRIBE to a user of ours, is for internal/app.
// Subscriptions are in memory only: after a restart a refresh is answered 481, and
// the subscriber subscribes anew. Nobody is woken for a notification: a phone that
// sleeps gets one when it is back, with all that is true then.
package regevent
