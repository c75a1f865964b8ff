package resolve

import (
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// What one answer is read for at most.
const (
	maxRecords = 32
	maxAliases = 8
)

// Bounds of how long an answer is kept.
const (
	maxTTL = time.Hour
	// maxNegative is for "there is none": a service that was just set up should be found.
	maxNegative = time.Minute
	// brokenTTL is for servers that fail (RFC 2308 §7): calls must not be what tests them.
	brokenTTL = 2 * time.Second
)

var errAliases = errors.New("aliases lead nowhere")

// An answer is what the DNS said of one name and type. It is not changed any more.
type answer struct {
	records []dns.RR // none: there are none
	// alias is the name to ask for next, if the server knew only that.
	alias string
	// ttl is how long it is true.
	ttl time.Duration
}

// read takes from a message what it says of a question; all else in it is ignored,
// for servers may say anything. The error is that of a server that cannot answer.
func read(m *dns.Msg, name string, kind uint16) (answer, error) {
	switch m.Rcode {
	case dns.RcodeSuccess:
	case dns.RcodeNameError:
		return answer{ttl: negativeTTL(m)}, nil
	default:
		return answer{}, fmt.Errorf("the server said %s", dns.RcodeToString[m.Rcode])
	}
	at, ttl := fold(name), maxTTL
	for range maxAliases {
		found, next := pick(m, at, kind, &ttl)
		switch {
		case len(found) > 0:
			return answer{records: found, ttl: ttl}, nil
		case next == "" && at == fold(name):
			return answer{ttl: negativeTTL(m)}, nil
		case next == "":
			// The server leaves the rest to us, unless it says that there is none.
			if _, ok := start(m); ok {
				return answer{ttl: min(ttl, negativeTTL(m))}, nil
			}
			return answer{alias: at, ttl: ttl}, nil
		}
		at = next
	}
	return answer{}, errAliases
}

// pick returns the records of a name, or the name that it is an alias of.
func pick(m *dns.Msg, name string, kind uint16, ttl *time.Duration) (found []dns.RR, alias string) {
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Class != dns.ClassINET || fold(h.Name) != name {
			continue
		}
		switch c, isAlias := rr.(*dns.CNAME); {
		case h.Rrtype == kind && len(found) < maxRecords:
			found = append(found, rr)
		case isAlias && alias == "" && kind != dns.TypeCNAME:
			alias = fold(c.Target)
		default:
			continue
		}
		*ttl = min(*ttl, time.Duration(h.Ttl)*time.Second)
	}
	return found, alias
}

// negativeTTL is how long "there is none" is true (RFC 2308 §5).
func negativeTTL(m *dns.Msg) time.Duration {
	soa, ok := start(m)
	if !ok {
		// §5: such an answer should not be kept; but one call is not asked about twice.
		return brokenTTL
	}
	return min(maxNegative, time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second)
}

// start returns the SOA record with which a server proves that there is no record.
func start(m *dns.Msg) (*dns.SOA, bool) {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return soa, true
		}
	}
	return nil, false
}
