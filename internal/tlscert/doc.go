// Package tlscert reads the certificates of TLS listeners from files and hands
// them to crypto/tls in such a way that they can be replaced while connections
// go on (RFC 3261 §26.3.1, RFC 5922).
//
// A Set is what was read at once, all of it good; a Source hands out the current
// Set to each new handshake. Which certificate a client sees depends on the name
// that it asks for (RFC 5922 §7.8) and on what it can verify; the first is the
// default. The package opens no connection and watches no file: internal/app
// loads a new Set when the configuration is reloaded.
package tlscert
