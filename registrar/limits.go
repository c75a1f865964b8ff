package registrar

import "strings"

// Bounds of what a binding keeps, beside those of the Policy.
const (
	maxCallID   = 512  // bytes
	maxInstance = 512  // bytes; a urn:uuid has 45
	maxPaths    = 16   // values
	maxPath     = 2048 // bytes in all
	// maxContacts bounds the contacts of one request; matching them is
	// quadratic.
	maxContacts = 100
)

// checkLimits refuses what is too long to be kept, and bytes that could break
// out of a header field of our answers.
func (p *Policy) checkLimits(in *Input) error {
	user, host := splitAOR(string(in.AOR))
	switch {
	case host == "":
		return refuse(400, "Bad Address Of Record")
	case len(user) > p.MaxUser:
		return refuse(400, "Username Too Long")
	case len(host) > p.MaxDomain:
		return refuse(400, "Domain Too Long")
	case len(in.AOR) > p.MaxAOR:
		return refuse(400, "Address Of Record Too Long")
	case len(in.CallID) > maxCallID || !clean(in.CallID):
		return refuse(400, "Bad Call-ID")
	case !clean(in.UserAgent):
		return refuse(400, "Bad User-Agent")
	case len(in.Path) > maxPaths:
		return refuse(400, "Too Many Path Values")
	case len(in.Contacts) > maxContacts:
		return refuse(400, "Too Many Contacts")
	}
	path := 0
	for _, v := range in.Path {
		if path += len(v); path > maxPath || !clean(v) {
			return refuse(400, "Bad Path")
		}
	}
	for i := range in.Contacts {
		c := &in.Contacts[i]
		switch {
		case c.URI == "" || strings.ContainsAny(c.URI, "<>\" ") || !clean(c.URI) || !clean(c.Params):
			return refuse(400, "Bad Contact")
		case len(c.URI)+len(c.Params) > p.MaxContact:
			return refuse(400, "Contact Too Long")
		case len(c.Instance) > maxInstance:
			return refuse(400, "Instance Too Long")
		}
	}
	return nil
}

// splitAOR returns the user and the host of a canonical AOR; the host is empty
// if it is none.
func splitAOR(aor string) (user, host string) {
	_, rest, _ := strings.Cut(aor, ":")
	at := strings.LastIndexByte(rest, '@')
	return rest[:max(at, 0)], rest[at+1:]
}

// clean reports whether s has no control characters.
func clean(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
