package webpush

import (
	"net/http"
	"sync"

	"reveille/push/internal/exchange"
)

// origins is a RoundTripper that keeps the connections of each origin apart: one
// whose connections are dead costs no other a handshake.
type origins struct {
	transport func() *http.Transport

	// mu guards hosts, which has at most maxOrigins entries.
	mu    sync.Mutex
	hosts map[string]*exchange.Redialer
}

func newOrigins(transport func() *http.Transport) *origins {
	return &origins{transport: transport, hosts: make(map[string]*exchange.Redialer)}
}

// RoundTrip implements http.RoundTripper.
func (o *origins) RoundTrip(req *http.Request) (*http.Response, error) {
	return o.host(req.URL.Host).RoundTrip(req)
}

func (o *origins) host(name string) *exchange.Redialer {
	o.mu.Lock()
	defer o.mu.Unlock()
	if h := o.hosts[name]; h != nil {
		return h
	}
	if len(o.hosts) >= maxOrigins {
		for old, h := range o.hosts { // any: it is made again when needed
			h.CloseIdleConnections()
			delete(o.hosts, old)
			break
		}
	}
	h := &exchange.Redialer{New: o.transport}
	o.hosts[name] = h
	return h
}

// CloseIdleConnections closes those of all origins.
func (o *origins) CloseIdleConnections() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, h := range o.hosts {
		h.CloseIdleConnections()
	}
}
