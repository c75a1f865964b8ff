package locationdb

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// columns are those that are written; others of the table have defaults.
const columns = "ruid, username, domain, contact, received, path, expires, q, callid, cseq, last_modified, " +
	"user_agent, socket, methods, instance, reg_id, server_id"

// columnCount is how many there are.
const columnCount = 17

// Widths of the table's columns, in characters. What cannot be cut and does not
// fit is not written.
const (
	maxName     = 64
	maxContact  = 512
	maxPath     = 512
	maxText     = 255
	maxSocket   = 64
	maxReceived = 255
)

// timeFormat is how the databases write a time; it is in UTC.
const timeFormat = "2006-01-02 15:04:05"

// A translation says how bindings become rows.
type translation struct {
	node       uint32
	pushParams bool
	socket     func(flow.Flow) string
}

// account returns the values of username and domain.
func account(aor usrloc.AOR) (username, domain string) {
	_, rest, _ := strings.Cut(string(aor), ":")
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return "", rest
	}
	return rest[:at], rest[at+1:]
}

// row returns the values of columns for one binding; ok is false if the table
// cannot hold it.
func (t *translation) row(aor usrloc.AOR, b *usrloc.Binding) (values []any, ok bool) {
	username, domain := account(aor)
	contact := b.Contact
	if !t.pushParams {
		contact = withoutPush(contact, b.Push.PRID)
	}
	path := strings.Join(b.Path, ",")
	from := received(b)
	for _, v := range [...]struct {
		s   string
		max int
	}{{username, maxName}, {domain, maxName}, {contact, maxContact}, {path, maxPath}, {from, maxReceived}} {
		if !utf8.ValidString(v.s) || utf8.RuneCountInString(v.s) > v.max || strings.IndexByte(v.s, 0) >= 0 {
			return nil, false
		}
	}
	q := -1.0 // Kamailio's "none".
	if b.Q >= 0 {
		q = float64(b.Q) / 1000
	}
	instance := ""
	if b.Instance != "" && len(b.Instance) <= maxText-2 {
		// Half an instance would be another phone's.
		instance = "<" + plain(b.Instance, maxText-2) + ">"
	}
	socket := ""
	if t.socket != nil {
		socket = plain(t.socket(b.Flow), maxSocket)
	}
	return []any{
		b.ID.String(), username, domain, contact, orNull(from), orNull(path), b.Expires.UTC().Format(timeFormat), q,
		plain(b.CallID, maxText), int32(b.CSeq & math.MaxInt32), b.Updated.UTC().Format(timeFormat),
		plain(b.UserAgent, maxText), orNull(socket), methods(b.Methods), instance, int32(b.RegID & math.MaxInt32), int32(t.node),
	}, true
}

// received returns where the phone is seen, as a URI. Behind an edge proxy only
// that one knows: our flow is its.
func received(b *usrloc.Binding) string {
	r := b.Flow.Remote
	switch {
	case b.Received != "" || len(b.Path) > 0 || !r.IsValid():
		return b.Received
	case b.Flow.Transport == flow.UDP:
		return "sip:" + r.String()
	}
	return "sip:" + r.String() + ";transport=" + strings.ToLower(b.Flow.Transport.String())
}

// orNull is NULL for what is not there.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// plain returns what a column of any character set takes, cut to so many
// characters: it is for texts that people read.
func plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}

// withoutPush returns a Contact URI less what belongs to the phone and us alone
// (RFC 8599 §13), by whatever name it holds prid.
func withoutPush(contact, prid string) string {
	u, err := sipmsg.ParseURI(contact)
	if err != nil {
		return ""
	}
	return u.WithoutPush(append(u.Telling(prid), "pn-purr"))
}

// methods returns Kamailio's bits of a set, NULL for a phone that named none: it
// takes all.
func methods(m usrloc.Methods) any {
	if m == 0 {
		return nil
	}
	bits := 0
	for _, b := range [...]struct {
		method usrloc.Methods
		bit    int
	}{
		{usrloc.MethodInvite, 0},
		{usrloc.MethodCancel, 1},
		{usrloc.MethodAck, 2},
		{usrloc.MethodBye, 3},
		{usrloc.MethodInfo, 4},
		{usrloc.MethodRegister, 5},
		{usrloc.MethodSubscribe, 6},
		{usrloc.MethodNotify, 7},
		{usrloc.MethodMessage, 8},
		{usrloc.MethodOptions, 9},
		{usrloc.MethodPrack, 10},
		{usrloc.MethodUpdate, 11},
		{usrloc.MethodRefer, 12},
		{usrloc.MethodPublish, 13},
		{usrloc.MethodOther, 19},
	} {
		if m&b.method != 0 {
			bits |= 1 << b.bit
		}
	}
	return bits
}

// alive returns the bindings that count at now.
func alive(rec *usrloc.Record, now time.Time) []*usrloc.Binding {
	var list []*usrloc.Binding
	for i := range rec.Bindings {
		if b := &rec.Bindings[i]; !b.Expired(now) {
			list = append(list, b)
		}
	}
	return list
}
