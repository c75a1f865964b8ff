package transport

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 §4.2.2 names it, and not as a protection.
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// maxHandshake bounds a client's handshake in bytes. A browser sends along
	// whatever cookies the site has set, some KiB at times.
	maxHandshake = 16 << 10
	// wsProtocol is the only subprotocol spoken (RFC 7118 §4.1).
	wsProtocol = "sip"
	// wsVersion is the only version of WebSocket spoken (RFC 6455 §4.1).
	wsVersion = "13"
)

// A refusal is the answer to a handshake that is not accepted.
type refusal struct {
	status int
	reason string
	header string // further header lines
}

// Error implements error.
func (r *refusal) Error() string { return fmt.Sprintf("%d %s", r.status, r.reason) }

// response returns the refusal as it goes onto the wire. The connection is of no
// further use: whatever comes next was sent in the belief that this succeeds.
func (r *refusal) response() []byte {
	connection := "close"
	if r.status == http.StatusUpgradeRequired {
		connection = "Upgrade, close" // RFC 9110 §7.8.
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sConnection: %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n",
		r.status, http.StatusText(r.status), r.header, connection, len(r.reason)+1, r.reason)
}

func badHandshake(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, reason: fmt.Sprintf(format, args...)}
}

func errHeadTooLong() *refusal {
	return &refusal{status: http.StatusRequestHeaderFieldsTooLarge, reason: fmt.Sprintf("the handshake is longer than %d bytes", maxHandshake)}
}

// upgradeRequired is for requests that are no handshake, such as those of a
// browser's address line or of a health check (RFC 9110 §15.5.22), and for
// handshakes of another version (RFC 6455 §4.4).
func upgradeRequired(reason string) *refusal {
	return &refusal{
		status: http.StatusUpgradeRequired, reason: reason,
		header: "Upgrade: websocket\r\nSec-WebSocket-Version: " + wsVersion + "\r\n",
	}
}

// A wsPolicy decides which handshakes are accepted.
type wsPolicy struct {
	path    string // empty: any
	origins []origin
}

func newWSPolicy(o WSOptions) (p wsPolicy, err error) {
	p.path = o.Path
	for _, s := range o.Origins {
		pattern, err := parseOrigin(s)
		if err != nil {
			return p, err
		}
		p.origins = append(p.origins, pattern)
	}
	return p, nil
}

// check reads the head of an HTTP request and what came behind it, and returns
// the key to be answered if it is a handshake that is accepted (RFC 6455
// §4.2.1). An error is a *refusal. Cookies and HTTP credentials are not looked
// at: users log in by SIP (RFC 7118 §7). Offers of extensions are passed over,
// so that none is in use (RFC 6455 §9.1).
func (p *wsPolicy) check(head, rest []byte) (key string, err error) {
	r, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(head), len(head)))
	if err != nil {
		return "", badHandshake("the request is malformed")
	}
	switch {
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1:
		return "", &refusal{status: http.StatusHTTPVersionNotSupported, reason: "the handshake is HTTP/1.1"}
	case r.Method != http.MethodGet:
		return "", &refusal{status: http.StatusMethodNotAllowed, reason: "the handshake is a GET", header: "Allow: GET\r\n"}
	case r.Host == "":
		return "", badHandshake("no Host")
	case p.path != "" && r.URL.Path != p.path:
		return "", &refusal{status: http.StatusNotFound, reason: "nothing is served at this path"}
	case !httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket") || !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "Upgrade"):
		return "", upgradeRequired("this is a SIP server that speaks WebSocket (RFC 7118)")
	case r.Header.Get("Sec-WebSocket-Version") != wsVersion:
		return "", upgradeRequired("the version of WebSocket must be " + wsVersion)
	case r.ContentLength != 0 || len(rest) > 0:
		// RFC 6455 §4.1: the client waits for the answer before it sends more.
		return "", badHandshake("bytes behind the handshake")
	}
	keys := r.Header["Sec-Websocket-Key"]
	if len(keys) != 1 || !validKey(keys[0]) {
		return "", badHandshake("Sec-WebSocket-Key is not 16 bytes in base64")
	}
	if !p.allows(r.Header["Origin"]) {
		// RFC 6455 §10.2.
		return "", &refusal{status: http.StatusForbidden, reason: "pages of this origin may not connect"}
	}
	if !offersSIP(r.Header["Sec-Websocket-Protocol"]) {
		// RFC 7118 §4.1.
		return "", badHandshake("Sec-WebSocket-Protocol does not offer %q (RFC 7118)", wsProtocol)
	}
	return keys[0], nil
}

// allows reports whether a page of that origin may connect. Only browsers name
// an origin, and only their users need protection from other people's pages: a
// client without one is no page.
func (p *wsPolicy) allows(values []string) bool {
	if len(p.origins) == 0 || len(values) == 0 {
		return true
	}
	return len(values) == 1 && slices.ContainsFunc(p.origins, func(o origin) bool { return o.matches(values[0]) })
}

// offersSIP looks for "sip" among the offered subprotocols. The name is compared
// as it is written, for so do browsers with the answer.
func offersSIP(values []string) bool {
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			if strings.Trim(name, " \t") == wsProtocol {
				return true
			}
		}
	}
	return false
}

// validKey reports whether a key is 16 bytes in base64.
func validKey(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) == 16
}

// acceptance returns the answer to an accepted handshake (RFC 6455 §4.2.2).
func acceptance(key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // See the import.
	return fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]), wsProtocol)
}

// emptyLine returns the offset behind the first empty line, or -1.
func emptyLine(b []byte) int {
	const end = "\r\n\r\n"
	if i := bytes.Index(b, []byte(end)); i >= 0 {
		return i + len(end)
	}
	return -1
}
