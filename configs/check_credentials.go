package configs

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// This file says what looks wrong about an app of push.apps before a push
// service has to: each of these mistakes makes it refuse every push. What is in
// the files is looked at by who loads them.

// checkReachable complains about an app that gets no push because one before it
// takes them all.
func (l *loader) checkReachable(before []App, a *App, at string) {
	for i := range before {
		b := &before[i]
		if a.Provider == "" || !strings.EqualFold(b.Provider, a.Provider) || !covers(b.Param, a.Param) {
			continue
		}
		hint := fmt.Sprintf("put it before push.apps[%d], or give it another param", i)
		if b.Param == a.Param {
			hint = "give it another param"
		}
		l.errorAt(at+".param", fmt.Sprintf("never gets a push: push.apps[%d] comes first and takes %q", i, b.Param), hint)
		return
	}
}

// covers reports whether pattern takes every value that other takes. A character
// that is in neither stands for the stars of other: where pattern takes it, it
// takes anything.
func covers(pattern, other string) bool {
	const anything = "\x00"
	if pattern == "" {
		pattern = "*"
	}
	if other == "" {
		other = "*"
	}
	parts := strings.Split(pattern, "*")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	re, err := regexp.Compile(`(?s)^` + strings.Join(parts, `.*`) + `$`)
	return err == nil && re.MatchString(strings.ReplaceAll(other, "*", anything))
}

// Hosts of Apple's two environments, by the part that tells them apart.
const sandboxHost = "sandbox"

// doubtAPNs warns of identifiers that contradict each other.
func (l *loader) doubtAPNs(a *App, at string) {
	c := a.APNs
	if team, _, dot := strings.Cut(a.Param, "."); dot && c.TeamID != "" && appleID.MatchString(team) && appleID.MatchString(c.TeamID) && team != c.TeamID {
		l.warnAt(at+".param", fmt.Sprintf("is of team %s, the key of team %s: Apple refuses pushes to apps of other teams", team, c.TeamID),
			"is team_id that of the account in which the key was made?")
	}
	// Apple names the file after the key.
	if id, ok := strings.CutPrefix(strings.TrimSuffix(filepath.Base(string(c.KeyFile)), ".p8"), "AuthKey_"); ok && appleID.MatchString(id) &&
		appleID.MatchString(c.KeyID) && id != c.KeyID {
		l.warnAt(at+".apns.key_id", fmt.Sprintf("is %s, the file is called after key %s", c.KeyID, id), "write the identifier of the file's name")
	}
	u, err := url.Parse(c.Host)
	apple := err == nil && strings.HasSuffix(u.Hostname(), ".push.apple.com")
	switch {
	case apple && strings.Contains(u.Hostname(), sandboxHost) != (c.Environment == Sandbox):
		l.warnAt(at+".apns.host", fmt.Sprintf("is not of the environment %s, and is what counts", c.Environment), "remove it: environment is enough")
	case c.Host == "" && c.Environment == Production && strings.HasSuffix(strings.ToLower(a.Provider), ".dev"):
		l.warnAt(at+".apns.environment", fmt.Sprintf("is production, but apps that call themselves %s have tokens of the sandbox", a.Provider),
			"write environment: sandbox")
	}
}

// doubtSubscriber warns of an address that is an example: Apple's push service
// refuses it, others cannot reach anybody there.
func (l *loader) doubtSubscriber(path, subscriber string) {
	_, host, ok := strings.Cut(subscriber, "@")
	if u, err := url.Parse(subscriber); !ok && err == nil {
		host = u.Hostname()
	}
	host = "." + strings.ToLower(host)
	for _, made := range []string{".example", ".example.com", ".example.net", ".example.org", ".invalid", ".test", ".localhost", ".local"} {
		if strings.HasSuffix(host, made) {
			l.warnAt(path, fmt.Sprintf("%q is nobody's address: Apple refuses pushes from there", subscriber), "write an address where you can be reached")
			return
		}
	}
}
