// Package registrar decides what a REGISTER does: RFC 3261 §10.3, with Path
// (RFC 3327), the identity of a device as in RFC 5626 §6 and the registrar's
// part of SIP push notification (RFC 8599 §5.4 to §5.6.1). The Refresher wakes
// devices before their bindings expire (RFC 8599 §5.5).
//
// Its core is two functions without a message model and without I/O: Apply
// turns a usrloc.Record and an Input into the next Record, and AppendOK writes
// the header fields of the 200. A Registrar is the shell around them: it reads
// the Input from a message, runs Apply in a usrloc.Store and answers. It mounts
// on the server's own transaction layer (Serve) or on a plain sipgo server
// (OnRegister).
//
// It does not authenticate: whoever calls it has done so and says what the user
// may register. It never forwards a REGISTER and never pushes by itself.
package registrar
