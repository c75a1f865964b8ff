package configs

import (
	"fmt"
	"regexp"
	"strings"
)

// This file is about what differs between phones, and what apps are told.

// IOS is about Apple's phones.
type IOS struct {
	// Background says whether they are woken for more than calls.
	Background Background `yaml:"background"`
}

// Background says whether pushes are sent that are no calls.
type Background string

// SendBackground sends them by the token that is not for calls, NeverBackground does
// not.
const (
	SendBackground  Background = "send"
	NeverBackground Background = "never"
)

func (Background) values() []string { return []string{string(SendBackground), string(NeverBackground)} }

// Farewell says what a phone hears that was pushed for a call which ended before it
// woke.
type Farewell string

// NoFarewell says nothing, FarewellBranch calls it once more and cancels that,
// FarewellPush sends another push.
const (
	NoFarewell     Farewell = "none"
	FarewellBranch Farewell = "branch"
	FarewellPush   Farewell = "push"
)

func (Farewell) values() []string {
	return []string{string(NoFarewell), string(FarewellBranch), string(FarewellPush)}
}

// Payload says what pushes tell beyond what they are for.
type Payload struct {
	Caller CallerData `yaml:"caller"`
}

// CallerData says what pushes tell of the caller.
type CallerData string

// NoCaller tells nothing, CallerNumber the number, CallerName the name, too.
const (
	NoCaller     CallerData = "none"
	CallerNumber CallerData = "number"
	CallerName   CallerData = "name"
)

func (CallerData) values() []string {
	return []string{string(NoCaller), string(CallerNumber), string(CallerName)}
}

// Mapping reads push parameters from what an app older than RFC 8599 sends.
type Mapping struct {
	// UserAgent is a regular expression (RE2); empty means all.
	UserAgent string `yaml:"user_agent"`
	// Contact and Header are parameters of the Contact and header fields that a phone
	// must have, with the patterns of their values.
	Contact map[string]string `yaml:"contact"`
	Header  map[string]string `yaml:"header"`
	// Provider, Param and PRID are made of what the patterns found.
	Provider string `yaml:"provider"`
	Param    string `yaml:"param"`
	PRID     string `yaml:"prid"`
}

// headerSyntax keeps away from the header fields that SIP has, or will have.
var headerSyntax = regexp.MustCompile(`^[Xx]-[A-Za-z0-9-]{1,60}$`)

// checkPlatform is about this file's keys.
func (l *loader) checkPlatform(p *Push) {
	if p.IDHeader != "" && !headerSyntax.MatchString(p.IDHeader) {
		l.errorAt("push.id_header", fmt.Sprintf("%q is no name for a header field of ours", p.IDHeader), "write X- and a word, such as X-Push-ID")
	}
	known := p.providers()
	for i := range p.Mappings {
		m, at := &p.Mappings[i], fmt.Sprintf("push.mappings[%d]", i)
		if _, err := regexp.Compile(m.UserAgent); err != nil {
			l.errorAt(at+".user_agent", err.Error(), "the syntax is that of RE2")
		}
		if len(m.Contact)+len(m.Header) == 0 {
			l.required(at+".contact", "say by what parameter or header its phones are known")
		}
		switch {
		case m.Provider == "":
			l.required(at+".provider", "name the pn-provider of an app in push.apps")
		case !strings.Contains(m.Provider, "{"):
			l.checkProvider(at+".provider", m.Provider, known)
		}
		if m.PRID == "" {
			l.required(at+".prid", `write "{token}" if a pattern finds {token}`)
		}
	}
}
