package proxy

import (
	"slices"

	"reveille/internal/resolve"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// An AOR is what is configured for an address of record.
type AOR struct {
	// Contacts are called besides the registered devices, always.
	Contacts []Contact
	// Rings are other users whose devices are called too, and theirs in turn.
	Rings []usrloc.AOR
	// Fallbacks are where calls go that nobody takes, in place of Options.Fallbacks;
	// NoFallback: nowhere.
	Fallbacks  []Fallback
	NoFallback bool
}

// A Contact is a device that does not register.
type Contact struct {
	URI sipmsg.URI
}

// maxRings bounds the users that one call reaches.
const maxRings = 32

// expand returns aor and whom its calls ring besides, each once: a circle of
// users that ring each other is no harm.
func (o *Options) expand(aor usrloc.AOR) []usrloc.AOR {
	all := []usrloc.AOR{aor}
	for i := 0; i < len(all); i++ {
		for _, other := range o.AORs[all[i]].Rings {
			if len(all) < maxRings && !slices.Contains(all, other) {
				all = append(all, other)
			}
		}
	}
	return all
}

// fixed returns the configured contacts of aor for a request to uri.
func (o *Options) fixed(aor usrloc.AOR, uri sipmsg.URI) []target {
	var set []target
	for _, c := range o.AORs[aor].Contacts {
		to, err := resolve.TargetOf(c.URI)
		if err != nil {
			// validate has seen to it that there are none.
			continue
		}
		u := c.URI
		if u.User == "" {
			// A gateway, of which only the address is known: it wants to hear whom
			// the caller dialled.
			u = sipmsg.URI{Scheme: u.Scheme, User: uri.User, Host: u.Host, Port: u.Port, Params: u.Params}
		}
		t := dialTarget(to)
		t.aor, t.uri = aor, u.String()
		set = append(set, t)
	}
	return set
}
