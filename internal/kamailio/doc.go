// Package kamailio reads the tables of Kamailio and OpenSIPS, whose names and
// columns differ little: subscriber, which becomes a users file, and location,
// which becomes bindings. It is for those who change over; `reveille import` is
// its caller.
package kamailio
