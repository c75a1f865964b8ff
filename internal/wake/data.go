package wake

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"reveille/internal/sipmsg"
	"reveille/push"
	"reveille/usrloc"
)

// A Caller is what a payload may say of who sent a request; empty is unsaid.
type Caller struct {
	// Name is the display name, Number the telephone number or user name.
	Name, Number string
}

// The keys of push.Request.Data.
const (
	keyCallerName   = "caller_name"
	keyCallerNumber = "caller_number"
	keyReason       = "reason"
)

// Bounds of what others wrote into a request and a Contact, in characters.
const (
	maxName = 64
	maxHint = 64
)

// hints are the Contact URI parameters by which Linphone's apps say what iOS shows
// and plays, by the kind of push that it is for: names of texts and sounds in the
// app. They are handed on under their own names.
func hints(k push.Kind) []string {
	switch k {
	case push.Call:
		return []string{"pn-call-str", "pn-call-snd"}
	case push.Message:
		return []string{"pn-msg-str", "pn-msg-snd", "pn-groupchat-str"}
	case push.MidDialog, push.Refresh, push.Cancel:
	}
	return nil
}

// data is what the payload of a push may say beyond what it is for; nil if nothing.
func data(c Cause, b *usrloc.Binding) map[string]string {
	var d map[string]string
	add := func(key, value string, most int) {
		if value = plain(value, most); value == "" {
			return
		}
		if d == nil {
			d = make(map[string]string)
		}
		d[key] = value
	}
	add(keyCallerName, c.Caller.Name, maxName)
	add(keyCallerNumber, c.Caller.Number, maxName)
	add(keyReason, c.End, maxHint)
	names := hints(c.Kind)
	if len(names) == 0 {
		return d
	}
	u, err := sipmsg.ParseURI(b.Contact)
	if err != nil {
		return d
	}
	for _, name := range names {
		value, _ := u.Param(name)
		add(name, sipmsg.Unescape(value), maxHint)
	}
	return d
}

// plain is s as any payload can hold it: valid UTF-8 of at most so many characters,
// without any that are not to be seen, such as those that turn the direction of
// writing.
func plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i]
		}
	}
	return s
}
