package admin

import (
	"fmt"
	"net/http"
	"time"
)

// ConsolePath is where the console is, on the address alone.
const ConsolePath = "/console/"

// addConsole has mux serve a console, if there is to be one.
func (s *Server) addConsole(mux *http.ServeMux, build func(ConsoleDoor) (http.Handler, error)) error {
	if build == nil {
		return nil
	}
	h, err := build(ConsoleDoor{s})
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	mux.Handle(ConsolePath, h)
	return nil
}

// A ConsoleDoor tells a console who somebody is. It is the Server.
type ConsoleDoor struct{ s *Server }

// Locked says that nobody is listened to at an address for a while.
type Locked struct{ For time.Duration }

// Error implements error.
func (*Locked) Error() string { return "too many failed tries from this address" }

// Token returns who has a token. Wrong ones count as those of the API do; the error is
// a *Locked if there were too many.
func (d ConsoleDoor) Token(r *http.Request, token string) (Principal, error) {
	if err := d.Locked(r); err != nil {
		return Principal{}, err
	}
	p, err := d.s.access.Load().byToken(token)
	if err != nil {
		d.Failed(r)
	}
	return p, err
}

// Locked returns a *Locked if too many tries from the address of r failed.
func (d ConsoleDoor) Locked(r *http.Request) error {
	if wait := d.s.tries.wait(remoteAddr(r.RemoteAddr), time.Now()); wait > 0 {
		d.s.api.metrics.refused.WithLabelValues(refusedOften).Inc()
		return &Locked{wait}
	}
	return nil
}

// Failed counts a try from the address of r that failed.
func (d ConsoleDoor) Failed(r *http.Request) {
	d.s.tries.failed(remoteAddr(r.RemoteAddr), time.Now())
	d.s.api.metrics.refused.WithLabelValues(refusedWrong).Inc()
}

// Known returns who has a token that was taken before, if it still would be.
func (d ConsoleDoor) Known(token string) (Principal, bool) {
	p, err := d.s.access.Load().byToken(token)
	return p, err == nil
}

// Certificate returns whose client certificate r came with.
func (d ConsoleDoor) Certificate(r *http.Request) (Principal, bool) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return Principal{}, false
	}
	p, err := d.s.access.Load().byCertificate(r.TLS.VerifiedChains[0][0])
	return p, err == nil
}

// Ending is closed when the Server stops.
func (d ConsoleDoor) Ending() <-chan struct{} { return d.s.api.ending.Done() }

// Changed tells the audit log of a change that somebody made on the console.
func (d ConsoleDoor) Changed(c Change) {
	if d.s.api.audit != nil {
		d.s.api.audit(c)
	}
}
