// Package app puts the server together: it is the only place that knows all
// rooms. New builds everything and binds the sockets, Start serves, Reload takes
// over what can change while calls go on, Stop ends in order.
//
// An App keeps no global state: several run in one process, as the tests do.
package app
