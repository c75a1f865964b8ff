package admin

import (
	"context"
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
	Source        string    `json:"source" doc:"An IPv4 address or an IPv6 network."`
	Reason        string    `json:"reason"`
	DatagramsOnly bool      `json:"datagrams_only" doc:"Connections of the source are still served."`
	Until         time.Time `json:"until"`
}

// BanList is the answer to GET /v1/bans.
type BanList struct {
	Bans []Ban `json:"bans"`
}

type (
	banReply struct{ Body BanList }
	banInput struct {
		Source string `query:"source" required:"true" maxLength:"64" doc:"An address, or a network as the list names it."`
	}
)

func (i *banInput) target() string { return i.Source }

func (b *Bans) register(a *api) {
	if b == nil {
		return
	}
	query(a, Read, call{
		id: "list-bans", method: http.MethodGet, path: "/bans", tag: "bans", summary: "Sources that are not listened to",
	}, func(context.Context, *nothing) (*banReply, error) {
		return &banReply{BanList{list(b.List())}}, nil
	})
	change(a, Operate, call{
		id: "lift-ban", method: http.MethodDelete, path: "/bans", tag: "bans", summary: "End the ban of a source", errors: []int{http.StatusNotFound},
	}, func(_ context.Context, in *banInput) (*nothing, error) {
		addr, err := ParseSource(in.Source)
		if err != nil {
			return nil, invalid("query.source", err)
		}
		if !b.Lift(addr) {
			return nil, failure(http.StatusNotFound, fmt.Errorf("%s is not banned", addr))
		}
		return nil, nil
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
