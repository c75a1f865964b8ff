package sipmsg

import (
	"errors"
	"strings"
)

var errVia = errors.New("malformed Via")

// A Via is one Via value (RFC 3261 §20.42). Its parts are substrings of the
// text.
type Via struct {
	// Transport in upper case; any token is legal.
	Transport string
	// Host is the sent-by host as written; an IPv6 address keeps its brackets.
	Host string
	// Port is the sent-by port; "" if there is none.
	Port   string
	Params Params

	raw string
}

// String returns the value as written, folds replaced by one space.
func (v Via) String() string { return v.raw }

// Branch returns the branch parameter; "" if there is none (RFC 2543).
func (v Via) Branch() string {
	b, _ := v.Params.Get("branch")
	return b
}

// Received returns the received parameter as written; "" if there is none.
func (v Via) Received() string {
	r, _ := v.Params.Get("received")
	return r
}

// RPort returns the rport parameter: ("", true) is a request for it (RFC 3581
// §3).
func (v Via) RPort() (value string, ok bool) { return v.Params.Get("rport") }

// SentBy returns host[:port] as written, without the white space that may
// surround the colon.
func (v Via) SentBy() string {
	if v.Port == "" {
		return v.Host
	}
	return v.Host + ":" + v.Port
}

// ParseVia reads one Via value.
func ParseVia(s string) (Via, error) {
	var v Via
	err := parseVia(&v, trim(unfold(s)))
	return v, err
}

// parseVia reads a value without folds or surrounding white space:
//
//	SIP / 2.0 / UDP  host : port ; params
//
// White space is allowed around each separator (RFC 4475 §3.1.1.1). The
// protocol version is not judged here: the start line's decides.
func parseVia(v *Via, s string) error {
	i := 0
	var transport string
	for part := range 3 {
		i = skipLWS(s, i)
		n := run(s[i:], classToken)
		if n == 0 {
			return errVia
		}
		if part == 2 {
			transport = s[i : i+n]
			i += n
			break
		}
		i = skipLWS(s, i+n)
		if i == len(s) || s[i] != '/' {
			return errVia
		}
		i++
	}
	start := skipLWS(s, i)
	if start == i || start == len(s) {
		return errVia
	}
	host, port, n, err := sentBy(s[start:])
	if err != nil {
		return err
	}
	params := s[start+n:]
	if err := checkParams(params); err != nil {
		return err
	}
	*v = Via{Transport: upperTransport(transport), Host: host, Port: port, Params: Params(params), raw: s}
	return nil
}

// sentBy reads host [ *LWS ":" *LWS port ] and the white space behind it.
func sentBy(s string) (host, port string, n int, err error) {
	end := strings.IndexByte(s, ';')
	if end < 0 {
		end = len(s)
	}
	hostEnd := 0
	if s[0] == '[' {
		hostEnd = strings.IndexByte(s[:end], ']') + 1
	} else {
		for hostEnd < end && isHostChar(s[hostEnd]) {
			hostEnd++
		}
	}
	i := skipLWS(s, hostEnd)
	if i < end && s[i] == ':' {
		port = trim(s[i+1 : end])
		if _, ok := parseUint(port, 65535); !ok {
			return "", "", 0, errURIPort
		}
		i = end
	}
	if i != end {
		return "", "", 0, errURIHost
	}
	host = s[:hostEnd]
	if _, _, err := splitHostPort(host); err != nil {
		return "", "", 0, err
	}
	return host, port, end, nil
}

// upperTransport returns a transport's name in upper case without allocating for
// those that occur.
func upperTransport(s string) string {
	for _, known := range [...]string{"UDP", "TCP", "TLS", "WS", "WSS", "SCTP"} {
		if equalFold(s, known) {
			return known
		}
	}
	return strings.ToUpper(s)
}
