// Package auth says who sent a request: digest authentication (RFC 3261 §22,
// RFC 7616, RFC 8760), trusted peers, and which addresses of record a user may
// register.
//
// The registrar and the proxy ask an Authenticator before they act. A request
// without credentials costs no memory that outlives it: nonces carry their own
// proof of origin, and only a nonce with which somebody succeeded enters the
// bounded table that catches replays. Names of users cannot be found out by
// trying: an unknown one is refused in the same words and after the same work as
// a wrong password.
//
// Basic authentication is never offered nor accepted (RFC 3261 §22).
package auth
