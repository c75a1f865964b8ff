package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// An Exchanger asks the DNS one question and returns what it said, whatever that is.
// It is safe for concurrent use.
type Exchanger interface {
	Exchange(ctx context.Context, name string, kind uint16) (*dns.Msg, error)
}

// Servers asks recursive servers, one after another until one can answer. The zero
// value asks nobody.
type Servers struct {
	Addrs []netip.AddrPort
	// Timeout is how long one of them is waited for; default 2 s.
	Timeout time.Duration
}

// udpSize is what answers by UDP may have, so that no path cuts them.
const udpSize = 1232

// rounds is how often each server is asked.
const rounds = 2

var errNoServers = errors.New("no DNS server is known")

// SystemServers returns the servers of a file like /etc/resolv.conf.
func SystemServers(file string) ([]netip.AddrPort, error) {
	c, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the DNS servers: %w", err)
	}
	var list []netip.AddrPort
	for _, s := range c.Servers {
		a, err := netip.ParseAddrPort(net.JoinHostPort(s, c.Port))
		if err != nil {
			return nil, fmt.Errorf("read the DNS servers of %s: %w", file, err)
		}
		list = append(list, a)
	}
	return list, nil
}

// Exchange implements Exchanger.
func (s Servers) Exchange(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(udpSize, false)
	err := errNoServers
	for range rounds {
		for _, a := range s.Addrs {
			var m *dns.Msg
			if m, err = s.one(ctx, q, a.String()); err == nil {
				return m, nil
			}
			if ctx.Err() != nil {
				return nil, err
			}
		}
	}
	return nil, err
}

// one asks one server, by TCP if the answer does not fit into a datagram (RFC 7766
// §5). Each question has its own port and number, so that strangers cannot guess them.
func (s Servers) one(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = 2 * time.Second
	}
	q = q.Copy()
	q.Id = dns.Id()
	client := dns.Client{Timeout: timeout, UDPSize: udpSize}
	m, _, err := client.ExchangeContext(ctx, q, server)
	if err == nil && m.Truncated {
		client.Net = "tcp"
		m, _, err = client.ExchangeContext(ctx, q, server)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w", server, err)
	case len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, q.Question[0].Name) || m.Question[0].Qtype != q.Question[0].Qtype:
		return nil, fmt.Errorf("ask %s: the answer is to another question", server)
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("ask %s: it said %s", server, dns.RcodeToString[m.Rcode])
	}
	return m, nil
}
