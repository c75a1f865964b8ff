package resolve

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// A Target is what a URI says of where it leads (RFC 3263 §4: its TARGET, port,
// transport and scheme). Targets can be compared; the zero value is none.
type Target struct {
	// Host is an IP address without brackets, or a name in lower case without the last
	// dot.
	Host string
	// Port is 0 if the URI has none.
	Port uint16
	// Transport is 0 if the URI has none.
	Transport flow.Transport
	// Secure: the scheme is sips. Nothing but TLS leads there.
	Secure bool
}

// A Hop is one place to send a request to.
type Hop struct {
	Transport flow.Transport
	Addr      netip.AddrPort
	// Name is the host of the URI before any query, for which the peer's certificate
	// must be (RFC 5922 §7.3): what the DNS says of other names proves nothing. Empty if
	// the host is an IP address.
	Name string
}

var (
	// ErrUnreachable says that there is no way to the host of a URI, whatever is in the DNS.
	ErrUnreachable = errors.New("cannot be connected to")
	// ErrNotFound says that the DNS knows no place for it.
	ErrNotFound = errors.New("no such host")
)

// TargetOf reads a SIP or SIPS URI. The error wraps ErrUnreachable if nothing can be
// connected to: browsers behind a WebSocket, and what a transport parameter names
// that is not spoken here.
func TargetOf(u sipmsg.URI) (Target, error) {
	t := Target{Host: strings.ToLower(strings.TrimSuffix(strings.Trim(u.Host, "[]"), ".")), Port: u.PortNum(), Secure: u.IsSIPS()}
	if addr, ok := u.HostAddr(); ok {
		t.Host = addr.Unmap().String()
	}
	if !u.IsSIP() || t.Host == "" || u.Port != "" && t.Port == 0 {
		return Target{}, fmt.Errorf("%s:%s:%s: %w", u.Scheme, u.Host, u.Port, ErrUnreachable)
	}
	name, has := u.Param("transport")
	if !has {
		return t, nil
	}
	var ok bool
	switch t.Transport, ok = flow.ParseTransport(name); {
	case !ok || t.Transport > flow.TLS:
		// RFC 7118 §5: only the flow that a browser opened leads to it.
		return Target{}, fmt.Errorf("transport %q: %w", name, ErrUnreachable)
	case t.Secure && t.Transport == flow.UDP:
		// There is no DTLS here.
		return Target{}, fmt.Errorf("sips over UDP: %w", ErrUnreachable)
	case t.Secure:
		// RFC 3261 §26.2.2: sips with transport=tcp means TLS over TCP.
		t.Transport = flow.TLS
	}
	return t, nil
}

// Addr returns the address if the host is one.
func (t Target) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(t.Host)
	return a, err == nil
}

// Hop returns the only hop of a Target whose host is an IP address (RFC 3263 §4.2);
// ok is false if it is a name.
func (t Target) Hop() (h Hop, ok bool) {
	a, ok := t.Addr()
	if !ok {
		return Hop{}, false
	}
	tp := t.plainTransport()
	return Hop{Transport: tp, Addr: netip.AddrPortFrom(a, t.portFor(tp))}, true
}

// String is for logs.
func (t Target) String() string {
	s := t.Host
	if strings.Contains(s, ":") {
		s = "[" + s + "]"
	}
	if t.Port != 0 {
		s = fmt.Sprintf("%s:%d", s, t.Port)
	}
	if t.Transport != 0 {
		s += ";transport=" + strings.ToLower(t.Transport.String())
	}
	if t.Secure {
		return "sips:" + s
	}
	return "sip:" + s
}

// plainTransport is the transport where the DNS is not asked for one (RFC 3263 §4.1).
func (t Target) plainTransport() flow.Transport {
	switch {
	case t.Transport != 0:
		return t.Transport
	case t.Secure:
		return flow.TLS
	}
	return flow.UDP
}

// portFor is the port where the DNS is not asked for one (RFC 3261 §19.1.2).
func (t Target) portFor(tp flow.Transport) uint16 {
	switch {
	case t.Port != 0:
		return t.Port
	case tp == flow.TLS:
		return 5061
	}
	return 5060
}

// local reports whether a name means this machine (RFC 6761 §6.3), which no server is
// asked about.
func local(name string) bool { return name == "localhost" || strings.HasSuffix(name, ".localhost") }

// invented reports whether a name is in no DNS: browsers put it into their Contacts
// (RFC 7118 §5, RFC 6761 §6.4).
func invented(name string) bool { return name == "invalid" || strings.HasSuffix(name, ".invalid") }
