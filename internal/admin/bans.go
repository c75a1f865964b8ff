package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"
)

// Bans is the list of sources that are not listened to.
type Bans struct {
	// List returns those that are banned, by source.
	List func() []Ban
	// Lift ends the ban of the source that an address belongs to and reports
	// whether there was one.
	Lift func(netip.Addr) bool
}

// Ban is an entry of that list.
type Ban struct {
	// Source is an IPv4 address or an IPv6 network.
	Source string `json:"source"`
	Reason string `json:"reason"`
	// DatagramsOnly says that connections of the source are still served.
	DatagramsOnly bool      `json:"datagrams_only"`
	Until         time.Time `json:"until"`
}

// BanList is the answer to GET /bans.
type BanList struct {
	Bans []Ban `json:"bans"`
}

// serve adds GET /bans, and DELETE /bans/{source} with an address or a network.
func (b *Bans) serve(mux *http.ServeMux) {
	mux.HandleFunc("GET /bans", func(w http.ResponseWriter, _ *http.Request) {
		// An empty list, not null, for programs that read it.
		answer(w, http.StatusOK, "application/json", BanList{append([]Ban{}, b.List()...)})
	})
	mux.HandleFunc("DELETE /bans/{source...}", func(w http.ResponseWriter, r *http.Request) {
		const title = "no ban was lifted"
		addr, err := ParseSource(r.PathValue("source"))
		switch {
		case err != nil:
			problem(w, http.StatusBadRequest, title, err)
		case !b.Lift(addr):
			problem(w, http.StatusNotFound, title, fmt.Errorf("%s is not banned", addr))
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
}

// ParseSource reads an address, or the first of a network as BanList names it.
func ParseSource(s string) (netip.Addr, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Addr(), nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return addr, fmt.Errorf("%q is no address: write 192.0.2.7 or 2001:db8::7", s)
	}
	return addr, nil
}
