// Package proxy is the home proxy (RFC 3261 §16): it finds the devices of the
// user that is called, wakes those that sleep (RFC 8599 §5.6.2), holds the
// request for them, and delivers it on the flow on which they come back.
//
// A request walks through the files in this order: router (is it ours to relay,
// and where to), identity and caller (who sent it, and may it say so), lookup,
// aors, target and contact (which devices, and how each is reached), order (which
// are tried first), fork (the response context), branch (one device, from the
// first attempt to its final), park (a branch that waits for its device), forward
// and conceal (the bytes that leave), best and response (the answer that goes
// back), fallback and diversion (who else is asked before that). A request inside a
// dialog goes through indialog instead of lookup: token tells which device it is
// for, and line keeps those that wait for it in order. A request to one device goes
// through gruu. hop sends to what is no device of ours.
//
// Everything that belongs to one call runs on the ordered queue of its Call-ID
// (internal/transaction), so nothing here takes a lock: the caller's messages,
// the branches' answers, timers, push outcomes and changes of the location
// service are all posted there.
//
// The package does not read sockets, does not decide who may call (Gate) and
// does not speak to push services (Waker).
package proxy
