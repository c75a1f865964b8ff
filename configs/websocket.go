package configs

import (
	"fmt"
	"strings"
	"time"
)

// WebSocket says which handshakes a ws or wss listener accepts, and how it looks
// after the connections.
type WebSocket struct {
	// Path is the only path that is served; empty serves all.
	Path string `yaml:"path"`
	// Origins are the pages that may connect, as browsers name them; a host may
	// begin with "*.". Empty lets all.
	Origins []string `yaml:"origins"`
	// PingInterval is how long a client may be quiet before it gets a Ping; 0
	// sends none.
	PingInterval time.Duration `yaml:"ping_interval" range:"0s..1h"`
}

func (l *loader) checkWebSocket(at string, ln Listen) {
	if ln.WebSocket == nil || ln.Transport == "" {
		return
	}
	if ln.Transport != WS && ln.Transport != WSS {
		l.errorAt(at+".ws", fmt.Sprintf("does not belong to a listener that speaks %s", ln.Transport), "write transport: ws or wss")
		return
	}
	if p := ln.WebSocket.Path; p != "" && p[0] != '/' {
		l.errorAt(at+".ws.path", fmt.Sprintf("%q does not begin with a slash", p), "write /"+p)
	}
	for i, o := range ln.WebSocket.Origins {
		if !validOrigin(o) {
			l.errorAt(fmt.Sprintf("%s.ws.origins[%d]", at, i), fmt.Sprintf("%q is no origin", o), "write https://phone.example.com or https://*.example.com")
		}
	}
}

// validOrigin reports whether s is a scheme and a host, with a port or without,
// and perhaps with a wildcard in front.
func validOrigin(s string) bool {
	scheme, host, ok := strings.Cut(s, "://")
	if s == "null" {
		return true
	}
	return ok && hostname.MatchString(scheme) && validHost(strings.TrimPrefix(hostOf(host), "*."))
}
