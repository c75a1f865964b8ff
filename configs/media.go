package configs

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"
)

// Media says what becomes of the media of calls between peers that would not
// understand each other.
type Media struct {
	// Engines are rtpengines; none: media are nobody's business here.
	Engines []MediaEngine `yaml:"engines" restart:"yes"`
	// Calls are those whose media go through an engine.
	Calls MediaCalls `yaml:"calls"`
	// WithoutEngine is what becomes of such calls when no engine is there.
	WithoutEngine WithoutEngine `yaml:"without_engine"`
	// Timeout is how long an engine may take for an answer, Ping the time between
	// questions whether it is there, MaxPending how many answers are waited for.
	Timeout    time.Duration  `yaml:"timeout" range:"100ms..5s" restart:"yes"`
	Ping       time.Duration  `yaml:"ping" range:"1s..5m" restart:"yes"`
	MaxPending int            `yaml:"max_pending" range:"10..1000000" restart:"yes"`
	Profiles   []MediaProfile `yaml:"profiles"`
}

// MediaEngine is one rtpengine.
type MediaEngine struct {
	// Addr is an IP address and a port.
	Addr string `yaml:"addr"`
	// The lowest Priority is chosen first; equal ones share the calls by Weight.
	Priority int `yaml:"priority" range:"0..65535"`
	Weight   int `yaml:"weight" range:"0..65535"`
}

func (e *MediaEngine) setDefaults() { e.Weight = 1 }

// MediaProfile is what some peers understand. What is not given is as in Like.
type MediaProfile struct {
	Name      string      `yaml:"name"`
	Like      ProfileKind `yaml:"like"`
	ICE       string      `yaml:"ice"`
	Protocol  string      `yaml:"protocol"`
	RTCPMux   []string    `yaml:"rtcp_mux"`
	DTLS      string      `yaml:"dtls"`
	SDES      []string    `yaml:"sdes"`
	Replace   []string    `yaml:"replace"`
	Flags     []string    `yaml:"flags"`
	Interface string      `yaml:"interface"`
}

// MediaCalls says which calls have their media changed.
type MediaCalls string

// MixedCalls are those between peers of different profiles.
const (
	MixedCalls MediaCalls = "mixed"
	AllCalls   MediaCalls = "all"
)

func (MediaCalls) values() []string { return []string{string(MixedCalls), string(AllCalls)} }

// WithoutEngine says what becomes of calls when no engine is there.
type WithoutEngine string

// FailCalls fails them, PassMedia leaves their SDP as it is.
const (
	FailCalls WithoutEngine = "fail"
	PassMedia WithoutEngine = "pass"
)

func (WithoutEngine) values() []string { return []string{string(FailCalls), string(PassMedia)} }

// ProfileKind is a profile that is built in.
type ProfileKind string

// The kinds, which are also the names of the profiles for those of whom nothing else
// is said.
const (
	LikeBrowser ProfileKind = "browser"
	LikePhone   ProfileKind = "phone"
)

func (ProfileKind) values() []string { return []string{string(LikeBrowser), string(LikePhone)} }

// noMedia stands for a peer whose SDP is left alone.
const noMedia = "none"

// Kind returns what a profile is like where it says nothing.
func (p *MediaProfile) Kind() ProfileKind {
	switch {
	case p.Like != "":
		return p.Like
	case p.Name == string(LikeBrowser):
		return LikeBrowser
	}
	return LikePhone
}

// ngWord is what engines take as the value of an option.
var ngWord = regexp.MustCompile(`^[A-Za-z0-9/._+=-]{1,64}$`)

func (l *loader) checkMedia(cfg *Config) {
	m := &cfg.Media
	engines := map[netip.AddrPort]int{}
	for i, e := range m.Engines {
		at := fmt.Sprintf("media.engines[%d].addr", i)
		a, err := netip.ParseAddrPort(e.Addr)
		if err != nil || a.Port() == 0 {
			l.errorAt(at, fmt.Sprintf("%q is no IP address with a port", e.Addr), "write 127.0.0.1:2223")
			continue
		}
		if first, twice := engines[a]; twice {
			l.errorAt(at, fmt.Sprintf("is also media.engines[%d]", first), "name each engine once; more calls go to it by its weight")
		}
		engines[a] = i
	}
	if m.Ping <= m.Timeout {
		l.errorAt("media.ping", "is not longer than media.timeout", "write more than "+formatDuration(m.Timeout))
	}
	known := []string{string(LikeBrowser), string(LikePhone), noMedia}
	seen := names{}
	for i, p := range m.Profiles {
		at := fmt.Sprintf("media.profiles[%d]", i)
		l.checkName(seen, "media.profiles", i, p.Name)
		if p.Name == noMedia {
			l.errorAt(at+".name", `"none" stands for SDP that is left alone`, "choose another name")
		}
		known = append(known, p.Name)
		for _, list := range []struct {
			key    string
			values []string
		}{
			{"ice", []string{p.ICE}},
			{"protocol", []string{p.Protocol}},
			{"dtls", []string{p.DTLS}},
			{"interface", []string{p.Interface}},
			{"rtcp_mux", p.RTCPMux},
			{"sdes", p.SDES},
			{"replace", p.Replace},
			{"flags", p.Flags},
		} {
			for _, v := range list.values {
				if v != "" && !ngWord.MatchString(v) {
					l.errorAt(at+"."+list.key, fmt.Sprintf("%q is nothing that an engine knows", v), "write one word of the ng protocol, such as remove or force")
				}
			}
		}
	}
	for i, r := range cfg.Proxy.Routes {
		at := fmt.Sprintf("proxy.routes[%d].media", i)
		switch {
		case r.Media == "":
		case !slices.Contains(known, r.Media):
			l.errorAt(at, fmt.Sprintf("%q is none of media.profiles", r.Media), suggest(r.Media, known))
		case len(m.Engines) == 0:
			l.warnAt(at, "there are no media.engines", "SDP passes as it is")
		}
	}
}
