package app

import (
	"fmt"
	"net/netip"
	"slices"

	"reveille/configs"
	"reveille/internal/proxy"
	"reveille/internal/rtpengine"
)

// buildMedia connects to the rtpengines, if there are any.
func (a *App) buildMedia() (err error) {
	cfg := &a.config.Media
	if len(cfg.Engines) == 0 {
		return nil
	}
	o := rtpengine.Options{
		Timeout: cfg.Timeout, PingInterval: cfg.Ping, MaxPending: cfg.MaxPending,
		Logger: a.component("rtpengine"), Registerer: a.registry,
	}
	for i, e := range cfg.Engines {
		addr, err := netip.ParseAddrPort(e.Addr)
		if err != nil {
			return fmt.Errorf("media.engines[%d].addr: %w", i, err)
		}
		// configs keeps both in their bounds.
		o.Engines = append(o.Engines, rtpengine.Engine{Addr: addr, Priority: uint16(e.Priority), Weight: uint16(e.Weight)}) //nolint:gosec // See above.
	}
	if a.engines, err = rtpengine.New(o); err != nil {
		return err
	}
	a.onStop("rtpengine", a.engines.Stop)
	return nil
}

// media says whose SDP is changed.
func (a *App) media(cfg *configs.Media) proxy.Media {
	if a.engines == nil {
		return proxy.Media{}
	}
	return proxy.Media{
		Engines: a.engines, Profiles: mediaProfiles(cfg.Profiles),
		All: cfg.Calls == configs.AllCalls, Pass: cfg.WithoutEngine == configs.PassMedia,
	}
}

// mediaProfiles returns the profiles that are built in and those that are configured,
// which replace them by name.
func mediaProfiles(list []configs.MediaProfile) []rtpengine.Profile {
	profiles := []rtpengine.Profile{rtpengine.Browser(), rtpengine.Phone()}
	for _, c := range list {
		p := mediaProfile(&c)
		if i := slices.IndexFunc(profiles, func(other rtpengine.Profile) bool { return other.Name == p.Name }); i >= 0 {
			profiles[i] = p
		} else {
			profiles = append(profiles, p)
		}
	}
	return profiles
}

// mediaProfile lays what is configured over what the profile is like.
func mediaProfile(c *configs.MediaProfile) rtpengine.Profile {
	p := rtpengine.Phone()
	if c.Kind() == configs.LikeBrowser {
		p = rtpengine.Browser()
	}
	p.Name = c.Name
	for _, x := range []struct {
		to   *string
		from string
	}{{&p.ICE, c.ICE}, {&p.Protocol, c.Protocol}, {&p.DTLS, c.DTLS}, {&p.Interface, c.Interface}} {
		if x.from != "" {
			*x.to = x.from
		}
	}
	for _, x := range []struct {
		to   *[]string
		from []string
	}{{&p.RTCPMux, c.RTCPMux}, {&p.SDES, c.SDES}, {&p.Replace, c.Replace}, {&p.Flags, c.Flags}} {
		if len(x.from) > 0 {
			*x.to = x.from
		}
	}
	return p
}
