package registrar

import (
	"strings"

	"reveille/internal/sipmsg"
)

// PathMode says what becomes of Path header fields (RFC 3327 §5.3).
type PathMode uint8

const (
	// PathLazy stores Path and shows it in the 200 to a phone that supports it.
	PathLazy PathMode = iota
	// PathStrict answers 420 to a Path from a phone that does not support it.
	PathStrict
	// PathOff ignores Path.
	PathOff
)

// readPath reads the Path of a REGISTER.
func readPath(p *Policy, m *sipmsg.Message, in *Input) error {
	paths := m.Paths()
	for i := range paths {
		in.Path = append(in.Path, paths[i].String())
		// RFC 3327 §4: its URI becomes a Route, and loose routing is all that we do.
		if _, ok := paths[i].URI.Param("lr"); !ok && p.Path != PathOff {
			return refuse(400, "Path Without lr")
		}
	}
	if len(paths) == 0 {
		return nil
	}
	in.PathOutbound = pathOutbound(paths)
	in.PathReceived = pathReceived(paths[0].URI)
	// RFC 3327 §5.3: without support the phone would not see what was inserted.
	if !in.Supported.Has(ExtPath) && p.Path == PathStrict {
		return badExtension("path")
	}
	return nil
}

// pathReceived returns where the proxy that wrote a Path value saw the phone: a
// SIP URI in the parameter received, escaped as a whole. "" if it does not say.
func pathReceived(path sipmsg.URI) string {
	v, ok := path.Param("received")
	if !ok {
		return ""
	}
	u, err := sipmsg.ParseURI(sipmsg.Unescape(v))
	if err != nil || !u.IsSIP() || u.Headers != "" || !clean(u.String()) || strings.ContainsAny(u.String(), "\"\\<> \t") {
		return ""
	}
	if _, ok := u.HostAddr(); !ok {
		return ""
	}
	return u.String()
}

// storedPath is what a binding keeps of the request's Path.
func (p *Policy) storedPath(in *Input) []string {
	if p.Path == PathOff || len(in.Path) == 0 {
		return nil
	}
	return in.Path
}

// storedReceived is what a binding keeps of where a proxy saw the phone.
func (p *Policy) storedReceived(in *Input) string {
	if p.Path == PathOff || !p.PathReceived {
		return ""
	}
	return in.PathReceived
}
