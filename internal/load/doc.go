// Package load is the core of `reveille load`, and the phones of the comparison
// with other servers (test/bench/compare): simulated phones, as many as memory
// holds, that register, refresh, sleep, are called, wake and answer, and what is
// measured of it.
//
// The core is pure: it is told the time, what arrived and which push came, and
// says what to send (core, and the files that carry the parts of it: register,
// caller, callee, wake). Load puts UDP sockets and a clock around it. One goroutine
// runs the core, so that nothing in it is locked; each socket has one that reads.
//
// The phones speak what is needed to load a registrar and home proxy: REGISTER
// with digest (RFC 3261 §10, RFC 8760), push parameters (RFC 8599), calls with
// loose routes and the timers of RFC 3261 §17. Many phones share one socket. They
// are no reference of a client: what no server sends them, they do not read.
//
// The push service is the caller's: it hands each push to Load.Pushed.
package load
