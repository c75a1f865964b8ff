package proxy

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"reveille/flow"
	"reveille/internal/rtpengine"
	"reveille/internal/sipmsg"
)

// This file has engines change the SDP of calls between peers that would not hear each
// other, such as a browser and a gateway (RFC 3264, RFC 6337). Each branch of an INVITE
// is a call of its own there, begun when the INVITE leaves, so that what waits for a
// phone holds no ports and branches do not share any. The Record-Route token says
// which call it is; for a dialog that stands, nothing is remembered here.

// Media says whose SDP is changed, and how. The zero value changes none.
type Media struct {
	// Engines change SDP; nil: it passes as it is.
	Engines MediaEngines
	// Profiles say by their names what peers understand. There are one for browsers and
	// one for phones at least.
	Profiles []rtpengine.Profile
	// All: the media of all calls go through an engine, not only that of calls between
	// peers of different profiles.
	All bool
	// Pass: without engine an offer passes as it is; otherwise it goes nowhere.
	Pass bool
}

// MediaEngines are where media go through; *rtpengine.Client implements it.
type MediaEngines interface {
	// Pick chooses the engine of a new call that is not one of tried; ok is false if
	// there is none.
	Pick(tried []netip.AddrPort) (engine netip.AddrPort, ok bool)
	// Do has an engine do something and calls done once, inline or later, on any
	// goroutine.
	Do(engine netip.AddrPort, c rtpengine.Command, done func(sdp string, err error))
}

// The names of the profiles of peers for which none is configured, and what stands for
// those whose SDP nobody touches.
const (
	MediaBrowser = "browser"
	MediaPhone   = "phone"
	MediaNone    = "none"
)

var errNoEngine = errors.New("no media engine is there")

func (m *Media) validate() error {
	for _, name := range []string{MediaBrowser, MediaPhone} {
		if m.Engines != nil && m.profile(name) == nil {
			return errors.New("proxy: there is no media profile " + name)
		}
	}
	return nil
}

// profile returns the profile of that name; nil, which leaves all to the engine, if it
// is not configured any more.
func (m *Media) profile(name string) *rtpengine.Profile {
	i := slices.IndexFunc(m.Profiles, func(p rtpengine.Profile) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &m.Profiles[i]
}

// applies reports whether the media between two sides go through an engine.
func (m *Media) applies(a, b string) bool {
	return a != MediaNone && b != MediaNone && (m.All || a != b)
}

// mediaProfile is the name of the profile of the sender.
func (f *fork) mediaProfile() string {
	for _, r := range f.p.routesAt(f.s.Flow()) {
		if r.Media != "" {
			return r.Media
		}
	}
	uri := ""
	if contacts := f.s.Message().Contacts(); len(contacts) == 1 {
		uri = contacts[0].URI.String()
	}
	return mediaKind(f.s.Flow(), uri)
}

// mediaProfile is the name of the profile of the branch's device or next hop.
func (b *branch) mediaProfile(to flow.Flow) string {
	if r, ok := b.fork.p.routeNamed(b.target.route()); ok && r.Name != "" && r.Media != "" {
		return r.Media
	}
	return mediaKind(to, b.target.binding.Contact)
}

// mediaKind tells browsers from others: they alone speak SIP over WebSocket (RFC 7118),
// though an edge proxy may stand between.
func mediaKind(f flow.Flow, contact string) string {
	if f.Transport == flow.WS || f.Transport == flow.WSS || strings.Contains(strings.ToLower(contact), ";transport=ws") {
		return MediaBrowser
	}
	return MediaPhone
}

// sdpOf returns the SDP in a message; "" if it has none. readable is false if there may
// be SDP in it that is out of reach: in one of several parts, or encoded.
func sdpOf(m *sipmsg.Message) (sdp string, readable bool) {
	kind := m.ContentType()
	switch {
	case m.Body() == "":
		return "", true
	case strings.HasPrefix(kind, "multipart/") || m.Has(sipmsg.HdrContentEncoding):
		return "", false
	case kind == "application/sdp":
		return m.Body(), true
	}
	return "", true
}
