// Package qualify asks phones from time to time whether they are there, and
// remembers how long they took to answer: OPTIONS on the flow of each binding
// whose device is awake (RFC 3261 §11).
//
// What it learns is advice. It is kept in memory alone, the proxy orders phones
// by it, and no binding is changed or removed for it: a registration lasts as
// long as it was granted (RFC 3261 §10.3). A device that sleeps is not asked, for
// asking would wake it or go to somebody else's address.
//
// The location service is read in small steps, all of it once in each interval.
// There is no timer and no goroutine for a binding; a question under way costs a
// client transaction, and of these there is a bound.
package qualify
