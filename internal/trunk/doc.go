// Package trunk keeps an eye on the next hops of configured routes: gateways, carriers,
// other proxies. It keeps their names looked up, so that it is known which addresses are
// theirs, and asks them by OPTIONS whether they are there, where that is wanted.
//
// What it learns is advice. The proxy tries hops that are down after the others (RFC 3263
// §4.3 lets a client choose), and never refuses a call for it. Which addresses belong to
// a route decides who is trusted where an operator has said so of the route's name: then
// the DNS is trusted, too.
//
// Everything is bounded by the configuration: a next hop is one watch, with one goroutine
// if there is something to look up or to ask, and at most as many addresses as a look-up
// gives. What the DNS said last is kept while it is silent.
package trunk
